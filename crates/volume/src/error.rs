//! What can go wrong with volumes, in Docker's words.

use std::{
    io,
    path::{Path, PathBuf},
};

use gantry_archive::ArchiveError;
use gantry_fault::{Fault, Kind};
use gantry_store::StoreError;

use crate::{MountError, PluginError};

/// An error of the volumes.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
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
    /// Another driver has a volume of this name.
    #[error(
        "create {name}: driver '{driver}' already has volume '{name}': volume name must be unique"
    )]
    Taken {
        /// The volume.
        name: String,
        /// The driver that has it.
        driver: String,
    },
    /// A volume that is to be made is there.
    #[error("create {0}: volume already exists")]
    Exists(String),
    /// An option that the local driver does not know.
    #[error("create {name}: invalid option: {option:?}")]
    BadOption {
        /// The volume.
        name: String,
        /// The option.
        option: String,
    },
    /// An option that another one needs.
    #[error("create {name}: missing required option: {option:?}")]
    MissingOption {
        /// The volume.
        name: String,
        /// The missing one.
        option: String,
    },
    /// A value that an option cannot have.
    #[error("create {name}: invalid {option}: '{value}'")]
    BadValue {
        /// The volume.
        name: String,
        /// The option.
        option: String,
        /// Its value.
        value: String,
    },
    /// An option that is for volumes of our own alone.
    #[error("create {name}: option {option:?} does not go with a mount of another's files")]
    ForeignOption {
        /// The volume.
        name: String,
        /// The option.
        option: String,
    },
    /// The file system cannot limit a directory.
    #[error(
        "create {name}: quota size requested but no quota support: mount the file system of {} with project quota (prjquota; ext4 or xfs), or limit a volume in memory: type=tmpfs, device=tmpfs, size=", dir.display()
    )]
    NoQuota {
        /// The volume.
        name: String,
        /// Where volumes are.
        dir: PathBuf,
    },
    /// What the options name could not be mounted or unmounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// Something is mounted in it that does not go.
    #[error("remove {name}: something is mounted at {}", path.display())]
    Mounted {
        /// The volume.
        name: String,
        /// Where.
        path: PathBuf,
    },
    /// A plugin, or that there is none.
    #[error("{step} {name}: {source}")]
    Plugin {
        /// `create`, `get`, `remove`.
        step: &'static str,
        /// The volume.
        name: String,
        /// Why.
        source: PluginError,
    },
    /// A plugin did not mount or unmount.
    #[error(transparent)]
    PluginMount(PluginError),
    /// A restore would mix with what is there.
    #[error("restore {0}: volume is not empty")]
    NotEmpty(String),
    /// A restore or clone of a volume that containers write to.
    #[error("restore {name}: volume is in use - [{}]", containers.join(", "))]
    Busy {
        /// The volume.
        name: String,
        /// The containers' ids.
        containers: Vec<String>,
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

    pub(crate) fn plugin(step: &'static str, name: &str) -> impl Fn(PluginError) -> Self + use<> {
        let name = name.to_owned();
        move |source| Self::Plugin { step, name: name.clone(), source }
    }
}

impl Fault for VolumeError {
    fn kind(&self) -> Kind {
        match self {
            Self::NotFound(_) => Kind::NotFound,
            Self::InUse { .. }
            | Self::Taken { .. }
            | Self::Exists(_)
            | Self::Mounted { .. }
            | Self::NotEmpty(_)
            | Self::Busy { .. } => Kind::Conflict,
            Self::BadName(_)
            | Self::ShortName(_)
            | Self::BadOption { .. }
            | Self::MissingOption { .. }
            | Self::BadValue { .. }
            | Self::ForeignOption { .. }
            | Self::NoQuota { .. } => Kind::InvalidArgument,
            Self::Plugin { source, .. } | Self::PluginMount(source) => source.kind(),
            Self::Store(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Mount(_) | Self::Random(_) | Self::Io { .. } => Kind::Internal,
        }
    }
}
