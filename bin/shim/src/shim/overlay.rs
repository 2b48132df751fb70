//! The root file system for a foreign runtime: an overlay in the shim's own mount namespace, so
//! that it goes with the shim whatever happens.

use std::io;
use std::path::Path;

use gantry_shim_proto::Run;
use gantry_sys::overlay::{Overlay, mount_detached};
use rustix::fs::CWD;
use rustix::mount::{MountAttrFlags, MountPropagationFlags, MoveMountFlags};
use rustix::thread::UnshareFlags;

/// Leaves the host's mount namespace and mounts the overlay of a task at `target`.
pub(super) fn mount(run: &Run, target: &Path) -> io::Result<()> {
    gantry_sys::namespace::unshare(UnshareFlags::NEWNS)?;
    // Mounts of the host still arrive here, those from here never there.
    let slave = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
    rustix::mount::mount_change("/", slave)?;
    let overlay = Overlay {
        lower: &run.lower,
        upper: Some((&run.upper, &run.work)),
        attributes: MountAttrFlags::empty(),
        volatile: run.volatile,
    };
    let tree = mount_detached(overlay).map_err(|refused| {
        io::Error::new(refused.source.kind(), super::failure::chain(&refused))
    })?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    Ok(rustix::mount::move_mount(&tree, "", CWD, target, flags)?)
}
