//! Layers that can be written to for a while; what is written is dropped.

use std::{
    fs,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    path::PathBuf,
    sync::atomic::{AtomicU64, Ordering},
};

use gantry_oci::Digest;
use rustix::mount::MountAttrFlags;

use crate::{SnapshotError, Snapshots, mount};

static NEXT: AtomicU64 = AtomicU64::new(0);

/// Layers under a directory that takes what is written; it goes away with this.
#[derive(Debug)]
pub struct Scratch {
    root: Option<OwnedFd>,
    dir: PathBuf,
    snapshots: Snapshots,
}

impl Snapshots {
    /// Mounts layers, bottom first, so that they can be written to; attached nowhere.
    ///
    /// # Errors
    /// When the directories cannot be made or the kernel refuses the mount.
    pub fn scratch(&self, layers: &[Digest]) -> Result<Scratch, SnapshotError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = self.path("ingest", &format!("scratch-{}-{number}", std::process::id()));
        fs::create_dir(&dir).map_err(SnapshotError::io("creating", &dir))?;
        let mut scratch = Scratch { root: None, dir, snapshots: self.clone() };
        let (upper, work) = (scratch.dir.join("upper"), scratch.dir.join("work"));
        for path in [&upper, &work] {
            fs::create_dir(path).map_err(SnapshotError::io("creating", path))?;
        }
        let like = layers.last().and_then(|top| fs::metadata(self.layer_path(top)).ok());
        if let Some(like) = like {
            crate::copy_attributes(&like, &upper)
                .map_err(SnapshotError::io("preparing", &upper))?;
        }
        let attributes = MountAttrFlags::MOUNT_ATTR_NODEV;
        let root = mount::volatile_overlay(&self.lower_paths(layers), &upper, &work, attributes)?;
        scratch.root = Some(root);
        Ok(scratch)
    }
}

impl Scratch {
    /// The mount's root.
    #[must_use]
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_ref().expect("it is mounted until it is dropped").as_fd()
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        drop(self.root.take());
        if let Err(error) = self.snapshots.0.trash.throw(&self.dir) {
            tracing::warn!(%error, "could not remove a scratch directory");
        }
    }
}
