//! The OCI runtime: create, start, kill, delete, exec.
//!
//! A library for a single-threaded process that becomes the container's parent: the shim, or the
//! runtime's own command line in [`command`]. [`create`] forks once, by `clone3(2)` with all
//! namespaces; the copy furnishes its root (module `init`), reports over a socket pair and waits;
//! [`Created::start`] gives the word, and the end of the stream by exec is the answer.

#![forbid(unsafe_code)]

mod agent;
mod capabilities;
mod channel;
pub mod command;
mod create;
mod error;
mod exec;
mod fork;
mod group;
mod hooks;
mod init;
mod launch;
mod mount_options;
mod mount_plan;
mod namespaces;
mod process_plan;
mod request;
mod resolve;
mod start;
mod validate;

pub use create::{Created, HeldNamespaces, Running, create};
pub use error::{CreateError, ExecError, InitFailure, StartError, reason};
pub use exec::exec;
pub use request::{CgroupChoice, CreateRequest, ExecRequest, Rootfs, StartGate, Stdio};
pub use start::{AfterStart, start_through};
