//! What the command line remembers of a container between two calls.
//!
//! ```text
//! <root>/<id>/state.json   Record; written once the first process waits
//!             config.json  the configuration that it was made from
//!             start.sock   where the first process waits for the start; gone once it was started
//! ```
//!
//! The directory is locked (`flock(2)`) while a command changes something. A process is known by its
//! pid and its start time together, so that another one under a reused pid is never signalled.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use gantry_cgroup::{Cgroup, Host};
use gantry_oci::runtime::{Spec, State, Status, StringMap};
use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::process::{Pid, PidfdFlags};
use serde::{Deserialize, Serialize};

use super::Failed;

/// Longest id: it becomes a file name and part of a socket's path.
const MAX_ID: usize = 255;

/// `state.json`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Record {
    pub(super) oci_version: String,
    pub(super) id: String,
    pub(super) pid: u32,
    /// Of the process, in clock ticks after boot: field 22 of `/proc/<pid>/stat`.
    pub(super) start_time: u64,
    pub(super) bundle: PathBuf,
    pub(super) rootfs: PathBuf,
    /// RFC 3339, UTC.
    pub(super) created: String,
    pub(super) cgroup: String,
    pub(super) owner: String,
    /// Whether the container's processes end with the first one.
    pub(super) own_pid_namespace: bool,
    #[serde(default)]
    pub(super) annotations: StringMap,
}

/// A container's directory.
#[derive(Debug)]
pub(super) struct Directory {
    pub(super) path: PathBuf,
}

/// A container as the directory and the kernel have it.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) directory: Directory,
    pub(super) record: Record,
    /// The first process, if it is still there.
    pub(super) pidfd: Option<OwnedFd>,
}

/// Refuses ids that are no plain file name.
pub(super) fn check_id(id: &str) -> Result<(), Failed> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_+-.".contains(c);
    if id.is_empty() {
        return Err(Failed::new("container id cannot be empty"));
    }
    if id == "." || id == ".." || id.len() > MAX_ID || !id.chars().all(plain) {
        return Err(Failed::new("invalid container ID format"));
    }
    Ok(())
}

impl Directory {
    /// Makes the directory of a new container.
    pub(super) fn make(root: &Path, id: &str) -> Result<Directory, Failed> {
        check_id(id)?;
        let text = || format!("creating the state directory {}", root.display());
        DirBuilder::new().recursive(true).mode(0o700).create(root).map_err(Failed::during(text))?;
        let path = root.join(id);
        match DirBuilder::new().mode(0o711).create(&path) {
            Ok(()) => Ok(Directory { path }),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(Failed::new("container with given ID already exists"))
            }
            Err(error) => Err(Failed::during(text)(error)),
        }
    }

    /// The directory of a container that is expected to be.
    pub(super) fn open(root: &Path, id: &str) -> Result<Directory, Failed> {
        check_id(id)?;
        let path = root.join(id);
        if path.is_dir() {
            Ok(Directory { path })
        } else {
            Err(Failed::new("container does not exist"))
        }
    }

    /// Keeps other commands away until the answer is dropped.
    pub(super) fn lock(&self) -> Result<OwnedFd, Failed> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::open(&self.path, flags, Mode::empty())
            .map_err(|_| Failed::new("container does not exist"))?;
        rustix::io::retry_on_intr(|| rustix::fs::flock(&fd, FlockOperation::LockExclusive))
            .map_err(|e| Failed::during(|| "locking the state directory")(e.into()))?;
        Ok(fd)
    }

    /// Where the first process waits.
    pub(super) fn start_socket(&self) -> PathBuf {
        self.path.join("start.sock")
    }

    /// Writes record and configuration, each whole or not at all.
    pub(super) fn save(&self, record: &Record, config: &[u8]) -> Result<(), Failed> {
        self.write("config.json", config)?;
        let text = serde_json::to_vec(record).map_err(|e| Failed::new(e.to_string()))?;
        self.write("state.json", &text)
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Failed> {
        let (new, path) = (self.path.join(format!(".{name}")), self.path.join(name));
        fs::write(&new, bytes)
            .and_then(|()| fs::rename(&new, &path))
            .map_err(Failed::during(|| format!("writing {}", path.display())))
    }

    /// The configuration that the container was made from.
    pub(super) fn spec(&self) -> Result<Spec, Failed> {
        read_spec(&self.path.join("config.json")).map(|(spec, _)| spec)
    }

    /// Removes the directory and what it holds.
    pub(super) fn remove(&self) -> Result<(), Failed> {
        match fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Failed::during(|| format!("removing {}", self.path.display()))(error))
            }
            _ => Ok(()),
        }
    }
}

/// Reads a configuration; answers its bytes too.
pub(super) fn read_spec(path: &Path) -> Result<(Spec, Vec<u8>), Failed> {
    let bytes = fs::read(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failed::new(format!("JSON specification file {} not found", path.display()))
        }
        _ => Failed::during(|| format!("reading {}", path.display()))(error),
    })?;
    let spec = serde_json::from_slice(&bytes)
        .map_err(|error| Failed::new(format!("parsing {}: {error}", path.display())))?;
    Ok((spec, bytes))
}

impl Known {
    /// Reads a container's state.
    pub(super) fn load(root: &Path, id: &str) -> Result<Known, Failed> {
        let directory = Directory::open(root, id)?;
        let path = directory.path.join("state.json");
        let bytes = fs::read(&path).map_err(|_| Failed::new("container does not exist"))?;
        let record: Record = serde_json::from_slice(&bytes)
            .map_err(|error| Failed::new(format!("parsing {}: {error}", path.display())))?;
        let pidfd = process(record.pid, record.start_time);
        Ok(Known { directory, record, pidfd })
    }

    /// The container's control group.
    pub(super) fn cgroup(&self) -> Result<Cgroup, Failed> {
        Ok(Host::detect().map_err(Failed::from_error)?.open(&self.record.cgroup))
    }

    /// Where the container is in its life.
    pub(super) fn status(&self) -> Status {
        if self.pidfd.is_none() {
            return Status::Stopped;
        }
        if self.directory.start_socket().exists() {
            return Status::Created;
        }
        match self.cgroup().map(|group| group.is_frozen()) {
            Ok(Ok(true)) => Status::Paused,
            _ => Status::Running,
        }
    }

    /// The state as the specification has it.
    pub(super) fn state(&self, status: Status) -> State {
        let alive = status != Status::Stopped;
        State {
            oci_version: self.record.oci_version.clone(),
            id: self.record.id.clone(),
            status,
            pid: Some(if alive { i32::try_from(self.record.pid).unwrap_or(0) } else { 0 }),
            bundle: self.record.bundle.clone(),
            annotations: self.record.annotations.clone(),
        }
    }
}

/// Opens a process if it is alive and the one that was started then.
fn process(pid: u32, start_time: u64) -> Option<OwnedFd> {
    let number = Pid::from_raw(i32::try_from(pid).ok()?)?;
    let pidfd = rustix::process::pidfd_open(number, PidfdFlags::empty()).ok()?;
    // Read after opening: what is read now is of the process that the descriptor holds, or it has gone.
    let (state, started) = process_stat(pid)?;
    (started == start_time && !matches!(state, 'Z' | 'X')).then_some(pidfd)
}

/// State and start time of a process.
pub(super) fn process_stat(pid: u32) -> Option<(char, u64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_stat(&text)
}

fn parse_stat(text: &str) -> Option<(char, u64)> {
    // The name in parentheses may hold anything, even parentheses: fields count from the last one.
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some((fields.first()?.chars().next()?, fields.get(19)?.parse().ok()?))
}

/// The time in RFC 3339, UTC, nanoseconds.
pub(super) fn now() -> String {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    rfc3339(since.as_secs(), since.subsec_nanos())
}

fn rfc3339(seconds: u64, nanoseconds: u32) -> String {
    let (days, second) = (seconds / 86_400, seconds % 86_400);
    // Days of the proleptic Gregorian calendar in eras of 400 years that begin in March.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{nanoseconds:09}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_civil() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00.000000007Z"),
            (951_782_400, "2000-02-29T00:00:00.000000007Z"),
            (1_793_663_999, "2026-11-02T23:59:59.000000007Z"),
            (4_102_444_800, "2100-01-01T00:00:00.000000007Z"),
        ] {
            assert_eq!(rfc3339(seconds, 7), want);
        }
    }

    #[test]
    fn a_process_name_cannot_fool_the_parser() {
        let text = "7 (a) R 1 (b)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(parse_stat(text), Some(('S', 4711)));
        assert_eq!(parse_stat("7 (a"), None);
    }

    #[test]
    fn ids_are_plain_names() {
        for (id, good) in
            [("a-b_c.d+1", true), ("", false), ("..", false), ("a/b", false), ("ä", false)]
        {
            assert_eq!(check_id(id).is_ok(), good, "{id:?}");
        }
    }
}
