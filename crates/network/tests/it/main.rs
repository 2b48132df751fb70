//! The network against the kernel itself, each test in network namespaces of its own.
//!
//! Needs root; without it every test says so and is skipped. `ip` and `nft` are used to look at
//! the result and to build the outside world, never by the crate.

// The lints know test functions, but not their helpers.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod addresses;
mod default_bridge;
mod dns;
mod lifecycle;
mod manage;
mod reach;
mod sandboxes;
mod world;
