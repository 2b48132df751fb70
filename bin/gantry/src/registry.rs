//! `gantry registry`: the registry server.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `gantry registry …`; `args` begins with the program's name and `registry`.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    gantry_registry::command::main(args.into_iter().skip(2).collect())
}
