//! Fast moves of processes between v1 groups.
//!
//! By default a write to `cgroup.procs` takes a lock of the whole kernel that, after some idle time,
//! has to wait for a grace period of RCU: 5 to 20 ms. The mount option `favordynmods` makes the
//! lock cheap to take. It can only be given while a hierarchy is made, yet acts on the whole
//! kernel; so a named hierarchy is made for it, which is never mounted and never has a group.
//!
//! Since Linux 6.18 the option also makes the lock one of each process, which lasts until the next
//! boot: the hierarchy is dropped at once. Before, its effect ends with the hierarchy, so it is
//! held. It then shows as a line `name=gantry` in `/proc/<pid>/cgroup` while the daemon runs.

use std::io;
use std::os::fd::OwnedFd;

use gantry_sys::kernel::Version as KernelVersion;
use rustix::mount::{FsOpenFlags, fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsopen};

use crate::{Host, Version};

/// What [`favor_dynamic_moves`] did. On kernels before 6.18 it lasts while this value lives.
#[derive(Debug)]
pub struct DynamicMoves {
    /// Whether the kernel took the setting.
    pub taken: bool,
    held: Option<OwnedFd>,
}

impl DynamicMoves {
    /// Whether the setting lasts until the next boot, whatever becomes of this value.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.taken && self.held.is_none()
    }
}

/// The first kernel where the setting outlives its hierarchy.
const LASTING: KernelVersion = KernelVersion(6, 18);

/// Makes moves of processes between groups fast, at the price of slightly dearer forks.
///
/// On v2 nothing is done: there processes are born in their group by `CLONE_INTO_CGROUP`.
///
/// # Errors
/// `EINVAL` on kernels before 6.0, which do not have the option; `EPERM` without `CAP_SYS_ADMIN`.
pub fn favor_dynamic_moves(host: &Host) -> io::Result<DynamicMoves> {
    if host.version() == Version::V2 {
        return Ok(DynamicMoves { taken: false, held: None });
    }
    let context = fsopen("cgroup", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_flag(&context, "none")?;
    fsconfig_set_string(&context, "name", "gantry")?;
    fsconfig_set_flag(&context, "favordynmods")?;
    fsconfig_create(&context)?;
    let held = (KernelVersion::running() < LASTING).then_some(context);
    Ok(DynamicMoves { taken: true, held })
}
