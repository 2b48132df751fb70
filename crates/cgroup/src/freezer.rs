//! Freezing, thawing and ending all processes of a group.

use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, kill_process};

use crate::{Cgroup, CgroupError, files};

/// How long freezing may take when it only serves killing.
const KILL_FREEZE_LIMIT: Duration = Duration::from_millis(500);
/// How often killing goes round for processes that were forked meanwhile.
const KILL_ROUNDS: u32 = 20;

pub(crate) fn freeze(group: &Cgroup, limit: Duration) -> Result<(), CgroupError> {
    let result = turn(group, true, limit);
    if result.is_err() {
        // Half frozen is worse than running; the first error is the one to tell.
        let _ = thaw(group, limit);
    }
    result
}

/// A group that is gone has nothing left that stands still: `SIGKILL` ends frozen processes on v2,
/// and whoever waits for them may have removed it.
pub(crate) fn thaw(group: &Cgroup, limit: Duration) -> Result<(), CgroupError> {
    match turn(group, false, limit) {
        Err(_) if directory(group).is_ok_and(|path| !path.exists()) => Ok(()),
        answer => answer,
    }
}

pub(crate) fn is_frozen(group: &Cgroup) -> Result<bool, CgroupError> {
    let path = directory(group)?;
    if group.is_v2() {
        let events = files::read(&path.join("cgroup.events"))?;
        return Ok(events.lines().any(|line| line == "frozen 1"));
    }
    Ok(files::read(&path.join("freezer.state"))?.trim() == "FROZEN")
}

pub(crate) fn kill_all(group: &Cgroup, signal: i32) -> Result<(), CgroupError> {
    let signal = Signal::from_named_raw(signal).ok_or_else(|| CgroupError::Invalid {
        setting: "signal".to_owned(),
        reason: format!("{signal} is no signal"),
    })?;
    if signal == Signal::KILL
        && group.is_v2()
        && let Some(path) = group.roots().first()
    {
        match files::write_raw(&path.join("cgroup.kill"), "1") {
            Err(error) if files::is_missing(&error) && path.exists() => {} // Before Linux 5.14.
            Err(error) if !files::is_missing(&error) => {
                let path = path.join("cgroup.kill");
                return Err(CgroupError::Write { path, value: "1".to_owned(), source: error });
            }
            _ => return Ok(()),
        }
    }
    for _ in 0..KILL_ROUNDS {
        // Frozen processes cannot fork, so each gets the signal. Where there is no freezer, or it
        // is too slow, going round again gets the new ones.
        let frozen = directory(group).is_ok() && turn(group, true, KILL_FREEZE_LIMIT).is_ok();
        let pids = group.pids();
        for pid in pids.as_ref().map_or(&[][..], Vec::as_slice) {
            signal_one(*pid, signal, group)?;
        }
        if directory(group).is_ok() {
            thaw(group, KILL_FREEZE_LIMIT)?;
        }
        if frozen || signal != Signal::KILL || pids?.is_empty() {
            break;
        }
    }
    Ok(())
}

fn signal_one(pid: u32, signal: Signal, group: &Cgroup) -> Result<(), CgroupError> {
    let Some(process) = i32::try_from(pid).ok().and_then(Pid::from_raw) else { return Ok(()) };
    match kill_process(process, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(errno) => {
            Err(CgroupError::Signal { pid, path: group.path().into(), source: errno.into() })
        }
    }
}

/// Where the group is frozen.
fn directory(group: &Cgroup) -> Result<PathBuf, CgroupError> {
    group.controller_path("freezer").ok_or_else(|| CgroupError::Unsupported {
        setting: "freezing".to_owned(),
        needs: "freezer controller".to_owned(),
    })
}

/// Asks for a state and waits until it is there.
fn turn(group: &Cgroup, freeze: bool, limit: Duration) -> Result<(), CgroupError> {
    let path = directory(group)?;
    let (file, value) = match (group.is_v2(), freeze) {
        (true, true) => (path.join("cgroup.freeze"), "1"),
        (true, false) => (path.join("cgroup.freeze"), "0"),
        (false, true) => (path.join("freezer.state"), "FROZEN"),
        (false, false) => (path.join("freezer.state"), "THAWED"),
    };
    let until = Instant::now() + limit;
    let mut pause = Duration::from_micros(50);
    let mut rounds = 0_u32;
    files::set(&file, value, "freezing")?;
    while is_frozen(group)? != freeze {
        if Instant::now() >= until {
            let state = if freeze { "frozen" } else { "thawed" };
            return Err(CgroupError::Timeout { path, state, waited: limit });
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(10));
        rounds += 1;
        // v1 can stay FREEZING when a process forked at the wrong moment: thawing for an instant
        // lets it settle, and asking again catches it.
        if !group.is_v2() && freeze && rounds.is_multiple_of(16) {
            files::set(&file, "THAWED", "freezing")?;
            files::set(&file, value, "freezing")?;
        }
    }
    Ok(())
}
