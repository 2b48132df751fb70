//! A layer being unpacked.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use gantry_oci::Digest;

use crate::{SnapshotError, Snapshots, mount};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A layer being unpacked; dropped without commit it is deleted.
#[derive(Debug)]
pub struct LayerWriter {
    snapshots: Snapshots,
    path: PathBuf,
    dir: OwnedFd,
}

impl LayerWriter {
    pub(crate) fn begin(snapshots: Snapshots) -> Result<Self, SnapshotError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = snapshots.path("ingest", &format!("{}-{number}", std::process::id()));
        let diff = path.join("diff");
        fs::create_dir(&path).map_err(SnapshotError::io("creating", &path))?;
        fs::DirBuilder::new()
            .mode(0o755)
            .create(&diff)
            .map_err(SnapshotError::io("creating", &diff))?;
        let dir = gantry_archive::open_root(&diff).map_err(SnapshotError::io("opening", &diff))?;
        Ok(Self { snapshots, path, dir })
    }

    /// Takes the directory of a container's own changes for a layer; what else the container had is
    /// deleted, once nothing has it mounted any more.
    pub(crate) fn of_container(
        snapshots: Snapshots,
        container: &Path,
    ) -> Result<Self, SnapshotError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = snapshots.path("ingest", &format!("{}-{number}", std::process::id()));
        fs::create_dir(&path).map_err(SnapshotError::io("creating", &path))?;
        let (upper, diff) = (container.join("upper"), path.join("diff"));
        fs::rename(&upper, &diff).map_err(SnapshotError::io("taking", &upper))?;
        let dir = gantry_archive::open_root(&diff).map_err(SnapshotError::io("opening", &diff))?;
        Ok(Self { snapshots, path, dir })
    }

    /// Shows this directory over `layers`, bottom first: what is changed there is changed in here,
    /// as a container's changes are. Until the answer is dropped nothing else may write in here.
    ///
    /// # Errors
    /// When the kernel refuses the mount.
    pub fn merged(&self, layers: &[Digest]) -> Result<Merged, SnapshotError> {
        let work = self.path.with_extension("work");
        fs::create_dir(&work).map_err(SnapshotError::io("creating", &work))?;
        let mut merged = Merged { root: None, work, snapshots: self.snapshots.clone() };
        let lower = self.snapshots.lower_paths(layers);
        let upper = self.path.join("diff");
        merged.root = Some(mount::volatile_overlay(&lower, &upper, &merged.work, mount::GUARD)?);
        Ok(merged)
    }

    /// The directory to unpack into.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        self.dir.as_fd()
    }

    /// Makes the layer visible under its diff ID; one that is there already is kept.
    ///
    /// # Errors
    /// When the rename fails.
    pub fn commit(self, diff_id: &Digest, size_bytes: u64) -> Result<(), SnapshotError> {
        let target = self.snapshots.layer_dir(diff_id);
        for (name, text) in
            [("size", size_bytes.to_string()), ("unsynced", self.snapshots.0.boot_id.clone())]
        {
            let path = self.path.join(name);
            fs::write(&path, text).map_err(SnapshotError::io("writing", &path))?;
        }
        match fs::rename(&self.path, &target) {
            Err(source)
                if !matches!(
                    source.kind(),
                    io::ErrorKind::DirectoryNotEmpty | io::ErrorKind::AlreadyExists
                ) =>
            {
                Err(SnapshotError::io("publishing", &target)(source))
            }
            _ => Ok(()),
        }
    }
}

/// A layer being written, shown over others.
#[derive(Debug)]
pub struct Merged {
    root: Option<OwnedFd>,
    work: PathBuf,
    snapshots: Snapshots,
}

impl Merged {
    /// Its root.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_ref().expect("it is mounted until it is dropped").as_fd()
    }
}

impl Drop for Merged {
    fn drop(&mut self) {
        // The mount goes first; its scratch directory is of no use to another.
        drop(self.root.take());
        if let Err(error) = self.snapshots.0.trash.throw(&self.work) {
            tracing::warn!(%error, "could not remove an overlay's work directory");
        }
    }
}

impl Drop for LayerWriter {
    fn drop(&mut self) {
        // After a commit there is nothing under the path any more.
        if let Err(error) = self.snapshots.0.trash.throw(&self.path) {
            tracing::warn!(%error, "could not remove an unfinished layer");
        }
    }
}

/// Asks ext4 to put each directory made in `dir` somewhere else on the disk.
///
/// ext4 gives no inode away again for a minute or more after its file was deleted, and looks at
/// each such inode of a block group whenever it makes a file there (`recently_deleted` in
/// `fs/ext4/ialloc.c`): a layer unpacked where one of 26,000 files has just been removed takes five
/// times as long. Other file systems do not know the flag, and need none.
pub(crate) fn spread(dir: &Path) {
    use rustix::fs::{IFlags, ioctl_getflags, ioctl_setflags};
    let set = || -> io::Result<()> {
        let dir = fs::File::open(dir)?;
        let flags = ioctl_getflags(&dir)?;
        Ok(ioctl_setflags(&dir, flags | IFlags::TOPDIR)?)
    };
    if let Err(error) = set() {
        tracing::debug!(%error, "layers are not spread over the disk");
    }
}
