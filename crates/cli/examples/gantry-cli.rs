//! The command line alone, with no daemon to start: for tests and for trying it on other daemons.

fn main() -> std::process::ExitCode {
    let no_daemon = |_: &std::path::Path| Err("this program cannot start a daemon".to_owned());
    gantry_cli::main(std::env::args_os().collect(), &no_daemon)
}
