//! Images: load, save, import, tag, unpack, remove.

#![forbid(unsafe_code)]
#![allow(clippy::todo)]
use gantry_archive as _;
use gantry_content::Content;
use gantry_fault::{Fault, Kind};
use gantry_oci::{Digest, ImageConfig, Platform, Reference};
use gantry_snapshot::Snapshots;
use gantry_store::Store;
use std::{
    collections::BTreeMap,
    io::{Read, Write},
    sync::Arc,
};

/// Why a name gives no image.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    /// Nothing has it.
    #[error("No such image: {0}")]
    NotFound(String),
    /// An id prefix that several images begin with.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// No reference at all.
    #[error("invalid reference format")]
    Invalid(#[from] gantry_oci::ReferenceError),
}
impl Fault for ResolveError {
    fn kind(&self) -> Kind {
        Kind::NotFound
    }
}
/// Any other failure.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// x
    #[error("x")]
    X,
}
impl Fault for ImageError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
}
/// Why an image stays.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// x
    #[error("x")]
    X,
}
impl Fault for RemoveError {
    fn kind(&self) -> Kind {
        Kind::Conflict
    }
}

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct LayerRecord {
    /// Digest of the uncompressed tar.
    pub diff_id: Digest,
    /// Digest of the blob as it came.
    pub digest: Digest,
    /// Media type of the blob.
    pub media_type: String,
    /// Size of the blob.
    pub size_bytes: u64,
    /// Size of the files.
    pub unpacked_size_bytes: u64,
}
/// An image; never changes, a changed one is another value.
#[derive(Clone, Debug)]
pub struct Image {
    /// Digest of the configuration document.
    pub id: Digest,
    /// The configuration.
    pub config: ImageConfig,
    /// The configuration's bytes.
    pub raw_config: Arc<[u8]>,
    /// The layers, bottom first.
    pub layers: Vec<LayerRecord>,
    /// Names with tags.
    pub names: Vec<Reference>,
    /// Names with digests.
    pub repo_digests: Vec<Reference>,
    /// The image it was committed or built from.
    pub parent: Option<Digest>,
    /// When it last got a name, RFC 3339.
    pub last_tagged: Option<String>,
}
impl Image {
    /// Diff IDs, bottom first.
    #[must_use]
    pub fn lowers(&self) -> Vec<Digest> {
        todo!()
    }
    /// Size of all files.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        todo!()
    }
    /// When it was made, seconds since 1970.
    #[must_use]
    pub fn created_s(&self) -> i64 {
        todo!()
    }
}
/// One line of `docker history`, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Image id, or `<missing>`.
    pub id: String,
    /// Seconds since 1970.
    pub created_s: i64,
    /// Instruction.
    pub created_by: String,
    /// Names of that image.
    pub tags: Vec<String>,
    /// Size of the layer.
    pub size_bytes: u64,
    /// Message.
    pub comment: String,
}
/// A container that uses an image.
#[derive(Clone, Debug)]
pub struct ImageUser {
    /// Its id.
    pub container_id: String,
    /// Whether it runs.
    pub running: bool,
}
/// Options of [`Images::remove`].
#[derive(Clone, Copy, Debug, Default)]
pub struct RemoveOptions {
    /// Even if stopped containers or other names use it.
    pub force: bool,
    /// Leave untagged parents.
    pub no_prune: bool,
}
/// What was removed, as the API lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Untagged(String),
    /// An image or layer.
    Deleted(String),
}
/// What happened to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEvent {
    /// What.
    pub action: ImageAction,
    /// Actor id: image id or name as Docker has it.
    pub id: String,
    /// Attributes: name and the image's labels.
    pub attributes: BTreeMap<String, String>,
}
/// Actions of image events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageAction {
    /// x
    Create,
    /// x
    Delete,
    /// x
    Import,
    /// x
    Load,
    /// x
    Pull,
    /// x
    Save,
    /// x
    Tag,
    /// x
    Untag,
}
impl ImageAction {
    /// Docker's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        todo!()
    }
}
/// Listener for events.
pub type OnEvent = Arc<dyn Fn(ImageEvent) + Send + Sync>;
/// Progress of a load.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadEvent {
    /// A layer is being read.
    Layer {
        /// Digest or path in the archive.
        id: String,
        /// Bytes read.
        current: u64,
        /// Bytes in all.
        total: u64,
    },
    /// A layer is done.
    LayerDone {
        /// Digest or path in the archive.
        id: String,
    },
}
/// What a load brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// For each image: its names (familiar), or none.
    pub images: Vec<(Digest, Vec<String>)>,
}
/// An import.
#[derive(Clone, Debug, Default)]
pub struct Import {
    /// Dockerfile lines.
    pub changes: Vec<String>,
    /// Message.
    pub message: String,
    /// Name to give.
    pub reference: Option<Reference>,
    /// Platform; empty fields are this machine's.
    pub platform: Option<Platform>,
}
/// A commit of a container.
#[derive(Clone, Debug, Default)]
pub struct Commit {
    /// The container's id.
    pub container_id: String,
    /// The image it came from.
    pub parent: Option<Digest>,
    /// Configuration of the new image, `changes` applied on top.
    pub config: gantry_oci::ContainerConfig,
    /// Dockerfile lines.
    pub changes: Vec<String>,
    /// Author.
    pub author: String,
    /// Message.
    pub comment: String,
    /// Name to give.
    pub reference: Option<Reference>,
    /// What history shows: the container's command line.
    pub created_by: String,
}
/// Which images to prune.
pub struct Prune<'a> {
    /// Only images without a name.
    pub dangling_only: bool,
    /// Only images that this picks (until, labels).
    pub wanted: &'a dyn Fn(&Image) -> bool,
    /// Containers that use an image.
    pub users: &'a dyn Fn(&Digest) -> Vec<ImageUser>,
}
/// A file for [`Images::put_single_layer`].
#[derive(Clone, Debug)]
pub struct LayerFile {
    /// Path without leading slash.
    pub path: String,
    /// Permission bits.
    pub mode: u32,
    /// Content.
    pub data: Vec<u8>,
}
/// Keeps an image from being removed while it lives.
#[derive(Debug)]
pub struct ImageLease;
/// The images; clones share it.
#[derive(Clone)]
pub struct Images;
impl Images {
    /// x
    ///
    /// # Errors
    /// x
    pub fn open(
        store: Store,
        content: Content,
        snapshots: Snapshots,
        on_event: OnEvent,
    ) -> Result<Self, ImageError> {
        let _ = (store, content, snapshots, on_event);
        todo!()
    }
    /// By name, name@digest, full id or unique id prefix.
    ///
    /// # Errors
    /// x
    pub fn resolve(&self, name: &str) -> Result<Arc<Image>, ResolveError> {
        let _ = name;
        todo!()
    }
    /// As resolve, and keeps the image from removal until the lease is dropped.
    ///
    /// # Errors
    /// x
    pub fn resolve_leased(&self, name: &str) -> Result<(Arc<Image>, ImageLease), ResolveError> {
        let _ = name;
        todo!()
    }
    /// By full id.
    #[must_use]
    pub fn get(&self, id: &Digest) -> Option<Arc<Image>> {
        let _ = id;
        todo!()
    }
    /// All images, newest first.
    #[must_use]
    pub fn list(&self) -> Vec<Arc<Image>> {
        todo!()
    }
    /// Whether another image has this one as its parent.
    #[must_use]
    pub fn has_children(&self, id: &Digest) -> bool {
        let _ = id;
        todo!()
    }
    /// Gives an image a name, taking it from another.
    ///
    /// # Errors
    /// x
    pub fn tag(&self, id: &Digest, reference: &Reference) -> Result<(), ImageError> {
        let _ = (id, reference);
        todo!()
    }
    /// `docker rmi`.
    ///
    /// # Errors
    /// x
    pub fn remove(
        &self,
        name: &str,
        options: RemoveOptions,
        users: &dyn Fn(&Digest) -> Vec<ImageUser>,
    ) -> Result<Vec<Removed>, RemoveError> {
        let _ = (name, options, users);
        todo!()
    }
    /// `docker image prune`: what was removed and how many bytes that freed.
    ///
    /// # Errors
    /// x
    pub fn prune(&self, prune: &Prune<'_>) -> Result<(Vec<Removed>, u64), RemoveError> {
        let _ = prune;
        todo!()
    }
    /// `docker history`, newest first.
    #[must_use]
    pub fn history(&self, image: &Image) -> Vec<HistoryEntry> {
        let _ = image;
        todo!()
    }
    /// `docker load`.
    ///
    /// # Errors
    /// x
    pub fn load(
        &self,
        archive: Box<dyn Read + Send>,
        progress: &mut dyn FnMut(LoadEvent),
    ) -> Result<Loaded, ImageError> {
        let _ = (archive, progress);
        todo!()
    }
    /// `docker save` of these names.
    ///
    /// # Errors
    /// x
    pub fn save(&self, names: &[String], out: &mut dyn Write) -> Result<(), ImageError> {
        let _ = (names, out);
        todo!()
    }
    /// `docker import`: a root file system of any compression becomes an image.
    ///
    /// # Errors
    /// x
    pub fn import(
        &self,
        rootfs: Box<dyn Read + Send>,
        import: &Import,
    ) -> Result<Digest, ImageError> {
        let _ = (rootfs, import);
        todo!()
    }
    /// `docker commit` of a container that `Snapshots` has; the caller pauses it.
    ///
    /// # Errors
    /// x
    pub fn commit(&self, commit: &Commit) -> Result<Digest, ImageError> {
        let _ = commit;
        todo!()
    }
    /// Puts in an image of one layer with these files; an equal one is kept.
    ///
    /// # Errors
    /// x
    pub fn put_single_layer(
        &self,
        reference: &Reference,
        config: &ImageConfig,
        files: &[LayerFile],
    ) -> Result<Digest, ImageError> {
        let _ = (reference, config, files);
        todo!()
    }
    /// Bytes that all layers take together, each counted once.
    #[must_use]
    pub fn layers_size_bytes(&self) -> u64 {
        todo!()
    }
}
