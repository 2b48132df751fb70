//! Tar streams and their compressions, extracted beneath a directory descriptor.

#![forbid(unsafe_code)]
