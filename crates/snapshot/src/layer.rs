//! A layer being unpacked.

use std::{
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd, OwnedFd},
        unix::fs::DirBuilderExt,
    },
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use gantry_oci::Digest;

use crate::{SnapshotError, Snapshots};

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

impl Drop for LayerWriter {
    fn drop(&mut self) {
        // After a commit there is nothing under the path any more.
        if let Err(error) = self.snapshots.0.trash.throw(&self.path) {
            tracing::warn!(%error, "could not remove an unfinished layer");
        }
    }
}
