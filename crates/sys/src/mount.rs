//! `mount_setattr(2)`, Linux 5.12.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::check;

/// `MOUNT_ATTR_RDONLY`.
pub const RDONLY: u64 = libc::MOUNT_ATTR_RDONLY;
/// `MOUNT_ATTR_NOSUID`.
pub const NOSUID: u64 = libc::MOUNT_ATTR_NOSUID;
/// `MOUNT_ATTR_NODEV`.
pub const NODEV: u64 = libc::MOUNT_ATTR_NODEV;
/// `MOUNT_ATTR_NOEXEC`.
pub const NOEXEC: u64 = libc::MOUNT_ATTR_NOEXEC;
/// `MOUNT_ATTR__ATIME`: all bits of the access time mode, to be cleared before one is set.
pub const ATIME_MASK: u64 = libc::MOUNT_ATTR__ATIME;
/// `MOUNT_ATTR_NOATIME`.
pub const NOATIME: u64 = libc::MOUNT_ATTR_NOATIME;
/// `MOUNT_ATTR_STRICTATIME`.
pub const STRICTATIME: u64 = libc::MOUNT_ATTR_STRICTATIME;
/// `MOUNT_ATTR_NODIRATIME`.
pub const NODIRATIME: u64 = libc::MOUNT_ATTR_NODIRATIME;
/// `MOUNT_ATTR_NOSYMFOLLOW`.
pub const NOSYMFOLLOW: u64 = libc::MOUNT_ATTR_NOSYMFOLLOW;

/// How mount events spread between copies of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Not at all.
    Private,
    /// Both ways.
    Shared,
    /// Only in.
    Slave,
    /// Not at all, and it cannot be bound.
    Unbindable,
}

/// A change of a mount's attributes.
#[derive(Debug, Clone, Copy, Default)]
pub struct Change<'fd> {
    /// Attributes to set.
    pub set: u64,
    /// Attributes to clear first.
    pub clear: u64,
    /// Propagation to give.
    pub propagation: Option<Propagation>,
    /// User namespace whose mappings the mount gets (`MOUNT_ATTR_IDMAP`).
    pub idmap: Option<BorrowedFd<'fd>>,
}

/// Changes a mount, or with `recursive` that mount and all below it.
///
/// # Errors
/// `EINVAL` when `mount` is no mount's root or the file system cannot be mapped, `EPERM` without
/// `CAP_SYS_ADMIN` over it or for a locked attribute, `ENOSYS` on an older kernel.
pub fn change(mount: BorrowedFd<'_>, change: Change<'_>, recursive: bool) -> io::Result<()> {
    let idmap = change.idmap.map_or(0, |_| libc::MOUNT_ATTR_IDMAP);
    let userns = change.idmap.map_or(0, |fd| fd.as_raw_fd());
    let propagation = match change.propagation {
        None => 0,
        Some(Propagation::Private) => libc::MS_PRIVATE,
        Some(Propagation::Shared) => libc::MS_SHARED,
        Some(Propagation::Slave) => libc::MS_SLAVE,
        Some(Propagation::Unbindable) => libc::MS_UNBINDABLE,
    };
    let attr = libc::mount_attr {
        attr_set: change.set | idmap,
        attr_clr: change.clear,
        propagation,
        // A descriptor is never negative, so nothing is lost.
        userns_fd: u64::from(userns.unsigned_abs()),
    };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: `mount` and the user namespace stay open for the call; the path is a NUL-terminated
    // literal; `attr` is initialised, outlives the call, and its exact size is passed.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of_val(&attr),
        )
    };
    check(rc).map(drop)
}
