//! One process in one bundle: spawns shims, speaks to them, waits.
//!
//! A [`Task`] is a running container as the kernel sees it. Its parent is a shim, a process of
//! its own, so that it outlives this one: [`Tasks::adopt`] finds it again.
//!
//! ```text
//! <exec_root>/tasks/<id>/        0700, one a task
//!     shim.sock                  the shim listens here for a later daemon
//!     shim.log                   the shim's standard error
//!     state.json                 pid and cgroup, for cleaning up after a killed shim
//!     exit.json                  the exit status, written before anybody is told
//!     bundle/ runtime/           foreign runtimes only
//! ```

#![forbid(unsafe_code)]

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use gantry_logs::LogConfig;
use gantry_oci::runtime::{ConsoleSize, Process, Spec};
use std::os::fd::OwnedFd;
use tokio::sync::watch;

mod attach;

pub use attach::{AttachOptions, AttachStream, Attachment, attachment};

/// Where tasks live and what runs them.
#[derive(Debug, Clone)]
pub struct TasksConfig {
    /// The daemon's exec root; task directories are made in `tasks/` below it.
    pub exec_root: PathBuf,
    /// The shim's executable file.
    pub shim: PathBuf,
    /// Other OCI runtimes by name.
    pub runtimes: BTreeMap<String, ForeignRuntime>,
}

/// An OCI runtime that is a program of its own, such as runc.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ForeignRuntime {
    /// The program; a bare name is looked up in `PATH`.
    pub path: PathBuf,
    /// Arguments before the command.
    pub args: Vec<String>,
}

/// Every task below one exec root.
#[derive(Debug, Clone)]
pub struct Tasks {}

/// What is needed to run a container's first process.
#[derive(Debug)]
pub struct RunTask {
    /// The container's id: the name of the task directory.
    pub id: String,
    /// The runtime specification; `root.path` is ignored, `process.terminal` is set from `stdio`.
    pub spec: Spec,
    /// The root file system.
    pub rootfs: RootfsMount,
    /// A network namespace to join; absent does what the specification says.
    pub netns: Option<Arc<OwnedFd>>,
    /// The process's standard streams.
    pub stdio: StdioConfig,
    /// Where its output is logged.
    pub log: LogConfig,
    /// A name in [`TasksConfig::runtimes`]; absent is the built-in runtime.
    pub runtime: Option<String>,
    /// A file with the compiled seccomp filter; the built-in runtime prefers it to `linux.seccomp`.
    pub seccomp_bpf: Option<PathBuf>,
    /// Clients that see the output from its first byte.
    pub attachments: Vec<Attachment>,
}

/// An overlay: read-only layers and a writable one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RootfsMount {
    /// Layers, the uppermost first.
    pub lower: Vec<PathBuf>,
    /// Where changes go.
    pub upper: PathBuf,
    /// overlayfs' work directory, on the file system of `upper`.
    pub work: PathBuf,
}

/// The standard streams of a process.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StdioConfig {
    /// A pseudo terminal instead of three pipes.
    pub tty: bool,
    /// Standard input is kept open for clients; else it is `/dev/null`.
    pub open_stdin: bool,
    /// Standard input is closed once the first client that had it closes it.
    pub stdin_once: bool,
    /// The terminal's first size.
    pub console_size: Option<ConsoleSize>,
}

/// A process to run inside a running task.
#[derive(Debug)]
pub struct ExecTask {
    /// The exec's id, unique within the task.
    pub id: String,
    /// The process.
    pub process: Process,
    /// Its standard streams; standard input always closes with its client.
    pub stdio: StdioConfig,
    /// Clients that see the output from its first byte.
    pub attachments: Vec<Attachment>,
    /// A file with the compiled seccomp filter.
    pub seccomp_bpf: Option<PathBuf>,
}

/// What a restarted daemon finds.
#[derive(Debug)]
pub enum Adopted {
    /// It runs on.
    Running(Task),
    /// It ended while nobody looked; [`Tasks::forget`] removes its directory.
    Exited(Exit),
    /// There is nothing left of it.
    Gone,
}

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// The exit code; 128 + n for signal n, as Docker counts.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel's out-of-memory killer struck in its control group.
    pub oom_killed: bool,
    /// When, in nanoseconds since 1970.
    pub exited_at_ns: i64,
}

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

impl Tasks {
    /// Opens the tasks directory, making it if needed.
    ///
    /// # Errors
    /// [`TaskError::Directory`].
    pub fn open(_config: TasksConfig) -> Result<Tasks, TaskError> {
        todo!()
    }

    /// Runs a container's first process: spawns a shim, creates, wires the streams and starts.
    ///
    /// # Errors
    /// [`RunError`]; nothing is left of the task then.
    pub async fn run(&self, _request: RunTask) -> Result<Task, RunError> {
        todo!()
    }

    /// Finds a task again that an earlier daemon ran.
    ///
    /// # Errors
    /// [`TaskError`] if its directory or shim cannot be used.
    pub async fn adopt(&self, _id: &str) -> Result<Adopted, TaskError> {
        todo!()
    }

    /// Removes what an ended task left: its directory and control group.
    ///
    /// # Errors
    /// [`TaskError`]; a task that still runs is refused.
    pub async fn forget(&self, _id: &str) -> Result<(), TaskError> {
        todo!()
    }

    /// The ids that have a task directory.
    ///
    /// # Errors
    /// Those of reading the tasks directory.
    pub fn leftovers(&self) -> io::Result<Vec<String>> {
        todo!()
    }
}

/// A running or just ended task.
#[derive(Debug, Clone)]
pub struct Task {}

/// A process inside a task.
#[derive(Debug, Clone)]
pub struct TaskExec {
    /// Its process id in the daemon's pid namespace.
    pub pid: u32,
    /// Holds how it ended, once it has.
    pub exit: watch::Receiver<Option<Exit>>,
}

impl Task {
    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        todo!()
    }

    /// The first process's id in the daemon's pid namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        todo!()
    }

    /// Holds how the task ended, once it has.
    #[must_use]
    pub fn exit(&self) -> watch::Receiver<Option<Exit>> {
        todo!()
    }

    /// Sends a signal to the first process, or with `all` to every process of the container.
    ///
    /// # Errors
    /// [`TaskError::NotRunning`] once it has ended.
    pub async fn kill(&self, _signal: i32, _all: bool) -> Result<(), TaskError> {
        todo!()
    }

    /// Sets the terminal's size in characters.
    ///
    /// # Errors
    /// [`TaskError::Refused`] without a terminal.
    pub async fn resize(&self, _height: u16, _width: u16) -> Result<(), TaskError> {
        todo!()
    }

    /// Adds a client to the task's streams.
    ///
    /// # Errors
    /// [`TaskError::NotRunning`] once it has ended.
    pub async fn attach(&self, _attachment: Attachment) -> Result<(), TaskError> {
        todo!()
    }

    /// Runs another process inside the container.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn exec(&self, _request: ExecTask) -> Result<TaskExec, ExecError> {
        todo!()
    }

    /// The execs that were running when this task was adopted, by id.
    #[must_use]
    pub fn execs(&self) -> BTreeMap<String, TaskExec> {
        todo!()
    }

    /// Sets the size of an exec's terminal.
    ///
    /// # Errors
    /// [`TaskError::NotRunning`] once it has ended.
    pub async fn resize_exec(&self, _id: &str, _height: u16, _width: u16) -> Result<(), TaskError> {
        todo!()
    }

    /// Sends a signal to an exec.
    ///
    /// # Errors
    /// [`TaskError::NotRunning`] once it has ended.
    pub async fn kill_exec(&self, _id: &str, _signal: i32) -> Result<(), TaskError> {
        todo!()
    }

    /// After the exit: waits until the shim is gone and removes the task directory.
    ///
    /// # Errors
    /// [`TaskError`]; a task that still runs is refused.
    pub async fn delete(self) -> Result<(), TaskError> {
        todo!()
    }
}
