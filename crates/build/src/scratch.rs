//! The builder's directory below the exec root: secrets' values, sockets, mounts of steps.

use std::{
    fs, io,
    os::{fd::AsFd, unix::fs::PermissionsExt},
    path::Path,
};

use rustix::{
    fs::{CWD, fstatfs},
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
    },
};

/// The kernel's number of tmpfs (`TMPFS_MAGIC`, `linux/magic.h`).
const TMPFS: i64 = 0x0102_1994;

/// Makes the directory, and lets go of what steps of a killed daemon left in it.
pub(crate) fn open(dir: &Path) -> io::Result<()> {
    fs::create_dir_all(dir)?;
    fs::set_permissions(dir, fs::Permissions::from_mode(0o700))?;
    let steps = dir.join("steps");
    fs::create_dir_all(&steps)?;
    for step in fs::read_dir(&steps)? {
        let step = step?.path();
        for entry in fs::read_dir(&step).into_iter().flatten().flatten() {
            // A mount of layers, or what one was on.
            let _ = unmount(entry.path(), UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
        }
        fs::remove_dir_all(&step)?;
    }
    let secrets = dir.join("secrets");
    fs::create_dir_all(&secrets)?;
    in_memory(&secrets)?;
    for entry in fs::read_dir(&secrets)? {
        fs::remove_file(entry?.path())?;
    }
    Ok(())
}

/// Makes sure that what is written there reaches no disk.
fn in_memory(dir: &Path) -> io::Result<()> {
    let opened = gantry_archive::open_root(dir)?;
    #[expect(clippy::useless_conversion, reason = "its type differs between architectures")]
    let kind = i64::from(fstatfs(opened.as_fd())?.f_type);
    if kind == TMPFS {
        return Ok(());
    }
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "mode", "0700")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    move_mount(&mount, "", CWD, dir, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)?;
    Ok(())
}
