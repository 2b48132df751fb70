//! The client against Debian's registry, and against servers that lie, break and wait.

#![allow(
    clippy::unwrap_used,
    clippy::print_stderr,
    clippy::cast_possible_truncation,
    reason = "a test may panic and print"
)]

mod bed;
mod broken;
mod debian;
mod hosts;
mod liar;
mod lies;
mod lists;
mod pushes;
mod secrets;
