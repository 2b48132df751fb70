//! One sandbox's server: a task that owns the sockets.
//!
//! ```text
//! datagram ──> answer (at once, in the task) ──> reply
//!         └──> forward (a task each, bounded) ──> reply
//! connection ──> a task each, bounded: one message after the other
//! ```
//!
//! Everything that a sandbox has started ends with its task. Between queries it holds no buffer.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::answer::{Outcome, Transport, View, answer};
use super::names::Names;
use super::sockets::Place;
use super::upstream::HostServers;
use super::wire::{Query, Rcode};
use super::{forward, with_buffers};

/// Queries of one sandbox that wait for others to answer: Docker's value.
const MAX_FORWARDS: usize = 1024;
/// Connections of one sandbox; more wait to be accepted.
const MAX_CONNECTIONS: usize = 64;
/// Datagrams that are answered before others on this thread have their turn.
const BURST: usize = 64;
/// How long a client may take to send, or to take, one message by a connection.
const CLIENT_PATIENCE: Duration = Duration::from_secs(10);
/// How long to leave a socket alone after it failed, as when descriptors run out.
const ERROR_PAUSE: Duration = Duration::from_millis(100);

/// What all work of a sandbox needs.
#[derive(Debug)]
pub(super) struct Context {
    pub(super) names: Names,
    pub(super) host: Arc<HostServers>,
    pub(super) view: watch::Receiver<Arc<View>>,
    /// The sandbox's namespace, where its own servers are asked from; held for nothing else,
    /// since a namespace lives as long as a descriptor of it.
    pub(super) netns: Option<Arc<OwnedFd>>,
}

impl Context {
    /// The answer of others.
    async fn forward(&self, message: &[u8], transport: Transport) -> Option<Vec<u8>> {
        let query = Query::parse(message).ok()?;
        let own = Arc::clone(&self.view.borrow().servers);
        let (place, servers) = match &self.netns {
            Some(netns) if !own.is_empty() => (Place::Container(Arc::clone(netns)), own),
            _ => (Place::Host, self.host.current(Instant::now())),
        };
        Some(forward::ask(&query, transport, (&place, &servers)).await)
    }
}

/// A running server.
#[derive(Debug)]
pub(super) struct Server {
    udp: Arc<UdpSocket>,
    tcp: TcpListener,
    context: Arc<Context>,
    forwards: JoinSet<()>,
    connections: JoinSet<()>,
}

impl Server {
    pub(super) fn new(udp: UdpSocket, tcp: TcpListener, context: Context) -> Server {
        Server {
            udp: Arc::new(udp),
            tcp,
            context: Arc::new(context),
            forwards: JoinSet::new(),
            connections: JoinSet::new(),
        }
    }

    /// Serves until it is dropped.
    pub(super) async fn run(mut self) {
        loop {
            let room = self.connections.len() < MAX_CONNECTIONS;
            let done = tokio::select! {
                ready = self.udp.readable() => ready.and_then(|()| self.datagrams()),
                accepted = self.tcp.accept(), if room => accepted.map(|(stream, _)| {
                    let context = Arc::clone(&self.context);
                    self.connections.spawn(async move { converse(&context, stream).await });
                }),
                Some(_) = self.forwards.join_next() => Ok(()),
                Some(_) = self.connections.join_next() => Ok(()),
            };
            if let Err(error) = done {
                tracing::debug!(%error, "serving names");
                tokio::time::sleep(ERROR_PAUSE).await;
            }
        }
    }

    /// Answers the datagrams that are there, up to a burst of them.
    fn datagrams(&mut self) -> io::Result<()> {
        while self.forwards.try_join_next().is_some() {}
        let view = Arc::clone(&self.context.view.borrow());
        with_buffers(|buffer, reply| {
            for _ in 0..BURST {
                let (len, peer) = match self.udp.try_recv_from(buffer) {
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    other => other?,
                };
                self.datagram(&view, (&buffer[..len], peer), reply);
            }
            Ok(())
        })
    }

    fn datagram(&mut self, view: &View, (message, peer): (&[u8], SocketAddr), out: &mut Vec<u8>) {
        let names = &self.context.names;
        match answer(message, Transport::Udp, (view, names), out) {
            Outcome::Silence => return,
            Outcome::Reply => {}
            Outcome::Forward if self.forwards.len() < MAX_FORWARDS => {
                let message: Box<[u8]> = message.into();
                let (context, udp) = (Arc::clone(&self.context), Arc::clone(&self.udp));
                self.forwards.spawn(async move {
                    if let Some(answer) = context.forward(&message, Transport::Udp).await {
                        let _ = udp.send_to(&answer, peer).await;
                    }
                });
                return;
            }
            Outcome::Forward => {
                if let Ok(query) = Query::parse(message) {
                    query.reply(Rcode::Refused, out);
                }
            }
        }
        // By loopback a datagram is in the client's queue when the call returns, so our own
        // cannot fill; a client that is gone is no error of ours.
        if let Err(error) = self.udp.try_send_to(out, peer) {
            tracing::trace!(%error, %peer, "answering");
        }
    }
}

/// Serves one connection: message after message, until the client ends or takes too long.
async fn converse(context: &Context, mut stream: TcpStream) {
    loop {
        let received = timeout(CLIENT_PATIENCE, forward::read_message(&mut stream)).await;
        let Ok(Ok(Some(message))) = received else { return };
        let Some(reply) = respond(context, &message).await else { return };
        let sent = timeout(CLIENT_PATIENCE, forward::write_message(&mut stream, &reply)).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// The answer to a message by connection; `None` ends the connection.
async fn respond(context: &Context, message: &[u8]) -> Option<Vec<u8>> {
    let mut reply = Vec::new();
    let outcome = {
        let view = Arc::clone(&context.view.borrow());
        answer(message, Transport::Tcp, (&view, &context.names), &mut reply)
    };
    match outcome {
        Outcome::Reply => Some(reply),
        Outcome::Forward => context.forward(message, Transport::Tcp).await,
        Outcome::Silence => None,
    }
}
