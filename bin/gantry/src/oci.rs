//! `gantry oci`: the OCI runtime with runc's command line.

use std::ffi::OsString;
use std::process::ExitCode;

/// Runs `gantry oci …`; `args` begins with the program's name and `oci`.
pub(crate) fn main(args: Vec<OsString>) -> ExitCode {
    gantry_runtime::command::main(args.into_iter().skip(2).collect())
}
