//! The messages themselves.
//!
//! A newer daemon speaks to older shims, so fields are only ever added: what one side does not
//! know it ignores, what it does not get has a default.

use std::path::PathBuf;

use gantry_logs::LogConfig;
use gantry_oci::runtime::{ConsoleSize, Process, Spec};
use serde::{Deserialize, Serialize};

/// From the daemon: a request and the number that its answer carries.
#[derive(Debug, Serialize, Deserialize)]
pub struct ToShim {
    /// Chosen by the daemon.
    pub seq: u64,
    /// What is asked.
    pub request: Request,
}

/// The number of a request that could not be read whole.
#[derive(Debug, Serialize, Deserialize)]
pub struct SeqOnly {
    /// Chosen by the daemon.
    pub seq: u64,
}

/// What a daemon asks of a shim.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// Create the container and start its first process. Descriptors: the network namespace if
    /// [`Run::netns`], an empty mount namespace if [`Run::mntns`], then one socket an attachment.
    /// Answer: [`Answer::Started`].
    Run(Box<Run>),
    /// Add a client. Descriptor: its socket. Answer: [`Answer::Done`].
    Attach(Attach),
    /// Start another process in the container. Descriptors: one socket an attachment. Answer:
    /// [`Answer::Started`].
    Exec(Box<Exec>),
    /// Send a signal.
    Kill(Kill),
    /// Set a terminal's size.
    Resize(Resize),
    /// Answer: [`Answer::Status`]. The first request on a new connection.
    Status,
    /// The ended task is not wanted any more: drop slow clients and exit.
    Delete,
}

/// The first process of a container.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Run {
    /// The container's id.
    pub id: String,
    /// The configuration.
    pub spec: Spec,
    /// Read-only layers of the root file system, the uppermost first.
    pub lower: Vec<PathBuf>,
    /// Its writable layer.
    pub upper: PathBuf,
    /// overlayfs' work directory.
    pub work: PathBuf,
    /// Whether nothing of the writable layer is brought to disk.
    pub volatile: bool,
    /// Whether the first descriptor is the network namespace to join.
    pub netns: bool,
    /// Whether the next descriptor is a mount namespace that holds nothing, to start from.
    pub mntns: bool,
    /// The standard streams.
    pub stdio: Stdio,
    /// The log.
    pub log: LogConfig,
    /// A runtime other than the built-in one.
    pub runtime: Option<Foreign>,
    /// A file with the compiled system call filter.
    pub seccomp_bpf: Option<PathBuf>,
    /// The clients, in the order of their descriptors.
    pub attachments: Vec<Streams>,
}

/// A runtime that is a program of its own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Foreign {
    /// The program.
    pub path: PathBuf,
    /// Arguments before the command.
    pub args: Vec<String>,
}

/// The standard streams of a process.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Stdio {
    /// A pseudo terminal instead of pipes.
    pub tty: bool,
    /// Standard input is open.
    pub open_stdin: bool,
    /// Standard input closes with the first client that had it.
    pub stdin_once: bool,
    /// The terminal's first size.
    pub console_size: Option<ConsoleSize>,
}

/// Which streams a client takes part in.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Streams {
    /// It writes standard input.
    pub stdin: bool,
    /// It reads standard output.
    pub stdout: bool,
    /// It reads standard error.
    pub stderr: bool,
}

/// See [`Request::Attach`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Attach {
    /// The client.
    pub streams: Streams,
}

/// See [`Request::Exec`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Exec {
    /// The exec's id.
    pub id: String,
    /// What to run.
    pub process: Process,
    /// The standard streams.
    pub stdio: Stdio,
    /// A file with the compiled system call filter.
    pub seccomp_bpf: Option<PathBuf>,
    /// The clients, in the order of their descriptors.
    pub attachments: Vec<Streams>,
}

/// See [`Request::Kill`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Kill {
    /// An exec, or the first process.
    pub exec: Option<String>,
    /// The signal's number.
    pub signal: i32,
    /// Every process of the container.
    pub all: bool,
}

/// See [`Request::Resize`].
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Resize {
    /// An exec, or the first process.
    pub exec: Option<String>,
    /// Rows.
    pub height: u16,
    /// Columns.
    pub width: u16,
}

/// From the shim.
#[derive(Debug, Serialize, Deserialize)]
pub enum FromShim {
    /// To a request.
    Answer {
        /// The request's number.
        seq: u64,
        /// The answer.
        answer: Answer,
    },
    /// The first process has ended.
    Exited(ExitStatus),
    /// An exec has ended.
    ExecExited {
        /// The exec's id.
        id: String,
        /// How.
        exit: ExitStatus,
    },
}

/// An answer to one request.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// It is done.
    Done,
    /// The process runs.
    Started {
        /// Its id in the shim's pid namespace.
        pid: u32,
    },
    /// How the task stands.
    Status(Status),
    /// It was not done.
    Failed(Failure),
}

/// How a task stands.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// [`crate::PROTOCOL`] of the shim.
    pub protocol: u32,
    /// The first process; 0 before it runs.
    pub pid: u32,
    /// How it ended.
    pub exit: Option<ExitStatus>,
    /// The execs that run.
    pub execs: Vec<ExecStatus>,
}

/// An exec that runs.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecStatus {
    /// Its id.
    pub id: String,
    /// Its process.
    pub pid: u32,
}

/// How a process ended; also the content of `exit.json`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExitStatus {
    /// The exit code, 128 + n for signal n.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the out-of-memory killer struck.
    pub oom_killed: bool,
    /// Nanoseconds since 1970.
    pub exited_at_ns: i64,
}

/// The content of `state.json`: what cleaning up after a killed shim needs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SavedState {
    /// [`crate::PROTOCOL`] of the shim.
    pub protocol: u32,
    /// The first process.
    pub pid: u32,
    /// When it started, in the kernel's clock ticks (`/proc/<pid>/stat`, field 22).
    pub start_ticks: u64,
    /// The control group, below each hierarchy.
    pub cgroup: String,
    /// The runtime, if it is not the built-in one; it keeps its own state in `runtime/`.
    pub runtime: Option<Foreign>,
}

/// Why a request was not done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// The kind.
    pub kind: FailureKind,
    /// In words.
    pub message: String,
}

/// The kind of a [`Failure`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureKind {
    /// The program does not exist.
    NotFound,
    /// The program cannot be executed.
    NotExecutable,
    /// The working directory cannot be entered.
    BadCwd,
    /// The user or its groups cannot be taken on.
    User,
    /// The root file system or a mount failed.
    Mount,
    /// A control group could not be made or set.
    Cgroup,
    /// The system call filter could not be loaded.
    Seccomp,
    /// The task or exec has ended, or never was.
    NotRunning,
    /// The request makes no sense in this state.
    Invalid,
    /// A start failed for another reason.
    #[default]
    #[serde(other)]
    Other,
}

#[cfg(test)]
mod tests {
    use super::{Answer, Failure, FailureKind, FromShim, Request, ToShim};

    #[test]
    fn unknown_fields_and_kinds_are_taken() {
        let text = r#"{"seq":1,"colour":"red","request":{"Kill":{"signal":9,"later":true}}}"#;
        let message: ToShim = serde_json::from_str(text).expect("unknown fields");
        assert!(matches!(message.request, Request::Kill(kill) if kill.signal == 9 && !kill.all));
        let text = r#"{"Answer":{"seq":2,"answer":{"Failed":{"kind":"Later","message":"m"}}}}"#;
        let message: FromShim = serde_json::from_str(text).expect("unknown kind");
        let want = Failure { kind: FailureKind::Other, message: "m".to_owned() };
        assert!(
            matches!(message, FromShim::Answer { answer: Answer::Failed(failure), .. } if failure == want)
        );
    }
}
