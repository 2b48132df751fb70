//! Connections to published ports that the kernel cannot redirect.
//!
//! It sends nothing out that comes from `::1`, and turns no IPv6 into IPv4. For ports published
//! on `::`, on `::1`, or on an IPv6 address for a container that has only IPv4, a task of the
//! daemon takes what reaches the socket that holds the port, and carries it to the container.
//! With `"published-ports": "host-policy"` it does so for every connection from other hosts.
//!
//! The container sees the bridge's address as the caller's. A daemon that dies takes relayed
//! connections with it; those that the kernel redirects live on. SCTP is not relayed.

mod tcp;
mod udp;

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsRawFd;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;

use super::model::Redirect;
use crate::ports::Proto;

/// Connections of one port that wait to be taken.
const BACKLOG: i32 = 512;
/// Connections, or callers by UDP, that one port has at a time.
const MAX_CONNECTIONS: usize = 4096;

/// A port that is relayed; ends with all its connections when dropped.
#[derive(Debug)]
pub(super) struct Relay(AbortHandle);

impl Drop for Relay {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Relay {
    /// Begins to relay. From here on connections are taken, or wait in the backlog.
    ///
    /// `None` if the port is not held by a socket, or outside of a runtime.
    pub(super) fn start(redirect: &Redirect) -> io::Result<Option<Relay>> {
        let (Some(socket), Ok(runtime)) = (redirect.socket.clone(), Handle::try_current()) else {
            return Ok(None);
        };
        let target = SocketAddr::new(redirect.container, redirect.container_port);
        let task = match redirect.proto {
            Proto::Tcp => {
                // Else connections that wait for their end would keep the port from the next owner.
                rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
                rustix::net::listen(&socket, BACKLOG)?;
                runtime.spawn(tcp::relay(socket, target)).abort_handle()
            }
            Proto::Udp => runtime.spawn(udp::relay(socket, target)).abort_handle(),
            Proto::Sctp => return Ok(None),
        };
        Ok(Some(Relay(task)))
    }
}

/// Puts a socket under the reactor's eye.
#[expect(deprecated, reason = "the other constructor is unsafe; the socket owns its descriptor")]
pub(super) fn on_reactor<T: AsRawFd>(socket: T, interest: Interest) -> io::Result<AsyncFd<T>> {
    AsyncFd::with_interest(socket, interest)
}
