//! One control group.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use gantry_oci::runtime::{DeviceRule, Resources};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::{CgroupError, Host, Stats, Version, devices, files, freezer, stats, v1, v2};

/// One group: a directory in every hierarchy.
#[derive(Debug, Clone)]
pub struct Cgroup {
    host: Host,
    path: String,
    /// One a hierarchy, in the host's order.
    directories: Vec<PathBuf>,
    ignored: Vec<&'static str>,
}

/// How long [`Cgroup::remove`] waits for processes that are ending.
const REMOVE_LIMIT: Duration = Duration::from_secs(5);

impl Cgroup {
    pub(crate) fn new(host: Host, relative: &Path, directories: Vec<PathBuf>) -> Cgroup {
        let path = format!("/{}", relative.display());
        Cgroup { host, path, directories, ignored: Vec::new() }
    }

    pub(crate) fn set_ignored(&mut self, ignored: Vec<&'static str>) {
        self.ignored = ignored;
    }

    /// The group's directory in each hierarchy, in the host's order.
    pub(crate) fn roots(&self) -> &[PathBuf] {
        &self.directories
    }

    /// Path below each hierarchy's mount point, such as `/gantry/<id>`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Settings asked for at creation that this host lacks and that Docker only warns of.
    #[must_use]
    pub fn ignored(&self) -> &[&'static str] {
        &self.ignored
    }

    /// Whether the group exists.
    #[must_use]
    pub fn exists(&self) -> bool {
        self.directories.first().is_some_and(|path| path.is_dir())
    }

    /// Moves a process into the group: all hierarchies back to back, since the first write after
    /// some idle time costs far more than the next ones.
    ///
    /// # Errors
    /// [`CgroupError::Attach`]; `ESRCH` when the process has gone.
    pub fn attach(&self, pid: u32) -> Result<(), CgroupError> {
        let text = pid.to_string();
        for path in &self.directories {
            let file = path.join("cgroup.procs");
            // EINVAL is what a process in the middle of its fork gives: moments later it works.
            let mut tries = 5;
            while let Err(source) = files::write_raw(&file, &text) {
                tries -= 1;
                if tries == 0 || !files::is(&source, Errno::INVAL) {
                    return Err(CgroupError::Attach { pid, path: path.clone(), source });
                }
                sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    /// The group's directory for `CLONE_INTO_CGROUP`; v2 only.
    #[must_use]
    pub fn directory_fd(&self) -> Option<OwnedFd> {
        if self.host.version() != Version::V2 {
            return None;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        rustix::fs::open(self.directories.first()?, flags, Mode::empty()).ok()
    }

    /// Changes limits while processes run; returns the settings that were ignored, as
    /// [`Self::ignored`] does for creation.
    ///
    /// # Errors
    /// The first file that refused, by name; files before it keep their new value.
    pub fn apply(&self, resources: &Resources) -> Result<Vec<&'static str>, CgroupError> {
        self.refuse_root()?;
        let ignored = match self.host.version() {
            Version::V2 => v2::apply(self, resources)?,
            Version::V1 | Version::Hybrid => v1::apply(self, resources)?,
        };
        self.set_devices(&resources.devices)?;
        Ok(ignored)
    }

    /// What a new group needs before its first process, then its limits.
    pub(crate) fn prepare(&self, resources: &Resources) -> Result<Vec<&'static str>, CgroupError> {
        if let (Some(mount), Some(path)) =
            (self.host.mount_of("cpuset"), self.controller_path("cpuset"))
            && self.host.version() != Version::V2
        {
            v1::inherit_cpuset(mount, &path)?;
        }
        self.apply(resources)
    }

    /// Replaces the device rules; no rules at all change nothing. The last match decides, and what
    /// no rule matches is denied.
    ///
    /// # Errors
    /// [`CgroupError::Invalid`] for a rule that makes no sense, [`CgroupError::Write`] or
    /// [`CgroupError::Devices`] when the kernel refuses.
    pub fn set_devices(&self, rules: &[DeviceRule]) -> Result<(), CgroupError> {
        if rules.is_empty() {
            return Ok(());
        }
        self.refuse_root()?;
        let access = devices::Access::from_rules(rules)?;
        match (self.host.version(), self.controller_path("devices")) {
            (Version::V2, _) => devices::attach(&self.directories[0], &access),
            (_, Some(path)) => devices::write_v1(&path, &access),
            (_, None) => Err(CgroupError::Unsupported {
                setting: "devices".to_owned(),
                needs: "devices controller".to_owned(),
            }),
        }
    }

    /// Freezes all processes and waits until they are.
    ///
    /// # Errors
    /// [`CgroupError::Timeout`] after `limit`; the group is thawed again.
    pub fn freeze(&self, limit: Duration) -> Result<(), CgroupError> {
        self.refuse_root()?;
        freezer::freeze(self, limit)
    }

    /// Lets all processes go on.
    ///
    /// # Errors
    /// [`CgroupError::Timeout`] after `limit`.
    pub fn thaw(&self, limit: Duration) -> Result<(), CgroupError> {
        self.refuse_root()?;
        freezer::thaw(self, limit)
    }

    /// Whether the group is frozen, by itself or by a group above it.
    ///
    /// # Errors
    /// [`CgroupError::Read`].
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        freezer::is_frozen(self)
    }

    /// All processes of the group and of the groups below.
    ///
    /// # Errors
    /// [`CgroupError::Read`]; a group that is gone has none.
    pub fn pids(&self) -> Result<Vec<u32>, CgroupError> {
        let mut found = Vec::new();
        // The freezer's tree is the one that is signalled by; any other has the same processes.
        let first = self.controller_path("freezer").or_else(|| self.directories.first().cloned());
        if let Some(path) = first {
            collect_pids(&path, &mut found)?;
        }
        found.sort_unstable();
        found.dedup();
        Ok(found)
    }

    /// Sends a signal to all processes of the group and of the groups below. With `SIGKILL` none
    /// escapes by forking; the processes may still be ending when this returns.
    ///
    /// # Errors
    /// An I/O error; a process that has gone is none.
    pub fn kill_all(&self, signal: i32) -> Result<(), CgroupError> {
        self.refuse_root()?;
        freezer::kill_all(self, signal)
    }

    /// Usage figures. What a host does not count is absent or zero.
    ///
    /// # Errors
    /// [`CgroupError::Read`] when the group is gone.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        match self.host.version() {
            Version::V2 => stats::v2::read_group(&self.directories[0]),
            Version::V1 | Version::Hybrid => stats::v1::read_group(self),
        }
    }

    /// How many processes the out-of-memory killer has ended here; 0 when not known.
    #[must_use]
    pub fn oom_kill_count(&self) -> u64 {
        let Some(memory) = self.controller_path("memory") else { return 0 };
        let file = if self.is_v2() { "memory.events" } else { "memory.oom_control" };
        let text = files::read_optional(&memory.join(file)).ok().flatten().unwrap_or_default();
        stats::pairs(&text).find(|(name, _)| *name == "oom_kill").map_or(0, |(_, count)| count)
    }

    /// The memory limit in bytes; `None` is no limit.
    #[must_use]
    pub fn memory_limit(&self) -> Option<u64> {
        let memory = self.controller_path("memory")?;
        let file = if self.is_v2() { "memory.max" } else { "memory.limit_in_bytes" };
        files::number(&memory.join(file)).ok().flatten().filter(|bytes| *bytes < stats::UNLIMITED)
    }

    /// Removes the group and all groups below it; a missing group is no error. Processes that are
    /// ending are waited for, up to five seconds.
    ///
    /// # Errors
    /// [`CgroupError::Remove`] when a directory stays busy; the others are removed all the same.
    pub fn remove(&self) -> Result<(), CgroupError> {
        self.refuse_root()?;
        let until = Instant::now() + REMOVE_LIMIT;
        let mut first = Ok(());
        for path in &self.directories {
            first = first.and(remove_tree(path, until));
        }
        first
    }

    /// The directory in the hierarchy of one controller; on v2 the one directory.
    #[must_use]
    pub fn controller_path(&self, controller: &str) -> Option<PathBuf> {
        if self.is_v2() {
            return self.directories.first().cloned();
        }
        let hierarchies = self.host.hierarchies().iter().zip(&self.directories);
        let mut found =
            hierarchies.filter(|(one, _)| one.controllers.iter().any(|name| name == controller));
        found.next().map(|(_, path)| path.clone())
    }

    /// Each hierarchy's mount point and the group's directory in it, for a container's own view.
    #[must_use]
    pub fn directories(&self) -> Vec<(PathBuf, PathBuf)> {
        let mounts = self.host.hierarchies().iter().map(|one| one.mount.clone());
        mounts.zip(self.directories.iter().cloned()).collect()
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.host.version() == Version::V2
    }

    /// The root group holds the whole machine: it is never limited, frozen, killed or removed.
    fn refuse_root(&self) -> Result<(), CgroupError> {
        if self.path == "/" { Err(CgroupError::InvalidPath(self.path.clone())) } else { Ok(()) }
    }
}

fn collect_pids(path: &Path, into: &mut Vec<u32>) -> Result<(), CgroupError> {
    let Some(text) = files::read_optional(&path.join("cgroup.procs"))? else { return Ok(()) };
    // 0 stands for a process that this one's pid namespace cannot see.
    into.extend(text.lines().filter_map(|line| line.parse::<u32>().ok()).filter(|pid| *pid != 0));
    let below = files::children(path)
        .map_err(|source| CgroupError::Read { path: path.to_owned(), source })?;
    below.iter().try_for_each(|path| collect_pids(path, into))
}

/// Removes a group and those below it. `rmdir(2)` is tried first: most groups have none below.
fn remove_tree(path: &Path, until: Instant) -> Result<(), CgroupError> {
    let mut pause = Duration::from_micros(200);
    loop {
        let source = match fs::remove_dir(path) {
            Ok(()) => return Ok(()),
            Err(error) if files::is_missing(&error) => return Ok(()),
            Err(error) => error,
        };
        for below in files::children(path).unwrap_or_default() {
            remove_tree(&below, until)?;
        }
        let worth_it = files::is(&source, Errno::BUSY) || files::is(&source, Errno::NOTEMPTY);
        if !worth_it || Instant::now() >= until {
            return Err(CgroupError::Remove { path: path.to_owned(), source });
        }
        sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}
