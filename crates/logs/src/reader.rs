//! Reading a log.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use crate::config::LogConfig;
use crate::entry::{Entry, Query};

/// Reads the lines that are there now, oldest first.
#[derive(Debug)]
pub struct Reader {}

/// Reads the lines that are there and those to come, through rotation.
#[derive(Debug)]
pub struct Follower {}

impl Reader {
    /// Opens a container's log.
    ///
    /// # Errors
    /// `Unsupported` for a log that keeps nothing; else those of opening the files. A log that
    /// does not exist yet is empty.
    pub fn open(_config: &LogConfig, _query: Query) -> io::Result<Reader> {
        todo!()
    }

    /// The next line; `None` at the end.
    ///
    /// # Errors
    /// Those of reading the files. Damaged lines are passed over.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> io::Result<Option<Entry<'_>>> {
        todo!()
    }
}

impl Follower {
    /// Opens a container's log to follow it.
    ///
    /// # Errors
    /// As [`Reader::open`], and those of `inotify(7)`.
    pub fn open(_config: &LogConfig, _query: Query) -> io::Result<Follower> {
        todo!()
    }

    /// The next line; `None` if there is none yet. Never blocks on the writer: wait for the
    /// descriptor ([`AsFd`]) to be readable, then ask again until `None`.
    ///
    /// # Errors
    /// Those of reading the files.
    #[allow(clippy::should_implement_trait)]
    pub fn next(&mut self) -> io::Result<Option<Entry<'_>>> {
        todo!()
    }

    /// Whether a line after [`Query::until_ns`] was seen, so that none can follow.
    #[must_use]
    pub fn is_over(&self) -> bool {
        todo!()
    }
}

impl AsFd for Follower {
    fn as_fd(&self) -> BorrowedFd<'_> {
        todo!()
    }
}
