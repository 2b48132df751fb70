//! The root file system for a foreign runtime: an overlay in the shim's own mount namespace, so
//! that it goes with the shim whatever happens.

use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags,
};
use rustix::thread::UnshareFlags;

/// Leaves the host's mount namespace and mounts the overlay at `target`.
pub(super) fn mount(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> io::Result<()> {
    gantry_sys::namespace::unshare(UnshareFlags::NEWNS)?;
    // Mounts of the host still arrive here, those from here never there.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave)?;
    let context = rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    // One key a layer (Linux 6.5): neither their number nor their length is bounded by a page.
    for layer in lower {
        rustix::mount::fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    rustix::mount::fsconfig_set_string(&context, "upperdir", upper)?;
    rustix::mount::fsconfig_set_string(&context, "workdir", work)?;
    rustix::mount::fsconfig_create(&context)?;
    let mount =
        rustix::mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(&mount, "", CWD, target, flags)?)
}
