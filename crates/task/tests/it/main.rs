//! Tasks end to end: a real shim, a real runtime, real processes.
//!
//! Needs root. Every test runs with each runtime of the `GANTRY_TEST_RUNTIMES` list (default:
//! the built-in one, and runc and crun where they are installed).

#![allow(clippy::print_stderr)]

mod bed;
mod daemon;
mod streams;
