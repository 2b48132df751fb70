//! Overlayfs snapshots: prepare, commit, remove.

#![forbid(unsafe_code)]
use gantry_fault::{Fault, Kind};
use gantry_oci::Digest;
use std::{
    io::{Read, Write},
    os::fd::{BorrowedFd, OwnedFd},
    path::{Path, PathBuf},
};

/// Error of the snapshots.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// x
    #[error("x")]
    X,
}
impl Fault for SnapshotError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
}

/// The snapshots; clones share it.
#[derive(Clone, Debug)]
pub struct Snapshots;

/// A container's directories, for an overlay mount.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// Read-only directories, top first.
    pub lower: Vec<PathBuf>,
    /// The container's own changes.
    pub upper: PathBuf,
    /// Overlayfs' scratch directory.
    pub work: PathBuf,
}

/// Disk use of a tree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of file content.
    pub size_bytes: u64,
    /// Files, directories and so on.
    pub inodes: u64,
}

/// A layer being unpacked; dropped without commit it is deleted.
#[derive(Debug)]
pub struct LayerWriter;
impl LayerWriter {
    /// The directory to unpack into.
    #[must_use]
    pub fn dir(&self) -> BorrowedFd<'_> {
        todo!()
    }
    /// Makes the layer visible under its diff ID.
    ///
    /// # Errors
    /// When the rename fails.
    pub fn commit(self, diff_id: &Digest, size_bytes: u64) -> Result<(), SnapshotError> {
        let _ = (diff_id, size_bytes);
        todo!()
    }
}
/// x
impl Snapshots {
    /// Opens or makes the snapshots in `dir`.
    ///
    /// # Errors
    /// x
    pub fn open(dir: &Path) -> Result<Self, SnapshotError> {
        let _ = dir;
        todo!()
    }
    /// Whether a layer is unpacked.
    #[must_use]
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        let _ = diff_id;
        todo!()
    }
    /// The directory of a layer.
    #[must_use]
    pub fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        let _ = diff_id;
        todo!()
    }
    /// The size that a layer was committed with.
    #[must_use]
    pub fn layer_size(&self, diff_id: &Digest) -> Option<u64> {
        let _ = diff_id;
        todo!()
    }
    /// All unpacked layers.
    ///
    /// # Errors
    /// x
    pub fn layers(&self) -> Result<Vec<Digest>, SnapshotError> {
        todo!()
    }
    /// Starts a layer.
    ///
    /// # Errors
    /// x
    pub fn begin_layer(&self) -> Result<LayerWriter, SnapshotError> {
        todo!()
    }
    /// Removes a layer.
    ///
    /// # Errors
    /// x
    pub fn remove_layer(&self, diff_id: &Digest) -> Result<(), SnapshotError> {
        let _ = diff_id;
        todo!()
    }
    /// Makes a container's directories over `layers`, bottom first.
    ///
    /// # Errors
    /// x
    pub fn prepare(&self, container_id: &str, layers: &[Digest]) -> Result<Rootfs, SnapshotError> {
        let _ = (container_id, layers);
        todo!()
    }
    /// A prepared container's directories.
    ///
    /// # Errors
    /// x
    pub fn rootfs(&self, container_id: &str) -> Result<Rootfs, SnapshotError> {
        let _ = container_id;
        todo!()
    }
    /// All prepared containers.
    ///
    /// # Errors
    /// x
    pub fn containers(&self) -> Result<Vec<String>, SnapshotError> {
        todo!()
    }
    /// Removes a container's directories: the name is free at once, deletion runs behind; a missing one is no error.
    ///
    /// # Errors
    /// x
    pub fn remove(&self, container_id: &str) -> Result<(), SnapshotError> {
        let _ = container_id;
        todo!()
    }
    /// What a container's own changes take.
    ///
    /// # Errors
    /// x
    pub fn usage(&self, container_id: &str) -> Result<Usage, SnapshotError> {
        let _ = container_id;
        todo!()
    }
    /// The changes of a container against its image, as `docker diff` lists them.
    ///
    /// # Errors
    /// x
    pub fn changes(
        &self,
        container_id: &str,
    ) -> Result<Vec<gantry_archive::Change>, SnapshotError> {
        let _ = container_id;
        todo!()
    }
    /// Writes a container's changes as a layer tar (whiteouts as `.wh.` files).
    ///
    /// # Errors
    /// x
    pub fn pack_upper(&self, container_id: &str, out: &mut dyn Write) -> Result<(), SnapshotError> {
        let _ = (container_id, out);
        todo!()
    }
    /// Unpacks a layer tar (any compression) into a new layer; returns its unpacked size.
    ///
    /// # Errors
    /// x
    pub fn unpack_layer(
        &self,
        diff_id: &Digest,
        tar: Box<dyn Read + Send>,
    ) -> Result<u64, SnapshotError> {
        let _ = (diff_id, tar);
        todo!()
    }
    /// Mounts a container's overlay without attaching it anywhere; it goes with the descriptor.
    /// Never for a running container: one upper directory must not be mounted twice.
    ///
    /// # Errors
    /// x
    pub fn mount_detached(&self, rootfs: &Rootfs) -> Result<OwnedFd, SnapshotError> {
        let _ = rootfs;
        todo!()
    }
    /// Mounts only the given layers, read-only, without attaching them anywhere.
    ///
    /// # Errors
    /// x
    pub fn mount_layers(&self, layers: &[Digest]) -> Result<OwnedFd, SnapshotError> {
        let _ = layers;
        todo!()
    }
    /// Waits until all background deletion asked for so far is done.
    pub fn settle(&self) {
        todo!()
    }
}
