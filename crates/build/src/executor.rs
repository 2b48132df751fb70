//! Who runs the commands of a build. The daemon's composition root puts the engine behind it.

use std::os::fd::OwnedFd;

use futures_util::future::BoxFuture;
use gantry_build_proto::{Limits, Stream};
use gantry_snapshot::Rootfs;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::graph::StepNetwork;

/// Runs one command on a file system, isolated as a container is, and waits for its end.
pub trait Executor: Send + Sync {
    /// Runs it; gives its exit code. What it prints goes to `output`, which is full for no longer
    /// than its reader lets it be. When `cancelled` fires the process is killed, with all that it
    /// started, and the future ends within a second.
    ///
    /// # Errors
    /// When it could not be started, with the runtime's words.
    fn run(
        &self,
        step: Step,
        output: mpsc::Sender<(Stream, Vec<u8>)>,
        cancelled: CancellationToken,
    ) -> BoxFuture<'_, Result<Ended, ExecutorError>>;
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its exit code.
    pub code: i32,
    /// It ran out of its memory limit.
    pub oom_killed: bool,
}

/// Why it was not run.
#[derive(Debug, thiserror::Error)]
pub enum ExecutorError {
    /// The program is not there, not executable, or the user is unknown: words of the runtime.
    #[error("{0}")]
    NotStarted(String),
    /// It was cancelled.
    #[error("context canceled")]
    Cancelled,
}

/// A command to run.
#[derive(Debug)]
pub struct Step {
    /// Name of its container: 64 hexadecimal digits, as `Snapshots` knows the file system by.
    pub id: String,
    /// Its file system.
    pub rootfs: Rootfs,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Standard input.
    pub stdin: Option<Vec<u8>>,
    /// Variables.
    pub env: Vec<String>,
    /// Working directory.
    pub working_directory: String,
    /// `user:group`; empty for root.
    pub user: String,
    /// Host name; empty for the first digits of the id.
    pub hostname: String,
    /// Mounts, in their order.
    pub mounts: Vec<StepMount>,
    /// Network of this step.
    pub network: StepNetwork,
    /// Network of the build: a name; empty for the default bridge.
    pub build_network: String,
    /// Lines of `/etc/hosts`, `name:address`.
    pub add_hosts: Vec<String>,
    /// Limits.
    pub limits: Limits,
    /// All privileges.
    pub insecure: bool,
}

/// A mount of a step.
#[derive(Debug)]
pub struct StepMount {
    /// Where, absolute.
    pub target: String,
    /// What.
    pub source: StepSource,
    /// Not to be written to.
    pub read_only: bool,
}

/// What is mounted.
#[derive(Debug)]
pub enum StepSource {
    /// A file or directory of the host, opened (`O_PATH`): names are resolved before, by
    /// descriptors.
    Path(OwnedFd),
    /// Memory, with most bytes; 0 for no limit.
    Tmpfs(u64),
}
