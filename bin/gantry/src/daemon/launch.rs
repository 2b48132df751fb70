//! Starts a daemon in the background for a command that finds none.

use std::fs::File;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for the new daemon's first answer.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Where its messages go.
const LOG: &str = "/var/log/gantry.log";

/// Starts `gantry daemon` listening on `socket` and waits until it answers.
pub(crate) fn start_in_background(socket: &Path) -> Result<(), String> {
    if !rustix::process::geteuid().is_root() {
        return Err("no daemon runs, and only root can start one".to_owned());
    }
    let program = std::env::current_exe().map_err(|error| format!("own program: {error}"))?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(LOG)
        .map_err(|error| format!("cannot open {LOG}: {error}"))?;
    let errors = log.try_clone().map_err(|error| format!("cannot open {LOG}: {error}"))?;
    let mut daemon = Command::new(program)
        .arg("daemon")
        .arg("-H")
        .arg(format!("unix://{}", socket.display()))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(log)
        .stderr(errors)
        // Ctrl-C in this terminal is for the command, not for the daemon.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot start the daemon: {error}"))?;
    let begin = Instant::now();
    while begin.elapsed() < START_LIMIT {
        if UnixStream::connect(socket).is_ok() {
            return Ok(());
        }
        if let Ok(Some(status)) = daemon.try_wait() {
            return Err(format!("the daemon ended at once ({status}); see {LOG}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Err(format!("the daemon does not answer; see {LOG}"))
}
