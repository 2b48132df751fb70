//! From errors to the answers that the daemon and, in the end, the user read.

use std::error::Error;

use gantry_runtime::{CreateError, ExecError, StartError};
use gantry_shim_proto::{Answer, Failure, FailureKind};

const ENOENT: i32 = 2;
const ENOTDIR: i32 = 20;

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        // Some errors already hold their cause's words.
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

/// A request that makes no sense.
pub(super) fn invalid(message: String) -> Answer {
    Answer::Failed(Failure { kind: FailureKind::Invalid, message })
}

/// What was asked for has ended, or never was.
pub(super) fn not_running() -> Answer {
    let message = "process is not running".to_owned();
    Answer::Failed(Failure { kind: FailureKind::NotRunning, message })
}

/// A failure outside the runtime.
pub(super) fn other(what: &str, error: &dyn Error) -> Failure {
    Failure { kind: FailureKind::Other, message: format!("{what}: {}", chain(error)) }
}

/// A container that could not be made.
pub(super) fn create(error: &CreateError) -> Failure {
    let kind = match error {
        CreateError::Cgroup(_) => FailureKind::Cgroup,
        CreateError::Seccomp(_) => FailureKind::Seccomp,
        CreateError::Program { errno, .. } => program(*errno),
        CreateError::Init(init) => kind_of(&init.text),
        CreateError::Prepare { what, .. } => kind_of(what),
        _ => FailureKind::Other,
    };
    start_failure(kind, &chain(error))
}

/// A container that was made and could not be started.
pub(super) fn start(error: &StartError) -> Failure {
    let kind = match error {
        StartError::Exec { errno, .. } => program(*errno),
        StartError::Init(init) => kind_of(&init.text),
        _ => FailureKind::Other,
    };
    start_failure(kind, &chain(error))
}

/// An exec that could not be started.
pub(super) fn exec(error: &ExecError) -> Answer {
    let kind = match error {
        ExecError::Gone => return not_running(),
        ExecError::Cgroup(_) => FailureKind::Cgroup,
        ExecError::Seccomp(_) => FailureKind::Seccomp,
        ExecError::Program { errno, .. } => program(*errno),
        ExecError::Init(init) => kind_of(&init.text),
        ExecError::Prepare { what, .. } => kind_of(what),
        _ => FailureKind::Other,
    };
    Answer::Failed(start_failure(kind, &chain(error)))
}

/// The words of a foreign runtime.
pub(super) fn foreign(message: &str) -> Failure {
    let kind = kind_of(message);
    // Its own chain is complete; ours would say the same twice.
    if message.contains("unable to start container process") || message.contains("exec failed") {
        return Failure { kind, message: message.to_owned() };
    }
    start_failure(kind, message)
}

fn start_failure(kind: FailureKind, text: &str) -> Failure {
    Failure { kind, message: format!("unable to start container process: {text}") }
}

fn program(errno: i32) -> FailureKind {
    if errno == ENOENT || errno == ENOTDIR {
        FailureKind::NotFound
    } else {
        FailureKind::NotExecutable
    }
}

/// The step that a text speaks of.
fn kind_of(text: &str) -> FailureKind {
    let text = text.to_ascii_lowercase();
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if has(&["not found in $path", "exec: \""]) && has(&["not found", "no such file"]) {
        FailureKind::NotFound
    } else if has(&["exec: \"", "exec `", "open executable"]) {
        if has(&["no such file"]) { FailureKind::NotFound } else { FailureKind::NotExecutable }
    } else if has(&["cwd", "chdir", "working directory"]) {
        FailureKind::BadCwd
    } else if has(&["seccomp"]) {
        FailureKind::Seccomp
    } else if has(&["cgroup"]) {
        FailureKind::Cgroup
    } else if has(&["mount", "rootfs", "pivot_root", "overlay"]) {
        FailureKind::Mount
    } else if has(&["setuid", "setgid", "setgroups", "uid", "gid"]) {
        FailureKind::User
    } else {
        FailureKind::Other
    }
}

#[cfg(test)]
mod tests {
    use super::{FailureKind, kind_of};

    #[test]
    fn steps_are_known_by_their_words() {
        for (text, want) in [
            (
                "runc create failed: unable to start container process: exec: \"nope\": \
                 executable file not found in $PATH",
                FailureKind::NotFound,
            ),
            ("executable file `nope` not found in $PATH: No such file", FailureKind::NotFound),
            ("exec: \"/x\": stat /x: no such file or directory", FailureKind::NotFound),
            ("exec: \"/etc/passwd\": permission denied", FailureKind::NotExecutable),
            ("open executable: Permission denied", FailureKind::NotExecutable),
            ("chdir to cwd (\"/nope\") failed: no such file", FailureKind::BadCwd),
            ("error mounting \"proc\" to rootfs at \"/proc\"", FailureKind::Mount),
            ("unable to apply cgroup configuration", FailureKind::Cgroup),
            ("something else", FailureKind::Other),
        ] {
            assert_eq!(kind_of(text), want, "{text}");
        }
    }
}
