//! Container logs: write, rotate, read, follow.
//!
//! One log is a file and, with rotation, its predecessors: `<path>` is written, `<path>.1` is the
//! youngest rotated file, `<path>.1.gz` the same when compressed. The shim writes; the daemon
//! reads, also while the shim writes on.

#![forbid(unsafe_code)]

mod config;
mod options;

pub use config::{AttrKeys, LogConfig, LogConfigError, LogFile};

mod entry;
mod reader;

pub use entry::{Entry, Query, Stream};
pub use reader::{Follower, Reader};
