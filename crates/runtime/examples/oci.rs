//! The runtime's command line as a program of its own, for tests and measurements.

use std::process::ExitCode;

fn main() -> ExitCode {
    gantry_runtime::command::main(std::env::args_os().skip(1).collect())
}
