//! What a client is told when a build has no result.

use std::error::Error;

use gantry_build_proto::{Cause, Failure};

use crate::{
    graph::{Op, Vertex},
    ops::{OpError, git::GitError, upper::UpperError},
    trees::TreeError,
};

/// Exit codes of shells for programs that they cannot run.
const NOT_EXECUTABLE: i32 = 126;
const NOT_FOUND: i32 = 127;

/// Of an error that is no step's.
pub(crate) fn of(error: &(dyn Error + 'static)) -> Failure {
    let hint = error.downcast_ref::<OpError>().map(hint).unwrap_or_default();
    Failure { message: gantry_fault::chain(error), hint, ..Failure::default() }
}

/// Of a step, with its place.
pub(crate) fn of_step(error: &OpError, vertex: Option<&Vertex>) -> Failure {
    let mut failure = of(error);
    failure.place = vertex.and_then(|vertex| vertex.place.clone());
    failure.cancelled = error.is_cancelled();
    if let OpError::Exit { code, last_output, .. } = error {
        failure.exit_code = *code;
        failure.last_output.clone_from(last_output);
    }
    if let OpError::NotStarted { reason, .. } = error {
        failure.cause = Cause::NotStarted(reason.clone());
    }
    let copies = vertex.is_some_and(|vertex| matches!(vertex.op, Op::Copy(_)));
    if let OpError::Tree(TreeError::NotFound { .. } | TreeError::Pattern(_)) = error
        && copies
    {
        failure.message = format!("failed to calculate checksum of ref: {}", failure.message);
    }
    if let OpError::Tree(TreeError::NotFound { path }) = error
        && copies
    {
        failure.cause = Cause::NoSource(path.clone());
    }
    failure
}

/// Of a build that was cancelled.
pub(crate) fn cancelled() -> Failure {
    Failure { message: "context canceled".to_owned(), cancelled: true, ..Failure::default() }
}

/// Of a build without a Dockerfile.
pub(crate) fn no_dockerfile(path: &str) -> Failure {
    Failure {
        message: format!("failed to read dockerfile: open {path}: no such file or directory"),
        cause: Cause::NoDockerfile(path.to_owned()),
        hint: "name another one with --file".to_owned(),
        ..Failure::default()
    }
}

fn hint(error: &OpError) -> String {
    let text = match error {
        OpError::Exit { oom_killed: true, .. } => {
            "the step ran out of memory: give it more with --memory"
        }
        OpError::Exit { code: NOT_FOUND, .. } => {
            "a program that the step calls is not in its file system"
        }
        OpError::Exit { code: NOT_EXECUTABLE, .. } => {
            "a program that the step calls is not executable"
        }
        OpError::Tree(TreeError::NotFound { .. }) => {
            "paths are those of the build context, and what its ignore file names is not in it"
        }
        OpError::Upper(UpperError::Directory(_)) => {
            "the destination is a directory: end it with a slash to copy into it"
        }
        OpError::Git(GitError::NotInstalled) => "install git on the machine of the daemon",
        OpError::Git(GitError::Failed { .. }) => {
            "for a private repository give --ssh default, or --secret id=GIT_AUTH_TOKEN"
        }
        OpError::Secret(_) => "give it with --secret",
        OpError::Ssh(_) => "give it with --ssh",
        OpError::NotAllowed("network.host") => "allow it with --allow network.host",
        OpError::NotAllowed("security.insecure") => "allow it with --allow security.insecure",
        _ => "",
    };
    text.to_owned()
}
