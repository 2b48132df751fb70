//! Errors of what reaches into a container: attach, logs, exec, figures, files.

use gantry_fault::{Fault, Kind};

use super::{ChangeError, Invalid, LookupError};

/// Why a client was not attached, or has no logs.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AttachError {
    /// The container is frozen.
    #[error("container {0} is paused, unpause the container before attach")]
    Paused(String),
    /// The container is between two runs.
    #[error("container {0} is restarting, wait until the container is running before attach")]
    Restarting(String),
    /// Detach keys that are none.
    #[error("Invalid detach keys ({0}) provided: invalid escape keys")]
    DetachKeys(String),
    /// Logs of neither stream.
    #[error("Bad parameters: you must choose at least one stream")]
    NoStream,
    /// The log driver keeps nothing to read.
    #[error("configured logging driver does not support reading")]
    Unreadable,
    /// The log cannot be read.
    #[error("reading the log of container {id}")]
    Log {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The streams could not be made.
    #[error("attaching to container {id}")]
    Streams {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The task refused.
    #[error("attaching to container {id}")]
    Task {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: gantry_task::TaskError,
    },
}

impl Fault for AttachError {
    fn kind(&self) -> Kind {
        match self {
            AttachError::Paused(_) | AttachError::Restarting(_) => Kind::Conflict,
            AttachError::DetachKeys(_) | AttachError::NoStream => Kind::InvalidArgument,
            AttachError::Unreadable => Kind::NotImplemented,
            AttachError::Log { .. } | AttachError::Streams { .. } | AttachError::Task { .. } => {
                Kind::Internal
            }
        }
    }
}

/// Why an exec was not made, started or resized.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The container does not run, or is frozen or restarting.
    #[error("{0}")]
    Container(String),
    /// No command.
    #[error("No exec command specified")]
    NoCommand,
    /// It has run before.
    #[error("exec command {0} has already run")]
    AlreadyRun(String),
    /// It runs already.
    #[error("exec command {0} is already running")]
    Running(String),
    /// It is not running (resize).
    #[error("exec {0} is not running")]
    NotRunning(String),
    /// The process could not be started.
    #[error("OCI runtime exec failed: exec failed: {message}")]
    Runtime {
        /// The step.
        kind: gantry_task::StartKind,
        /// The runtime's words.
        message: String,
    },
    /// The task failed otherwise.
    #[error("exec failed")]
    Task(#[source] gantry_task::ExecError),
    /// The terminal.
    #[error("cannot resize exec {id}")]
    Resize {
        /// The exec.
        id: String,
        /// Why.
        #[source]
        source: gantry_task::TaskError,
    },
    /// A part of the request.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// Another container is gone.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// The streams could not be made.
    #[error("attaching to exec {id}")]
    Streams {
        /// The exec.
        id: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Fault for ExecError {
    fn kind(&self) -> Kind {
        use gantry_task::StartKind as Step;
        match self {
            ExecError::Container(_) | ExecError::AlreadyRun(_) | ExecError::Running(_) => {
                Kind::Conflict
            }
            ExecError::NoCommand
            | ExecError::NotRunning(_)
            | ExecError::Invalid(_)
            | ExecError::Runtime {
                kind: Step::NotFound | Step::NotExecutable | Step::BadCwd | Step::User,
                ..
            } => Kind::InvalidArgument,
            ExecError::Lookup(error) => error.kind(),
            ExecError::Runtime { .. }
            | ExecError::Task(_)
            | ExecError::Resize { .. }
            | ExecError::Streams { .. } => Kind::Internal,
        }
    }
}

/// Why processes or figures could not be read: top, stats.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ObserveError {
    /// It does not run.
    #[error("container {0} is not running")]
    NotRunning(String),
    /// It is between two runs.
    #[error("container {0} is restarting, wait until the container is running")]
    Restarting(String),
    /// Arguments of `ps` that cannot be.
    #[error("{0}")]
    PsArgs(String),
    /// The control group could not be read.
    #[error("reading the control group of container {id}")]
    Cgroup {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: gantry_cgroup::CgroupError,
    },
    /// A file of the kernel could not be read.
    #[error("reading {path}")]
    Read {
        /// The file.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Fault for ObserveError {
    fn kind(&self) -> Kind {
        match self {
            ObserveError::NotRunning(_) | ObserveError::Restarting(_) => Kind::Conflict,
            ObserveError::PsArgs(_) => Kind::InvalidArgument,
            ObserveError::Cgroup { .. } | ObserveError::Read { .. } => Kind::Internal,
        }
    }
}

/// Why files of a container were not read or written: archive, changes, export, commit.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FileError {
    /// The path, or the archive.
    #[error(transparent)]
    Archive(#[from] gantry_archive::ArchiveError),
    /// No such path in the container.
    #[error("Could not find the file {path} in container {container}")]
    NoSuchPath {
        /// The path.
        path: String,
        /// The container as the client named it.
        container: String,
    },
    /// The root file system or a volume is mounted read-only.
    #[error("{0} is marked read-only")]
    ReadOnly(&'static str),
    /// The root file system.
    #[error("opening the root file system")]
    Snapshot(#[from] gantry_snapshot::SnapshotError),
    /// The image could not be made.
    #[error(transparent)]
    Image(#[from] gantry_image::ImageError),
    /// A part of the request.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The container could not be paused for it.
    #[error(transparent)]
    Pause(#[from] ChangeError),
    /// A volume could not be mounted.
    #[error(transparent)]
    Volume(#[from] gantry_volume::VolumeError),
    /// The root of the running container.
    #[error("opening the root of container {id}")]
    Root {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl Fault for FileError {
    fn kind(&self) -> Kind {
        match self {
            FileError::Archive(error) => error.kind(),
            FileError::NoSuchPath { .. } => Kind::NotFound,
            FileError::ReadOnly(_) | FileError::Invalid(_) => Kind::InvalidArgument,
            FileError::Snapshot(error) => error.kind(),
            FileError::Image(error) => error.kind(),
            FileError::Pause(error) => error.kind(),
            FileError::Volume(error) => error.kind(),
            FileError::Root { .. } => Kind::Internal,
        }
    }
}
