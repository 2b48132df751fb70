//! Frames on a taken connection.

use std::io;

use gantry_build_proto::{Frame, FromClient, FromDaemon, Kind, decode, encode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;

use crate::ClientError;

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;
/// Frames shorter than this go out together; longer ones are not copied.
const BATCH_BYTES: usize = 256 << 10;
/// Frames taken from the queue at once.
const BATCH_FRAMES: usize = 64;

/// A message as the bytes of a frame.
pub(crate) fn message(stream: u32, message: &FromClient) -> Result<Vec<u8>, ClientError> {
    let body = serde_json::to_vec(message).map_err(|e| ClientError::Answer(e.to_string()))?;
    Ok(encode(&Frame { kind: Kind::Message, stream, body }))
}

/// Raw bytes of a stream as a frame.
pub(crate) fn data(stream: u32, body: &[u8]) -> Vec<u8> {
    encode(&Frame { kind: Kind::Data, stream, body: body.to_vec() })
}

/// The end of a stream; `why` is empty for a good one.
pub(crate) fn end(stream: u32, why: &str) -> Vec<u8> {
    encode(&Frame { kind: Kind::End, stream, body: why.as_bytes().to_vec() })
}

/// What the daemon says in a message.
pub(crate) fn parse(frame: &Frame) -> Result<FromDaemon, ClientError> {
    serde_json::from_slice(&frame.body)
        .map_err(|error| ClientError::Answer(format!("a message of a build: {error}")))
}

/// Reads frames one after the other.
pub(crate) struct Frames<R> {
    inner: R,
    bytes: Vec<u8>,
    /// How much of `bytes` has been given out.
    used: usize,
}

impl<R: AsyncRead + Unpin> Frames<R> {
    pub(crate) fn new(inner: R) -> Self {
        Self { inner, bytes: Vec::new(), used: 0 }
    }

    /// The next frame; none at the end of the connection. May be dropped while it waits.
    pub(crate) async fn next(&mut self) -> Result<Option<Frame>, ClientError> {
        loop {
            let found = decode(&self.bytes[self.used..])
                .map_err(|error| ClientError::Transport(error.to_string()))?;
            if let Some((frame, length)) = found {
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

/// Writes what comes through the queue, small frames together, until nobody can send any more.
pub(crate) async fn write(
    mut writer: impl AsyncWrite + Unpin,
    mut queue: mpsc::Receiver<Vec<u8>>,
) -> io::Result<()> {
    let mut frames = Vec::with_capacity(BATCH_FRAMES);
    let mut batch = Vec::new();
    while queue.recv_many(&mut frames, BATCH_FRAMES).await > 0 {
        for frame in frames.drain(..) {
            if frame.len() < BATCH_BYTES {
                batch.extend_from_slice(&frame);
            }
            if batch.len() >= BATCH_BYTES || frame.len() >= BATCH_BYTES {
                writer.write_all(&batch).await?;
                batch.clear();
            }
            if frame.len() >= BATCH_BYTES {
                writer.write_all(&frame).await?;
            }
        }
        writer.write_all(&batch).await?;
        batch.clear();
        writer.flush().await?;
    }
    writer.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frames_keep_their_order_whatever_their_size() {
        let (ours, theirs) = tokio::io::duplex(1000);
        let (sender, queue) = mpsc::channel(8);
        let writing = tokio::spawn(write(ours, queue));
        let sizes = [3, BATCH_BYTES + 1, 0, 10, BATCH_BYTES - 30, 40, 7];
        let sending = tokio::spawn(async move {
            for (stream, size) in (0..).zip(sizes) {
                sender.send(data(stream, &vec![7; size])).await.expect("queue");
            }
        });
        let mut frames = Frames::new(theirs);
        for (stream, size) in (0..).zip(sizes) {
            let frame = frames.next().await.expect("frame").expect("not the end");
            assert_eq!((frame.stream, frame.body.len()), (stream, size));
        }
        assert_eq!(frames.next().await.expect("end"), None);
        sending.await.expect("sent");
        writing.await.expect("joined").expect("written");
    }

    #[tokio::test]
    async fn a_torn_frame_is_an_error() {
        let bytes = data(1, b"abc");
        let mut frames = Frames::new(&bytes[..bytes.len() - 1]);
        assert!(frames.next().await.is_err());
    }
}
