//! One control group.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use gantry_oci::runtime::{DeviceRule, Resources};

use crate::{CgroupError, Host, Stats};

/// One group: a directory in every hierarchy.
#[derive(Debug, Clone)]
pub struct Cgroup {
    host: Host,
    path: String,
    ignored: Vec<&'static str>,
}

impl Cgroup {
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
    /// Whether the group's directories exist.
    #[must_use]
    pub fn exists(&self) -> bool {
        todo!()
    }
    /// Moves a process into the group: all hierarchies back to back.
    ///
    /// # Errors
    /// [`CgroupError::Attach`].
    pub fn attach(&self, pid: u32) -> Result<(), CgroupError> {
        todo!()
    }
    /// The group's directory for `CLONE_INTO_CGROUP`; v2 only.
    #[must_use]
    pub fn directory_fd(&self) -> Option<OwnedFd> {
        todo!()
    }
    /// Changes limits while processes run; returns the settings that were ignored (see [`Self::ignored`]).
    ///
    /// # Errors
    /// The first file that refused, by name.
    pub fn apply(&self, resources: &Resources) -> Result<Vec<&'static str>, CgroupError> {
        todo!()
    }
    /// Replaces the device rules.
    ///
    /// # Errors
    /// [`CgroupError::Write`] or [`CgroupError::Devices`].
    pub fn set_devices(&self, rules: &[DeviceRule]) -> Result<(), CgroupError> {
        todo!()
    }
    /// Freezes all processes and waits until they are.
    ///
    /// # Errors
    /// [`CgroupError::Timeout`] after `limit`; the group is thawed again.
    pub fn freeze(&self, limit: Duration) -> Result<(), CgroupError> {
        todo!()
    }
    /// Lets all processes go on.
    ///
    /// # Errors
    /// [`CgroupError::Timeout`] after `limit`.
    pub fn thaw(&self, limit: Duration) -> Result<(), CgroupError> {
        todo!()
    }
    /// Whether the group is frozen.
    ///
    /// # Errors
    /// [`CgroupError::Read`].
    pub fn is_frozen(&self) -> Result<bool, CgroupError> {
        todo!()
    }
    /// All processes of the group and of the groups below.
    ///
    /// # Errors
    /// [`CgroupError::Read`].
    pub fn pids(&self) -> Result<Vec<u32>, CgroupError> {
        todo!()
    }
    /// Sends a signal to all processes of the group and of the groups below.
    ///
    /// # Errors
    /// An I/O error; a process that has gone is none.
    pub fn kill_all(&self, signal: i32) -> Result<(), CgroupError> {
        todo!()
    }
    /// Usage figures. What a host does not count is absent or zero.
    ///
    /// # Errors
    /// [`CgroupError::Read`] when the group is gone.
    pub fn stats(&self) -> Result<Stats, CgroupError> {
        todo!()
    }
    /// How many processes the out-of-memory killer has ended here; 0 when not known.
    #[must_use]
    pub fn oom_kill_count(&self) -> u64 {
        todo!()
    }
    /// The memory limit in bytes; `None` is no limit.
    #[must_use]
    pub fn memory_limit(&self) -> Option<u64> {
        todo!()
    }
    /// Removes the group and all groups below it; a missing group is no error.
    ///
    /// # Errors
    /// [`CgroupError::Remove`] when it stays busy.
    pub fn remove(&self) -> Result<(), CgroupError> {
        todo!()
    }
    /// The directory in the hierarchy of one controller; on v2 the one directory.
    #[must_use]
    pub fn controller_path(&self, controller: &str) -> Option<PathBuf> {
        todo!()
    }
    /// Each hierarchy's mount point and the group's directory in it, for a container's own view.
    #[must_use]
    pub fn directories(&self) -> Vec<(PathBuf, PathBuf)> {
        todo!()
    }
}
