//! The engine on real parts: real shims, overlays, a bridge in a network namespace of its own.
//! Needs root and a static busybox; says so and passes over everything else.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and print")]

mod bed;
mod crash;
mod life;
mod networks;
mod recovery;
mod requests;
mod speed;
mod steps;
mod volumes;
