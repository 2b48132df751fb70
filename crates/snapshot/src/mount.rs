//! Overlay mounts of snapshots, attached nowhere.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use gantry_sys::overlay::{Overlay, mount_detached};
use rustix::mount::MountAttrFlags;

use crate::SnapshotError;

/// What the daemon's own looks at a container's files go through: nothing in there acts.
pub(crate) const GUARD: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID
    .union(MountAttrFlags::MOUNT_ATTR_NODEV)
    .union(MountAttrFlags::MOUNT_ATTR_NOEXEC);

/// Mounts `lower`, top first, under `upper` and its work directory, or read-only without.
pub(crate) fn overlay(
    lower: &[PathBuf],
    upper: Option<(&Path, &Path)>,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, SnapshotError> {
    let read_only =
        if upper.is_some() { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    mount(Overlay { lower, upper, attributes: attributes | read_only, volatile: false })
}

/// As [`overlay`], for directories that are of no use after a power cut.
pub(crate) fn volatile_overlay(
    lower: &[PathBuf],
    upper: &Path,
    work: &Path,
    attributes: MountAttrFlags,
) -> Result<OwnedFd, SnapshotError> {
    mount(Overlay { lower, upper: Some((upper, work)), attributes, volatile: true })
}

fn mount(overlay: Overlay<'_>) -> Result<OwnedFd, SnapshotError> {
    mount_detached(overlay).map_err(SnapshotError::from)
}
