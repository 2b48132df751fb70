//! Container logs: write, rotate, read, follow.

#![forbid(unsafe_code)]
