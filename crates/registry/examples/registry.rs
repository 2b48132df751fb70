//! The registry alone, for tests and measurements: `registry serve --root DIR`.

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    gantry_registry::command::main(std::env::args_os().skip(1).collect())
}
