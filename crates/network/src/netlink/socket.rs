//! A netlink socket.
//!
//! The kernel handles a request within `sendmsg`, so the answers to it are in the receive queue
//! when the call returns: no waiting, and no reactor. A socket belongs to the network namespace
//! of the thread that opened it, for good.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt;
use rustix::net::{
    AddressFamily, Protocol, RecvFlags, SendFlags, SocketFlags, SocketType, bind, getsockname,
    recv, sendto, socket_with,
};

use super::message::{Batch, Body, DUMP, messages, u32_at};

/// `NLMSG_ERROR`: an error, or with code 0 an acknowledgement.
const KIND_ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
const KIND_DONE: u16 = 3;
/// Room for one datagram; the kernel makes those of a dump at most 32 KiB long.
const RECEIVE_LEN: usize = 64 << 10;
/// Room for one batch: a batch is one message to the kernel, and all 65535 ports of a protocol,
/// published at once, take 4 MiB.
const SEND_BUFFER: usize = 32 << 20;

/// `NFNLGRP_NFTABLES` as a bit: tables, chains, rules and elements that change.
const GROUP_NFTABLES: u32 = 1 << (7 - 1);
/// Room for notifications of one transaction; more is lost, and said to be lost.
const NOTIFICATIONS: usize = 4 << 20;

/// A request that the kernel refused.
#[derive(Debug)]
pub(crate) struct Refused {
    /// Name of the first request that failed.
    pub(crate) step: &'static str,
    /// Why.
    pub(crate) source: io::Error,
}

impl Refused {
    /// Whether the kernel answered with this code.
    pub(crate) fn is(&self, errno: Errno) -> bool {
        self.source.raw_os_error() == Some(errno.raw_os_error())
    }
}

/// A netlink socket of one protocol.
#[derive(Debug)]
pub(crate) struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket for links, addresses and routes.
    pub(crate) fn route() -> io::Result<Socket> {
        // NETLINK_ROUTE is protocol 0, the default.
        Socket::open(None, 0)
    }

    /// A socket for nftables and conntrack.
    pub(crate) fn netfilter() -> io::Result<Socket> {
        Socket::open(Some(netlink::NETFILTER), 0)
    }

    /// A socket that is told of every change to nftables.
    pub(crate) fn nftables_changes() -> io::Result<Socket> {
        let socket = Socket::open(Some(netlink::NETFILTER), GROUP_NFTABLES)?;
        sockopt::set_socket_recv_buffer_size_force(&socket.fd, NOTIFICATIONS)?;
        Ok(socket)
    }

    /// The number that the kernel knows the socket by.
    pub(crate) fn port(&self) -> io::Result<u32> {
        let address = SocketAddrNetlink::try_from(getsockname(&self.fd)?)?;
        Ok(address.pid())
    }

    /// The next datagram, if there is one; `Err` with `ENOBUFS` if some were lost.
    pub(crate) fn next_datagram(&mut self) -> io::Result<&[u8]> {
        self.receive(RecvFlags::DONTWAIT)
    }

    fn open(protocol: Option<Protocol>, groups: u32) -> io::Result<Socket> {
        let kind = SocketType::RAW;
        let fd = socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, protocol)?;
        bind(&fd, &SocketAddrNetlink::new(0, groups))?;
        sockopt::set_socket_send_buffer_size_force(&fd, SEND_BUFFER)?;
        Ok(Socket { fd, sequence: 0, buffer: Vec::new() })
    }

    /// Sends requests and collects the answers.
    ///
    /// The requests run in order; those after a refused one may have been carried out.
    pub(crate) fn request(&mut self, mut batch: Batch) -> Result<(), Refused> {
        let first = self.send(&mut batch).map_err(|source| Refused { step: "sending", source })?;
        let mut refused: Option<Refused> = None;
        let mut answered = false;
        loop {
            let datagram = match self.receive(RecvFlags::DONTWAIT) {
                Ok(datagram) => datagram,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(source) => return Err(Refused { step: "receiving", source }),
            };
            for message in messages(datagram) {
                let index = message.sequence.wrapping_sub(first);
                if message.kind != KIND_ERROR || index >= batch.count() {
                    continue;
                }
                answered = true;
                if let (None, Some(source)) = (&refused, error_of(message.body)) {
                    refused = Some(Refused { step: batch.step(index), source });
                }
            }
        }
        match refused {
            Some(refused) => Err(refused),
            None if answered => Ok(()),
            None => Err(Refused { step: "receiving", source: io::ErrorKind::TimedOut.into() }),
        }
    }

    /// Asks for one object: the body of the answer, or the kernel's error.
    pub(crate) fn get(&mut self, mut batch: Batch) -> io::Result<Vec<u8>> {
        let first = self.send(&mut batch)?;
        loop {
            let datagram = self.receive(RecvFlags::DONTWAIT)?;
            for message in messages(datagram).filter(|message| message.sequence == first) {
                if message.kind != KIND_ERROR {
                    return Ok(message.body.to_vec());
                }
                if let Some(error) = error_of(message.body) {
                    return Err(error);
                }
            }
        }
    }

    /// Asks for all objects of a kind; gives the body of each to `each`.
    pub(crate) fn dump(
        &mut self,
        kind: u16,
        header: &[u8],
        each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let fill = |body: &mut Body<'_>| {
            body.raw(header);
        };
        self.dump_with(kind, fill, each)
    }

    /// As [`Socket::dump`], for a request with attributes.
    pub(crate) fn dump_with(
        &mut self,
        kind: u16,
        fill: impl FnOnce(&mut Body<'_>),
        mut each: impl FnMut(&[u8]),
    ) -> io::Result<()> {
        let mut batch = Batch::new();
        batch.push("dump", kind, DUMP, fill);
        let first = self.send(&mut batch)?;
        loop {
            // The next part of a dump is made when the one before is taken: no DONTWAIT here.
            let datagram = self.receive(RecvFlags::empty())?;
            for message in messages(datagram).filter(|message| message.sequence == first) {
                match message.kind {
                    KIND_DONE => return Ok(()),
                    KIND_ERROR => {
                        return error_of(message.body).map_or(Ok(()), Err);
                    }
                    _ => each(message.body),
                }
            }
        }
    }

    fn send(&mut self, batch: &mut Batch) -> io::Result<u32> {
        let first = self.sequence.wrapping_add(1);
        self.sequence = self.sequence.wrapping_add(batch.count());
        let kernel = SocketAddrNetlink::new(0, 0);
        sendto(self.fd.as_fd(), batch.finish(first), SendFlags::empty(), &kernel)?;
        Ok(first)
    }

    fn receive(&mut self, flags: RecvFlags) -> io::Result<&[u8]> {
        self.buffer.clear();
        self.buffer.reserve(RECEIVE_LEN);
        loop {
            match recv(self.fd.as_fd(), rustix::buffer::spare_capacity(&mut self.buffer), flags) {
                Err(Errno::INTR) => {}
                Err(error) => return Err(error.into()),
                Ok(_) => return Ok(&self.buffer),
            }
        }
    }
}

impl AsRawFd for Socket {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

/// The error in the body of an `NLMSG_ERROR`; `None` if it is an acknowledgement.
fn error_of(body: &[u8]) -> Option<io::Error> {
    match u32_at(body, 0).map(u32::cast_signed) {
        Some(0) => None,
        Some(code) => Some(io::Error::from_raw_os_error(code.wrapping_neg())),
        None => Some(io::ErrorKind::InvalidData.into()),
    }
}
