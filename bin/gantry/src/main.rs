//! Gantry: engine, command line and OCI runtime in one program.
//!
//! Which of them it is depends on how it is called: `gantry daemon` and `dockerd` are the engine,
//! `gantry oci` is the runtime, `gantry registry` the registry server, all else is the command line
//! (as `docker`, too).

#![forbid(unsafe_code)]

mod daemon;
mod embedded_shim;
mod oci;
mod registry;
mod version;

use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<OsString> = std::env::args_os().collect();
    let called =
        args.first().map(|name| Path::new(name).file_name().unwrap_or_default().to_owned());
    if called.is_some_and(|name| name == "dockerd") {
        return daemon::main("dockerd", args.get(1..).unwrap_or_default(), true);
    }
    match args.get(1).and_then(|arg| arg.to_str()) {
        Some("daemon") => daemon::main("gantry daemon", &args[2..], false),
        Some("oci") => oci::main(args),
        Some("registry") => registry::main(args),
        _ => gantry_cli::main(args, &daemon::start_in_background),
    }
}
