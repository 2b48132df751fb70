//! Error kinds and the chain printer.

#![forbid(unsafe_code)]
