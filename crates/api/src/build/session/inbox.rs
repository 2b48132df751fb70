//! What comes from the client of a session, given to whoever has asked for it.
//!
//! One task reads. It waits while those who asked are slow to take what they get, so that a client
//! cannot fill our memory; they take it whatever else happens, or are gone. A connection to an SSH
//! agent is an exception, since a step decides when to read it: it is cut off instead.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use gantry_build::ClientError;
use gantry_build_proto::{Frame, FrameError, FromClient, Kind, Listing, decode};
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes of the client's that wait for whoever has asked, over all of a session.
const WAITING_BYTES: usize = 32 << 20;
/// Pieces that wait for one who has asked.
const PIECES: usize = 16;
/// Pieces that wait for a step to read its connection to an SSH agent.
const AGENT_PIECES: usize = 64;
/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// A part of an answer.
#[derive(Debug)]
pub(super) enum Piece {
    /// The whole answer to a question for a directory.
    Listing(Listing),
    /// Bytes.
    Data(Chunk),
    /// The end of the bytes, and why it is no good one.
    End(Option<String>),
    /// The client's words for having no answer.
    Refused(String),
}

/// Bytes that wait for whoever has asked.
#[derive(Debug)]
pub(super) struct Chunk {
    bytes: Vec<u8>,
    /// Theirs in [`WAITING_BYTES`].
    _room: OwnedSemaphorePermit,
}

impl Chunk {
    /// How many they are.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// The bytes, which do not wait any more.
    pub(super) fn take(self) -> Vec<u8> {
        self.bytes
    }
}

/// Why a client is not listened to any more.
#[derive(Debug, Error)]
pub(super) enum ReadError {
    /// The connection broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What it sends is no frame.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A message that cannot be read.
    #[error("a message of a build: {0}")]
    Message(#[from] serde_json::Error),
    /// A message that is out of place.
    #[error("unexpected message of a build")]
    Unexpected,
    /// Something for nobody.
    #[error("bytes for stream {0}, which nobody has asked for")]
    Unasked(u32),
    /// It has cancelled the build.
    #[error("context canceled")]
    Cancelled,
}

/// Those who wait for an answer.
#[derive(Debug)]
pub(super) struct Inbox {
    slots: Mutex<HashMap<u32, Slot>>,
    next: AtomicU32,
    room: Arc<Semaphore>,
}

#[derive(Debug, Clone)]
struct Slot {
    pieces: mpsc::Sender<Piece>,
    /// It is cut off when it is full.
    is_agent: bool,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            slots: Mutex::default(),
            // Nought is nobody's.
            next: AtomicU32::new(1),
            room: Arc::new(Semaphore::new(WAITING_BYTES)),
        }
    }
}

impl Inbox {
    /// A new number, and what comes for it.
    pub(super) fn open(&self) -> (u32, mpsc::Receiver<Piece>) {
        self.open_slot(PIECES, false)
    }

    /// The same for a connection to an agent.
    pub(super) fn open_agent(&self) -> (u32, mpsc::Receiver<Piece>) {
        self.open_slot(AGENT_PIECES, true)
    }

    /// A number for what only goes to the client.
    pub(super) fn number(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    fn open_slot(&self, length: usize, is_agent: bool) -> (u32, mpsc::Receiver<Piece>) {
        let (pieces, receiver) = mpsc::channel(length);
        let number = self.number();
        self.lock().insert(number, Slot { pieces, is_agent });
        (number, receiver)
    }

    /// Nothing more will come: all who wait are told.
    pub(super) fn close(&self) {
        self.lock().clear();
    }

    /// Takes what comes until the client is gone; gives why.
    pub(super) async fn read_from(&self, frames: &mut Frames<impl AsyncRead + Unpin>) -> ReadError {
        loop {
            let taken = match frames.next().await {
                Ok(Some(frame)) => self.take(frame).await,
                Ok(None) => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                Err(error) => Err(error),
            };
            if let Err(error) = taken {
                return error;
            }
        }
    }

    async fn take(&self, frame: Frame) -> Result<(), ReadError> {
        let number = frame.stream;
        let piece = match frame.kind {
            Kind::Message => match serde_json::from_slice(&frame.body)? {
                FromClient::Cancel => return Err(ReadError::Cancelled),
                FromClient::Listing(listing) => Piece::Listing(listing),
                FromClient::Refused(why) => Piece::Refused(why),
                FromClient::Build(_) => return Err(ReadError::Unexpected),
            },
            Kind::Data => return self.data(number, frame.body).await,
            Kind::End => {
                let why = String::from_utf8_lossy(&frame.body).into_owned();
                Piece::End((!why.is_empty()).then_some(why))
            }
        };
        let slot = self.lock().remove(&number).ok_or(ReadError::Unasked(number))?;
        // Whoever has asked may not want it any more; an agent's end shows without it.
        let _ = match slot.is_agent {
            true => slot.pieces.try_send(piece).is_ok(),
            false => slot.pieces.send(piece).await.is_ok(),
        };
        Ok(())
    }

    async fn data(&self, number: u32, body: Vec<u8>) -> Result<(), ReadError> {
        let slot = self.lock().get(&number).cloned().ok_or(ReadError::Unasked(number))?;
        if body.is_empty() || slot.pieces.is_closed() {
            return Ok(());
        }
        let bytes = u32::try_from(body.len().min(WAITING_BYTES)).unwrap_or(u32::MAX);
        if slot.is_agent {
            let permit = Arc::clone(&self.room).try_acquire_many_owned(bytes);
            let sent = permit.is_ok_and(|permit| {
                let chunk = Chunk { bytes: body, _room: permit };
                slot.pieces.try_send(Piece::Data(chunk)).is_ok()
            });
            if !sent {
                // It stays known, so that what still comes for it is passed over.
                self.lock().entry(number).and_modify(|slot| slot.pieces = mpsc::channel(1).0);
            }
            return Ok(());
        }
        // It is never closed.
        if let Ok(permit) = Arc::clone(&self.room).acquire_many_owned(bytes).await {
            let chunk = Chunk { bytes: body, _room: permit };
            let _ = slot.pieces.send(Piece::Data(chunk)).await;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u32, Slot>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a client's refusal means: that there is nothing of that name, or that it would not.
pub(super) fn refusal(why: String) -> ClientError {
    let absent = ["not found", "no such file", "no such directory"];
    match absent.iter().find_map(|words| why.strip_suffix(words)) {
        Some(name) => ClientError::NotFound(name.trim_end_matches([':', ' ']).to_owned()),
        None => ClientError::Refused(why),
    }
}

/// Reads frames one after the other.
pub(super) struct Frames<R> {
    inner: R,
    bytes: Vec<u8>,
    /// How much of `bytes` has been given out.
    used: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    /// Frames of a connection, of which these bytes have been read already.
    pub(super) fn new(inner: R, early: &[u8]) -> Self {
        Self { inner, bytes: early.to_vec(), used: 0 }
    }

    /// The next frame; `None` at the end. May be dropped while it waits.
    pub(super) async fn next(&mut self) -> Result<Option<Frame>, ReadError> {
        loop {
            if let Some((frame, length)) = decode(&self.bytes[self.used..])? {
                self.used += length;
                return Ok(Some(frame));
            }
            self.bytes.drain(..self.used);
            self.used = 0;
            self.bytes.reserve(READ_BYTES);
            if self.inner.read_buf(&mut self.bytes).await? == 0 {
                return match self.bytes.is_empty() {
                    true => Ok(None),
                    false => Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                };
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn frame(kind: Kind, stream: u32, body: &[u8]) -> Frame {
        Frame { kind, stream, body: body.to_vec() }
    }

    #[tokio::test]
    async fn answers_find_those_who_asked() {
        let inbox = Inbox::default();
        let (one, mut first) = inbox.open();
        let (two, mut second) = inbox.open();
        inbox.take(frame(Kind::Data, two, b"ab")).await.unwrap();
        inbox.take(frame(Kind::Data, one, b"cd")).await.unwrap();
        inbox.take(frame(Kind::End, two, b"torn")).await.unwrap();
        let refused = serde_json::to_vec(&FromClient::Refused("no".into())).unwrap();
        inbox.take(frame(Kind::Message, one, &refused)).await.unwrap();
        assert!(matches!(first.recv().await, Some(Piece::Data(chunk)) if chunk.bytes == b"cd"));
        assert!(matches!(first.recv().await, Some(Piece::Refused(why)) if why == "no"));
        assert!(first.recv().await.is_none());
        assert!(matches!(second.recv().await, Some(Piece::Data(..))));
        assert!(matches!(second.recv().await, Some(Piece::End(Some(why))) if why == "torn"));
        for stray in [frame(Kind::Data, two, b"x"), frame(Kind::End, 99, b"")] {
            assert!(matches!(inbox.take(stray).await, Err(ReadError::Unasked(_))));
        }
        let cancel = serde_json::to_vec(&FromClient::Cancel).unwrap();
        let cancelled = inbox.take(frame(Kind::Message, 0, &cancel)).await;
        assert!(matches!(cancelled, Err(ReadError::Cancelled)));
    }

    #[tokio::test]
    async fn a_client_cannot_fill_the_memory() {
        let inbox = Arc::new(Inbox::default());
        let (number, mut pieces) = inbox.open();
        let flood = tokio::spawn({
            let inbox = Arc::clone(&inbox);
            async move {
                for _ in 0..64 {
                    inbox.take(frame(Kind::Data, number, &[0; 4 << 20])).await.unwrap();
                }
            }
        });
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert!(!flood.is_finished());
        assert_eq!(inbox.room.available_permits(), 0);
        for _ in 0..64 {
            assert!(matches!(pieces.recv().await, Some(Piece::Data(..))));
        }
        flood.await.unwrap();
        // Whoever does not want it any more holds nothing up.
        drop(pieces);
        inbox.take(frame(Kind::Data, number, &[0; 1 << 20])).await.unwrap();
        inbox.take(frame(Kind::End, number, b"")).await.unwrap();
        assert_eq!(inbox.room.available_permits(), WAITING_BYTES);
    }

    #[tokio::test]
    async fn an_agent_that_is_not_read_is_cut_off() {
        let inbox = Inbox::default();
        let (number, mut pieces) = inbox.open_agent();
        for _ in 0..AGENT_PIECES + 3 {
            inbox.take(frame(Kind::Data, number, b"x")).await.unwrap();
        }
        let mut got = 0;
        while let Some(Piece::Data(..)) = pieces.recv().await {
            got += 1;
        }
        assert_eq!(got, AGENT_PIECES);
        inbox.take(frame(Kind::End, number, b"")).await.unwrap();
    }

    #[test]
    fn refusals_are_told_apart() {
        let named = |why: &str| match refusal(why.to_owned()) {
            ClientError::NotFound(name) => format!("no {name}"),
            other => other.to_string(),
        };
        assert_eq!(named("a/b: no such file"), "no a/b");
        assert_eq!(named("secret t: not found"), "no secret t");
        assert_eq!(named("a/b: permission denied"), "a/b: permission denied");
    }
}
