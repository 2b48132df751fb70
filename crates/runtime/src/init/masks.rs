//! Paths that the container must not see, or not change.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_sys::mount::{Change, RDONLY};
use rustix::fs::OFlags;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::mounts::{attach, clone_fd, open_host};
use crate::channel::{During, Failure};
use crate::resolve;

/// Hides paths: a directory behind an empty read-only tmpfs, a file behind `/dev/null`. What does
/// not exist needs no hiding.
pub(super) fn mask(root: BorrowedFd<'_>, paths: &[String]) -> Result<(), Failure> {
    let mut empty: Option<OwnedFd> = None;
    let mut null: Option<OwnedFd> = None;
    for path in paths {
        let text = || format!("can't mask path {path:?}");
        let Some(target) = find(root, path).during(text)? else {
            continue;
        };
        let tree = if resolve::is_directory(&target).during(text)? {
            match &empty {
                // One empty file system serves all: making one is dearer than a copy of its mount.
                Some(first) => clone_fd(first.as_fd(), false).during(text)?,
                None => empty_directory().during(text)?,
            }
        } else {
            if null.is_none() {
                null = Some(null_device(root)?);
            }
            let device = null.as_ref().map(AsFd::as_fd).unwrap_or(root);
            clone_fd(device, false).during(text)?
        };
        attach(tree.as_fd(), target.as_fd())
            .map_err(|failure| Failure { text: text(), ..failure })?;
        if empty.is_none() && resolve::is_directory(&tree).during(text)? {
            empty = Some(tree);
        }
    }
    Ok(())
}

/// Makes paths read-only, with all that is mounted below them.
pub(super) fn read_only(root: BorrowedFd<'_>, paths: &[String]) -> Result<(), Failure> {
    let change = Change { set: RDONLY, ..Change::default() };
    for path in paths {
        let text = || format!("can't make {path:?} read-only");
        let Some(target) = find(root, path).during(text)? else {
            continue;
        };
        let tree = clone_fd(target.as_fd(), true).during(text)?;
        gantry_sys::mount::change(tree.as_fd(), change, true).during(text)?;
        attach(tree.as_fd(), target.as_fd())
            .map_err(|failure| Failure { text: text(), ..failure })?;
    }
    Ok(())
}

fn find(root: BorrowedFd<'_>, path: &str) -> Result<Option<OwnedFd>, Errno> {
    match resolve::open(root, Path::new(path), OFlags::PATH) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn empty_directory() -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "mode", "755")?;
    rustix::mount::fsconfig_set_string(&fs, "nr_inodes", "1")?;
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

/// The container's null device, or the host's: checked to be one through the descriptor that is
/// used, so that a link or another file under its name makes no hole in the mask.
fn null_device(root: BorrowedFd<'_>) -> Result<OwnedFd, Failure> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW;
    if let Ok(fd) = resolve::open_plain(root, Path::new("dev/null"), flags) {
        if resolve::is_char_device(&fd, 1, 3) {
            return Ok(fd);
        }
    }
    let host = open_host(Path::new("/dev/null")).during(|| "opening /dev/null")?;
    if resolve::is_char_device(&host, 1, 3) {
        Ok(host)
    } else {
        Err(Failure::new("/dev/null is not the null device"))
    }
}
