//! The test rig: a real dockerd and Gantry side by side, the images they run, and what must not be
//! left behind.
//!
//! Every daemon gets a directory, a socket and control groups of its own, and unless a test needs
//! the outside a network namespace of its own, so that two daemons never meet and the host's rules
//! stay as they are. Dropping a daemon ends what it started and removes what it made.

#![forbid(unsafe_code)]

pub mod client;
pub mod daemon;
pub mod debian;
pub mod images;
pub mod installed;
pub mod leaks;
pub mod liar;
pub mod proxy;
pub mod registry;

pub use client::{Client, Ran};
pub use daemon::{Daemon, Kind, Net};

/// Whether the real dockerd is installed, to compare with.
#[must_use]
pub fn has_dockerd() -> bool {
    daemon::program("dockerd").is_some()
}

/// Ends the test with a clear sentence when it does not run as root.
///
/// # Panics
/// When the effective user is not root.
pub fn need_root() {
    assert!(rustix::process::geteuid().is_root(), "this test needs root: it makes namespaces");
}
