//! Gantry's own chores: check, test, bench, compare.

#![forbid(unsafe_code)]

fn main() {}
