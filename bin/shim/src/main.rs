//! The parent of one container: owns its stdio, log and exit status.

#![forbid(unsafe_code)]

fn main() {}
