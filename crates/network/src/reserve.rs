//! Host ports: who has which, and holding them against the host's other processes.
//!
//! A reserved port is bound by a socket of the daemon, so that a clash is found at once, in both
//! directions. The socket never sees a packet: the firewall redirects those before they reach it.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, SocketAddrV4};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::set_socket_reuseaddr;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with};

use crate::error::JoinError;
use crate::ipam::lock;
use crate::ports::{PortChoice, PortRequest, Proto, PublishedPort};

/// How long a port given back may stay bound: a process that is being spawned has a copy of the
/// socket until it executes its program.
const LINGER: Duration = Duration::from_millis(200);
/// Pause between two looks at such a port.
const LINGER_PAUSE: Duration = Duration::from_millis(2);

/// Which host ports containers have, on which host addresses.
#[derive(Debug, Default)]
pub(crate) struct PortTable {
    taken: HashMap<(Proto, u16), Vec<Ipv4Addr>>,
    /// Where the search for any free port goes on, so that a port released is not given to
    /// somebody else at once.
    cursor: u16,
    /// Ports that were given back of late, and when.
    released: VecDeque<(u16, Instant)>,
}

/// A host port that is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Reserved {
    pub(crate) published: PublishedPort,
    pub(crate) host_ip: Ipv4Addr,
    table: Arc<Mutex<PortTable>>,
    /// `None` if the kernel has not the protocol, or if a restarted daemon came too late.
    socket: Option<OwnedFd>,
}

/// Defaults for what a request leaves open.
#[derive(Debug, Clone)]
pub(crate) struct PortDefaults {
    pub(crate) host_ip: IpAddr,
    pub(crate) ephemeral: RangeInclusive<u16>,
}

impl PortTable {
    fn is_taken(&self, proto: Proto, ip: Ipv4Addr, port: u16) -> bool {
        self.taken.get(&(proto, port)).is_some_and(|holders| {
            let clash = |held: &Ipv4Addr| *held == ip || held.is_unspecified();
            ip.is_unspecified() || holders.iter().any(clash)
        })
    }

    fn insert(&mut self, proto: Proto, ip: Ipv4Addr, port: u16) {
        self.taken.entry((proto, port)).or_default().push(ip);
    }

    fn remove(&mut self, proto: Proto, ip: Ipv4Addr, port: u16) {
        if let Some(holders) = self.taken.get_mut(&(proto, port)) {
            if let Some(at) = holders.iter().position(|held| *held == ip) {
                holders.swap_remove(at);
            }
            if holders.is_empty() {
                self.taken.remove(&(proto, port));
            }
        }
    }

    fn note_release(&mut self, port: u16) {
        let now = Instant::now();
        let is_old = |(_, at): &(u16, Instant)| now.duration_since(*at) > LINGER;
        while self.released.front().is_some_and(is_old) {
            self.released.pop_front();
        }
        self.released.push_back((port, now));
    }

    fn may_linger(&self, port: u16) -> bool {
        let mut of_late = self.released.iter().filter(|(_, at)| at.elapsed() <= LINGER);
        of_late.any(|(released, _)| *released == port)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        let PublishedPort { proto, host_port, .. } = self.published;
        let mut table = lock(&self.table);
        table.remove(proto, self.host_ip, host_port);
        // A port that could not be bound is not on its way to being free.
        if self.socket.take().is_some() {
            table.note_release(host_port);
        }
    }
}

/// Reserves a host port for every request, or none. Waits for ports that linger.
pub(crate) async fn reserve(
    table: &Arc<Mutex<PortTable>>,
    requests: &[PortRequest],
    defaults: &PortDefaults,
) -> Result<Vec<Reserved>, JoinError> {
    let begun = Instant::now();
    loop {
        match reserve_at_once(table, requests, defaults) {
            Err(JoinError::PortInUse { port, .. })
                if begun.elapsed() < LINGER && lock(table).may_linger(port) =>
            {
                tokio::time::sleep(LINGER_PAUSE).await;
            }
            other => return other,
        }
    }
}

fn reserve_at_once(
    table: &Arc<Mutex<PortTable>>,
    requests: &[PortRequest],
    defaults: &PortDefaults,
) -> Result<Vec<Reserved>, JoinError> {
    // Exact wishes first, lest an open one takes the port that another names.
    let mut order: Vec<usize> = (0..requests.len()).collect();
    order.sort_by_key(|at| match requests[*at].host_port {
        PortChoice::Exact(_) => 0,
        PortChoice::Range(..) => 1,
        PortChoice::Any => 2,
    });
    let mut reserved = Vec::with_capacity(requests.len());
    for at in order {
        reserved.push((at, reserve_one(table, &requests[at], defaults)?));
    }
    reserved.sort_by_key(|(at, _)| *at);
    Ok(reserved.into_iter().map(|(_, reserved)| reserved).collect())
}

/// Takes over a port that was published before a restart. Rules for it stand, so that nothing
/// but the guard against others depends on the socket.
pub(crate) fn readopt(
    table: &Arc<Mutex<PortTable>>,
    published: &PublishedPort,
) -> Result<Reserved, JoinError> {
    let host_ip = ipv4(published.host_ip)?;
    let PublishedPort { proto, host_port, .. } = *published;
    take(table, proto, host_ip, host_port)?;
    let socket = hold(proto, host_ip, host_port).unwrap_or_else(|error| {
        tracing::warn!(%host_ip, host_port, %proto, %error, "published port is not held");
        None
    });
    let table = Arc::clone(table);
    Ok(Reserved { published: published.clone(), host_ip, table, socket })
}

fn reserve_one(
    table: &Arc<Mutex<PortTable>>,
    request: &PortRequest,
    defaults: &PortDefaults,
) -> Result<Reserved, JoinError> {
    let &PortRequest { container_port, proto, .. } = request;
    let address = request.host_ip.unwrap_or(defaults.host_ip);
    let host_ip = ipv4(address)?;
    let invalid = JoinError::InvalidPort { container_port };
    if container_port == 0 {
        return Err(invalid);
    }
    let attempt = |port: u16| {
        take(table, proto, host_ip, port)?;
        // From here on the drop of this gives the port back.
        let published = PublishedPort { container_port, proto, host_ip: address, host_port: port };
        let mut reserved = Reserved { published, host_ip, table: Arc::clone(table), socket: None };
        reserved.socket = hold(proto, host_ip, port).map_err(|source| match source {
            Errno::ADDRINUSE => JoinError::PortInUse { host_ip: address, port },
            other => JoinError::Bind { host_ip: address, port, source: other.into() },
        })?;
        Ok(reserved)
    };
    match request.host_port {
        PortChoice::Exact(0) => Err(invalid),
        PortChoice::Exact(port) => attempt(port),
        PortChoice::Range(low, high) if low == 0 || low > high => Err(invalid),
        PortChoice::Range(low, high) => first_free(low..=high, address, attempt),
        PortChoice::Any => {
            let (low, high) = (*defaults.ephemeral.start(), *defaults.ephemeral.end());
            let start = lock(table).cursor.clamp(low, high);
            let found = first_free((start..=high).chain(low..start), address, attempt)?;
            lock(table).cursor = found.published.host_port.checked_add(1).unwrap_or(low);
            Ok(found)
        }
    }
}

/// The first port that nobody has; an error other than that somebody has it ends the search.
fn first_free(
    ports: impl IntoIterator<Item = u16>,
    host_ip: IpAddr,
    attempt: impl Fn(u16) -> Result<Reserved, JoinError>,
) -> Result<Reserved, JoinError> {
    for port in ports {
        match attempt(port) {
            Err(JoinError::PortAllocated { .. } | JoinError::PortInUse { .. }) => {}
            other => return other,
        }
    }
    Err(JoinError::NoFreePort { host_ip })
}

fn take(table: &Mutex<PortTable>, proto: Proto, ip: Ipv4Addr, port: u16) -> Result<(), JoinError> {
    let mut table = lock(table);
    if table.is_taken(proto, ip, port) {
        return Err(JoinError::PortAllocated { host_ip: ip.into(), port });
    }
    table.insert(proto, ip, port);
    Ok(())
}

fn ipv4(address: IpAddr) -> Result<Ipv4Addr, JoinError> {
    match address {
        IpAddr::V4(address) => Ok(address),
        IpAddr::V6(_) => Err(JoinError::Ipv6HostAddress(address)),
    }
}

/// Binds a socket; `None` if the kernel was built without the protocol.
///
/// With `SO_REUSEADDR` a later server of the host could bind the port as well, since this socket
/// does not listen. So it is set only if the port is not free without: connections of an earlier
/// server that wait for their end (`TIME_WAIT`) are no reason to refuse it.
fn hold(proto: Proto, ip: Ipv4Addr, port: u16) -> Result<Option<OwnedFd>, Errno> {
    let (kind, protocol) = match proto {
        Proto::Tcp => (SocketType::STREAM, ipproto::TCP),
        Proto::Udp => (SocketType::DGRAM, ipproto::UDP),
        Proto::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let opened = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, Some(protocol));
    let socket = match opened {
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) if proto == Proto::Sctp => {
            return Ok(None);
        }
        other => other?,
    };
    let address = SocketAddrV4::new(ip, port);
    match bind(&socket, &address) {
        Err(Errno::ADDRINUSE) if proto == Proto::Tcp => {
            set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &address)?;
        }
        other => other?,
    }
    Ok(Some(socket))
}
