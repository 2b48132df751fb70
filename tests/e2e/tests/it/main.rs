//! Whole-program tests: the release build of Gantry, the real docker CLI and other real clients.
//!
//! They need root, and Debian's packages that `cargo xtask setup` installs.

#![forbid(unsafe_code)]
#![allow(missing_docs, clippy::unwrap_used)]

mod agree;
mod archives;
mod bad_input;
mod build_cli;
mod build_doors;
mod build_engine;
mod build_registry;
mod checks;
mod clients;
mod crash;
mod crash_networks;
mod debian;
mod disk;
mod dns;
mod faults;
mod hello;
mod lan;
mod leaks;
mod load;
mod mission;
mod names;
mod oci;
mod policy;
mod programs;
mod pypi;
mod quiet;
mod reach;
mod registry;
mod registry_image;
mod restart;
mod soak;
mod storm;
mod talk;
mod terminal;
mod travel;
mod travel_faults;
mod travel_lies;
mod world;

use gantry_rig::{Daemon, Kind, Net, images};

/// A daemon with the busybox image, in a network namespace of its own.
fn gantry() -> Daemon {
    gantry_with(Net::Private, &[])
}

fn gantry_with(net: Net, extra: &[&str]) -> Daemon {
    gantry_rig::need_root();
    let daemon = Daemon::start(Kind::Gantry, net, extra).expect("gantry starts");
    images::import_busybox(&daemon.client()).expect("busybox can be imported");
    daemon
}
