//! What can go wrong with volumes, in Docker's words.

use std::{
    io,
    path::{Path, PathBuf},
};

use gantry_archive::ArchiveError;
use gantry_fault::{Fault, Kind};
use gantry_store::StoreError;

/// An error of the volumes.
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// No volume has the name.
    #[error("get {0}: no such volume")]
    NotFound(String),
    /// Containers use it.
    #[error("remove {name}: volume is in use - [{}]", containers.join(", "))]
    InUse {
        /// The volume.
        name: String,
        /// The containers' ids.
        containers: Vec<String>,
    },
    /// A name with characters that are not allowed.
    #[error(
        "create {0}: {0:?} includes invalid characters for a local volume name, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed. If you intended to pass a host directory, use absolute path"
    )]
    BadName(String),
    /// A name of one letter.
    #[error(
        "create {0}: volume name is too short, names should be at least two alphanumeric characters"
    )]
    ShortName(String),
    /// A driver that is not built in.
    #[error("volume driver {0:?} is not implemented")]
    Driver(String),
    /// An option of Docker's that is not done.
    #[error("option {0:?} of the local volume driver is not implemented")]
    Option(String),
    /// An option that Docker does not know either.
    #[error("create {name}: invalid option: {option:?}")]
    BadOption {
        /// The volume.
        name: String,
        /// The option.
        option: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Content could not be copied or counted.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The kernel gave no random bytes.
    #[error("making a volume name")]
    Random(#[source] io::Error),
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

impl VolumeError {
    pub(crate) fn io(step: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { step, path: path.clone(), source }
    }
}

impl Fault for VolumeError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::InUse { .. } => Kind::Conflict,
            Self::BadName(_) | Self::ShortName(_) | Self::BadOption { .. } => Kind::InvalidArgument,
            Self::Driver(_) | Self::Option(_) => Kind::NotImplemented,
            Self::Store(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Random(_) | Self::Io { .. } => Kind::Internal,
        }
    }
}
