//! Overlayfs snapshots: prepare, commit, remove.
//!
//! ```text
//! snapshots/
//!   layers/sha256-<hex>/diff       an unpacked layer by its diff ID; shared by all images that have it
//!   layers/sha256-<hex>/size       bytes of its files
//!   layers/sha256-<hex>/unsynced   not known to be on disk; the boot ID it was unpacked under
//!   init/<chain id>/               mount points that an image lacks, over its layers, below upper
//!   containers/<id>/{upper,work}   a container's own changes
//!   containers/<id>/layers         what it lies on: one diff ID a line, bottom first
//!   ingest/                        layers being unpacked
//!   trash/                         being deleted
//!   empty/
//! ```
//!
//! Layers, containers and init directories appear and go by rename, so that a killed daemon leaves
//! nothing half made in sight. What it leaves in `ingest` and `trash` is deleted at the next start.

#![forbid(unsafe_code)]

mod error;
mod init;
mod layer;
mod mount;
mod scratch;
mod trash;

use std::{
    fs::{self, File},
    io::{self, Read, Write},
    os::{
        fd::{AsFd, OwnedFd},
        unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt},
    },
    path::{Path, PathBuf},
    sync::Arc,
};

pub use gantry_archive::Usage;
use gantry_archive::{Change, ExtractOptions};
use gantry_oci::Digest;
use rustix::mount::MountAttrFlags;

pub use crate::{
    error::SnapshotError,
    layer::{LayerWriter, Merged},
    scratch::Scratch,
};
use crate::{mount::GUARD, trash::Trash};

/// The snapshots; clones share them.
#[derive(Clone, Debug)]
pub struct Snapshots(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    trash: Trash,
    boot_id: String,
}

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

impl Snapshots {
    /// Opens or makes the snapshots in `dir`.
    ///
    /// Layers that a power cut may have damaged are dropped; unpack them again.
    ///
    /// # Errors
    /// When the directories cannot be made or read.
    pub fn open(dir: &Path) -> Result<Self, SnapshotError> {
        for sub in ["layers", "init", "containers", "ingest", "trash", "empty"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path).map_err(SnapshotError::io("creating", &path))?;
        }
        layer::spread(&dir.join("ingest"));
        // Set-uid files of images must be out of reach of the host's users.
        fs::set_permissions(dir, fs::Permissions::from_mode(0o700))
            .map_err(SnapshotError::io("protecting", dir))?;
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let trash = Trash::open(&dir.join("trash"))?;
        let snapshots = Self(Arc::new(Inner {
            dir: dir.to_owned(),
            trash,
            boot_id: boot_id.trim().to_owned(),
        }));
        for name in snapshots.names("ingest")? {
            snapshots.0.trash.throw(&snapshots.path("ingest", &name))?;
        }
        snapshots.drop_unsynced()?;
        Ok(snapshots)
    }

    /// Whether a layer is unpacked.
    #[must_use]
    pub fn has_layer(&self, diff_id: &Digest) -> bool {
        self.layer_path(diff_id).exists()
    }

    /// The directory of a layer.
    #[must_use]
    pub fn layer_path(&self, diff_id: &Digest) -> PathBuf {
        self.layer_dir(diff_id).join("diff")
    }

    /// The size of a layer's files, as it was committed with.
    #[must_use]
    pub fn layer_size(&self, diff_id: &Digest) -> Option<u64> {
        fs::read_to_string(self.layer_dir(diff_id).join("size")).ok()?.trim().parse().ok()
    }

    /// All unpacked layers.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn layers(&self) -> Result<Vec<Digest>, SnapshotError> {
        let names = self.names("layers")?;
        Ok(names.iter().filter_map(|name| name.replacen('-', ":", 1).parse().ok()).collect())
    }

    /// Starts a layer.
    ///
    /// # Errors
    /// When its directory cannot be made.
    pub fn begin_layer(&self) -> Result<LayerWriter, SnapshotError> {
        LayerWriter::begin(self.clone())
    }

    /// Unpacks a layer tar of any compression into a new layer; returns the size of its files.
    ///
    /// The caller has verified, or verifies at the end of the stream, that it has this diff ID.
    ///
    /// # Errors
    /// When the tar is broken or cannot be unpacked; nothing is left then.
    pub fn unpack_layer(
        &self,
        diff_id: &Digest,
        tar: Box<dyn Read + Send>,
    ) -> Result<u64, SnapshotError> {
        let writer = self.begin_layer()?;
        let (mut tar, _) = gantry_archive::decompress(tar)?;
        let done = gantry_archive::extract(&mut tar, writer.dir(), &ExtractOptions::layer())?;
        writer.commit(diff_id, done.size_bytes)?;
        Ok(done.size_bytes)
    }

    /// Removes a layer; one that is not here is no error.
    ///
    /// # Errors
    /// When it cannot be moved away.
    pub fn remove_layer(&self, diff_id: &Digest) -> Result<(), SnapshotError> {
        self.0.trash.throw(&self.layer_dir(diff_id))
    }

    /// Removes the init directories of images that are gone; `chains` are those that are not.
    ///
    /// # Errors
    /// When they cannot be listed or moved away.
    pub fn retain_inits(
        &self,
        chains: &std::collections::HashSet<String>,
    ) -> Result<(), SnapshotError> {
        let used = self.used_inits()?;
        for name in self.names("init")? {
            if !chains.contains(&name) && !used.contains(&name) {
                self.0.trash.throw(&self.path("init", &name))?;
            }
        }
        Ok(())
    }

    /// Brings all layers to disk.
    ///
    /// # Errors
    /// When the file system cannot be synced.
    pub fn sync(&self) -> Result<(), SnapshotError> {
        let layers = self.0.dir.join("layers");
        let mark = |name: &String| layers.join(name).join("unsynced");
        let pending: Vec<PathBuf> =
            self.names("layers")?.iter().map(mark).filter(|mark| mark.exists()).collect();
        if pending.is_empty() {
            return Ok(());
        }
        let handle = File::open(&layers).map_err(SnapshotError::io("opening", &layers))?;
        rustix::fs::syncfs(&handle)
            .map_err(io::Error::from)
            .map_err(SnapshotError::io("syncing", &layers))?;
        for mark in pending {
            // A layer that was removed meanwhile took its mark along.
            drop(fs::remove_file(mark));
        }
        Ok(())
    }

    /// Makes a container's directories over `layers`, bottom first.
    ///
    /// # Errors
    /// [`SnapshotError::Exists`] for an id that is taken, [`SnapshotError::NoLayer`] for a layer
    /// that is not unpacked.
    pub fn prepare(&self, container_id: &str, layers: &[Digest]) -> Result<Rootfs, SnapshotError> {
        let dir = self.container_dir(container_id)?;
        if let Some(missing) = layers.iter().find(|layer| !self.has_layer(layer)) {
            return Err(SnapshotError::NoLayer(missing.clone()));
        }
        self.init_dir(layers)?;
        fs::create_dir(&dir).map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => SnapshotError::Exists(container_id.to_owned()),
            _ => SnapshotError::io("creating", &dir)(source),
        })?;
        let made = self.fill_container(&dir, layers);
        if made.is_err() {
            drop(self.0.trash.throw(&dir));
        }
        made?;
        Ok(self.rootfs_of(&dir, layers))
    }

    /// A prepared container's directories.
    ///
    /// # Errors
    /// [`SnapshotError::NoContainer`] when it was not prepared.
    pub fn rootfs(&self, container_id: &str) -> Result<Rootfs, SnapshotError> {
        let dir = self.container_dir(container_id)?;
        let layers = self.container_layers(container_id)?;
        Ok(self.rootfs_of(&dir, &layers))
    }

    /// The layers that a container lies on, bottom first.
    ///
    /// # Errors
    /// [`SnapshotError::NoContainer`] when it was not prepared.
    pub fn container_layers(&self, container_id: &str) -> Result<Vec<Digest>, SnapshotError> {
        let path = self.container_dir(container_id)?.join("layers");
        let text = fs::read_to_string(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => SnapshotError::NoContainer(container_id.to_owned()),
            _ => SnapshotError::io("reading", &path)(source),
        })?;
        let layers = text.lines().map(str::parse).collect::<Result<_, _>>();
        layers.map_err(|source| SnapshotError::BadLayers { path, source })
    }

    /// All prepared containers.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn containers(&self) -> Result<Vec<String>, SnapshotError> {
        self.names("containers")
    }

    /// Makes a layer of a container's own changes, whose process has ended, and removes the container.
    ///
    /// # Errors
    /// [`SnapshotError::NoContainer`] when it was not prepared.
    pub fn take_upper(&self, container_id: &str) -> Result<LayerWriter, SnapshotError> {
        let dir = self.container_dir(container_id)?;
        if !dir.exists() {
            return Err(SnapshotError::NoContainer(container_id.to_owned()));
        }
        let writer = LayerWriter::of_container(self.clone(), &dir)?;
        self.0.trash.throw(&dir)?;
        Ok(writer)
    }

    /// Removes a container's directories; a missing one is no error.
    ///
    /// The id is free when this returns; the files are deleted behind it.
    ///
    /// # Errors
    /// When they cannot be moved away.
    pub fn remove(&self, container_id: &str) -> Result<(), SnapshotError> {
        self.0.trash.throw(&self.container_dir(container_id)?)
    }

    /// What a container's own changes take.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn usage(&self, container_id: &str) -> Result<Usage, SnapshotError> {
        Ok(gantry_archive::usage(self.upper(container_id)?.as_fd())?)
    }

    /// The changes of a container against its image, as `docker diff` lists them.
    ///
    /// # Errors
    /// When the directories cannot be read.
    pub fn changes(&self, container_id: &str) -> Result<Vec<Change>, SnapshotError> {
        let upper = self.upper(container_id)?;
        let open = |path: &PathBuf| {
            gantry_archive::open_root(path).map_err(SnapshotError::io("opening", path))
        };
        let lowers: Vec<OwnedFd> =
            self.rootfs(container_id)?.lower.iter().map(open).collect::<Result<_, _>>()?;
        Ok(gantry_archive::changes(upper.as_fd(), &lowers)?)
    }

    /// Writes a container's changes as a layer tar, whiteouts as `.wh.` entries.
    ///
    /// # Errors
    /// When they cannot be read or `out` not written.
    pub fn pack_upper(&self, container_id: &str, out: &mut dyn Write) -> Result<(), SnapshotError> {
        Ok(gantry_archive::pack_upper(self.upper(container_id)?.as_fd(), out).map(drop)?)
    }

    /// Writes a layer as a tar again: the one that it was unpacked from if that was packed here.
    ///
    /// # Errors
    /// When it is not here, cannot be read, or `out` not written.
    pub fn pack_layer(&self, diff_id: &Digest, out: &mut dyn Write) -> Result<(), SnapshotError> {
        let path = self.layer_path(diff_id);
        let dir = gantry_archive::open_root(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => SnapshotError::NoLayer(diff_id.clone()),
            _ => SnapshotError::io("opening", &path)(source),
        })?;
        Ok(gantry_archive::pack_upper(dir.as_fd(), out).map(drop)?)
    }

    /// Mounts an overlay without attaching it anywhere; it goes with the descriptor.
    ///
    /// Never for a running container: an upper directory must not be mounted twice.
    ///
    /// # Errors
    /// When the kernel refuses the mount.
    pub fn mount_detached(&self, rootfs: &Rootfs) -> Result<OwnedFd, SnapshotError> {
        mount::overlay(&rootfs.lower, Some((&rootfs.upper, &rootfs.work)), GUARD)
    }

    /// Mounts what lies below a container's own changes, read-only and without attaching it anywhere.
    ///
    /// # Errors
    /// When the kernel refuses the mount.
    pub fn mount_lower(&self, rootfs: &Rootfs) -> Result<OwnedFd, SnapshotError> {
        // Overlayfs wants two lower directories at least when there is no upper one.
        let empty = self.0.dir.join("empty");
        let lower: Vec<PathBuf> = rootfs.lower.iter().cloned().chain([empty]).collect();
        mount::overlay(&lower, None, GUARD)
    }

    /// Mounts layers, bottom first, read-only and without attaching them anywhere.
    ///
    /// # Errors
    /// When the kernel refuses the mount.
    pub fn mount_layers(&self, layers: &[Digest]) -> Result<OwnedFd, SnapshotError> {
        self.mount_lowers(layers, GUARD)
    }

    /// As [`Snapshots::mount_layers`], to be seen in a container: programs may be executed.
    ///
    /// # Errors
    /// When the kernel refuses the mount.
    pub fn mount_layers_for_use(&self, layers: &[Digest]) -> Result<OwnedFd, SnapshotError> {
        self.mount_lowers(layers, MountAttrFlags::MOUNT_ATTR_NODEV)
    }

    fn mount_lowers(
        &self,
        layers: &[Digest],
        attributes: MountAttrFlags,
    ) -> Result<OwnedFd, SnapshotError> {
        let empty = self.0.dir.join("empty");
        if layers.is_empty() {
            return gantry_archive::open_root(&empty).map_err(SnapshotError::io("opening", &empty));
        }
        mount::overlay(&self.lower_paths(layers), None, attributes)
    }

    /// Directories of layers, top first. Overlayfs wants two at least when there is no upper one.
    fn lower_paths(&self, layers: &[Digest]) -> Vec<PathBuf> {
        let empty = self.0.dir.join("empty");
        layers.iter().rev().map(|layer| self.layer_path(layer)).chain([empty]).collect()
    }

    /// Waits until everything removed so far is deleted.
    pub fn settle(&self) {
        self.0.trash.settle();
    }

    fn fill_container(&self, dir: &Path, layers: &[Digest]) -> Result<(), SnapshotError> {
        for sub in ["upper", "work"] {
            let path = dir.join(sub);
            fs::DirBuilder::new()
                .mode(0o755)
                .create(&path)
                .map_err(SnapshotError::io("creating", &path))?;
        }
        // The root of an overlay shows the attributes of its topmost directory.
        let upper = dir.join("upper");
        let like = layers.last().and_then(|top| fs::metadata(self.layer_path(top)).ok());
        if let Some(like) = like {
            copy_attributes(&like, &upper).map_err(SnapshotError::io("preparing", &upper))?;
        }
        let list = dir.join("layers");
        let text: String = layers.iter().map(|layer| format!("{layer}\n")).collect();
        fs::write(&list, text).map_err(SnapshotError::io("writing", &list))
    }

    fn rootfs_of(&self, dir: &Path, layers: &[Digest]) -> Rootfs {
        let init = self.path("init", &init::name(layers));
        let lower =
            [init].into_iter().chain(layers.iter().rev().map(|layer| self.layer_path(layer)));
        Rootfs { lower: lower.collect(), upper: dir.join("upper"), work: dir.join("work") }
    }

    fn upper(&self, container_id: &str) -> Result<OwnedFd, SnapshotError> {
        let upper = self.container_dir(container_id)?.join("upper");
        gantry_archive::open_root(&upper).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => SnapshotError::NoContainer(container_id.to_owned()),
            _ => SnapshotError::io("opening", &upper)(source),
        })
    }

    fn used_inits(&self) -> Result<std::collections::HashSet<String>, SnapshotError> {
        let layers = |id: &String| self.container_layers(id).ok();
        Ok(self.containers()?.iter().filter_map(layers).map(|layers| init::name(&layers)).collect())
    }

    fn drop_unsynced(&self) -> Result<(), SnapshotError> {
        for diff_id in self.layers()? {
            let dir = self.layer_dir(&diff_id);
            if fs::read_to_string(dir.join("unsynced")).is_ok_and(|boot| boot != self.0.boot_id) {
                tracing::warn!(%diff_id, "layer may be damaged by an unclean shutdown, dropped");
                self.0.trash.throw(&dir)?;
            }
        }
        Ok(())
    }

    fn path(&self, sub: &str, name: &str) -> PathBuf {
        self.0.dir.join(sub).join(name)
    }

    fn layer_dir(&self, diff_id: &Digest) -> PathBuf {
        self.path("layers", &format!("{}-{}", diff_id.algorithm().name(), diff_id.hex()))
    }

    fn container_dir(&self, id: &str) -> Result<PathBuf, SnapshotError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        if id.is_empty() || id.len() > 255 || id.starts_with('.') || !id.bytes().all(word) {
            return Err(SnapshotError::BadId(id.to_owned()));
        }
        Ok(self.path("containers", id))
    }

    fn names(&self, sub: &str) -> Result<Vec<String>, SnapshotError> {
        let dir = self.0.dir.join(sub);
        let failed = SnapshotError::io("listing", &dir);
        let mut names = Vec::new();
        for entry in fs::read_dir(&dir).map_err(&failed)? {
            if let Ok(name) = entry.map_err(&failed)?.file_name().into_string() {
                names.push(name);
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

/// Gives a directory of ours the owner and mode of another.
fn copy_attributes(like: &fs::Metadata, path: &Path) -> io::Result<()> {
    let own = fs::metadata(path)?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        std::os::unix::fs::chown(path, Some(like.uid()), Some(like.gid()))?;
    }
    if own.mode() & 0o7777 != like.mode() & 0o7777 {
        fs::set_permissions(path, fs::Permissions::from_mode(like.mode() & 0o7777))?;
    }
    Ok(())
}
