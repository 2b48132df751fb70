//! Errors of the life cycle: create, start, change, remove.

use gantry_fault::{Fault, Kind, chain};

use super::{Invalid, LookupError};
use crate::container::phase::Reject;
use crate::container::restart_policy::PolicyError;

/// Why a container was not made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The name does not fit Docker's pattern.
    #[error("Invalid container name ({0}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    InvalidName(String),
    /// The name belongs to another container.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{holder}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Id of the container that has it.
        holder: String,
    },
    /// Neither request nor image says what to run.
    #[error("no command specified")]
    NoCommand,
    /// The image.
    #[error(transparent)]
    Image(#[from] gantry_image::ResolveError),
    /// The image is for another platform than asked for.
    #[error(
        "image with reference {image} was found but its platform ({found}) does not match the specified platform ({wanted})"
    )]
    Platform {
        /// As the client named it.
        image: String,
        /// What it is for.
        found: String,
        /// What was asked for.
        wanted: String,
    },
    /// A part of the request.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The restart policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The log driver or its options.
    #[error(transparent)]
    Log(#[from] gantry_logs::LogConfigError),
    /// Another container that the request names.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A feature that is not there.
    #[error("{0} is not implemented")]
    NotImplemented(String),
    /// The root file system could not be made.
    #[error("preparing the root file system")]
    Snapshot(#[from] gantry_snapshot::SnapshotError),
    /// A volume could not be made or filled.
    #[error(transparent)]
    Volume(#[from] gantry_volume::VolumeError),
    /// The record could not be written.
    #[error("recording the container")]
    Store(#[from] gantry_store::StoreError),
    /// A directory of the container could not be made.
    #[error("creating {path}")]
    Directory {
        /// The directory.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// A worker ended before its time.
    #[error("engine is shutting down")]
    Closed,
}

impl Fault for CreateError {
    fn kind(&self) -> Kind {
        match self {
            CreateError::InvalidName(_)
            | CreateError::NoCommand
            | CreateError::Policy(_)
            | CreateError::Log(_) => Kind::InvalidArgument,
            CreateError::NameInUse { .. } => Kind::Conflict,
            CreateError::Image(error) => error.kind(),
            CreateError::Platform { .. } => Kind::NotFound,
            CreateError::Invalid(error) => error.kind(),
            // "Not found" is the image alone: clients answer it by pulling.
            CreateError::Lookup(_) => Kind::InvalidArgument,
            CreateError::Volume(error) if error.kind() == Kind::NotFound => Kind::InvalidArgument,
            CreateError::NotImplemented(_) => Kind::NotImplemented,
            CreateError::Snapshot(error) => error.kind(),
            CreateError::Volume(error) => error.kind(),
            CreateError::Store(error) => error.kind(),
            CreateError::Directory { .. } => Kind::Internal,
            CreateError::Closed => Kind::Unavailable,
        }
    }
}

/// Why a container was not started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The phase does not allow it; [`Kind::NotModified`] when it runs already.
    #[error("{words}")]
    Rejected {
        /// Why.
        reject: Reject,
        /// Docker's text.
        words: String,
    },
    /// The runtime could not start the process.
    #[error(
        "failed to create task for container: failed to create shim task: OCI runtime create failed: {message}"
    )]
    Runtime {
        /// The step.
        kind: gantry_task::StartKind,
        /// The runtime's words.
        message: String,
    },
    /// The runtime or its shim failed otherwise.
    #[error("failed to create task for container")]
    Task(#[source] gantry_task::RunError),
    /// The container's configuration cannot be brought up.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// A container whose namespace is to be joined.
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// A container whose namespace is to be joined does not run.
    #[error("cannot join {what} of a non running container: {id}")]
    NotJoinable {
        /// `network`, `PID`, `IPC`.
        what: &'static str,
        /// The other container.
        id: String,
    },
    /// A network, or the place on it.
    #[error("failed to set up container networking")]
    Network(#[source] gantry_network::JoinError),
    /// A port.
    #[error(
        "failed to set up container networking: driver failed programming external connectivity on endpoint {name} ({id})"
    )]
    Publish {
        /// The container's name.
        name: String,
        /// The container's id.
        id: String,
        /// Why.
        #[source]
        source: gantry_network::JoinError,
    },
    /// The root file system.
    #[error("mounting the root file system")]
    Snapshot(#[from] gantry_snapshot::SnapshotError),
    /// A volume.
    #[error(transparent)]
    Volume(#[from] gantry_volume::VolumeError),
    /// A volume could not be mounted.
    #[error("error while mounting volume '{}'", path.display())]
    VolumeMount {
        /// Where.
        path: std::path::PathBuf,
        /// Why.
        #[source]
        source: gantry_volume::VolumeError,
    },
    /// A part of a volume.
    #[error("cannot access path {}: {why}", path.display())]
    Subpath {
        /// Which.
        path: std::path::PathBuf,
        /// The kernel's words.
        why: String,
    },
    /// The seccomp profile.
    #[error("seccomp profile")]
    Seccomp(#[from] gantry_seccomp::SeccompError),
    /// A file of the container.
    #[error("{step} {path}")]
    File {
        /// What was being done.
        step: &'static str,
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

impl StartError {
    /// The exit code that Docker gives a container that did not start: 127 for a program that
    /// does not exist, 126 for one that cannot be executed, 128 for everything else.
    #[must_use]
    pub fn exit_code(&self) -> i32 {
        use gantry_task::StartKind as Step;
        match self {
            StartError::Runtime { kind: Step::NotFound, .. } => 127,
            StartError::Runtime { kind: Step::NotExecutable | Step::BadCwd, .. } => 126,
            StartError::Runtime { kind: Step::Mount, message }
                if message.contains("not a directory") =>
            {
                127
            }
            _ => 128,
        }
    }

    /// The text of `State.Error`: the whole chain.
    #[must_use]
    pub fn state_error(&self) -> String {
        chain(self)
    }
}

impl Fault for StartError {
    fn kind(&self) -> Kind {
        use gantry_task::StartKind as Step;
        match self {
            StartError::Rejected { reject, .. } => reject.kind(),
            StartError::Runtime {
                kind: Step::NotFound | Step::NotExecutable | Step::BadCwd,
                ..
            }
            | StartError::Invalid(_)
            | StartError::Seccomp(_) => Kind::InvalidArgument,
            StartError::Runtime { kind: Step::Mount, message }
                if message.contains("not a directory") =>
            {
                Kind::InvalidArgument
            }
            StartError::Lookup(error) => error.kind(),
            StartError::NotJoinable { .. } => Kind::Conflict,
            StartError::Network(error) => error.kind(),
            StartError::Snapshot(error) => error.kind(),
            StartError::Volume(error) => error.kind(),
            StartError::Store(error) => error.kind(),
            StartError::Gone(_) => Kind::NotFound,
            StartError::Runtime { .. }
            | StartError::Task(_)
            | StartError::Publish { .. }
            | StartError::VolumeMount { .. }
            | StartError::Subpath { .. }
            | StartError::File { .. } => Kind::Internal,
        }
    }
}

/// Why a running container was not changed: stop, kill, pause, rename, update, resize.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The phase does not allow it; [`Kind::NotModified`] when it is so already.
    #[error("{words}")]
    Rejected {
        /// Why.
        reject: Reject,
        /// Docker's text.
        words: String,
    },
    /// A signal that is none.
    #[error("invalid signal: {0}")]
    Signal(String),
    /// The signal could not be sent.
    #[error("cannot kill container: {id}")]
    Kill {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: gantry_task::TaskError,
    },
    /// The process did not go.
    #[error(
        "cannot stop container: {0}: tried to kill container, but did not receive an exit event"
    )]
    Undead(String),
    /// The control group refused.
    #[error("Cannot update container {id}")]
    Cgroup {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: gantry_cgroup::CgroupError,
    },
    /// The processes could not be frozen or thawed.
    #[error("Cannot {what} container {id}")]
    Freeze {
        /// `pause` or `unpause`.
        what: &'static str,
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: gantry_cgroup::CgroupError,
    },
    /// The terminal.
    #[error("cannot resize container {id}")]
    Resize {
        /// The container.
        id: String,
        /// Why.
        #[source]
        source: gantry_task::TaskError,
    },
    /// A part of the request.
    #[error(transparent)]
    Invalid(#[from] Invalid),
    /// The restart policy.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// The new name.
    #[error("Error when allocating new name")]
    Name(#[source] Box<CreateError>),
    /// The second half of a restart.
    #[error(transparent)]
    Start(Box<StartError>),
    /// The record could not be written.
    #[error("recording the container")]
    Store(#[from] gantry_store::StoreError),
    /// The driver has ended: the container is gone or the engine shuts down.
    #[error("No such container: {0}")]
    Gone(String),
}

impl Fault for ChangeError {
    fn kind(&self) -> Kind {
        match self {
            ChangeError::Rejected { reject, .. } => reject.kind(),
            ChangeError::Signal(_) | ChangeError::Invalid(_) | ChangeError::Policy(_) => {
                Kind::InvalidArgument
            }
            ChangeError::Name(error) => error.kind(),
            ChangeError::Start(error) => error.kind(),
            ChangeError::Store(error) => error.kind(),
            ChangeError::Gone(_) => Kind::NotFound,
            ChangeError::Resize { source: gantry_task::TaskError::NotRunning(_), .. } => {
                Kind::Conflict
            }
            ChangeError::Kill { .. }
            | ChangeError::Undead(_)
            | ChangeError::Cgroup { .. }
            | ChangeError::Freeze { .. }
            | ChangeError::Resize { .. } => Kind::Internal,
        }
    }
}

/// Why a container was not removed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// The phase does not allow it.
    #[error("{words}")]
    Rejected {
        /// Why.
        reject: Reject,
        /// Docker's text.
        words: String,
    },
    /// Another removal is on its way.
    #[error("removal of container {0} is already in progress")]
    InProgress(String),
    /// The program could not be killed for it.
    #[error("cannot remove container \"/{name}\": could not kill container")]
    Kill {
        /// The container's name.
        name: String,
        /// Why.
        #[source]
        source: gantry_task::TaskError,
    },
    /// No link has this name.
    #[error("No such container: {0}")]
    NoLink(String),
    /// The record could not be written.
    #[error("recording the removal")]
    Store(#[from] gantry_store::StoreError),
    /// The driver has ended: the container is gone or the engine shuts down.
    #[error("No such container: {0}")]
    Gone(String),
}

impl Fault for RemoveError {
    fn kind(&self) -> Kind {
        match self {
            RemoveError::Rejected { reject, .. } => reject.kind(),
            RemoveError::InProgress(_) => Kind::Conflict,
            RemoveError::Kill { .. } => Kind::Internal,
            RemoveError::Store(error) => error.kind(),
            RemoveError::Gone(_) | RemoveError::NoLink(_) => Kind::NotFound,
        }
    }
}
