//! The firewall against the kernel itself, on hosts of their own.
//!
//! Part of the crate's own tests, since the firewall is private to it. `ip`, `nft` and `iptables`
//! build the world and are the oracles.

#![allow(clippy::print_stdout, reason = "the lint does not know helpers of tests")]

mod beside;
mod healing;
mod lab;
mod matrix;
mod modes;
#[path = "../it/world.rs"]
#[allow(dead_code, reason = "made for the other tests")]
mod world;
