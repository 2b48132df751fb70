//! Outputs: each is written by a thread of its own, which a bounded queue feeds.

use std::collections::HashMap;
use std::io::{self, Read};
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::{BuildHost, Destination};

/// Pieces that wait for a disk: each is at most one frame.
const QUEUE: usize = 4;

/// Bytes of an output, or why there are no more.
type Piece = Result<Vec<u8>, String>;

/// Outputs under way.
pub(crate) struct Outputs {
    host: Arc<dyn BuildHost>,
    open: HashMap<u32, mpsc::Sender<Piece>>,
    done: Vec<oneshot::Receiver<Result<(), String>>>,
    /// Tells at once of the first that fails.
    failed: mpsc::Sender<String>,
}

impl Outputs {
    /// None yet; failures go to `failed`.
    pub(crate) fn new(host: Arc<dyn BuildHost>, failed: mpsc::Sender<String>) -> Self {
        Self { host, open: HashMap::new(), done: Vec::new(), failed }
    }

    /// An output begins.
    pub(crate) fn begin(&mut self, stream: u32, which: Destination) -> io::Result<()> {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (finished, done) = oneshot::channel();
        let (host, failed) = (Arc::clone(&self.host), self.failed.clone());
        std::thread::Builder::new().name("build-output".into()).spawn(move || {
            let mut content = Content { pieces: receiver, piece: Vec::new(), at: 0, ended: false };
            let result = host.output(which, &mut content);
            if let Err(why) = &result {
                let _ = failed.try_send(why.clone());
            }
            // The session may have ended for another reason.
            let _ = finished.send(result);
        })?;
        self.open.insert(stream, sender);
        self.done.push(done);
        Ok(())
    }

    /// Whether the stream is an output's.
    pub(crate) fn has(&self, stream: u32) -> bool {
        self.open.contains_key(&stream)
    }

    /// Gives bytes to an output, and waits while its queue is full.
    pub(crate) async fn data(&self, stream: u32, bytes: Vec<u8>) {
        if let Some(sender) = self.open.get(&stream) {
            // A writer that has failed has said so.
            let _ = sender.send(Ok(bytes)).await;
        }
    }

    /// An output ends, well if `why` is empty.
    pub(crate) async fn end(&mut self, stream: u32, why: &[u8]) {
        if let Some(sender) = self.open.remove(&stream) {
            let why = String::from_utf8_lossy(why).into_owned();
            let last = if why.is_empty() { Ok(Vec::new()) } else { Err(why) };
            let _ = sender.send(last).await;
        }
    }

    /// Waits until all outputs are written.
    pub(crate) async fn finish(&mut self) -> Result<(), String> {
        // What has not ended never will.
        self.open.clear();
        for done in self.done.drain(..) {
            done.await.unwrap_or_else(|_| Err("writing an output broke off".into()))?;
        }
        Ok(())
    }
}

/// An output's bytes as a reader.
struct Content {
    pieces: mpsc::Receiver<Piece>,
    piece: Vec<u8>,
    at: usize,
    ended: bool,
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.at == self.piece.len() {
            if self.ended || buffer.is_empty() {
                return Ok(0);
            }
            match self.pieces.blocking_recv() {
                Some(Ok(piece)) => {
                    self.ended = piece.is_empty();
                    self.piece = piece;
                    self.at = 0;
                }
                Some(Err(why)) => return Err(io::Error::other(why)),
                None => return Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }
        let count = buffer.len().min(self.piece.len() - self.at);
        buffer[..count].copy_from_slice(&self.piece[self.at..self.at + count]);
        self.at += count;
        Ok(count)
    }
}
