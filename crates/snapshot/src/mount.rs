//! Overlay mounts of snapshots, attached nowhere.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use gantry_sys::overlay::{Overlay, mount_detached};
use rustix::mount::MountAttrFlags;

use crate::SnapshotError;

/// Mounts `lower`, top first, under `upper` and its work directory, or read-only without.
pub(crate) fn overlay(
    lower: &[PathBuf],
    upper: Option<(&Path, &Path)>,
) -> Result<OwnedFd, SnapshotError> {
    let flags =
        if upper.is_some() { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    let guard = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    mount_detached(Overlay { lower, upper, attributes: flags | guard }).map_err(SnapshotError::from)
}
