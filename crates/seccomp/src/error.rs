//! What can be wrong with a profile.

/// A profile that cannot be compiled.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SeccompError {
    /// An action that does not exist.
    #[error("unknown seccomp action {0:?}")]
    Action(String),
    /// A comparison that does not exist.
    #[error("unknown seccomp operator {0:?}")]
    Operator(String),
    /// An architecture that does not exist.
    #[error("unknown seccomp architecture {0:?}")]
    Architecture(String),
    /// A filter flag that does not exist.
    #[error("unknown seccomp flag {0:?}")]
    Flag(String),
    /// An argument number above 5.
    #[error("system call {syscall}: argument {index} does not exist")]
    ArgumentIndex {
        /// The system call.
        syscall: String,
        /// The number.
        index: u32,
    },
    /// An `errnoRet` that the filter cannot carry, or with an action that has none.
    #[error("errno {errno} cannot be returned by {action}")]
    Errno {
        /// The action.
        action: String,
        /// The number.
        errno: u32,
    },
    /// More instructions than the kernel takes.
    #[error("seccomp program has {0} instructions, the kernel takes 4096")]
    TooLong(usize),
    /// Bytes that are no program.
    #[error("not a seccomp program: {0}")]
    Malformed(&'static str),
    /// A profile that is not valid JSON.
    #[error("Decoding seccomp profile failed: {0}")]
    Json(String),
    /// A profile that says the same thing in two ways.
    #[error("{0}")]
    Conflict(&'static str),
}
