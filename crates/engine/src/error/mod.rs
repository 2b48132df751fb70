//! Errors by operation family. `Display` is Docker's text where clients match on it.

mod life;
mod streams;

pub use life::{ChangeError, CreateError, RemoveError, StartError};
pub use streams::{AttachError, ExecError, FileError, ObserveError};

use gantry_api_types::Filters;
use gantry_api_types::filters::FilterError;
use gantry_fault::{Fault, Kind};

/// A name that gives no container, exec or network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No container has this id, name or id prefix.
    #[error("No such container: {0}")]
    NoContainer(String),
    /// An id prefix that several containers have.
    #[error("multiple IDs found with provided prefix: {0}")]
    Ambiguous(String),
    /// No exec has this id.
    #[error("No such exec instance: {0}")]
    NoExec(String),
    /// No network, or more than one, goes by this name or id.
    #[error(transparent)]
    Network(#[from] gantry_network::FindError),
}

impl Fault for LookupError {
    fn kind(&self) -> Kind {
        match self {
            LookupError::Ambiguous(_) => Kind::InvalidArgument,
            LookupError::Network(error) => error.kind(),
            _ => Kind::NotFound,
        }
    }
}

/// Why a network was not made, removed, or a container not connected to it or disconnected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkFault {
    /// Which container or network.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// Which network.
    #[error(transparent)]
    Find(#[from] gantry_network::FindError),
    /// Making it.
    #[error(transparent)]
    Create(#[from] gantry_network::CreateError),
    /// Removing it.
    #[error(transparent)]
    Remove(#[from] gantry_network::RemoveError),
    /// Connecting or disconnecting.
    #[error(transparent)]
    Join(#[from] gantry_network::JoinError),
    /// Looking at it.
    #[error(transparent)]
    Network(#[from] gantry_network::NetworkError),
    /// A part of the request.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// What the container is or has does not go with it.
    #[error("{0}")]
    Conflict(String),
    /// Never allowed.
    #[error("{0}")]
    Forbidden(String),
    /// A file of the container.
    #[error("writing {path}")]
    File {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The record could not be written.
    #[error("recording the container")]
    Store(#[from] gantry_store::StoreError),
    /// The driver has ended: the container is gone or the engine shuts down.
    #[error("No such container: {0}")]
    Gone(String),
}

impl Fault for NetworkFault {
    fn kind(&self) -> Kind {
        match self {
            NetworkFault::Lookup(error) => error.kind(),
            NetworkFault::Find(error) => error.kind(),
            NetworkFault::Create(error) => error.kind(),
            NetworkFault::Remove(error) => error.kind(),
            NetworkFault::Join(error) => error.kind(),
            NetworkFault::Invalid(_) => Kind::InvalidArgument,
            NetworkFault::Conflict(_) => Kind::Conflict,
            NetworkFault::Forbidden(_) => Kind::Forbidden,
            NetworkFault::File { .. } | NetworkFault::Network(_) => Kind::Internal,
            NetworkFault::Store(error) => error.kind(),
            NetworkFault::Gone(_) => Kind::NotFound,
        }
    }
}

/// A request that says something that cannot be; shared by create, update and exec.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Fault for Invalid {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// Why a list, prune or subscription was refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// A filter.
    #[error(transparent)]
    Filter(#[from] FilterError),
    /// A container named by `before` or `since`.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A prune that is running already.
    #[error("a prune operation is already running")]
    PruneRunning,
}

impl QueryError {
    /// The error for a value of a key.
    pub(crate) fn value(filters: &Filters, key: &str) -> Self {
        Self::Filter(filters.value_error(key))
    }
}

impl Fault for QueryError {
    fn kind(&self) -> Kind {
        match self {
            QueryError::Filter(_) => Kind::InvalidArgument,
            QueryError::Lookup(error) => error.kind(),
            QueryError::PruneRunning => Kind::Conflict,
        }
    }
}

/// Why the daemon's own figures could not be had: info, disk usage.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SystemError {
    /// A volume's size.
    #[error(transparent)]
    Volume(#[from] gantry_volume::VolumeError),
    /// A container's size.
    #[error(transparent)]
    Snapshot(#[from] gantry_snapshot::SnapshotError),
    /// A list.
    #[error(transparent)]
    Query(#[from] QueryError),
}

impl Fault for SystemError {
    fn kind(&self) -> Kind {
        match self {
            SystemError::Volume(error) => error.kind(),
            SystemError::Snapshot(error) => error.kind(),
            SystemError::Query(error) => error.kind(),
        }
    }
}

/// Why the engine did not come up.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// The records.
    #[error("reading the containers' records")]
    Store(#[from] gantry_store::StoreError),
    /// A directory.
    #[error("creating {path}")]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The tasks directory.
    #[error("reading the tasks directory")]
    Tasks(#[source] std::io::Error),
    /// The network.
    #[error("taking over the network")]
    Network(#[from] gantry_network::NetworkError),
    /// The default log driver.
    #[error(transparent)]
    Log(#[from] gantry_logs::LogConfigError),
    /// The seccomp profile of the daemon.
    #[error("reading seccomp profile {path}")]
    Seccomp {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Fault for RecoverError {
    fn kind(&self) -> Kind {
        match self {
            RecoverError::Store(error) => error.kind(),
            RecoverError::Log(_) => Kind::InvalidArgument,
            _ => Kind::Internal,
        }
    }
}
