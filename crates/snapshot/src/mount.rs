//! Overlay mounts that are attached nowhere.
//!
//! Each lower directory is its own `lowerdir+` parameter (Linux 6.5), so that the number of layers
//! is not bounded by a page of mount options.

use std::{
    os::{
        fd::{AsRawFd, OwnedFd},
        unix::ffi::OsStrExt,
    },
    path::{Path, PathBuf},
};

use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsconfig_set_string, fsmount,
    fsopen,
};

use crate::SnapshotError;

/// Longest string that `fsconfig(2)` takes.
const VALUE_MAX: usize = 255;

/// Mounts `lower`, top first, under `upper` and its work directory, or read-only without.
pub(crate) fn overlay(
    lower: &[PathBuf],
    upper: Option<(&Path, &Path)>,
) -> Result<OwnedFd, SnapshotError> {
    let context =
        fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC).map_err(SnapshotError::mount("opening"))?;
    // Descriptors behind paths that are too long; they must live until the mount is made.
    let mut kept = Vec::new();
    let mut set = |key: &'static str, path: &Path| {
        let mut value = path.to_owned();
        if path.as_os_str().as_bytes().len() > VALUE_MAX {
            let open =
                gantry_archive::open_root(path).map_err(SnapshotError::io("opening", path))?;
            value = format!("/proc/self/fd/{}", open.as_raw_fd()).into();
            kept.push(open);
        }
        fsconfig_set_string(&context, key, value.as_os_str().as_bytes())
            .map_err(SnapshotError::mount(key))
    };
    for path in lower {
        set("lowerdir+", path)?;
    }
    if let Some((upper, work)) = upper {
        set("upperdir", upper)?;
        set("workdir", work)?;
    }
    // The upper directory must read as a layer: no renames by reference, no data left below.
    for (key, value) in [("redirect_dir", "off"), ("metacopy", "off"), ("index", "off")] {
        fsconfig_set_string(&context, key, value).map_err(SnapshotError::mount(key))?;
    }
    fsconfig_create(&context).map_err(SnapshotError::mount("creating"))?;
    let flags =
        if upper.is_some() { MountAttrFlags::empty() } else { MountAttrFlags::MOUNT_ATTR_RDONLY };
    let guard = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, flags | guard)
        .map_err(SnapshotError::mount("mounting"))
}
