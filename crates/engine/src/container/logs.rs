//! `logs`: what a container wrote.

use bytes::Bytes;
use gantry_logs::Stream;

/// What of the log to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Standard output.
    pub stdout: bool,
    /// Standard error.
    pub stderr: bool,
    /// Go on until the container's run ends.
    pub follow: bool,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Put the attributes before each line.
    pub details: bool,
    /// Only so many of the last lines.
    pub tail: Option<u64>,
    /// Lines at or after this time, in nanoseconds since 1970.
    pub since_ns: Option<i64>,
    /// Lines at or before this time.
    pub until_ns: Option<i64>,
}

/// Lines of one stream, as they go to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogChunk {
    /// The stream.
    pub stream: Stream,
    /// One or more lines.
    pub bytes: Bytes,
}

/// A log being read. The task that reads it ends when this is dropped.
#[derive(Debug)]
pub struct LogStream {
    /// Whether the container has a terminal, so that its log goes without frames.
    pub tty: bool,
    pub(crate) chunks: tokio::sync::mpsc::Receiver<std::io::Result<LogChunk>>,
}

impl LogStream {
    /// The next lines; `None` at the end.
    pub async fn next(&mut self) -> Option<std::io::Result<LogChunk>> {
        self.chunks.recv().await
    }
}
