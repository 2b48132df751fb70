//! The fork of a container's first process, with all its namespaces at once.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_oci::runtime::NamespaceKind;
use gantry_sys::process::{Fork, Forked, Namespaces};
use rustix::thread::UnshareFlags;

use crate::channel::{self, Failure, FailureKind, FromInit};
use crate::create::{invalid, prepare};
use crate::init::{self, InitPlan};
use crate::launch::create_failure;
use crate::namespaces::{self, NamespacePlan};
use crate::{CreateError, mount_plan};

/// A forked first process that is to end if its creation fails.
pub(crate) struct Fresh {
    pub(crate) pid: u32,
    pub(crate) pidfd: OwnedFd,
}

impl Fresh {
    /// Kills it and waits for it.
    pub(crate) fn end(&self) {
        mount_plan::end(self.pidfd.as_fd());
    }
}

/// The fork itself: directly, or by a helper that enters a user namespace first.
pub(crate) fn fork(
    init: InitPlan<'_>,
    cgroup: Option<OwnedFd>,
    (ours, theirs): (OwnedFd, OwnedFd),
    listener: Option<OwnedFd>,
) -> Result<(Fresh, OwnedFd), CreateError> {
    let request = Fork {
        namespaces: Namespaces(init.namespaces.new),
        cgroup: cgroup.as_ref().map(AsFd::as_fd),
        sibling: false,
    };
    let back = match &init.namespaces.join_pid {
        Some(namespace) => Some(enter_pid_namespace(namespace.as_fd())?),
        None => None,
    };
    let outside = if request.namespaces.0.contains(UnshareFlags::NEWUSER) {
        enter_from_outside(&init.namespaces)?
    } else {
        Vec::new()
    };
    let forked = match &init.namespaces.join_user {
        Some(user) => fork_inside(user.as_fd(), request),
        None => gantry_sys::process::fork(request).map_err(fork_error),
    };
    if let Ok(Forked::Child) = forked {
        drop(ours);
        let mut init = init;
        if !outside.is_empty() {
            // Entered by the parent, so they are this process's from birth.
            init.namespaces.join.retain(|(kind, _)| !OUTSIDE.contains(kind));
        }
        init::main(init, &theirs, listener.as_ref());
    }
    for (kind, namespace) in outside {
        namespaces::enter(namespace.as_fd(), kind)
            .map_err(|e| prepare("leaving a namespace", e))?;
    }
    if let Some(own) = back {
        namespaces::enter(own.as_fd(), NamespaceKind::Pid)
            .map_err(|e| prepare("leaving a pid namespace", e))?;
    }
    match forked? {
        Forked::Parent { pid, pidfd } => Ok((Fresh { pid, pidfd }, ours)),
        Forked::Child => Err(CreateError::Threads),
    }
}

fn fork_error(error: std::io::Error) -> CreateError {
    prepare("clone3", error)
}

/// Has children born in a pid namespace; answers the way back.
pub(crate) fn enter_pid_namespace(namespace: BorrowedFd<'_>) -> Result<OwnedFd, CreateError> {
    let own = open_own("pid_for_children")?;
    namespaces::enter(namespace, NamespaceKind::Pid)
        .map_err(|e| prepare("joining the pid namespace", e))?;
    Ok(own)
}

fn open_own(name: &str) -> Result<OwnedFd, CreateError> {
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC;
    let path = format!("/proc/self/ns/{name}");
    rustix::fs::open(path, flags, rustix::fs::Mode::empty())
        .map_err(|e| prepare("opening a namespace", e))
}

/// Namespaces that a process in a new user namespace could not enter any more, being the host's.
const OUTSIDE: [NamespaceKind; 3] =
    [NamespaceKind::Network, NamespaceKind::Ipc, NamespaceKind::Uts];

/// Enters them here for the time of the fork; answers the ways back.
fn enter_from_outside(plan: &NamespacePlan) -> Result<Vec<(NamespaceKind, OwnedFd)>, CreateError> {
    let mut back = Vec::new();
    for (kind, namespace) in plan.join.iter().filter(|(kind, _)| OUTSIDE.contains(kind)) {
        let name = match kind {
            NamespaceKind::Network => "net",
            NamespaceKind::Ipc => "ipc",
            _ => "uts",
        };
        back.push((*kind, open_own(name)?));
        namespaces::enter(namespace.as_fd(), *kind)
            .map_err(|e| prepare("joining a namespace", e))?;
    }
    Ok(back)
}

/// Forks a helper that enters the user namespace and forks again, so that the other namespaces
/// belong to it. The second process becomes this one's child by `CLONE_PARENT`.
fn fork_inside(user: BorrowedFd<'_>, request: Fork<'_>) -> Result<Forked, CreateError> {
    let (ours, theirs) = channel::pair().map_err(|e| prepare("making a socket pair", e))?;
    match gantry_sys::process::fork(Fork::default()).map_err(fork_error)? {
        Forked::Child => {
            drop(ours);
            let entered = namespaces::enter(user, NamespaceKind::User);
            let forked = entered
                .map_err(std::io::Error::from)
                .and_then(|()| gantry_sys::process::fork(Fork { sibling: true, ..request }));
            match forked {
                Ok(Forked::Child) => return Ok(Forked::Child),
                Ok(Forked::Parent { pidfd, .. }) => {
                    let _ = channel::report(&theirs, &FromInit::Ready, Some(pidfd.as_fd()));
                }
                Err(error) => {
                    let errno = error.raw_os_error().unwrap_or(0);
                    let text = "joining the user namespace".to_owned();
                    let failure = Failure { kind: FailureKind::Step, text, errno };
                    let _ = channel::report(&theirs, &FromInit::Failed(failure), None);
                }
            }
            gantry_sys::process::exit_now(0)
        }
        Forked::Parent { pidfd: helper, .. } => {
            drop(theirs);
            let answer = channel::await_report(&ours);
            mount_plan::end(helper.as_fd());
            match answer.map_err(|e| prepare("reading the helper's answer", e))? {
                Some((FromInit::Ready, Some(pidfd))) => {
                    let pid = gantry_sys::namespace::process_id(pidfd.as_fd())
                        .map_err(|e| prepare("reading the pid", e))?;
                    Ok(Forked::Parent { pid, pidfd })
                }
                Some((FromInit::Failed(failure), _)) => Err(create_failure(failure)),
                _ => Err(invalid("the helper in the user namespace has gone")),
            }
        }
    }
}
