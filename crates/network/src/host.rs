//! The host's side of joins: its netlink socket, and the parameters of its namespace.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::sync::{Mutex, MutexGuard};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::error::JoinError;
use crate::ipam::lock;
use crate::netlink::socket::Socket;
use crate::parameters::Parameters;

/// The namespace that bridges are in.
#[derive(Debug)]
pub(crate) struct Host {
    socket: Mutex<Socket>,
    netns: OwnedFd,
    parameters: Parameters,
}

impl Host {
    /// The namespace of the calling thread, in which `socket` was opened.
    ///
    /// # Errors
    /// When it cannot be held.
    pub(crate) fn open(socket: Socket) -> Result<Host, JoinError> {
        let netns = File::open("/proc/thread-self/ns/net")
            .map_err(|source| JoinError::Namespace { step: "opening the namespace", source })?;
        let parameters = Parameters::open()?;
        Ok(Host { socket: Mutex::new(socket), netns: netns.into(), parameters })
    }

    /// The netlink socket.
    pub(crate) fn socket(&self) -> MutexGuard<'_, Socket> {
        lock(&self.socket)
    }

    /// Takes IPv6 from a port of a bridge that is not up yet: it passes what comes, and would have
    /// an address of its own for nothing. The kernel walks the routes of all ports whenever one of
    /// them has any, which beside a thousand takes milliseconds.
    ///
    /// The calling thread goes to the host's namespace for it, and back to `back`.
    ///
    /// # Errors
    /// When the thread cannot go there, or is not back: it must not go on then.
    pub(crate) fn without_ipv6(&self, port: &str, back: BorrowedFd<'_>) -> Result<(), JoinError> {
        enter(self.netns.as_fd())?;
        let done = self.parameters.bar_ipv6(port);
        enter(back)?;
        done
    }
}

/// Moves the calling thread into a network namespace.
pub(crate) fn enter(netns: BorrowedFd<'_>) -> Result<(), JoinError> {
    move_into_link_name_space(netns, Some(LinkNameSpaceType::Network)).map_err(|errno| {
        JoinError::Namespace { step: "entering the network namespace", source: errno.into() }
    })
}
