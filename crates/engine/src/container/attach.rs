//! `attach`: a client on a container's streams.

use gantry_task::AttachStream;

use super::logs::LogStream;

/// How a client attaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// What it sends is standard input.
    pub stdin: bool,
    /// It gets standard output.
    pub stdout: bool,
    /// It gets standard error.
    pub stderr: bool,
    /// It gets the log so far first.
    pub logs: bool,
    /// It gets the streams live.
    pub stream: bool,
    /// Keys that detach, `ctrl-p,ctrl-q`; empty for the default.
    pub detach_keys: String,
}

/// An attached client's streams.
#[derive(Debug)]
pub struct Attached {
    /// Whether the streams are a terminal's, without frames.
    pub tty: bool,
    /// The log so far, if asked for; it comes first.
    pub logs: Option<LogStream>,
    /// The live streams, if asked for: frames (or a terminal's bytes) out, standard input in.
    pub stream: Option<AttachStream>,
    /// The bytes that detach the client, for a [`DetachScanner`] on what it sends to a terminal.
    pub detach_keys: Vec<u8>,
}

/// Finds the detach keys in what a client sends.
#[derive(Debug, Clone)]
pub struct DetachScanner {
    keys: Vec<u8>,
    seen: usize,
}
