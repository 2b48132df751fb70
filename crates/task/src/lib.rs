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

mod attach;
mod convert;
mod directory;
mod error;
mod leftover;
mod link;
mod request;
mod task;
mod tasks;

pub use attach::{AttachOptions, AttachStream, Attachment, attachment};
pub use error::{ExecError, RunError, StartKind, TaskError};
pub use request::{
    Adopted, ExecTask, Exit, ForeignRuntime, RootfsMount, RunTask, StdioConfig, TasksConfig,
};
pub use task::{Task, TaskExec};
pub use tasks::Tasks;
