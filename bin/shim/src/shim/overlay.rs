//! The root file system for a foreign runtime: an overlay in the shim's own mount namespace, so
//! that it goes with the shim whatever happens.

use std::io;
use std::path::{Path, PathBuf};

use gantry_sys::overlay::{Overlay, mount_detached};
use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, MoveMountFlags};
use rustix::thread::UnshareFlags;

/// Leaves the host's mount namespace and mounts the overlay at `target`.
pub(super) fn mount(lower: &[PathBuf], upper: &Path, work: &Path, target: &Path) -> io::Result<()> {
    gantry_sys::namespace::unshare(UnshareFlags::NEWNS)?;
    // Mounts of the host still arrive here, those from here never there.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave)?;
    let overlay =
        Overlay { lower, upper: Some((upper, work)), attributes: MountAttrFlags::empty() };
    let tree = mount_detached(overlay).map_err(|refused| {
        io::Error::new(refused.source.kind(), super::failure::chain(&refused))
    })?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(&tree, "", CWD, target, flags)?)
}
