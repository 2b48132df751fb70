//! The client of a session, as the builder sees it: what it wants becomes questions over the
//! connection.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use futures_util::{StreamExt as _, stream};
use gantry_build::{Bytes, Client, ClientError, Connection, Output};
use gantry_build_proto::{Ask, FromDaemon, Kind, Listing, Progress};
use gantry_distribution::Credentials;
use tokio::io::{AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, DuplexStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio_util::sync::PollSender;
use tokio_util::task::TaskTracker;

use super::inbox::{Inbox, Piece, refusal};
use super::outbox::Outbox;
use crate::registry::auth::Keyring;

/// Questions that are open at once.
const OPEN_MAX: usize = 256;
/// Longest listing, as JSON.
const LISTING_BYTES_MAX: usize = 256 << 20;
/// Largest secret: BuildKit's limit.
const SECRET_BYTES_MAX: usize = 500 << 10;
/// Bytes of a stream in one frame.
const CHUNK_BYTES: usize = 256 << 10;
/// Chunks of an output that wait to be sent.
const CHUNKS: usize = 4;
/// Bytes between a step and its connection to an agent.
const AGENT_BYTES: usize = 64 << 10;

/// The client.
pub(super) struct Asker {
    outbox: Arc<Outbox>,
    inbox: Arc<Inbox>,
    open: Arc<Semaphore>,
    keyring: Keyring,
    /// What goes on behind the builder's back: outputs and agents.
    pumps: TaskTracker,
}

/// A question that was asked.
struct Asked {
    pieces: mpsc::Receiver<Piece>,
    _open: OwnedSemaphorePermit,
}

impl Asked {
    /// The next part of the answer; an answer that breaks off is the client's leaving.
    async fn next(&mut self) -> Result<Piece, ClientError> {
        match self.pieces.recv().await {
            Some(Piece::Refused(why)) => Err(refusal(why)),
            Some(Piece::End(Some(why))) => Err(ClientError::Refused(why)),
            Some(piece) => Ok(piece),
            None => Err(ClientError::Gone),
        }
    }

    /// The bytes of an answer that still come.
    async fn collect(&mut self, what: &str, most: usize) -> Result<Vec<u8>, ClientError> {
        let mut all = Vec::new();
        loop {
            match self.next().await? {
                Piece::Data(chunk) if all.len() + chunk.len() <= most => all.extend(chunk.take()),
                Piece::Data(_) => {
                    let words = format!("{what} is larger than {most} bytes");
                    return Err(ClientError::Refused(words));
                }
                Piece::End(_) => return Ok(all),
                Piece::Listing(_) | Piece::Refused(_) => return Err(out_of_place()),
            }
        }
    }
}

fn out_of_place() -> ClientError {
    ClientError::Refused("the client's answer does not fit the question".to_owned())
}

impl Asker {
    /// A client behind these queues.
    pub(super) fn new(outbox: Arc<Outbox>, inbox: Arc<Inbox>, keyring: Keyring) -> Self {
        let open = Arc::new(Semaphore::new(OPEN_MAX));
        Self { outbox, inbox, open, keyring, pumps: TaskTracker::new() }
    }

    /// Waits until everything that was begun behind the builder's back has ended.
    pub(super) async fn settle(&self) {
        self.pumps.close();
        self.pumps.wait().await;
    }

    async fn ask(&self, ask: Ask) -> Result<Asked, ClientError> {
        let open = Arc::clone(&self.open).acquire_owned().await.map_err(|_| ClientError::Gone)?;
        let (number, pieces) = self.inbox.open();
        self.outbox.message(number, &FromDaemon::Ask(ask)).await?;
        Ok(Asked { pieces, _open: open })
    }

    /// Asks for a stream; what is refused before its first byte fails here.
    async fn stream(&self, ask: Ask) -> Result<Bytes, ClientError> {
        let mut asked = self.ask(ask).await?;
        let first = asked.next().await;
        let first = match first? {
            Piece::End(_) => return Ok(stream::empty().boxed()),
            first => Ok(first),
        };
        let pieces = stream::unfold((Some(first), Some(asked)), |(first, asked)| async move {
            let mut asked = asked?;
            let piece = match first {
                Some(first) => first,
                None => asked.next().await,
            };
            match piece {
                Ok(Piece::Data(chunk)) => Some((Ok(chunk.take()), (None, Some(asked)))),
                Ok(Piece::End(_)) => None,
                Ok(Piece::Listing(_) | Piece::Refused(_)) => {
                    Some((Err(out_of_place()), (None, None)))
                }
                Err(error) => Some((Err(error), (None, None))),
            }
        });
        Ok(pieces.boxed())
    }

    async fn begin_output(&self, message: FromDaemon) -> Result<Output, ClientError> {
        let number = self.inbox.number();
        self.outbox.message(number, &message).await?;
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let (ended, done) = oneshot::channel();
        let pump = pump_output(Arc::clone(&self.outbox), number, receiver, ended);
        self.pumps.spawn(pump);
        Ok(Box::new(OutputWriter { sender: PollSender::new(sender), done, ended: false }))
    }
}

impl Client for Asker {
    fn credentials(&self, registry: &str) -> Credentials {
        self.keyring.of(registry)
    }

    fn list<'a>(
        &'a self,
        context: &'a str,
        directory: &'a str,
        known: &'a str,
        shallow: bool,
    ) -> BoxFuture<'a, Result<Listing, ClientError>> {
        Box::pin(async move {
            let ask = Ask::List {
                context: context.to_owned(),
                directory: directory.to_owned(),
                known: known.to_owned(),
                shallow,
            };
            let mut asked = self.ask(ask).await?;
            let mut text = match asked.next().await? {
                Piece::Listing(listing) => return Ok(listing),
                Piece::Data(chunk) => chunk.take(),
                Piece::End(_) | Piece::Refused(_) => return Err(out_of_place()),
            };
            text.extend(asked.collect("a listing", LISTING_BYTES_MAX).await?);
            serde_json::from_slice(&text).map_err(|error| ClientError::Refused(error.to_string()))
        })
    }

    fn read<'a>(
        &'a self,
        context: &'a str,
        path: &'a str,
    ) -> BoxFuture<'a, Result<Bytes, ClientError>> {
        let ask = Ask::Read { context: context.to_owned(), path: path.to_owned() };
        Box::pin(self.stream(ask))
    }

    fn tar<'a>(&'a self, context: &'a str) -> BoxFuture<'a, Result<Bytes, ClientError>> {
        Box::pin(self.stream(Ask::Tar(context.to_owned())))
    }

    fn secret<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Vec<u8>, ClientError>> {
        Box::pin(async move {
            let mut asked = self.ask(Ask::Secret(id.to_owned())).await?;
            asked.collect(&format!("secret {id}"), SECRET_BYTES_MAX).await
        })
    }

    fn ssh<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Box<dyn Connection>, ClientError>> {
        Box::pin(async move {
            let (number, pieces) = self.inbox.open_agent();
            self.outbox.message(number, &FromDaemon::Ask(Ask::Ssh(id.to_owned()))).await?;
            let (near, far) = tokio::io::duplex(AGENT_BYTES);
            self.pumps.spawn(pump_agent(Arc::clone(&self.outbox), number, far, pieces));
            Ok(Box::new(near) as Box<dyn Connection>)
        })
    }

    fn output(&self, index: usize) -> BoxFuture<'_, Result<Output, ClientError>> {
        Box::pin(self.begin_output(FromDaemon::Output(index)))
    }

    fn cache_output(&self, index: usize) -> BoxFuture<'_, Result<Output, ClientError>> {
        Box::pin(self.begin_output(FromDaemon::CacheOutput(index)))
    }

    fn progress(&self, progress: Progress) {
        self.outbox.tell(progress);
    }
}

/// An output's chunks; none is its good end.
type Chunk = Option<Vec<u8>>;

/// Sends an output to the client.
async fn pump_output(
    outbox: Arc<Outbox>,
    number: u32,
    mut chunks: mpsc::Receiver<Chunk>,
    ended: oneshot::Sender<()>,
) {
    loop {
        let sent = match chunks.recv().await {
            Some(Some(bytes)) => outbox.send(Kind::Data, number, bytes).await,
            Some(None) => {
                if outbox.send(Kind::End, number, Vec::new()).await.is_ok() {
                    // Whoever writes waits for it.
                    let _ = ended.send(());
                }
                return;
            }
            None => {
                let why = b"the output was not finished".to_vec();
                let _ = outbox.send(Kind::End, number, why).await;
                return;
            }
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The builder's side of an output.
struct OutputWriter {
    sender: PollSender<Chunk>,
    done: oneshot::Receiver<()>,
    ended: bool,
}

fn gone<E>(_: E) -> std::io::Error {
    std::io::Error::new(std::io::ErrorKind::BrokenPipe, ClientError::Gone)
}

impl AsyncWrite for OutputWriter {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        ready!(self.sender.poll_reserve(context)).map_err(gone)?;
        let count = bytes.len().min(CHUNK_BYTES);
        self.sender.send_item(Some(bytes[..count].to_vec())).map_err(gone)?;
        Poll::Ready(Ok(count))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        if !self.ended {
            ready!(self.sender.poll_reserve(context)).map_err(gone)?;
            self.sender.send_item(None).map_err(gone)?;
            self.ended = true;
        }
        Pin::new(&mut self.done).poll(context).map(|done| done.map_err(gone))
    }
}

/// Joins a step's connection with the client's agent until either side ends.
async fn pump_agent(
    outbox: Arc<Outbox>,
    number: u32,
    step: DuplexStream,
    mut pieces: mpsc::Receiver<Piece>,
) {
    let (mut from_step, mut to_step) = tokio::io::split(step);
    let outward = async {
        let mut chunk = vec![0; AGENT_BYTES];
        loop {
            match from_step.read(&mut chunk).await {
                Ok(count) if count > 0 => {
                    let bytes = chunk[..count].to_vec();
                    if outbox.send(Kind::Data, number, bytes).await.is_err() {
                        return;
                    }
                }
                Ok(_) | Err(_) => return,
            }
        }
    };
    let inward = async {
        while let Some(Piece::Data(chunk)) = pieces.recv().await {
            if to_step.write_all(&chunk.take()).await.is_err() {
                return;
            }
        }
    };
    tokio::select! {
        () = outward => {}
        () = inward => {}
    }
    // The client may have ended it already, and passes over what it does not know.
    let _ = outbox.send(Kind::End, number, Vec::new()).await;
}
