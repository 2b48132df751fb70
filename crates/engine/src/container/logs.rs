//! `logs`: what a container wrote.

use std::io;
use std::os::fd::{AsFd as _, AsRawFd, RawFd};

use bytes::{Bytes, BytesMut};
use gantry_logs::{Entry, Follower, Query, Reader, Stream};
use tokio::io::unix::AsyncFd;
use tokio::sync::mpsc;

use super::Container;
use super::cell::Life;
use super::inspect::log_time;
use crate::AttachError;

/// Chunks that may wait for a slow reader.
const QUEUE: usize = 4;
/// Lines are put together up to this many bytes.
const CHUNK: usize = 32 << 10;

/// What of the log to read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
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
    chunks: mpsc::Receiver<io::Result<LogChunk>>,
}

impl LogStream {
    /// The next lines; `None` at the end.
    pub async fn next(&mut self) -> Option<io::Result<LogChunk>> {
        self.chunks.recv().await
    }
}

impl Container {
    /// Reads its log.
    ///
    /// # Errors
    /// [`AttachError`].
    pub async fn logs(&self, options: LogOptions) -> Result<LogStream, AttachError> {
        if !options.stdout && !options.stderr {
            return Err(AttachError::NoStream);
        }
        let view = self.cell.view();
        let tty = view.record.config.tty;
        let query = Query {
            tail: options.tail,
            since_ns: options.since_ns,
            until_ns: options.until_ns,
            stdout: options.stdout,
            stderr: options.stderr,
        };
        let config = view.record.log.clone();
        let (sender, chunks) = mpsc::channel(QUEUE);
        let failed = |source: io::Error| match source.kind() {
            io::ErrorKind::Unsupported => AttachError::Unreadable,
            _ => AttachError::Log { id: self.cell.id.clone(), source },
        };
        let mut life = self.cell.life.subscribe();
        let then = *life.borrow_and_update();
        if options.follow && then.running {
            let follower = Follower::open(&config, query).map_err(failed)?;
            let follower = watched(follower).map_err(failed)?;
            tokio::spawn(follow(follower, options, life, then, sender));
        } else {
            let reader = Reader::open(&config, query).map_err(failed)?;
            tokio::task::spawn_blocking(move || read(reader, options, &sender));
        }
        Ok(LogStream { tty, chunks })
    }
}

fn read(mut reader: Reader, options: LogOptions, sender: &mpsc::Sender<io::Result<LogChunk>>) {
    let mut batch = Batch::default();
    loop {
        let full = match reader.next() {
            Ok(Some(entry)) => batch.add(&entry, options),
            Ok(None) => break,
            Err(error) => {
                let _ = sender.blocking_send(Err(error));
                return;
            }
        };
        if let Some(chunk) = full
            && sender.blocking_send(Ok(chunk)).is_err()
        {
            return;
        }
    }
    if let Some(rest) = batch.take() {
        let _ = sender.blocking_send(Ok(rest));
    }
}

/// A follower as the reactor takes it.
struct Watched(Follower);

impl AsRawFd for Watched {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_fd().as_raw_fd()
    }
}

#[expect(deprecated, reason = "the other constructor is unsafe; a follower owns its descriptor")]
fn watched(follower: Follower) -> io::Result<AsyncFd<Watched>> {
    AsyncFd::new(Watched(follower))
}

/// Gives lines as they come, until the run that was on when it began has ended.
async fn follow(
    mut follower: AsyncFd<Watched>,
    options: LogOptions,
    mut life: tokio::sync::watch::Receiver<Life>,
    then: Life,
    sender: mpsc::Sender<io::Result<LogChunk>>,
) {
    let over = move |now: &Life| !now.running || now.exits > then.exits || now.removed;
    loop {
        // The order matters: whether it is over is asked before the last lines are read.
        let ends = {
            let now = life.borrow_and_update();
            over(&now)
        };
        if !drain(&mut follower.get_mut().0, options, &sender).await || ends {
            return;
        }
        tokio::select! {
            ready = follower.readable_mut() => match ready {
                Ok(mut ready) => ready.clear_ready(),
                Err(error) => {
                    let _ = sender.send(Err(error)).await;
                    return;
                }
            },
            () = ended(&mut life, &over) => {}
            () = sender.closed() => return,
        }
    }
}

async fn ended(life: &mut tokio::sync::watch::Receiver<Life>, over: &impl Fn(&Life) -> bool) {
    // The sender lives as long as the container; when it is gone, so is the run.
    drop(life.wait_for(|now| over(now)).await);
}

/// Sends what there is; `false` when nothing more is wanted or can be had.
async fn drain(
    follower: &mut Follower,
    options: LogOptions,
    sender: &mpsc::Sender<io::Result<LogChunk>>,
) -> bool {
    let mut batch = Batch::default();
    loop {
        let full = match follower.next() {
            Ok(Some(entry)) => batch.add(&entry, options),
            Ok(None) => break,
            Err(error) => {
                let _ = sender.send(Err(error)).await;
                return false;
            }
        };
        if let Some(chunk) = full
            && sender.send(Ok(chunk)).await.is_err()
        {
            return false;
        }
    }
    if let Some(rest) = batch.take()
        && sender.send(Ok(rest)).await.is_err()
    {
        return false;
    }
    !follower.is_over()
}

/// Lines of one stream being put together.
#[derive(Default)]
struct Batch {
    stream: Option<Stream>,
    bytes: BytesMut,
}

impl Batch {
    /// Adds a line; gives the lines before it when they are many, or of the other stream.
    fn add(&mut self, entry: &Entry<'_>, options: LogOptions) -> Option<LogChunk> {
        let full = match self.stream {
            Some(stream) if stream != entry.stream || self.bytes.len() >= CHUNK => self.take(),
            _ => None,
        };
        self.stream = Some(entry.stream);
        if options.timestamps {
            self.bytes.extend_from_slice(log_time(entry.time_ns).as_bytes());
            self.bytes.extend_from_slice(b" ");
        }
        if options.details {
            self.bytes.extend_from_slice(details(entry).as_bytes());
            self.bytes.extend_from_slice(b" ");
        }
        self.bytes.extend_from_slice(entry.line);
        full
    }

    fn take(&mut self) -> Option<LogChunk> {
        let stream = self.stream.take()?;
        Some(LogChunk { stream, bytes: self.bytes.split().freeze() })
    }
}

/// `a=1,b=2`, each part escaped as in a URL's query.
fn details(entry: &Entry<'_>) -> String {
    let pairs = entry.attrs().into_iter().map(|(k, v)| format!("{}={}", escape(&k), escape(&v)));
    pairs.collect::<Vec<_>>().join(",")
}

fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            b' ' => out.push('+'),
            other => out.push_str(&format!("%{other:02X}")),
        }
    }
    out
}
