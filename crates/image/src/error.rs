//! What can go wrong with images, in Docker's words where clients match on them.

use std::io;

use gantry_archive::ArchiveError;
use gantry_content::ContentError;
use gantry_fault::{Fault, Kind};
use gantry_oci::{Digest, DigestError, ReferenceError};
use gantry_policy::{Denied, PolicyError};
use gantry_snapshot::SnapshotError;
use gantry_store::StoreError;

use crate::changes::ChangeError;

/// Why a name gives no image.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// Nothing has the name or id.
    #[error("No such image: {0}")]
    NotFound(String),
    /// It is no name at all.
    #[error(transparent)]
    Invalid(#[from] ReferenceError),
}

impl Fault for ResolveError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::Invalid(_) => Kind::InvalidArgument,
        }
    }
}

/// An error of making, loading, saving or naming images.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// No such image.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blob could not be read or written.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A layer could not be unpacked.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// An archive is broken.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A change for import or commit is wrong.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// The image policy does not let it in.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// Nobody knows what the image policy wants.
    #[error("no image may come: the image policy cannot be used")]
    Policy(#[from] PolicyError),
    /// Nothing to name: the reference has a digest.
    #[error("refusing to create a tag with a digest reference")]
    DigestTag,
    /// An archive without a table of contents.
    #[error("invalid archive: it has neither manifest.json nor index.json")]
    NoManifest,
    /// A document in an archive is no JSON of its kind.
    #[error("invalid archive: reading {name}")]
    Document {
        /// The document.
        name: String,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// A document or layer that the archive refers to is not in it.
    #[error("invalid archive: {0} is missing")]
    Missing(String),
    /// A document larger than any honest one.
    #[error("invalid archive: {0} is too large")]
    TooLarge(String),
    /// A blob that is not what its name says.
    #[error("invalid archive: {name}")]
    Digest {
        /// The blob.
        name: String,
        /// The cause.
        #[source]
        source: DigestError,
    },
    /// Layers and their list in the configuration differ in number.
    #[error("invalid manifest, layers length mismatch: expected {expected}, got {actual}")]
    LayerCount {
        /// In the configuration.
        expected: usize,
        /// In the manifest.
        actual: usize,
    },
    /// A layer is not the one that the configuration lists.
    #[error("invalid diffID for layer {index}: expected {expected:?}, got {actual:?}")]
    DiffId {
        /// Which layer, from the bottom.
        index: usize,
        /// In the configuration.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// An image of another operating system.
    #[error("cannot load {0} image on linux")]
    OtherOs(String),
    /// A name in an archive that is none.
    #[error("invalid tag {tag:?}")]
    Tag {
        /// The name.
        tag: String,
        /// The cause.
        #[source]
        source: ReferenceError,
    },
    /// No image in an index is for this machine.
    #[error("no image for platform {0} in the archive")]
    NoPlatform(String),
    /// A layer's thread ended without an answer.
    #[error("unpacking was interrupted")]
    Interrupted,
    /// A stream could not be read or written.
    #[error("{step}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl ImageError {
    pub(crate) fn io(step: &'static str) -> impl Fn(io::Error) -> Self {
        move |source| Self::Io { step, source }
    }
}

impl From<io::Error> for ImageError {
    fn from(source: io::Error) -> Self {
        Self::Archive(ArchiveError::Write(source))
    }
}

impl Fault for ImageError {
    fn kind(&self) -> Kind {
        match self {
            Self::Resolve(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Denied(_) | Self::Policy(_) => Kind::Forbidden,
            Self::Interrupted | Self::Io { .. } => Kind::Internal,
            _ => Kind::InvalidArgument,
        }
    }
}

/// Why an image or a name stays.
#[derive(Debug, thiserror::Error)]
pub enum RemoveError {
    /// No such image.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// A container uses it by this, its last name.
    #[error(
        "conflict: unable to remove repository reference {name:?} (must force) - container {container} is using its referenced image {image}"
    )]
    NameInUse {
        /// As it was given.
        name: String,
        /// Short id of the container.
        container: String,
        /// Short id of the image.
        image: String,
    },
    /// Something needs the image.
    #[error(
        "conflict: unable to delete {image} ({}) - {reason}",
        if *hard { "cannot be forced" } else { "must be forced" }
    )]
    InUse {
        /// Short id of the image.
        image: String,
        /// Whether force does not help.
        hard: bool,
        /// What needs it.
        reason: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Blobs could not be deleted.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// Layers could not be deleted.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
}

impl Fault for RemoveError {
    fn kind(&self) -> Kind {
        match self {
            Self::Resolve(error) => error.kind(),
            Self::NameInUse { .. } | Self::InUse { .. } => Kind::Conflict,
            Self::Store(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::Snapshot(error) => error.kind(),
        }
    }
}
