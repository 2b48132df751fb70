//! What can go wrong between here and a registry, in Docker's words where clients match on them.

use std::{error::Error, io, sync::Arc};

use gantry_content::ContentError;
use gantry_distribution::DistributionError;
use gantry_fault::{Fault, Kind};
use gantry_oci::{Digest, ReferenceError};
use gantry_policy::Denied;
use gantry_store::StoreError;

use crate::{ImageError, ResolveError};

/// An error of a pull or a push.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// The registry, or the way to it.
    #[error(transparent)]
    Registry(#[from] DistributionError),
    /// The images here.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The image policy does not let it in.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The image policy wants signatures, and the registry could not be asked for them.
    #[error("cannot look for signatures of {name}")]
    Signatures {
        /// The image.
        name: String,
        /// The cause.
        #[source]
        source: Box<DistributionError>,
    },
    /// No image has the name here.
    #[error(transparent)]
    Resolve(#[from] ResolveError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A blob could not be read or written here.
    #[error(transparent)]
    Content(#[from] ContentError),
    /// A tag of the registry is none.
    #[error("invalid tag {tag:?}")]
    Tag {
        /// The tag.
        tag: String,
        /// What is wrong.
        #[source]
        source: ReferenceError,
    },
    /// An index has no image for a platform.
    #[error("no matching manifest for {0} in the manifest list entries")]
    NoPlatform(String),
    /// An image is for another platform than was asked for.
    #[error(
        "image with reference {reference} was found but its platform ({actual}) does not match the specified platform ({wanted})"
    )]
    Platform {
        /// The name.
        reference: String,
        /// What was asked for.
        wanted: String,
        /// What it is for.
        actual: String,
    },
    /// An image of another operating system.
    #[error("image operating system {0:?} cannot be used on this platform")]
    OtherOs(String),
    /// Something else than an image.
    #[error("{reference} is no image: its configuration is of type {media_type:?}")]
    Artifact {
        /// The name.
        reference: String,
        /// The type.
        media_type: String,
    },
    /// A document of a kind that is not read any more, or never was.
    #[error("{reference}: manifests of type {media_type:?} are not supported")]
    ManifestType {
        /// The name.
        reference: String,
        /// The type.
        media_type: String,
    },
    /// A document that is not what it must be.
    #[error("reading {what} {digest}")]
    Document {
        /// `manifest`, `configuration`.
        what: &'static str,
        /// Which.
        digest: Digest,
        /// The cause.
        #[source]
        source: serde_json::Error,
    },
    /// Nothing here is of the repository.
    #[error("An image does not exist locally with the tag: {0}")]
    NoRepository(String),
    /// Nothing here has the tag.
    #[error("tag does not exist: {0}")]
    NoTag(String),
    /// A blob that the registry had is there no more, nor is it here.
    #[error("{name}: the registry has no blob {digest} any more, and it is not here either")]
    Gone {
        /// The name.
        name: String,
        /// The blob.
        digest: Digest,
    },
    /// A push that needs a login.
    #[error("no basic auth credentials")]
    NoCredentials(DistributionError),
    /// A push by digest.
    #[error("cannot push a digest reference")]
    PushDigest,
    /// A stream here failed.
    #[error("{step}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// Work ended without an answer.
    #[error("the transfer was interrupted")]
    Interrupted,
    /// What another asker's download failed of.
    #[error(transparent)]
    Shared(Arc<Self>),
}

impl TransferError {
    /// Whether there was no room left on a disk here.
    pub(super) fn is_full(&self) -> bool {
        match self {
            Self::Shared(shared) => shared.is_full(),
            error => tells_of_space(error),
        }
    }
}

/// Looks for it among the causes, also within errors of streams, which hold ours.
fn tells_of_space(error: &(dyn Error + 'static)) -> bool {
    let full = |kind| matches!(kind, io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
    let io = error.downcast_ref::<io::Error>();
    io.is_some_and(|io| full(io.kind()))
        || io.and_then(io::Error::get_ref).is_some_and(|inner| tells_of_space(inner))
        || error.source().is_some_and(tells_of_space)
}

impl Fault for TransferError {
    fn kind(&self) -> Kind {
        match self {
            Self::Registry(error) | Self::NoCredentials(error) => error.kind(),
            Self::Signatures { source, .. } => source.kind(),
            Self::Image(error) => error.kind(),
            Self::Denied(error) => error.kind(),
            Self::Resolve(error) => error.kind(),
            Self::Store(error) => error.kind(),
            Self::Content(error) => error.kind(),
            Self::NoPlatform(_)
            | Self::Platform { .. }
            | Self::NoRepository(_)
            | Self::NoTag(_)
            | Self::Gone { .. } => Kind::NotFound,
            Self::OtherOs(_)
            | Self::Artifact { .. }
            | Self::ManifestType { .. }
            | Self::PushDigest => Kind::InvalidArgument,
            Self::Tag { .. } | Self::Document { .. } => Kind::DataLoss,
            Self::Io { .. } | Self::Interrupted => Kind::Internal,
            Self::Shared(error) => error.kind(),
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(error) => error.hint(),
            Self::Signatures { source, .. } => source.hint(),
            Self::Shared(error) => error.hint(),
            _ => None,
        }
    }
}
