//! Making a container: the parent's side.

use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

use gantry_cgroup::{Cgroup, Host};
use gantry_oci::runtime::{Process, State, Status};

use crate::init::{self, InitPlan};
use crate::launch::launch;
use crate::namespaces::NamespacePlan;
use crate::process_plan::{self, ProcessPlan};
use crate::start::{AfterStart, start_through};
use crate::{
    CreateError, CreateRequest, StartError, StartGate, Stdio, group, mount_plan, validate,
};

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
    pub(crate) channel: OwnedFd,
    pub(crate) after: AfterStart,
    pub(crate) made_cgroup: bool,
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
    check_threads()?;
    let spec = request.spec;
    let linux = spec.linux.as_ref().ok_or_else(|| invalid("linux section must be set"))?;
    let process = spec.process.as_ref().ok_or_else(|| invalid("process section must be set"))?;
    let plan = NamespacePlan::new(linux, request.network)?;
    validate::check(spec, &plan).map_err(CreateError::Invalid)?;
    check_terminal(process, &request.stdio)?;
    check_preserved(request.preserve_fds)?;
    let process = process_plan(&request, process, linux.seccomp.as_ref())?;
    let mounts = mount_plan::parse(spec, request.bundle)?;
    let host = Host::detect()?;
    let (cgroup, made_cgroup) = group::choose(&request, &host)?;
    let agent = AfterStart::new(spec, state(&request, None, Status::Created));
    let listener = match request.start {
        StartGate::Pair => None,
        StartGate::Listener(socket) => Some(socket),
    };
    let mut init = InitPlan {
        id: request.id,
        bundle: request.bundle,
        spec,
        linux,
        rootfs: request.rootfs,
        stdio: request.stdio,
        namespaces: plan,
        mounts,
        process,
        host,
        cgroup: cgroup.clone(),
        notify_socket: request.notify_socket,
        no_pivot: request.no_pivot,
    };
    let empty = request.empty_mounts.filter(|_| init.may_start_empty());
    let planned = empty.map_or(Ok(()), |empty| init.namespaces.start_from(empty));
    let made = planned.and_then(|()| launch(init, listener, request.hold_namespaces, agent));
    match made {
        Ok(created) => Ok(Created { made_cgroup, ..created }),
        Err(error) => {
            if made_cgroup {
                // The error that matters is the first one.
                let _ = cgroup.remove();
            }
            Err(error)
        }
    }
}

/// A copy of a process with several threads could find locks taken for ever.
pub(crate) fn check_threads() -> Result<(), CreateError> {
    match gantry_sys::process::is_single_threaded() {
        Ok(true) => Ok(()),
        Ok(false) => Err(CreateError::Threads),
        Err(source) => Err(prepare("counting threads", source)),
    }
}

pub(crate) fn invalid(text: &str) -> CreateError {
    CreateError::Invalid(text.to_owned())
}

pub(crate) fn prepare(what: &str, source: impl Into<std::io::Error>) -> CreateError {
    CreateError::Prepare { what: what.to_owned(), source: source.into() }
}

fn check_terminal(process: &Process, stdio: &Stdio) -> Result<(), CreateError> {
    match (process.terminal, stdio) {
        (true, Stdio::Terminal) | (false, Stdio::Inherit | Stdio::Fds { .. }) => Ok(()),
        (true, _) => Err(invalid("process.terminal is set, but no terminal was asked for")),
        (false, Stdio::Terminal) => {
            Err(invalid("a terminal was asked for, but process.terminal is not set"))
        }
    }
}

/// Descriptors to preserve must be there already: else this program's own would take their numbers.
pub(crate) fn check_preserved(count: u32) -> Result<(), CreateError> {
    for number in 3..3_u32.saturating_add(count) {
        if !i32::try_from(number).is_ok_and(gantry_sys::descriptors::is_open) {
            return Err(CreateError::Invalid(format!(
                "unable to stat preserved-fd {}: please check that it is open",
                number - 3
            )));
        }
    }
    Ok(())
}

fn process_plan<'a>(
    request: &CreateRequest<'a>,
    process: &'a Process,
    profile: Option<&gantry_oci::runtime::Seccomp>,
) -> Result<ProcessPlan<'a>, CreateError> {
    let mut plan = process_plan::parse(process).map_err(CreateError::Invalid)?;
    plan.filter = process_plan::filter(request.seccomp, request.seccomp_flags, profile)?;
    plan.preserve_fds = request.preserve_fds;
    plan.dies_with_parent = request.dies_with_parent;
    if !request.no_new_keyring {
        plan.session_keyring = CString::new(format!("_ses.{}", request.id)).ok();
    }
    if request.notify_socket.is_some() {
        plan.env.retain(|var| !var.as_bytes().starts_with(b"NOTIFY_SOCKET="));
        plan.env.extend(CString::new(format!("NOTIFY_SOCKET={}", init::NOTIFY_SOCKET)));
    }
    Ok(plan)
}

fn state(request: &CreateRequest<'_>, pid: Option<u32>, status: Status) -> State {
    State {
        oci_version: request.spec.oci_version.clone(),
        id: request.id.to_owned(),
        status,
        pid: pid.and_then(|pid| i32::try_from(pid).ok()),
        bundle: request.bundle.to_owned(),
        annotations: request.spec.annotations.clone(),
    }
}

impl Created {
    /// Starts the program; returns once `execve(2)` has taken effect.
    ///
    /// # Errors
    /// [`StartError`]; the container's process has ended then, and its control group, if it was made
    /// here, is gone.
    pub fn start(self) -> Result<Running, StartError> {
        match start_through(self.channel.as_fd(), &self.after) {
            Ok(()) => Ok(Running {
                pid: self.pid,
                pidfd: self.pidfd,
                terminal: self.terminal,
                cgroup: Some(self.cgroup),
                namespaces: self.namespaces,
            }),
            Err(error) => {
                self.abort();
                Err(error)
            }
        }
    }

    /// Ends the container before it was started: process and control group, if it was made here, are
    /// gone on return.
    pub fn abort(self) {
        mount_plan::end(self.pidfd.as_fd());
        if self.made_cgroup {
            // Nothing can be done about a group that stays; it is empty.
            let _ = self.cgroup.remove();
        }
    }
}
