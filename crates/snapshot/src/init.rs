//! The init directory of an image: mount points that the image lacks.
//!
//! A container needs `/proc`, `/etc/hosts` and so on to mount over. Made in its upper directory
//! they would show up in `docker diff` and `commit`, so they are made once per image in a directory
//! between the image's layers and the upper one. What the image has is left as it is.

use std::{
    fs,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::symlink,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use gantry_oci::{ChainId, Digest};
use rustix::fs::{AtFlags, FileType, OFlags, Stat, Timespec, Timestamps, futimens, statat};

use crate::{SnapshotError, Snapshots};

enum Want {
    Directory,
    File,
    Link(&'static str),
}

/// What a container expects, as Docker's init layer has it.
const WANTED: [(&str, Want); 10] = [
    (".dockerenv", Want::File),
    ("dev/console", Want::File),
    ("dev/pts", Want::Directory),
    ("dev/shm", Want::Directory),
    ("etc/hostname", Want::File),
    ("etc/hosts", Want::File),
    ("etc/mtab", Want::Link("/proc/mounts")),
    ("etc/resolv.conf", Want::File),
    ("proc", Want::Directory),
    ("sys", Want::Directory),
];

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The name of the init directory over `layers`.
pub(crate) fn name(layers: &[Digest]) -> String {
    ChainId::of(layers).map_or_else(|| "none".to_owned(), |chain| chain.0.hex().to_owned())
}

impl Snapshots {
    /// The init directory over `layers`, made if it is not there.
    pub(crate) fn init_dir(&self, layers: &[Digest]) -> Result<PathBuf, SnapshotError> {
        let target = self.path("init", &name(layers));
        if target.exists() {
            return Ok(target);
        }
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let fresh = self.path("ingest", &format!("init-{}-{number}", std::process::id()));
        fs::create_dir(&fresh).map_err(SnapshotError::io("creating", &fresh))?;
        let made = self.mount_layers(layers).and_then(|image| fill(&image, &fresh));
        if made.is_ok() && fs::rename(&fresh, &target).is_ok() {
            return Ok(target);
        }
        // Another create may have been faster.
        self.0.trash.throw(&fresh)?;
        made?;
        if target.exists() {
            return Ok(target);
        }
        Err(SnapshotError::io("publishing", &target)(std::io::ErrorKind::Other.into()))
    }
}

fn fill(image: &OwnedFd, fresh: &Path) -> Result<(), SnapshotError> {
    let mut copied = Vec::new();
    copy_attributes(image.as_fd(), "", fresh, &mut copied)?;
    for (path, want) in &WANTED {
        if look(image.as_fd(), path).is_some() {
            continue;
        }
        let (parent, _) = path.split_once('/').unwrap_or(("", path));
        if !parent.is_empty() && !fresh.join(parent).exists() {
            match look(image.as_fd(), parent) {
                // A link or a file: what is behind it is the image's own affair.
                Some(stat) if FileType::from_raw_mode(stat.st_mode) != FileType::Directory => {
                    continue;
                }
                _ => {}
            }
            let dir = fresh.join(parent);
            fs::create_dir(&dir).map_err(SnapshotError::io("creating", &dir))?;
            copy_attributes(image.as_fd(), parent, &dir, &mut copied)?;
        }
        let target = fresh.join(path);
        let made = match want {
            Want::Directory => fs::create_dir(&target),
            Want::File => fs::File::create_new(&target).map(drop),
            Want::Link(to) => symlink(to, &target),
        };
        made.map_err(SnapshotError::io("creating", &target))?;
    }
    // Last, since every file made changed the time of its directory.
    for (path, times) in copied {
        let dir = gantry_archive::open_root(&path).map_err(SnapshotError::io("opening", &path))?;
        futimens(&dir, &times)
            .map_err(std::io::Error::from)
            .map_err(SnapshotError::io("preparing", &path))?;
    }
    Ok(())
}

/// Overlayfs shows the topmost directory's attributes, so these must be the image's.
fn copy_attributes(
    image: BorrowedFd<'_>,
    path: &str,
    target: &Path,
    copied: &mut Vec<(PathBuf, Timestamps)>,
) -> Result<(), SnapshotError> {
    let Ok(dir) =
        gantry_archive::open_in_root(image, path.as_bytes(), OFlags::RDONLY | OFlags::DIRECTORY)
    else {
        return Ok(());
    };
    let failed = SnapshotError::io("preparing", target);
    let meta = fs::File::from(dir).metadata().map_err(&failed)?;
    crate::copy_attributes(&meta, target).map_err(&failed)?;
    let time = |at: (i64, i64)| Timespec { tv_sec: at.0, tv_nsec: at.1 };
    use std::os::unix::fs::MetadataExt;
    copied.push((
        target.to_owned(),
        Timestamps {
            last_access: time((meta.atime(), meta.atime_nsec())),
            last_modification: time((meta.mtime(), meta.mtime_nsec())),
        },
    ));
    Ok(())
}

/// What an image has under `path`, links in the last component not followed.
fn look(image: BorrowedFd<'_>, path: &str) -> Option<Stat> {
    let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
    let parent =
        gantry_archive::open_in_root(image, parent.as_bytes(), OFlags::PATH | OFlags::DIRECTORY)
            .ok()?;
    statat(&parent, name, AtFlags::SYMLINK_NOFOLLOW).ok()
}
