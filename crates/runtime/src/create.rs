//! Making a container: the parent's side.

use std::os::fd::{BorrowedFd, OwnedFd};

use gantry_cgroup::Cgroup;

use crate::{CreateError, CreateRequest, StartError};

/// A container whose first process has done everything but execute its program, and waits.
#[derive(Debug)]
pub struct Created {
    /// The first process, in the caller's pid namespace.
    pub pid: u32,
    /// The same as a descriptor. The process is a child of the caller.
    pub pidfd: OwnedFd,
    /// Master side of the terminal, if one was asked for.
    pub terminal: Option<OwnedFd>,
    /// The control group.
    pub cgroup: Cgroup,
    /// The container's namespaces, if they were to be held.
    pub namespaces: HeldNamespaces,
    channel: Option<OwnedFd>,
}

/// Descriptors of a container's namespaces. While they are open, the end of the container's last
/// process does not wait for the namespaces' teardown: that happens when these are closed.
#[derive(Debug, Default)]
pub struct HeldNamespaces {
    /// The descriptors of the mount, network, IPC and UTS namespaces, where they are the container's own.
    pub fds: Vec<OwnedFd>,
}

/// A process that runs its program.
#[derive(Debug)]
pub struct Running {
    /// The process, in the caller's pid namespace.
    pub pid: u32,
    /// The same as a descriptor. The process is a child of the caller.
    pub pidfd: OwnedFd,
    /// Master side of the terminal, if one was asked for.
    pub terminal: Option<OwnedFd>,
    /// The control group; `None` for an exec, which lives in the container's.
    pub cgroup: Option<Cgroup>,
    /// The container's namespaces, if they were to be held.
    pub namespaces: HeldNamespaces,
}

/// Makes a container. On return its first process waits in [`Created`]; on failure nothing is left.
///
/// The calling process must have a single thread.
///
/// # Errors
/// [`CreateError`] names the step.
pub fn create(request: CreateRequest<'_>) -> Result<Created, CreateError> {
    todo!()
}

impl Created {
    /// Starts the program; returns once `execve(2)` has taken effect.
    ///
    /// # Errors
    /// [`StartError`]; the container's process has ended then.
    pub fn start(self) -> Result<Running, StartError> {
        todo!()
    }
    /// Ends the container before it was started: process and control group are gone on return.
    pub fn abort(self) {
        todo!()
    }
}

/// Starts a container made with [`crate::StartGate::Listener`] over a connection to that socket.
///
/// # Errors
/// [`StartError`]; the container's process has ended then.
pub fn start_through(connection: BorrowedFd<'_>) -> Result<(), StartError> {
    todo!()
}
