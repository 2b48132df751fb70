//! Values that describe images.

use std::{collections::BTreeMap, sync::Arc};

use gantry_oci::{Descriptor, Digest, ImageConfig, Reference};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A layer of an image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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

/// A manifest of an image as it came, or as it was pushed; its bytes are in `content`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The repository that it came from or went to, in full; empty if it came in an archive.
    pub repository: String,
    /// The manifest.
    pub manifest: Descriptor,
    /// The index that led to it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Descriptor>,
}

impl Origin {
    /// What a tag pointed at: the index, or the manifest if there is none.
    #[must_use]
    pub fn top(&self) -> &Descriptor {
        self.index.as_ref().unwrap_or(&self.manifest)
    }

    /// The documents that it needs.
    pub(crate) fn documents(&self) -> impl Iterator<Item = &Digest> {
        std::iter::once(&self.manifest.digest).chain(self.index.iter().map(|index| &index.digest))
    }
}

/// An image; it never changes, a renamed one is another value.
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
    /// Names with tags, sorted.
    pub names: Vec<Reference>,
    /// Names with digests, sorted.
    pub repo_digests: Vec<Reference>,
    /// The image that it was committed or built from.
    pub parent: Option<Digest>,
    /// When it last got a name, RFC 3339.
    pub last_tagged: Option<String>,
    /// Its manifests, oldest first.
    pub origins: Vec<Origin>,
}

impl Image {
    /// Diff IDs of its layers, bottom first: what `Snapshots::prepare` takes.
    #[must_use]
    pub fn lowers(&self) -> Vec<Digest> {
        self.layers.iter().map(|layer| layer.diff_id.clone()).collect()
    }

    /// Size of all files in all layers.
    #[must_use]
    pub fn size_bytes(&self) -> u64 {
        self.layers.iter().map(|layer| layer.unpacked_size_bytes).sum()
    }

    /// When it was made, seconds since 1970; an image that does not say is of 1970's start.
    #[must_use]
    pub fn created_s(&self) -> i64 {
        seconds(self.config.created.as_deref())
    }

    /// Whether it has no name with a tag.
    #[must_use]
    pub fn is_dangling(&self) -> bool {
        self.names.is_empty()
    }

    /// Its labels.
    #[must_use]
    pub fn labels(&self) -> BTreeMap<String, String> {
        self.config.config.as_ref().map(|config| config.labels.clone()).unwrap_or_default()
    }
}

pub(crate) fn seconds(time: Option<&str>) -> i64 {
    time.and_then(|time| time.parse::<Timestamp>().ok()).map_or(0, Timestamp::as_second)
}

/// One line of `docker history`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    /// Image id, or `<missing>`.
    pub id: String,
    /// Seconds since 1970.
    pub created_s: i64,
    /// The instruction.
    pub created_by: String,
    /// Names of that image, as users write them.
    pub tags: Vec<String>,
    /// Size of the layer's files.
    pub size_bytes: u64,
    /// Message.
    pub comment: String,
}

/// A container that uses an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageUser {
    /// Its id.
    pub container_id: String,
    /// Whether it runs.
    pub running: bool,
}

/// What happened to an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageEvent {
    /// What.
    pub action: ImageAction,
    /// The actor's id: the image's, or for a pull the name.
    pub id: String,
    /// `name` and the image's labels.
    pub attributes: BTreeMap<String, String>,
}

/// Actions of image events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ImageAction {
    /// Made by a build or a commit.
    Create,
    /// Deleted.
    Delete,
    /// Made from a root file system.
    Import,
    /// Came by `docker load`.
    Load,
    /// Came from a registry.
    Pull,
    /// Went to a registry.
    Push,
    /// Written by `docker save`.
    Save,
    /// Got a name.
    Tag,
    /// Lost a name.
    Untag,
}

impl ImageAction {
    /// Docker's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Delete => "delete",
            Self::Import => "import",
            Self::Load => "load",
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Save => "save",
            Self::Tag => "tag",
            Self::Untag => "untag",
        }
    }
}

/// Who is told about events; must not call back into `Images`.
pub type OnEvent = Arc<dyn Fn(ImageEvent) + Send + Sync>;
