//! The builder against real layers, real mounts and real commands.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and print")]

mod bed;
mod caching;
mod client;
mod contexts;
mod copies;
mod crashes;
mod executor;
mod failures;
mod mounts;
mod outputs;
mod security;
mod solving;
mod sources;
