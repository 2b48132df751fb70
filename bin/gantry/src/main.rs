//! Gantry: engine, command line and OCI runtime in one program.

#![forbid(unsafe_code)]

fn main() {}
