//! Container logs: write, rotate, read, follow.
//!
//! One log is a file and, with rotation, its predecessors: `<path>` is written, `<path>.1` is the
//! youngest rotated file, `<path>.1.gz` the same when compressed. The shim writes; the daemon
//! reads, also while the shim writes on.

#![forbid(unsafe_code)]

mod clock;
mod config;
mod entry;
mod escape;
mod files;
mod input;
mod json_file;
mod lines;
mod local;
mod options;
mod reader;
mod tail;
mod watch;
mod writer;

pub use clock::now_ns;
pub use config::{AttrKeys, LogConfig, LogConfigError, LogFile};
pub use entry::{Entry, Query, Stream};
pub use reader::{Follower, Reader};
pub use writer::{Writer, compress};
