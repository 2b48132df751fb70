//! What can go wrong, by the step that failed.

use std::io;

use gantry_cgroup::CgroupError;
use gantry_seccomp::SeccompError;

/// A container that could not be made. Nothing of it is left behind.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// The configuration asks for something that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The calling process has more than one thread, so that it cannot be forked safely.
    #[error("the calling process has several threads")]
    Threads,
    /// The control group could not be made or entered.
    #[error("unable to apply cgroup configuration")]
    Cgroup(#[from] CgroupError),
    /// The system call filter could not be compiled.
    #[error("unable to compile the seccomp profile")]
    Seccomp(#[from] SeccompError),
    /// Something before the first process failed.
    #[error("{what}")]
    Prepare {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The first process failed in one of its steps.
    #[error("{0}")]
    Init(InitFailure),
    /// A hook failed.
    #[error("{0}")]
    Hook(String),
    /// The program cannot be executed: it is missing, no file, or not executable.
    #[error("exec: {program:?}: {reason}", reason = program_reason(program, *errno))]
    Program {
        /// `args[0]`.
        program: String,
        /// `ENOENT`, `EACCES`, `EISDIR` or another.
        errno: i32,
    },
}

/// A created container that could not be started.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// `execve(2)` refused the program.
    #[error("exec {program}: {reason}", reason = reason(*errno))]
    Exec {
        /// `args[0]`.
        program: String,
        /// Why.
        errno: i32,
    },
    /// A step before that failed: a hook, or the system call filter.
    #[error("{0}")]
    Init(InitFailure),
    /// The first process is gone.
    #[error("container init is gone")]
    Gone,
    /// Talking to the first process failed.
    #[error("talking to container init")]
    Channel(#[source] io::Error),
    /// A hook failed.
    #[error("{0}")]
    Hook(String),
}

/// A process that could not be run inside a container.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExecError {
    /// The request asks for something that cannot be.
    #[error("{0}")]
    Invalid(String),
    /// The calling process has more than one thread, so that it cannot be forked safely.
    #[error("the calling process has several threads")]
    Threads,
    /// The container's first process has ended.
    #[error("container init is gone")]
    Gone,
    /// The process could not be moved into the container's control group.
    #[error("unable to apply cgroup configuration")]
    Cgroup(#[from] CgroupError),
    /// The system call filter could not be compiled.
    #[error("unable to compile the seccomp profile")]
    Seccomp(#[from] SeccompError),
    /// Something before the process failed.
    #[error("{what}")]
    Prepare {
        /// What was tried.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The process failed in one of its steps inside.
    #[error("{0}")]
    Init(InitFailure),
    /// The program cannot be executed.
    #[error("exec: {program:?}: {reason}", reason = program_reason(program, *errno))]
    Program {
        /// `args[0]`.
        program: String,
        /// `ENOENT`, `EACCES`, `EISDIR`, `ENOEXEC` or another.
        errno: i32,
    },
}

/// A step of the first process that failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}{}", errno.map(|code| format!(": {}", reason(code))).unwrap_or_default())]
pub struct InitFailure {
    /// What was tried, in words.
    pub text: String,
    /// The kernel's answer, if it was the kernel that refused.
    pub errno: Option<i32>,
}

/// The words of `errno` as the C library and Go have them, in lower case.
#[must_use]
pub fn reason(errno: i32) -> String {
    let text = io::Error::from_raw_os_error(errno).to_string();
    let words = text.split(" (os error").next().unwrap_or_default();
    let mut chars = words.chars();
    chars.next().map_or_else(String::new, |first| {
        // Only the first letter: names such as `I/O` inside stay.
        first.to_lowercase().chain(chars).collect()
    })
}

/// Why a program cannot be run, in the words that Docker's clients match on.
fn program_reason(program: &str, errno: i32) -> String {
    let missing = errno == rustix::io::Errno::NOENT.raw_os_error();
    match (missing, program.contains('/')) {
        (true, false) => "executable file not found in $PATH".to_owned(),
        (true, true) => format!("stat {program}: no such file or directory"),
        (false, _) => reason(errno),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_program_is_told_apart_by_its_path() {
        let enoent = rustix::io::Errno::NOENT.raw_os_error();
        let eacces = rustix::io::Errno::ACCESS.raw_os_error();
        for (program, errno, want) in [
            ("nope", enoent, "exec: \"nope\": executable file not found in $PATH"),
            ("/nope", enoent, "exec: \"/nope\": stat /nope: no such file or directory"),
            ("/etc/passwd", eacces, "exec: \"/etc/passwd\": permission denied"),
        ] {
            let error = CreateError::Program { program: program.to_owned(), errno };
            assert_eq!(error.to_string(), want, "{program}");
        }
    }
}
