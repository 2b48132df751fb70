//! What can go wrong, by operation.

use std::io;
use std::path::PathBuf;

/// The step at which a process could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StartKind {
    /// The program does not exist (Docker's exit code 127).
    NotFound,
    /// The program cannot be executed (126).
    NotExecutable,
    /// The working directory cannot be entered (126).
    BadCwd,
    /// The user or its groups cannot be taken on.
    User,
    /// The root file system or a mount failed.
    Mount,
    /// A control group could not be made or set.
    Cgroup,
    /// The system call filter could not be loaded.
    Seccomp,
    /// Anything else.
    Other,
}

/// Why a task did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The runtime could not start the process.
    #[error("{message}")]
    Start {
        /// The step.
        kind: StartKind,
        /// What happened, as runc words it.
        message: String,
    },
    /// No runtime of that name is configured.
    #[error("unknown or invalid runtime name: {0}")]
    UnknownRuntime(String),
    /// The task directory exists: the task runs, or was not deleted.
    #[error("task {0} already exists")]
    Exists(String),
    /// The shim could not be started or reached.
    #[error("shim of task {id}: {step}")]
    Shim {
        /// The task.
        id: String,
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The shim refused the request.
    #[error("shim of task {id}: {message}")]
    Refused {
        /// The task.
        id: String,
        /// Its words.
        message: String,
    },
}

/// Why an exec did not run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The runtime could not start the process.
    #[error("{message}")]
    Start {
        /// The step.
        kind: StartKind,
        /// What happened, as runc words it.
        message: String,
    },
    /// The task has ended.
    #[error("task {0} is not running")]
    NotRunning(String),
    /// The shim could not be reached, or refused.
    #[error("exec in task {id}")]
    Task {
        /// The task.
        id: String,
        /// Why.
        #[source]
        source: TaskError,
    },
}

/// Why something could not be asked of a task.
#[derive(Debug, thiserror::Error)]
pub enum TaskError {
    /// The tasks directory cannot be used.
    #[error("tasks directory {path}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The id is no file name.
    #[error("invalid task id {0:?}")]
    InvalidId(String),
    /// The task, or the exec, has ended.
    #[error("task {0} is not running")]
    NotRunning(String),
    /// The shim could not be reached.
    #[error("shim of task {id}: {step}")]
    Shim {
        /// The task.
        id: String,
        /// What was tried.
        step: &'static str,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// The shim refused the request.
    #[error("shim of task {id}: {message}")]
    Refused {
        /// The task.
        id: String,
        /// Its words.
        message: String,
    },
}
