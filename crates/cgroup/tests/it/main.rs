//! Groups on the real kernel, and the v2 file logic on a tree of plain files.
//!
//! The tests of real groups need root and say so when they are skipped.

// Helpers of tests are no tests to the lint, but may fail as loudly.
#![allow(clippy::unwrap_used, clippy::print_stderr)]

mod fake;
mod real;
