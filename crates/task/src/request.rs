//! What a caller gives and gets: requests and results.

use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use gantry_logs::LogConfig;
use gantry_oci::runtime::{ConsoleSize, Process, Spec};

use crate::{Attachment, Task};

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
    /// Nothing is brought to disk, not even at the end: for changes that are of no use after a
    /// power cut.
    pub volatile: bool,
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
    /// It ended while nobody looked; [`crate::Tasks::forget`] removes its directory.
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
