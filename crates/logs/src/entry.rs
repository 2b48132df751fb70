//! One line of a log, and what is asked of a reader.

use std::collections::BTreeMap;

/// Which of the two output streams a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; a terminal's whole output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    /// Docker's word for it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// One line, or a piece of one longer than 16 KiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Where it came from.
    pub stream: Stream,
    /// When it was read from the container, in nanoseconds since 1970.
    pub time_ns: i64,
    /// The bytes, with the newline if there was one.
    pub line: &'a [u8],
    /// The attributes as they stand in the log; see [`Entry::attrs`].
    pub(crate) raw_attrs: &'a [u8],
}

impl Entry<'_> {
    /// The attributes of the line (`--details`); empty without any.
    #[must_use]
    pub fn attrs(&self) -> BTreeMap<String, String> {
        if self.raw_attrs.is_empty() {
            return BTreeMap::new();
        }
        serde_json::from_slice(self.raw_attrs).unwrap_or_default()
    }
}

/// An entry with buffers of its own, used again for each line.
#[derive(Debug)]
pub(crate) struct Decoded {
    pub(crate) stream: Stream,
    pub(crate) time_ns: i64,
    pub(crate) line: Vec<u8>,
    pub(crate) attrs: Vec<u8>,
}

impl Default for Decoded {
    fn default() -> Decoded {
        Decoded { stream: Stream::Stdout, time_ns: 0, line: Vec::new(), attrs: Vec::new() }
    }
}

impl Decoded {
    pub(crate) fn entry(&self) -> Entry<'_> {
        Entry {
            stream: self.stream,
            time_ns: self.time_ns,
            line: &self.line,
            raw_attrs: &self.attrs,
        }
    }
}

/// Which lines a reader gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Query {
    /// At most so many of the last lines; absent gives all.
    pub tail: Option<u64>,
    /// Lines at or after this time, in nanoseconds since 1970.
    pub since_ns: Option<i64>,
    /// Lines at or before this time.
    pub until_ns: Option<i64>,
    /// Lines of standard output.
    pub stdout: bool,
    /// Lines of standard error.
    pub stderr: bool,
}

impl Default for Query {
    fn default() -> Query {
        Query { tail: None, since_ns: None, until_ns: None, stdout: true, stderr: true }
    }
}
