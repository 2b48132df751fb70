//! What a killed shim leaves: perhaps a process, and its control group.

use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{Command, Stdio};

use gantry_shim_proto::{Foreign, SavedState};
use rustix::process::{Pid, Signal};

use crate::directory;

/// Longest wait for a killed process to end, in seconds.
const KILL_LIMIT_S: i64 = 5;

/// Ends the first process if it still runs, for runtimes that do not tie it to the shim.
fn kill_process(state: &SavedState) {
    let Some(pid) = i32::try_from(state.pid).ok().and_then(Pid::from_raw) else { return };
    // The descriptor is taken first: then the number cannot pass to another process unnoticed.
    let Ok(process) = rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()) else {
        return;
    };
    if state.start_ticks != 0 && start_ticks(state.pid) == Some(state.start_ticks) {
        let _ = rustix::process::pidfd_send_signal(&process, Signal::KILL);
        await_end(&process);
    }
}

/// Waits until a killed process has ended: nobody is to see it in a container that is over.
fn await_end(process: &OwnedFd) {
    let limit = rustix::event::Timespec { tv_sec: KILL_LIMIT_S, tv_nsec: 0 };
    let mut polled = [rustix::event::PollFd::new(process, rustix::event::PollFlags::IN)];
    if !matches!(rustix::event::poll(&mut polled, Some(&limit)), Ok(1)) {
        tracing::warn!("a process of a dead task does not end");
    }
}

/// Removes the control group of a task that has ended.
pub(crate) fn clear(directory: &Path) {
    let Some(state) = directory::saved_state(directory) else { return };
    kill_process(&state);
    if let Some(runtime) = &state.runtime {
        delete_with(runtime, directory);
    }
    if state.cgroup.is_empty() {
        return;
    }
    let removed = gantry_cgroup::Host::detect().and_then(|host| {
        let group = host.open(&state.cgroup);
        group.kill_all(Signal::KILL.as_raw())?;
        group.remove()
    });
    if let Err(error) = removed {
        tracing::warn!(cgroup = state.cgroup, %error, "removing the control group of a dead task");
    }
}

/// Lets a foreign runtime forget its container.
fn delete_with(runtime: &Foreign, directory: &Path) {
    let Some(id) = directory.file_name() else { return };
    let deleted = Command::new(&runtime.path)
        .args(&runtime.args)
        .arg("--root")
        .arg(directory.join("runtime"))
        .args(["delete", "--force"])
        .arg(id)
        .stdin(Stdio::null())
        .output();
    if let Err(error) = deleted {
        tracing::warn!(runtime = ?runtime.path, %error, "cleaning up after a dead task");
    }
}

/// When a process started: field 22 of `/proc/<pid>/stat`, see `proc(5)`.
fn start_ticks(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field may hold anything, so count from its closing parenthesis.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_ascii_whitespace().nth(19)?.parse().ok()
}
