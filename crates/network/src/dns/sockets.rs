//! Sockets inside a container's network namespace, and the rule that leads to them.
//!
//! A socket belongs for good to the namespace of the thread that opened it. So a thread goes
//! there, opens what is needed and ends: none has to find its way back.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use rustix::io::Errno;
use rustix::net::sockopt;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::{ADDRESS, DnsError, DnsRecord, upstream};
use crate::netlink::expr::{Base, Expr, FAMILY_IPV4, Meta, REG};
use crate::netlink::nftables::{BaseChain, Hook, Transaction};
use crate::netlink::socket::{Refused, Socket};
use crate::ports::Proto;

/// Stack of a thread that opens sockets.
const STACK_LEN: usize = 128 << 10;
/// Room for queries that wait, in bytes; the kernel doubles it. A burst of some 5000 fits.
const RECEIVE_BUFFER: usize = 2 << 20;

/// The table in the container's namespace; it is ours alone, beside what the container makes.
const TABLE: &str = "gantry-dns";
/// Priority of destination NAT (`NF_IP_PRI_NAT_DST`).
const OUTPUT: BaseChain =
    BaseChain { name: "output", kind: "nat", hook: Hook::Output, priority: -100 };
/// Offset of the destination address in an IPv4 header.
const DESTINATION: u32 = 16;
/// Offset of the destination port in a UDP or TCP header.
const DESTINATION_PORT: u32 = 2;

/// Runs `work` on a thread of its own in a namespace.
pub(super) async fn inside<T: Send + 'static>(
    netns: Arc<OwnedFd>,
    work: impl FnOnce() -> Result<T, DnsError> + Send + 'static,
) -> Result<T, DnsError> {
    let (answer, done) = tokio::sync::oneshot::channel();
    let there = move || {
        let moved = move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network));
        let result = moved.map_err(|error| DnsError::Enter(error.into())).and_then(|()| work());
        // If nobody waits any more, the sockets close with the value.
        let _ = answer.send(result);
    };
    std::thread::Builder::new()
        .name("gantry-dns".to_owned())
        .stack_size(STACK_LEN)
        .spawn(there)
        .map_err(DnsError::Thread)?;
    done.await.map_err(|_| DnsError::Worker)?
}

/// The server's sockets.
#[derive(Debug)]
pub(super) struct Sockets {
    pub(super) udp: UdpSocket,
    pub(super) tcp: TcpListener,
    pub(super) record: DnsRecord,
}

impl Sockets {
    /// Opens them in the calling thread's namespace and redirects port 53 to them.
    ///
    /// The ports of `wished` are taken if they are free; with others the rule is still right.
    pub(super) fn open(wished: Option<DnsRecord>) -> Result<Sockets, DnsError> {
        let udp = on_port(wished.map(|record| record.udp_port), udp)
            .map_err(|source| DnsError::Socket { proto: Proto::Udp, source })?;
        let tcp = on_port(wished.map(|record| record.tcp_port), tcp)
            .map_err(|source| DnsError::Socket { proto: Proto::Tcp, source })?;
        let port = |address: io::Result<SocketAddr>| address.map(|address| address.port());
        let record = DnsRecord {
            udp_port: port(udp.local_addr())
                .map_err(|source| DnsError::Socket { proto: Proto::Udp, source })?,
            tcp_port: port(tcp.local_addr())
                .map_err(|source| DnsError::Socket { proto: Proto::Tcp, source })?,
        };
        redirect(record)?;
        Ok(Sockets { udp, tcp, record })
    }
}

/// Opens on a port, or else on any.
fn on_port<T>(port: Option<u16>, open: impl Fn(u16) -> io::Result<T>) -> io::Result<T> {
    match port.map(&open) {
        Some(Ok(socket)) => Ok(socket),
        Some(Err(_)) | None => open(0),
    }
}

fn udp(port: u16) -> io::Result<UdpSocket> {
    let socket = UdpSocket::bind((ADDRESS, port))?;
    // Without the privilege the default has to do.
    if let Err(error) = sockopt::set_socket_recv_buffer_size_force(&socket, RECEIVE_BUFFER) {
        tracing::debug!(%error, "raising a receive buffer");
    }
    socket.set_nonblocking(true)?;
    Ok(socket)
}

fn tcp(port: u16) -> io::Result<TcpListener> {
    // std sets SO_REUSEADDR: connections to the daemon before this one may linger on the port.
    let listener = TcpListener::bind((ADDRESS, port))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

/// Redirects port 53 of our address to the sockets, in one transaction, over what an earlier
/// daemon may have left.
fn redirect(record: DnsRecord) -> Result<(), DnsError> {
    let mut socket = Socket::netfilter().map_err(DnsError::Netlink)?;
    // After a transaction that deletes, closing the socket waits some 16 ms for every processor
    // to let go of what was deleted: a new namespace, which has nothing, is spared that.
    let mut transaction = Transaction::new(FAMILY_IPV4, TABLE);
    transaction.add_new_table();
    let mut written = write_redirect(transaction, record, &mut socket);
    if written.as_ref().is_err_and(|refused| refused.is(Errno::EXIST)) {
        let mut transaction = Transaction::new(FAMILY_IPV4, TABLE);
        transaction.add_table();
        transaction.delete_table();
        transaction.add_table();
        written = write_redirect(transaction, record, &mut socket);
    }
    written.map_err(|refused| DnsError::Redirect { step: refused.step, source: refused.source })
}

/// Commits a transaction that has made the table anew, with chain and rules added.
fn write_redirect(
    mut transaction: Transaction<'_>,
    record: DnsRecord,
    socket: &mut Socket,
) -> Result<(), Refused> {
    transaction.add_base_chain(&OUTPUT);
    for (proto, port) in [(Proto::Udp, record.udp_port), (Proto::Tcp, record.tcp_port)] {
        transaction.add_rule(OUTPUT.name, &rule(proto, port));
    }
    transaction.commit(socket)
}

/// `ip daddr 127.0.0.11 <proto> dport 53 dnat to 127.0.0.11:<port>`.
fn rule(proto: Proto, port: u16) -> Vec<Expr> {
    let equals = |value: &[u8]| Expr::Compare { equal: true, value: value.to_vec() };
    let at = |base, offset, len| Expr::Payload { base, offset, len, register: REG };
    vec![
        at(Base::Network, DESTINATION, 4),
        equals(&ADDRESS.octets()),
        Expr::Meta { key: Meta::Protocol, register: REG },
        equals(&[proto.number()]),
        at(Base::Transport, DESTINATION_PORT, 2),
        equals(&upstream::PORT.to_be_bytes()),
        Expr::Load { value: ADDRESS.octets().to_vec(), register: REG },
        Expr::Load { value: port.to_be_bytes().to_vec(), register: REG + 1 },
        Expr::DestinationNat { family: FAMILY_IPV4 },
    ]
}

/// Where queries leave from.
#[derive(Debug, Clone)]
pub(super) enum Place {
    /// The daemon's own namespace.
    Host,
    /// A container's.
    Container(Arc<OwnedFd>),
}

impl Place {
    /// A socket to ask a server by, on a random port.
    pub(super) async fn udp(&self, server: SocketAddr) -> Result<tokio::net::UdpSocket, DnsError> {
        let failed = |source| DnsError::Socket { proto: Proto::Udp, source };
        let open = move || {
            let socket = UdpSocket::bind(any(server)).map_err(failed)?;
            socket.connect(server).and_then(|()| socket.set_nonblocking(true)).map_err(failed)?;
            Ok(socket)
        };
        let socket = self.run(open).await?;
        tokio::net::UdpSocket::from_std(socket).map_err(failed)
    }

    /// A socket to connect to a server by.
    pub(super) async fn tcp(&self, server: SocketAddr) -> Result<tokio::net::TcpSocket, DnsError> {
        let failed = |source| DnsError::Socket { proto: Proto::Tcp, source };
        let open = move || {
            let socket = match server {
                SocketAddr::V4(_) => tokio::net::TcpSocket::new_v4(),
                SocketAddr::V6(_) => tokio::net::TcpSocket::new_v6(),
            };
            socket.map_err(failed)
        };
        self.run(open).await
    }

    async fn run<T: Send + 'static>(
        &self,
        open: impl FnOnce() -> Result<T, DnsError> + Send + 'static,
    ) -> Result<T, DnsError> {
        match self {
            Place::Host => open(),
            Place::Container(netns) => inside(Arc::clone(netns), open).await,
        }
    }
}

fn any(server: SocketAddr) -> SocketAddr {
    match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}
