//! Daemons that are connected: the one that started the shim, and later ones.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;

use gantry_shim_proto::{Answer, Channel, FromShim, SOCKET_FILE};

use super::{Shim, report};

/// More connections at once than any daemon makes.
const MAX_CLIENTS: usize = 8;

/// A connected daemon.
pub(super) struct Client {
    /// Tells it from later ones in the same place.
    pub(super) number: u64,
    pub(super) channel: Channel<OwnedFd>,
    pub(super) dead: bool,
}

impl Client {
    /// Takes the connection that the shim was started with.
    pub(super) fn new(socket: OwnedFd) -> Client {
        Client { number: 0, channel: Channel::new(socket), dead: false }
    }

    /// Sends a message; a client that cannot be sent to is gone.
    pub(super) fn send(&mut self, message: &FromShim) {
        let sent = self.channel.queue(message, Vec::new()).and_then(|()| self.channel.flush());
        self.dead |= sent.is_err();
    }
}

impl Shim {
    /// Opens the socket for later daemons. It is named relative to the working directory, so the
    /// task directory's path may be of any length.
    pub(super) fn listen(&mut self) -> io::Result<()> {
        let listener = UnixListener::bind(SOCKET_FILE)?;
        fs::set_permissions(SOCKET_FILE, fs::Permissions::from_mode(0o600))?;
        listener.set_nonblocking(true)?;
        self.listener = Some(listener);
        Ok(())
    }

    pub(super) fn accept(&mut self) {
        let Some(Ok((stream, _))) = self.listener.as_ref().map(UnixListener::accept) else {
            return;
        };
        let socket = OwnedFd::from(stream);
        let own = rustix::process::geteuid();
        let allowed = rustix::net::sockopt::socket_peercred(&socket)
            .is_ok_and(|peer| peer.uid.is_root() || peer.uid == own);
        if !allowed || self.clients.len() >= MAX_CLIENTS {
            return report::say("refused a connection");
        }
        if rustix::fs::fcntl_setfl(&socket, rustix::fs::OFlags::NONBLOCK).is_err() {
            return;
        }
        let number = self.clients.iter().map(|client| client.number).max().unwrap_or(0) + 1;
        self.clients.push(Client { number, ..Client::new(socket) });
    }

    /// Tells every connected daemon.
    pub(super) fn broadcast(&mut self, message: &FromShim) {
        for client in &mut self.clients {
            client.send(message);
        }
    }

    /// Answers a request, if the one who asked is still there.
    pub(super) fn answer(&mut self, client: u64, seq: u64, answer: Answer) {
        if let Some(client) = self.clients.iter_mut().find(|one| one.number == client) {
            client.send(&FromShim::Answer { seq, answer });
        }
    }
}
