//! `attach`: a client on a container's streams.

use gantry_task::AttachStream;

use super::Container;
use super::logs::{LogOptions, LogStream};
use super::phase::Phase;
use crate::AttachError;

/// `ctrl-p,ctrl-q`.
const DEFAULT_KEYS: [u8; 2] = [16, 17];

/// How a client attaches.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
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

impl DetachScanner {
    /// A scanner for these bytes; none never finds anything.
    #[must_use]
    pub fn new(keys: Vec<u8>) -> Self {
        Self { keys, seen: 0 }
    }

    /// Takes what the client sent; gives what goes on to the program, and whether the client
    /// detaches. The beginning of the keys is held back until it is clear that they do not follow.
    pub fn scan(&mut self, input: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(input.len());
        for &byte in input {
            if self.keys.get(self.seen) == Some(&byte) {
                self.seen += 1;
                if self.seen == self.keys.len() {
                    self.seen = 0;
                    return (out, true);
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.seen]);
            self.seen = 0;
            if self.keys.first() == Some(&byte) && self.keys.len() > 1 {
                self.seen = 1;
            } else {
                out.push(byte);
            }
        }
        (out, false)
    }
}

/// Reads `ctrl-p,ctrl-q`, `a,b`; empty is the default.
///
/// # Errors
/// [`AttachError::DetachKeys`].
pub fn parse_detach_keys(text: &str) -> Result<Vec<u8>, AttachError> {
    if text.is_empty() {
        return Ok(DEFAULT_KEYS.to_vec());
    }
    let key = |word: &str| match word.as_bytes() {
        [byte] => Some(*byte),
        _ => match word.strip_prefix("ctrl-").map(str::as_bytes) {
            Some([byte @ b'a'..=b'z']) => Some(byte - b'a' + 1),
            Some(b"@") => Some(0),
            Some(b"[") => Some(27),
            Some(b"\\") => Some(28),
            Some(b"]") => Some(29),
            Some(b"^") => Some(30),
            Some(b"_") => Some(31),
            _ => None,
        },
    };
    let keys: Option<Vec<u8>> = text.split(',').map(key).collect();
    keys.ok_or_else(|| AttachError::DetachKeys(text.to_owned()))
}

impl Container {
    /// Attaches a client. One that comes before the start sees the output from its first byte.
    ///
    /// # Errors
    /// [`AttachError`].
    pub async fn attach(&self, options: AttachOptions) -> Result<Attached, AttachError> {
        let detach_keys = parse_detach_keys(&options.detach_keys)?;
        let record = self.cell.record();
        match self.cell.phase() {
            Phase::Paused { .. } => return Err(AttachError::Paused(self.cell.id.clone())),
            Phase::Restarting { .. } => {
                return Err(AttachError::Restarting(self.cell.id.clone()));
            }
            _ => {}
        }
        let logs = match options.logs && (options.stdout || options.stderr) {
            true => Some(
                self.logs(LogOptions {
                    stdout: options.stdout,
                    stderr: options.stderr,
                    ..LogOptions::default()
                })
                .await?,
            ),
            false => None,
        };
        let mut stream = None;
        if options.stream {
            let failed = |source| AttachError::Streams { id: self.cell.id.clone(), source };
            let wanted = gantry_task::AttachOptions {
                stdin: options.stdin && record.config.open_stdin,
                stdout: options.stdout,
                stderr: options.stderr,
            };
            let (far, near) = gantry_task::attachment(wanted).map_err(failed)?;
            self.add_attachment(far).await?;
            stream = Some(near);
        }
        self.tell("attach");
        Ok(Attached { tty: record.config.tty, logs, stream, detach_keys })
    }

    /// Tells that an attached client has left by its detach keys (an event).
    pub fn detached(&self) {
        self.tell("detach");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        for (text, want) in [
            ("", Some(vec![16, 17])),
            ("ctrl-a", Some(vec![1])),
            ("a,ctrl-@,ctrl-_", Some(vec![b'a', 0, 31])),
            ("ctrl-1", None),
            ("word", None),
            ("a,,b", None),
        ] {
            assert_eq!(parse_detach_keys(text).ok(), want, "{text}");
        }
    }

    #[test]
    fn keys_are_found_across_reads_and_false_starts_go_on() {
        let mut scanner = DetachScanner::new(vec![16, 17]);
        assert_eq!(scanner.scan(b"ab\x10"), (b"ab".to_vec(), false));
        assert_eq!(scanner.scan(b"c"), (b"\x10c".to_vec(), false));
        assert_eq!(scanner.scan(b"\x10\x10\x11rest"), (b"\x10".to_vec(), true));
        let mut single = DetachScanner::new(vec![1]);
        assert_eq!(single.scan(b"x\x01y"), (b"x".to_vec(), true));
        assert_eq!(DetachScanner::new(Vec::new()).scan(b"\x10"), (b"\x10".to_vec(), false));
    }
}
