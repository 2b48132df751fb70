//! Local volumes.

#![forbid(unsafe_code)]
