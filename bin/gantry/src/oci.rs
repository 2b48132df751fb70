//! `gantry oci`: the OCI runtime's command line.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs the command line of the OCI runtime; `args` are those after `oci`.
///
/// The caller must not have started any thread: containers are made by a plain fork.
pub fn main(args: Vec<OsString>) -> ExitCode {
    gantry_runtime::command::main(args)
}
