//! Dockerfiles: text to instructions, checks, ignore files. Pure.

#![forbid(unsafe_code)]
