//! Giving the word to a container that waits.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::PathBuf;

use gantry_oci::runtime::{Hook, Spec, State, Status};

use crate::channel::{self, Failure, FailureKind, FromInit, ToInit};
use crate::launch::init_failure;
use crate::{StartError, hooks};

/// What the starter has to do besides giving the word.
#[derive(Debug)]
pub struct AfterStart {
    /// `poststart` hooks.
    pub(crate) poststart: Vec<Hook>,
    /// What hooks and the system call agent are told.
    pub(crate) state: State,
    /// Socket and metadata of the agent of `SCMP_ACT_NOTIFY`.
    pub(crate) agent: Option<(PathBuf, String)>,
}

impl AfterStart {
    /// What a specification asks for.
    #[must_use]
    pub fn new(spec: &Spec, state: State) -> AfterStart {
        let seccomp = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        AfterStart {
            poststart: spec.hooks.as_ref().map(|h| h.poststart.clone()).unwrap_or_default(),
            state,
            agent: seccomp.and_then(|profile| {
                let metadata = profile.listener_metadata.clone().unwrap_or_default();
                profile.listener_path.clone().map(|path| (path, metadata))
            }),
        }
    }
}

/// Starts a container over a connection: of [`crate::StartGate::Listener`], or a [`Created`]'s own.
///
/// Returns once the program runs and the `poststart` hooks have been run.
///
/// # Errors
/// [`StartError`]; unless it is [`StartError::Hook`], the container's process has ended then.
pub fn start_through(connection: BorrowedFd<'_>, after: &AfterStart) -> Result<(), StartError> {
    match channel::tell(connection, ToInit::Start) {
        Ok(()) => {}
        // The process has ended; its last words may still be there.
        Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {}
        Err(errno) => return Err(StartError::Channel(errno.into())),
    }
    loop {
        match channel::await_report(connection).map_err(|e| StartError::Channel(e.into()))? {
            None => break,
            Some((FromInit::Failed(failure), _)) => return Err(start_failure(failure)),
            Some((FromInit::Listener, Some(fd))) => crate::agent::send(after, fd.as_fd())?,
            Some(_) => return Err(StartError::Channel(rustix::io::Errno::PROTO.into())),
        }
    }
    let state = State { status: Status::Running, ..after.state.clone() };
    hooks::run("poststart", &after.poststart, &state).map_err(StartError::Hook)
}

fn start_failure(failure: Failure) -> StartError {
    match failure.kind {
        FailureKind::Program => StartError::Exec { program: failure.text, errno: failure.errno },
        FailureKind::Hook => StartError::Hook(failure.text),
        FailureKind::Step => StartError::Init(init_failure(failure)),
    }
}
