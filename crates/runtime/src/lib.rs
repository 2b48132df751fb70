//! The OCI runtime: create, start, kill, delete, exec.

#![forbid(unsafe_code)]

mod create;
mod error;
mod exec;
mod request;

pub use create::{Created, HeldNamespaces, Running, create, start_through};
pub use error::{CreateError, ExecError, InitFailure, StartError, reason};
pub use exec::exec;
pub use request::{CgroupChoice, CreateRequest, ExecRequest, Rootfs, StartGate, Stdio};
