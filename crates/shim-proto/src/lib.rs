//! Messages between the daemon and a shim.
//!
//! One message is a frame on a Unix stream socket: the length of its JSON text, the number of
//! descriptors that travel with it, and the text. Both sides bound what they take.
//!
//! ```text
//! length:u32 descriptors:u32 text          little-endian
//! ```

#![forbid(unsafe_code)]

mod channel;
mod message;

pub use channel::{Channel, ChannelError, Incoming, MAX_DESCRIPTORS, MAX_MESSAGE_BYTES};
pub use message::{
    Answer, Attach, Exec, ExecStatus, ExitStatus, Failure, FailureKind, Foreign, FromShim, Kill,
    Request, Resize, Run, SavedState, SeqOnly, Status, Stdio, Streams, ToShim,
};

/// The version that this crate speaks; raised when a request is added.
pub const PROTOCOL: u32 = 1;

/// The shim's socket in the task directory.
pub const SOCKET_FILE: &str = "shim.sock";
/// The shim's standard error.
pub const ERROR_FILE: &str = "shim.log";
/// An [`ExitStatus`], there once the first process has ended.
pub const EXIT_FILE: &str = "exit.json";
/// A [`SavedState`], there while the first process runs.
pub const STATE_FILE: &str = "state.json";
