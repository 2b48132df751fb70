//! Reading inside a container's root file system, by descriptors, never by host paths.
//!
//! `/etc/passwd` and `/etc/group` of an image are read once and kept; a container that changed
//! its `/etc` is read for itself.

use std::collections::HashMap;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_oci::Digest;
use gantry_snapshot::{Rootfs, SnapshotError, Snapshots};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;

use crate::record::ContainerRecord;
use crate::spec::user::{FILE_LIMIT_BYTES, UserFiles};

/// Images whose files are kept.
const KEPT: usize = 64;
/// Deepest working directory that is made.
const DEPTH_LIMIT: usize = 128;

/// User files by image.
#[derive(Debug, Default)]
pub(crate) struct UserCache(Mutex<HashMap<Digest, Arc<UserFiles>>>);

impl UserCache {
    /// The files that a container which does not run has.
    ///
    /// # Errors
    /// When the root file system cannot be mounted. Files that are missing are empty.
    pub(crate) async fn of(
        &self,
        snapshots: &Snapshots,
        record: &ContainerRecord,
        rootfs: &Rootfs,
    ) -> Result<Arc<UserFiles>, SnapshotError> {
        let own = rootfs.upper.join("etc").symlink_metadata().is_ok();
        if !own && let Some(files) = self.lock().get(&record.image) {
            return Ok(Arc::clone(files));
        }
        let snapshots = snapshots.clone();
        let (layers, rootfs) = (record.layers.clone(), rootfs.clone());
        let read = move || -> Result<UserFiles, SnapshotError> {
            let root = match own {
                true => snapshots.mount_detached(&rootfs)?,
                false => snapshots.mount_layers(&layers)?,
            };
            Ok(user_files(root.as_fd()))
        };
        let files = match tokio::task::spawn_blocking(read).await {
            Ok(files) => Arc::new(files?),
            // The runtime is shutting down.
            Err(_) => Arc::default(),
        };
        if !own {
            let mut known = self.lock();
            if known.len() >= KEPT {
                known.clear();
            }
            known.insert(record.image.clone(), Arc::clone(&files));
        }
        Ok(files)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<Digest, Arc<UserFiles>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The user files below a root; what is missing, no regular file or unreadable is empty.
pub(crate) fn user_files(root: BorrowedFd<'_>) -> UserFiles {
    UserFiles { passwd: text_of(root, "etc/passwd"), group: text_of(root, "etc/group") }
}

fn text_of(root: BorrowedFd<'_>, path: &str) -> String {
    read_in_root(root, path).unwrap_or_default()
}

fn read_in_root(root: BorrowedFd<'_>, path: &str) -> io::Result<String> {
    // Not blocking, lest a FIFO of the image holds us.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = std::fs::File::from(openat2(root, path, flags, Mode::empty(), in_root())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    file.take(FILE_LIMIT_BYTES).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// The root of a running process, as it sees it.
///
/// # Errors
/// When the process is gone.
pub(crate) fn root_of(pid: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(format!("/proc/{pid}/root"), flags, Mode::empty())?)
}

/// Opens a directory below a root, `None` if it is not there.
///
/// # Errors
/// Anything else, such as a file in its place.
pub(crate) fn dir_in_root(root: BorrowedFd<'_>, path: &str) -> io::Result<Option<OwnedFd>> {
    let path = path.trim_start_matches('/');
    let path = if path.is_empty() { "." } else { path };
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    match openat2(root, path, flags, Mode::empty(), in_root()) {
        Ok(dir) => Ok(Some(dir)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Makes a directory and its parents below a root; links are followed within it.
///
/// # Errors
/// A file in the way, or too many components.
pub(crate) fn make_dirs(root: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    let mut at = rustix::io::fcntl_dupfd_cloexec(root, 0)?;
    let mut done = String::new();
    let parts = path.split('/').filter(|part| !part.is_empty() && *part != ".");
    for (depth, part) in parts.enumerate() {
        if depth >= DEPTH_LIMIT {
            return Err(io::ErrorKind::InvalidFilename.into());
        }
        match rustix::fs::mkdirat(&at, part, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        done.push('/');
        done.push_str(part);
        at = dir_in_root(root, &done)?.ok_or(io::ErrorKind::NotFound)?;
    }
    Ok(())
}

fn in_root() -> ResolveFlags {
    ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret"), "secret").unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        symlink(outside.path().join("secret"), dir.path().join("etc/passwd")).unwrap();
        symlink("../../../../inside", dir.path().join("etc/group")).unwrap();
        std::fs::write(dir.path().join("inside"), "g").unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        let files = user_files(root.as_fd());
        assert_eq!(files, UserFiles { passwd: String::new(), group: "g".into() });
    }

    #[test]
    fn directories_are_made_inside_the_root() {
        let dir = tempfile::tempdir().unwrap();
        symlink("/real", dir.path().join("link")).unwrap();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let root = std::fs::File::open(dir.path()).unwrap();
        make_dirs(root.as_fd(), "/link/a/b").unwrap();
        assert!(dir.path().join("real/a/b").is_dir());
        assert!(make_dirs(root.as_fd(), "/file/x").is_err());
        assert!(dir_in_root(root.as_fd(), "/nope").unwrap().is_none());
        assert!(dir_in_root(root.as_fd(), "/").unwrap().is_some());
    }
}
