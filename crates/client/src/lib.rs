//! The Engine API from the client's side.

#![forbid(unsafe_code)]
