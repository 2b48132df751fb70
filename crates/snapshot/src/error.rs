//! What can go wrong with snapshots.

use std::{
    io,
    path::{Path, PathBuf},
};

use gantry_archive::ArchiveError;
use gantry_fault::{Fault, Kind};
use gantry_oci::{Digest, DigestError};
use gantry_sys::overlay::Refused;

/// An error of the snapshots.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// An id that is no file name.
    #[error("invalid container id {0:?}")]
    BadId(String),
    /// An id that is taken.
    #[error("container {0} has a root file system already")]
    Exists(String),
    /// A container without directories here.
    #[error("container {0} has no root file system")]
    NoContainer(String),
    /// A layer that is not unpacked.
    #[error("layer {0} is not unpacked")]
    NoLayer(Digest),
    /// The list of a container's layers is damaged.
    #[error("reading {}", path.display())]
    BadLayers {
        /// The list.
        path: PathBuf,
        /// The cause.
        #[source]
        source: DigestError,
    },
    /// A layer or tree could not be unpacked, packed or read.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The kernel refused a mount.
    #[error(transparent)]
    Mount(#[from] Refused),
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

impl SnapshotError {
    pub(crate) fn io(step: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { step, path: path.clone(), source }
    }
}

impl Fault for SnapshotError {
    fn kind(&self) -> Kind {
        match self {
            Self::BadId(_) => Kind::InvalidArgument,
            Self::Exists(_) => Kind::Conflict,
            Self::NoContainer(_) | Self::NoLayer(_) => Kind::NotFound,
            Self::BadLayers { .. } => Kind::DataLoss,
            Self::Archive(error) => error.kind(),
            Self::Mount(_) | Self::Io { .. } => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Archive(error) => error.hint(),
            _ => None,
        }
    }
}
