//! The builder's directory below the exec root: secrets, sockets and mounts of steps.

use std::{fs, io, os::unix::fs::PermissionsExt, path::Path};

use rustix::{
    fs::CWD,
    mount::{
        FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, UnmountFlags, fsconfig_create,
        fsconfig_set_string, fsmount, fsopen, move_mount, unmount,
    },
};

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
    Ok(())
}

/// Makes a directory whose files are in memory: what is written there reaches no disk. Whoever
/// has it unmounts it.
pub(crate) fn in_memory(dir: &Path) -> io::Result<()> {
    let context = fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "mode", "0700")?;
    fsconfig_create(&context)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    let mount = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)?;
    fs::create_dir(dir)?;
    let moved = move_mount(&mount, "", CWD, dir, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH);
    if moved.is_err() {
        drop(fs::remove_dir(dir));
    }
    Ok(moved?)
}
