//! Operations: one file each.

pub(crate) mod copy;
mod copy_files;
pub(crate) mod exec;
pub(crate) mod git;
pub(crate) mod http;
pub(crate) mod layer;
pub(crate) mod make_directory;
mod modes;
mod owner;
pub(crate) mod step_mounts;
pub(crate) mod unpack;
pub(crate) mod upper;

use std::sync::Arc;

use gantry_archive::ArchiveError;
use gantry_image::ImageError;
use gantry_oci::Digest;
use gantry_snapshot::SnapshotError;
use gantry_store::StoreError;

use self::{
    git::GitError, http::HttpError, layer::SharedLease, owner::OwnerError, upper::UpperError,
};
use crate::{
    ClientError,
    cache::record::Layer,
    trees::{TreeError, mirror::MirrorError},
};

/// An error that several builds may be told.
pub(crate) type Shared = Arc<OpError>;

/// The file system of a step that failed.
pub(crate) struct KeptRoot {
    /// Its layers.
    pub layers: Vec<Layer>,
    /// Keeps them.
    pub _lease: SharedLease,
}

impl std::fmt::Debug for KeptRoot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("KeptRoot").field(&self.layers.len()).finish()
    }
}

/// Why an operation gave no result.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpError {
    /// A command ended with a code that is a failure.
    #[error("process {command:?} did not complete successfully: exit code: {code}")]
    Exit {
        /// Its command line.
        command: String,
        /// Its code.
        code: i32,
        /// It ran out of memory.
        oom_killed: bool,
        /// Its file system with what it had changed, if that was to be kept.
        kept: Option<KeptRoot>,
        /// What it had printed last.
        last_output: String,
    },
    /// A command could not be started.
    #[error("process {command:?} did not complete successfully: {reason}")]
    NotStarted {
        /// Its command line.
        command: String,
        /// The runtime's words.
        reason: String,
    },
    /// An image could not be had from its registry.
    #[error("{0}")]
    Registry(String),
    /// Files could not be found or read.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// Files could not be written.
    #[error(transparent)]
    Upper(#[from] UpperError),
    /// An owner is none.
    #[error(transparent)]
    Owner(#[from] OwnerError),
    /// An archive could not be unpacked.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// A layer could not be made or shown.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// An image or its layers.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What the client has sent.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// The client did not give something.
    #[error("{what}")]
    Client {
        /// What.
        what: String,
        /// Why not.
        #[source]
        source: ClientError,
    },
    /// A repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A file behind a URL.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A secret that a step cannot do without.
    #[error("secret {0}: not found")]
    Secret(String),
    /// An agent that a step cannot do without.
    #[error("unset ssh forward key {0}")]
    Ssh(String),
    /// A layer that a record names is not here.
    #[error("layer {0} is not here any more")]
    Layer(Digest),
    /// A blob is not of the layer that it is said to be of.
    #[error("the blob is not of that layer")]
    NotTheLayer,
    /// A layer that an imported cache names cannot be had of it.
    #[error("taking layer {layer} from the cache in {place}")]
    Imported {
        /// Its digest.
        layer: Digest,
        /// Where the cache is.
        place: String,
        /// Why not.
        #[source]
        source: Box<OpError>,
    },
    /// A context that there is not.
    #[error("the build has no context {0:?}")]
    NoContext(String),
    /// A context is no tree of files.
    #[error("context {0:?} is no directory of files")]
    NotATree(String),
    /// A mount cannot be made.
    #[error("mounting {target}")]
    Mount {
        /// Where.
        target: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The graph asks for what cannot be.
    #[error("invalid build graph: {0}")]
    Graph(&'static str),
    /// The build does not allow what the graph asks for.
    #[error("{0} is not allowed")]
    NotAllowed(&'static str),
    /// Something of ours could not be read or written.
    #[error("{step}")]
    Io {
        /// What was being done.
        step: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The daemon has a fault, which cost nobody else anything.
    #[error("the work broke off: the daemon's log says why")]
    BrokeOff,
    /// The build was cancelled.
    #[error("context canceled")]
    Cancelled,
}

impl OpError {
    pub(crate) fn io(step: &'static str) -> impl Fn(std::io::Error) -> Self {
        move |source| Self::Io { step, source }
    }

    /// Whether it is only the consequence of a cancellation.
    pub(crate) fn is_cancelled(&self) -> bool {
        matches!(self, Self::Cancelled | Self::Upper(UpperError::Stopped))
            || matches!(self, Self::Client { source: ClientError::Gone, .. })
            || matches!(self, Self::Mirror(MirrorError::Client(ClientError::Gone)))
    }
}
