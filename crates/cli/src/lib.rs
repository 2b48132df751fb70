//! The command line: Docker's, command for command and byte for byte.
//!
//! ```text
//! spec    commands and flags as tables          flags   pflag's grammar over them
//! app     configuration, host, client, errors   format  templates, tables, sizes, times
//! container, image, system, inspect, prune      one function a command
//! registry   login, search, manifests
//! build   images from Dockerfiles: what a build asks of this machine, and how it is shown
//! ```
//!
//! Output goes to standard output only when it is a command's answer; hints and errors go to
//! standard error. A command returns its exit code, and nothing below [`main`] ends the process.

#![forbid(unsafe_code)]

mod app;
mod build;
mod config;
mod container;
mod flags;
mod format;
mod help;
mod image;
mod inspect;
mod output;
mod plugin;
mod prune;
mod registry;
mod spec;
mod system;
mod term;
mod values;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

/// Runs the command line `args`, whose first element is the program's name.
///
/// `start_daemon` starts a daemon in the background that listens on the socket it is given, and
/// returns once it answers. It is called only when nobody named a host and nobody answers.
#[must_use]
pub fn main(args: Vec<OsString>, start_daemon: &dyn Fn(&Path) -> Result<(), String>) -> ExitCode {
    ExitCode::from(app::main(args, start_daemon))
}
