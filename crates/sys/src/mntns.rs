//! Mount namespaces.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, UnmountFlags,
};
use rustix::thread::UnshareFlags;

use crate::namespace::unshare;

/// Makes a mount namespace that holds nothing: its root is a directory that is empty and stays so.
///
/// A copy of it (`unshare(2)` from inside) is what a container's namespace can start from. Compared
/// with a copy of the host's, nothing of the host's is in it for a moment, and nothing has to be
/// taken away by `pivot_root(2)`, which looks at every process of the machine.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`; `ENOSPC` over the limit of `max_mnt_namespaces`.
pub fn empty() -> io::Result<OwnedFd> {
    // The thread that makes it is in it, and ends with that.
    let maker = std::thread::Builder::new().name("mntns".to_owned()).spawn(make)?;
    maker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn make() -> io::Result<OwnedFd> {
    unshare(UnshareFlags::NEWNS)?;
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let namespace = rustix::fs::open("/proc/thread-self/ns/mnt", flags, Mode::empty())?;
    rustix::mount::mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "mode", "555")?;
    rustix::mount::fsconfig_set_string(&fs, "nr_inodes", "1")?;
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let tree = rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    rustix::mount::move_mount(&tree, "", CWD, "/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    rustix::process::fchdir(&tree)?;
    // The old root ends up on top of the new one, from where it is taken away.
    rustix::process::pivot_root(".", ".")?;
    rustix::mount::unmount(".", UnmountFlags::DETACH)?;
    Ok(namespace)
}
