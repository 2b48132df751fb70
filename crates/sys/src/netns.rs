//! Network namespaces.

use std::io;
use std::os::fd::OwnedFd;

use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};
use rustix::thread::UnshareFlags;

/// Moves the calling thread into a network namespace of its own: `unshare(2)`, `CLONE_NEWNET`.
///
/// Only this thread and threads that it spawns from now on are moved. Sockets opened before stay
/// in the namespace they were opened in.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`; `ENOSPC` over the limit of `max_net_namespaces`.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: the call is unsafe for `CLONE_FILES`, which would make descriptors mean different
    // files in different threads. `CLONE_NEWNET` alone leaves descriptors and memory as they are.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}

/// A sysfs of the calling thread's network namespace, attached nowhere.
///
/// For each that is mounted the kernel looks through those of all namespaces, the newest first:
/// while this one is held, the next one for the same namespace is found at once.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN` over the namespace.
pub fn sysfs() -> io::Result<OwnedFd> {
    let fs = rustix::mount::fsopen("sysfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    Ok(rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?)
}
