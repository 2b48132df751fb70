//! Mount points that a step's file system lacks.
//!
//! Made in its upper directory they would be in the layer that it becomes. So they are made in a
//! directory of their own, between what the step lies on and what it changes: an overlay of that
//! directory over the lower ones gives what is made there the right parents, and follows links as
//! the step will see them.

use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::Path;

use gantry_snapshot::{Rootfs, Snapshots};
use rustix::fs::{Mode, OFlags, ResolveFlags, Timespec, Timestamps};
use rustix::io::Errno;

use super::{StepError, StepMount};
use crate::StartError;
use crate::identity;

/// Deepest mount point that is made.
const DEPTH_LIMIT: usize = 128;

/// Makes the mount points that are missing below `root`, the lower directories of `rootfs`, in a
/// directory in `dir`, and puts that upon them.
pub(super) fn add(
    snapshots: &Snapshots,
    dir: &Path,
    root: BorrowedFd<'_>,
    rootfs: &mut Rootfs,
    mounts: &[StepMount],
) -> Result<(), StepError> {
    let missing: Vec<&StepMount> =
        mounts.iter().filter(|mount| is_missing(root, &mount.target)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let own = Rootfs {
        lower: rootfs.lower.clone(),
        upper: dir.join("points"),
        work: dir.join("points-work"),
    };
    for path in [&own.upper, &own.work] {
        let failed = |source| StartError::File { step: "creating", path: path.clone(), source };
        std::fs::create_dir(path).map_err(failed)?;
    }
    let merged = snapshots.mount_detached(&own).map_err(StartError::from)?;
    for mount in missing {
        // What cannot be made here, such as one behind a link that leads nowhere or below another
        // mount, the runtime makes where the step sees it, or says in its words why not.
        if let Err(error) = make(merged.as_fd(), &mount.target, mount.is_directory()) {
            tracing::debug!(target = mount.target, %error, "leaving a mount point to the runtime");
        }
    }
    rootfs.lower.insert(0, own.upper);
    Ok(())
}

fn is_missing(root: BorrowedFd<'_>, target: &str) -> bool {
    let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    let found = rustix::fs::openat2(root, relative(target), flags, Mode::empty(), resolve);
    matches!(found, Err(Errno::NOENT))
}

fn relative(target: &str) -> &str {
    match target.trim_start_matches('/') {
        "" => ".",
        path => path,
    }
}

/// Makes one mount point and the directories above it; those that are there keep their times.
fn make(root: BorrowedFd<'_>, target: &str, directory: bool) -> io::Result<()> {
    let parts: Vec<&str> =
        target.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    if parts.len() > DEPTH_LIMIT {
        return Err(io::ErrorKind::InvalidFilename.into());
    }
    let mut at = identity::dir_in_root(root, "/")?.ok_or(io::ErrorKind::NotFound)?;
    let mut path = String::new();
    for (index, part) in parts.iter().enumerate() {
        path.push('/');
        path.push_str(part);
        if let Some(found) = identity::dir_in_root(root, &path)? {
            at = found;
            continue;
        }
        let before = times(at.as_fd())?;
        if directory || index + 1 < parts.len() {
            rustix::fs::mkdirat(&at, *part, Mode::from_raw_mode(0o755))?;
        } else {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o644);
            rustix::fs::openat(&at, *part, flags | OFlags::WRONLY, mode)?;
        }
        rustix::fs::futimens(&at, &before)?;
        if index + 1 < parts.len() {
            at = identity::dir_in_root(root, &path)?.ok_or(io::ErrorKind::NotFound)?;
        }
    }
    Ok(())
}

fn times(dir: BorrowedFd<'_>) -> io::Result<Timestamps> {
    let stat = rustix::fs::fstat(dir)?;
    let time = |seconds: i64, nanoseconds: u64| Timespec {
        tv_sec: seconds,
        tv_nsec: i64::try_from(nanoseconds).unwrap_or_default(),
    };
    Ok(Timestamps {
        last_access: time(stat.st_atime, stat.st_atime_nsec),
        last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
    })
}
