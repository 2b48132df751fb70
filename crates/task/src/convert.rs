//! Between this crate's words and those of the protocol.

use std::os::fd::OwnedFd;

use gantry_shim_proto::{ExitStatus, Failure, FailureKind, Stdio, Streams};

use crate::{Attachment, ExecError, Exit, RunError, StartKind, StdioConfig, TaskError};

impl From<ExitStatus> for Exit {
    fn from(status: ExitStatus) -> Exit {
        let ExitStatus { code, signal, oom_killed, exited_at_ns } = status;
        Exit { code, signal, oom_killed, exited_at_ns }
    }
}

pub(crate) fn stdio(config: &StdioConfig) -> Stdio {
    Stdio {
        tty: config.tty,
        open_stdin: config.open_stdin,
        stdin_once: config.stdin_once,
        console_size: config.console_size,
    }
}

/// The clients as the message names them, and their sockets in the same order.
pub(crate) fn attachments(list: Vec<Attachment>) -> (Vec<Streams>, Vec<OwnedFd>) {
    list.into_iter().map(|attachment| (streams(&attachment), attachment.socket)).unzip()
}

pub(crate) fn streams(attachment: &Attachment) -> Streams {
    let options = attachment.options;
    Streams { stdin: options.stdin, stdout: options.stdout, stderr: options.stderr }
}

/// The step of a failed start; `None` if it was no start that failed.
fn start_kind(kind: FailureKind) -> Option<StartKind> {
    Some(match kind {
        FailureKind::NotFound => StartKind::NotFound,
        FailureKind::NotExecutable => StartKind::NotExecutable,
        FailureKind::BadCwd => StartKind::BadCwd,
        FailureKind::User => StartKind::User,
        FailureKind::Mount => StartKind::Mount,
        FailureKind::Cgroup => StartKind::Cgroup,
        FailureKind::Seccomp => StartKind::Seccomp,
        FailureKind::Other => StartKind::Other,
        FailureKind::NotRunning | FailureKind::Invalid => return None,
    })
}

pub(crate) fn run_error(id: &str, failure: Failure) -> RunError {
    match start_kind(failure.kind) {
        Some(kind) => RunError::Start { kind, message: failure.message },
        None => RunError::Refused { id: id.to_owned(), message: failure.message },
    }
}

pub(crate) fn exec_error(id: &str, failure: Failure) -> ExecError {
    if let Some(kind) = start_kind(failure.kind) {
        return ExecError::Start { kind, message: failure.message };
    }
    match task_error(id, failure) {
        TaskError::NotRunning(id) => ExecError::NotRunning(id),
        source => ExecError::Task { id: id.to_owned(), source },
    }
}

pub(crate) fn task_error(id: &str, failure: Failure) -> TaskError {
    match failure.kind {
        FailureKind::NotRunning => TaskError::NotRunning(id.to_owned()),
        _ => TaskError::Refused { id: id.to_owned(), message: failure.message },
    }
}
