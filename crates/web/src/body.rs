//! What is sent and what comes, piece by piece.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

use super::fail::{Carried, WireError};

/// How long the rest of an answer may take that nobody needs.
const SKIP: Duration = Duration::from_millis(500);
/// How long it may be, bytes.
const SKIP_MAX: u64 = 64 << 10;

/// What is sent.
#[derive(Debug)]
pub enum Payload {
    /// Nothing.
    Empty,
    /// A document.
    Whole(Bytes),
    /// What comes out of a channel; its length is told if it is known.
    Stream {
        /// In bytes.
        length: Option<u64>,
        /// The data; its end is the channel's.
        pieces: mpsc::Receiver<io::Result<Bytes>>,
    },
}

impl Payload {
    pub(super) fn watched(self) -> (Sending, Arc<Watch>) {
        let watch = Arc::new(Watch::default());
        (Sending { payload: self, watch: Arc::clone(&watch) }, watch)
    }
}

/// How sending goes on, seen from outside.
#[derive(Debug, Default)]
pub(super) struct Watch {
    sent: AtomicU64,
    /// The data is not there yet: no fault of the server's.
    waits: AtomicBool,
}

impl Watch {
    pub(super) fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    pub(super) fn waits(&self) -> bool {
        self.waits.load(Ordering::Relaxed)
    }
}

/// A payload under way.
#[derive(Debug)]
pub(super) struct Sending {
    payload: Payload,
    watch: Arc<Watch>,
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Carried;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Carried>>> {
        let own = self.get_mut();
        let next = match &mut own.payload {
            Payload::Empty => None,
            Payload::Whole(_) => {
                let Payload::Whole(data) = std::mem::replace(&mut own.payload, Payload::Empty)
                else {
                    return Poll::Ready(None);
                };
                Some(Ok(data))
            }
            Payload::Stream { pieces, .. } => {
                let polled = pieces.poll_recv(cx);
                own.watch.waits.store(polled.is_pending(), Ordering::Relaxed);
                match polled {
                    Poll::Pending => return Poll::Pending,
                    Poll::Ready(next) => next,
                }
            }
        };
        Poll::Ready(next.map(|piece| match piece {
            Ok(data) => {
                own.watch.sent.fetch_add(data.len() as u64, Ordering::Relaxed);
                Ok(Frame::data(data))
            }
            Err(error) => Err(Carried::new(WireError::Payload(error))),
        }))
    }

    fn is_end_stream(&self) -> bool {
        match &self.payload {
            Payload::Empty => true,
            Payload::Whole(data) => data.is_empty(),
            Payload::Stream { .. } => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.payload {
            Payload::Empty => SizeHint::with_exact(0),
            Payload::Whole(data) => SizeHint::with_exact(data.len() as u64),
            Payload::Stream { length: Some(length), .. } => SizeHint::with_exact(*length),
            Payload::Stream { length: None, .. } => SizeHint::default(),
        }
    }
}

/// The content of an answer, as it comes; a server that falls silent is an error.
#[derive(Debug)]
pub struct Pieces {
    body: Incoming,
    stall: Duration,
}

impl Pieces {
    pub(super) fn new(body: Incoming, stall: Duration) -> Self {
        Self { body, stall }
    }

    /// The next piece; none at the end.
    ///
    /// # Errors
    /// When the connection breaks, or nothing comes for too long.
    pub async fn next(&mut self) -> Result<Option<Bytes>, WireError> {
        loop {
            match tokio::time::timeout(self.stall, self.body.frame()).await {
                Err(_) => return Err(WireError::Stalled(self.stall.as_secs())),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(WireError::of(&error)),
                // Trailers say nothing of the content.
                Ok(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Some(data)),
                    _ => {}
                },
            }
        }
    }

    /// Reads over the rest, if that is little and comes at once: the connection can be used again.
    pub async fn skip(self) {
        drop(tokio::time::timeout(SKIP, self.all(SKIP_MAX)).await);
    }

    /// All of it; nothing if it is larger than `limit_bytes`.
    ///
    /// # Errors
    /// As [`Pieces::next`].
    pub async fn all(mut self, limit_bytes: u64) -> Result<Option<Bytes>, WireError> {
        let announced = self.body.size_hint();
        if announced.lower() > limit_bytes {
            return Ok(None);
        }
        let mut all = BytesMut::new();
        while let Some(piece) = self.next().await? {
            if (all.len() + piece.len()) as u64 > limit_bytes {
                return Ok(None);
            }
            all.extend_from_slice(&piece);
        }
        Ok(Some(all.freeze()))
    }
}
