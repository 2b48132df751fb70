//! From the network to a sink: a thread of its own, so that neither waits for the other.

use std::io;

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest};
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::Sink;

/// Pieces on their way; a piece is at most what one read of a connection gives.
const DEPTH: usize = 32;

enum Step {
    Data(Bytes),
    Restart(oneshot::Sender<io::Result<()>>),
    Digest(Algorithm, oneshot::Sender<io::Result<Digest>>),
}

/// The way to a sink.
pub(super) struct Pipe<S> {
    steps: mpsc::Sender<Step>,
    thread: JoinHandle<Result<S, io::Error>>,
    /// How many bytes went in, with those that were there.
    offset: u64,
}

impl<S: Sink> Pipe<S> {
    pub(super) fn new(sink: S) -> Self {
        let (steps, queue) = mpsc::channel(DEPTH);
        let offset = sink.offset();
        Self { steps, thread: tokio::task::spawn_blocking(|| run(sink, queue)), offset }
    }

    pub(super) fn offset(&self) -> u64 {
        self.offset
    }

    /// Puts the next bytes in; an error means that the sink failed, see [`Pipe::finish`].
    pub(super) async fn write(&mut self, data: Bytes) -> Result<(), Full> {
        let length = data.len() as u64;
        self.steps.send(Step::Data(data)).await.map_err(|_| Full)?;
        self.offset += length;
        Ok(())
    }

    /// Throws everything away; the inner error means that the sink cannot do that.
    pub(super) async fn restart(&mut self) -> Result<io::Result<()>, Full> {
        let (reply, answer) = oneshot::channel();
        self.steps.send(Step::Restart(reply)).await.map_err(|_| Full)?;
        self.offset = 0;
        answer.await.map_err(|_| Full)
    }

    /// The digest of all bytes.
    pub(super) async fn digest(
        &mut self,
        algorithm: Algorithm,
    ) -> Result<io::Result<Digest>, Full> {
        let (reply, answer) = oneshot::channel();
        self.steps.send(Step::Digest(algorithm, reply)).await.map_err(|_| Full)?;
        answer.await.map_err(|_| Full)
    }

    /// Ends the thread and gives the sink back, or tells why it failed.
    pub(super) async fn finish(self) -> io::Result<S> {
        drop(self.steps);
        self.thread.await.map_err(io::Error::other)?
    }
}

/// The sink takes nothing any more.
#[derive(Debug)]
pub(super) struct Full;

fn run<S: Sink>(mut sink: S, mut queue: mpsc::Receiver<Step>) -> io::Result<S> {
    while let Some(step) = queue.blocking_recv() {
        match step {
            Step::Data(data) => sink.write(&data)?,
            // Who asked may be gone: then nobody wants to know.
            Step::Restart(reply) => drop(reply.send(sink.restart())),
            Step::Digest(algorithm, reply) => drop(reply.send(sink.digest(algorithm))),
        }
    }
    Ok(sink)
}
