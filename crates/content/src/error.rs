//! What can go wrong with blobs.

use std::{
    io,
    path::{Path, PathBuf},
};

use gantry_fault::{Fault, Kind};
use gantry_oci::Digest;

/// An error of the content store.
#[derive(Debug, thiserror::Error)]
pub enum ContentError {
    /// A blob that is not here.
    #[error("blob {0} not found")]
    NotFound(Digest),
    /// Data that does not hash to what was promised.
    #[error("blob has digest {actual}, expected {expected}")]
    Mismatch {
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// Data of another size than promised.
    #[error("blob {digest} has {actual} bytes, expected {expected}")]
    Size {
        /// The blob.
        digest: Digest,
        /// What was promised.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// A blob too large to be held in memory.
    #[error("blob {digest} has {size} bytes, at most {limit} are read")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// A name for a partial blob outside its grammar.
    #[error("invalid ingest name {0:?}")]
    BadName(String),
    /// Another writer has the same partial blob.
    #[error("ingest {0:?} is in use")]
    Busy(String),
    /// The file system failed.
    #[error("{step} {}", path.display())]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl ContentError {
    pub(crate) fn io(step: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { step, path: path.to_owned(), source }
    }
}

impl Fault for ContentError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::Mismatch { .. } | Self::Size { .. } | Self::TooLarge { .. } => Kind::DataLoss,
            Self::BadName(_) => Kind::InvalidArgument,
            Self::Busy(_) => Kind::Conflict,
            Self::Io { .. } => Kind::Internal,
        }
    }
}
