//! Where a path of a container is found: its own mounts while it runs, a detached mount otherwise.

use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_volume::Held;
use rustix::fs::{CWD, Mode, OFlags, openat};

use crate::record::{ContainerRecord, MountKind, MountRecord};
use crate::{Container, FileError};

/// A directory that a path is resolved beneath, and never leaves.
pub(crate) struct Place {
    /// The directory.
    pub(crate) root: OwnedFd,
    /// The path beneath it.
    pub(crate) path: String,
    /// What is mounted there without write access, in Docker's words.
    pub(crate) read_only: Option<&'static str>,
    /// Keeps a volume of a stopped container mounted meanwhile.
    _volume: Option<Held>,
}

impl Container {
    /// Finds where `path` is; blocking.
    pub(crate) fn place(&self, path: &str) -> Result<Place, FileError> {
        let record = self.cell.record();
        let absolute = format!("/{}", path.trim_start_matches('/'));
        let mount = mount_of(&record, &absolute);
        let read_only = match mount {
            Some((mount, _)) if mount.read_only => Some("mounted volume"),
            None if record.host.readonly_rootfs => Some("container rootfs"),
            _ => None,
        };
        if let Some(pid) = self.pid() {
            // The container's own view: volumes, tmpfs and all.
            let root = self.running_root(pid)?;
            return Ok(Place { root, path: absolute, read_only, _volume: None });
        }
        match mount {
            Some((mount, below)) if mount.kind == MountKind::Volume => {
                let held = self.engine.parts().volumes.hold(&mount.source)?;
                let volume = self.open_directory(held.path())?;
                let root = match mount.subpath.as_str() {
                    "" => volume,
                    below => self.open_below(volume.as_fd(), below)?,
                };
                Ok(Place { root, path: below, read_only, _volume: Some(held) })
            }
            Some((mount, below)) if mount.kind == MountKind::Bind => {
                let root = self.open_directory(Path::new(&mount.source))?;
                Ok(Place { root, path: below, read_only, _volume: None })
            }
            _ => Ok(Place { root: self.stopped_root()?, path: absolute, read_only, _volume: None }),
        }
    }

    /// The whole root file system, without volumes; blocking.
    pub(crate) fn stopped_root(&self) -> Result<OwnedFd, FileError> {
        let snapshots = &self.engine.parts().snapshots;
        let rootfs = snapshots.rootfs(self.id())?;
        Ok(snapshots.mount_detached(&rootfs)?)
    }

    fn running_root(&self, pid: u32) -> Result<OwnedFd, FileError> {
        let root = self.open_directory(Path::new(&format!("/proc/{pid}/root")))?;
        // The process may have ended and its number gone to another before the directory was open.
        if self.pid() == Some(pid) { Ok(root) } else { self.stopped_root() }
    }

    /// A part of a volume, with links resolved inside it.
    fn open_below(&self, volume: BorrowedFd<'_>, below: &str) -> Result<OwnedFd, FileError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        gantry_archive::open_in_root(volume, below.as_bytes(), flags)
            .map_err(|errno| FileError::Root { id: self.id().to_owned(), source: errno.into() })
    }

    fn open_directory(&self, path: &Path) -> Result<OwnedFd, FileError> {
        openat(CWD, path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| FileError::Root { id: self.id().to_owned(), source: errno.into() })
    }
}

/// The mount that holds `path` by its text, and the path below it. Links that lead from one mount
/// to another are followed only while the container runs, when the kernel resolves them.
fn mount_of<'a>(record: &'a ContainerRecord, path: &str) -> Option<(&'a MountRecord, String)> {
    record
        .mounts
        .iter()
        .filter_map(|mount| {
            let below = path.strip_prefix(mount.target.trim_end_matches('/'))?;
            (below.is_empty() || below.starts_with('/')).then(|| (mount, format!("/{below}")))
        })
        .max_by_key(|(mount, _)| mount.target.len())
}
