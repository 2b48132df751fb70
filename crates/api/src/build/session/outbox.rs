//! What goes to the client of a session: a queue that one task writes.
//!
//! Whoever has bytes for the client waits while the queue is long. How the build goes is told
//! without waiting: the queue takes it whatever its length, but for what programs print and how far
//! a part has got. Of that, what finds the queue full is left out, and the client is told so.

use std::collections::VecDeque;
use std::io;
use std::pin::pin;
use std::sync::{Mutex, MutexGuard, PoisonError};

use gantry_build::ClientError;
use gantry_build_proto::{Frame, FromDaemon, Kind, Log, Progress, encode};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::Notify;

/// Bytes in the queue from which on the others wait, and prints are left out.
const FULL_BYTES: usize = 8 << 20;
/// Frames that are written together, in bytes.
const BATCH_BYTES: usize = 256 << 10;

/// The queue.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: Mutex<Queue>,
    filled: Notify,
    drained: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Printed bytes that were left out.
    left_out: usize,
    /// Nothing more will come.
    finished: bool,
    /// The client is gone.
    broken: bool,
}

impl Outbox {
    /// Sends a message; waits while the queue is full.
    pub(super) async fn message(
        &self,
        stream: u32,
        message: &FromDaemon,
    ) -> Result<(), ClientError> {
        let body = serde_json::to_vec(message).map_err(|e| ClientError::Refused(e.to_string()))?;
        self.send(Kind::Message, stream, body).await
    }

    /// Sends a frame; waits while the queue is full.
    pub(super) async fn send(
        &self,
        kind: Kind,
        stream: u32,
        body: Vec<u8>,
    ) -> Result<(), ClientError> {
        let frame = encode(&Frame { kind, stream, body });
        loop {
            let mut drained = pin!(self.drained.notified());
            // From here on no change is missed.
            drained.as_mut().enable();
            {
                let mut queue = self.lock();
                if queue.broken {
                    return Err(ClientError::Gone);
                }
                if queue.bytes < FULL_BYTES {
                    queue.push(frame);
                    break;
                }
            }
            drained.await;
        }
        self.filled.notify_one();
        Ok(())
    }

    /// Tells how the build goes, without waiting.
    pub(super) fn tell(&self, progress: Progress) {
        let mut queue = self.lock();
        if queue.broken {
            return;
        }
        let is_full = queue.bytes >= FULL_BYTES;
        match &progress {
            Progress::Log(log) if is_full => {
                queue.left_out += log.text.len();
                return;
            }
            Progress::Status { done: false, .. } if is_full => return,
            Progress::Log(log) if queue.left_out > 0 => {
                let text = format!("[output clipped: {} bytes]\n", queue.left_out);
                queue.left_out = 0;
                let notice = Log { text, ..log.clone() };
                queue.progress(Progress::Log(notice));
            }
            _ => {}
        }
        queue.progress(progress);
        drop(queue);
        self.filled.notify_one();
    }

    /// Nothing more will come: [`Outbox::write_to`] ends when all is written.
    pub(super) fn finish(&self) {
        self.lock().finished = true;
        self.filled.notify_one();
    }

    /// The client is gone: nothing more is taken.
    pub(super) fn break_off(&self) {
        let mut queue = self.lock();
        queue.broken = true;
        queue.frames.clear();
        queue.bytes = 0;
        drop(queue);
        self.filled.notify_one();
        self.drained.notify_waiters();
    }

    /// Writes the queue to the client until nothing more comes.
    ///
    /// # Errors
    /// When the client is gone.
    pub(super) async fn write_to(&self, mut client: impl AsyncWrite + Unpin) -> io::Result<()> {
        loop {
            match self.next_batch() {
                Some(batch) if !batch.is_empty() => {
                    if let Err(error) = client.write_all(&batch).await {
                        self.break_off();
                        return Err(error);
                    }
                    self.drained.notify_waiters();
                }
                Some(_) => {
                    client.flush().await?;
                    self.filled.notified().await;
                }
                None => return client.shutdown().await,
            }
        }
    }

    /// Frames to write together; nothing when there are none, `None` when none will come.
    fn next_batch(&self) -> Option<Vec<u8>> {
        let mut queue = self.lock();
        let mut batch = queue.frames.pop_front().unwrap_or_default();
        while let Some(next) = queue.frames.front()
            && batch.len() + next.len() <= BATCH_BYTES
        {
            batch.extend_from_slice(next);
            queue.frames.pop_front();
        }
        queue.bytes -= batch.len();
        match batch.is_empty() && (queue.finished || queue.broken) {
            true => None,
            false => Some(batch),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn push(&mut self, frame: Vec<u8>) {
        self.bytes += frame.len();
        self.frames.push_back(frame);
    }

    fn progress(&mut self, progress: Progress) {
        match serde_json::to_vec(&FromDaemon::Progress(progress)) {
            Ok(body) => self.push(encode(&Frame { kind: Kind::Message, stream: 0, body })),
            Err(error) => tracing::error!(%error, "a progress message could not be written"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use gantry_build_proto::{Stream, decode};
    use tokio::io::AsyncReadExt as _;

    fn log(text: String) -> Progress {
        Progress::Log(Log { vertex: 1, stream: Stream::Out, at_ns: 0, text })
    }

    fn frames(mut bytes: &[u8]) -> Vec<Frame> {
        let mut frames = Vec::new();
        while let Some((frame, length)) = decode(bytes).unwrap() {
            frames.push(frame);
            bytes = &bytes[length..];
        }
        frames
    }

    #[tokio::test]
    async fn what_is_sent_comes_in_order_and_ends() {
        let outbox = Arc::new(Outbox::default());
        let (ours, mut theirs) = tokio::io::duplex(1000);
        let writer = tokio::spawn({
            let outbox = Arc::clone(&outbox);
            async move { outbox.write_to(ours).await }
        });
        for stream in 0..100 {
            outbox.send(Kind::Data, stream, vec![1; 3000]).await.unwrap();
            outbox.tell(log(format!("{stream}")));
        }
        outbox.finish();
        let mut bytes = Vec::new();
        theirs.read_to_end(&mut bytes).await.unwrap();
        writer.await.unwrap().unwrap();
        let frames = frames(&bytes);
        assert_eq!(frames.len(), 200);
        let streams = frames.iter().filter(|frame| frame.kind == Kind::Data);
        assert!(streams.map(|frame| frame.stream).eq(0..100));
    }

    #[tokio::test]
    async fn a_client_that_does_not_read_holds_senders_and_loses_prints() {
        let outbox = Outbox::default();
        outbox.send(Kind::Data, 1, vec![0; FULL_BYTES]).await.unwrap();
        let waits = outbox.send(Kind::Data, 2, vec![0; 10]);
        let waits = tokio::time::timeout(std::time::Duration::from_millis(50), waits).await;
        assert!(waits.is_err());
        outbox.tell(log("lost".into()));
        outbox.tell(Progress::Status {
            vertex: 1,
            name: "part".into(),
            current: 1,
            total: 2,
            done: false,
        });
        outbox.tell(Progress::Completed(gantry_build_proto::Completed {
            vertex: 1,
            at_ns: 0,
            cached: gantry_build_proto::Cached::Miss,
            error: None,
            result: String::new(),
            why: String::new(),
        }));
        let first = outbox.next_batch().unwrap();
        assert!(first.len() > FULL_BYTES);
        outbox.tell(log("seen".into()));
        let rest = frames(&outbox.next_batch().unwrap());
        let texts: Vec<String> =
            rest.iter().map(|frame| String::from_utf8_lossy(&frame.body).into_owned()).collect();
        assert_eq!(texts.len(), 3, "{texts:?}");
        assert!(texts[0].contains("completed"), "{texts:?}");
        assert!(texts[1].contains("[output clipped: 4 bytes]"), "{texts:?}");
        assert!(texts[2].contains("seen"), "{texts:?}");
        outbox.break_off();
        assert!(matches!(outbox.send(Kind::Data, 1, Vec::new()).await, Err(ClientError::Gone)));
    }
}
