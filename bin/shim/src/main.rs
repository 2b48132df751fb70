//! The shim: the parent of one container, owner of its stdio, log and exit status.
//!
//! One small static program under four names: `gantry-shim` (the default), `docker-init` or
//! `gantry-init` (`docker run --init`), `gantry-compress` (a rotated log), and `hello` (the
//! program of the built-in image).

#![forbid(unsafe_code)]

mod hello;
mod init;
mod shim;

use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = std::env::args_os();
    let called = args.next().unwrap_or_default();
    match Path::new(&called).file_name().map(OsStrExt::as_bytes) {
        Some(b"docker-init" | b"gantry-init") => init::run(args),
        Some(b"hello") => hello::run(),
        Some(b"gantry-compress") => compress(args.next()),
        _ => shim::run(args.next()),
    }
}

fn compress(path: Option<std::ffi::OsString>) -> ExitCode {
    let done = path.map(|path| gantry_logs::compress(Path::new(&path)));
    if matches!(done, Some(Ok(()))) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
