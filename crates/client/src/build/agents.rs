//! Connections to SSH agents, joined to streams of the build's connection.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use gantry_build_proto::FromClient;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use super::{BuildHost, frames};
use crate::ClientError;

/// Pieces that wait for an agent; a step that sends more without reading answers is cut off.
const QUEUE: usize = 64;
/// Connections at once.
const OPEN_MAX: usize = 256;
/// Bytes that are read at once: an agent's messages are shorter.
const READ_BYTES: usize = 32 << 10;

/// Connections under way.
pub(crate) struct Agents {
    host: Arc<dyn BuildHost>,
    answers: mpsc::Sender<Vec<u8>>,
    open: HashMap<u32, mpsc::Sender<Vec<u8>>>,
}

impl Agents {
    pub(crate) fn new(host: Arc<dyn BuildHost>, answers: mpsc::Sender<Vec<u8>>) -> Self {
        Self { host, answers, open: HashMap::new() }
    }

    /// Connects to an agent; bytes for it may come before that is done.
    pub(crate) fn begin(&mut self, stream: u32, id: String) -> Result<(), ClientError> {
        self.open.retain(|_, sender| !sender.is_closed());
        if self.open.len() >= OPEN_MAX {
            return Err(ClientError::Answer(format!("{OPEN_MAX} connections to ssh agents")));
        }
        let (sender, receiver) = mpsc::channel(QUEUE);
        self.open.insert(stream, sender);
        let (host, answers) = (Arc::clone(&self.host), self.answers.clone());
        tokio::spawn(async move {
            let connected = tokio::task::spawn_blocking(move || host.agent(&id)).await;
            let connected = connected.unwrap_or_else(|error| Err(error.to_string()));
            let connected = connected.and_then(|agent| unblocked(agent).map_err(|e| e.to_string()));
            let last = match connected {
                Ok(agent) => join(stream, agent, receiver, &answers).await,
                Err(why) => frames::message(stream, &FromClient::Refused(why)).unwrap_or_default(),
            };
            let _ = answers.send(last).await;
        });
        Ok(())
    }

    /// Gives bytes to an agent. Never waits: a full queue ends the connection.
    pub(crate) fn data(&mut self, stream: u32, bytes: Vec<u8>) {
        let full = self.open.get(&stream).is_some_and(|sender| sender.try_send(bytes).is_err());
        if full {
            self.open.remove(&stream);
        }
    }

    /// The daemon's side ended.
    pub(crate) fn end(&mut self, stream: u32) {
        self.open.remove(&stream);
    }
}

fn unblocked(agent: std::os::unix::net::UnixStream) -> io::Result<UnixStream> {
    agent.set_nonblocking(true)?;
    UnixStream::from_std(agent)
}

/// Copies both ways until either side ends; gives the frame that says so.
async fn join(
    stream: u32,
    agent: UnixStream,
    mut from_daemon: mpsc::Receiver<Vec<u8>>,
    answers: &mpsc::Sender<Vec<u8>>,
) -> Vec<u8> {
    let (mut reader, mut writer) = agent.into_split();
    let inward = async {
        while let Some(bytes) = from_daemon.recv().await {
            writer.write_all(&bytes).await?;
        }
        Ok::<(), io::Error>(())
    };
    let outward = async {
        let mut chunk = vec![0; READ_BYTES];
        loop {
            let count = reader.read(&mut chunk).await?;
            if count == 0 || answers.send(frames::data(stream, &chunk[..count])).await.is_err() {
                return Ok::<(), io::Error>(());
            }
        }
    };
    let ended = tokio::select! {
        ended = inward => ended,
        ended = outward => ended,
    };
    frames::end(stream, &ended.err().map(|error| error.to_string()).unwrap_or_default())
}
