//! Host ports: who has which, and holding them against the host's other processes.
//!
//! A reserved port is bound by a socket of the daemon, so that a clash is found at once, in both
//! directions. The firewall redirects packets before they reach the socket; what it cannot
//! redirect (IPv6 loopback, IPv6 to a container without) the relay takes from the very socket.
//!
//! A request without a host address is for `0.0.0.0` and `::`, as in Docker: the same port on
//! both, each held by a socket of its own (`IPV6_V6ONLY`), so that a container that has IPv4
//! alone is reached on both too. Docker 20.10 prints the second as `:::8080`, Docker since 27 as
//! `[::]:8080`; either is a matter of printing, the record has `::`.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::io::Errno;
use rustix::net::sockopt::{set_ipv6_v6only, set_socket_reuseaddr};
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with};

use crate::error::JoinError;
use crate::firewall::Redirect;
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
    taken: HashMap<(Proto, u16), Vec<IpAddr>>,
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
    table: Arc<Mutex<PortTable>>,
    /// `None` if the kernel has not the protocol, or if a restarted daemon came too late.
    socket: Option<Arc<OwnedFd>>,
}

/// Defaults for what a request leaves open.
#[derive(Debug, Clone)]
pub(crate) struct PortDefaults {
    /// Host address; the unspecified one of IPv4 stands for both families.
    pub(crate) host_ip: IpAddr,
    pub(crate) ephemeral: RangeInclusive<u16>,
}

impl Reserved {
    /// Where the port leads, for a container that has these addresses on `network`; `None` if
    /// it has none that the host address can lead to.
    pub(crate) fn redirect(
        &self,
        network: &str,
        v4: Option<Ipv4Addr>,
        v6: Option<Ipv6Addr>,
    ) -> Option<Redirect> {
        let PublishedPort { container_port, proto, host_ip, host_port } = self.published;
        let container = match (host_ip, v4, v6) {
            (IpAddr::V4(_), Some(v4), _) | (IpAddr::V6(_), Some(v4), None) => IpAddr::V4(v4),
            (IpAddr::V6(_), _, Some(v6)) => IpAddr::V6(v6),
            _ => return None,
        };
        Some(Redirect {
            network: network.to_owned(),
            host_ip,
            host_port,
            proto,
            container,
            container_port,
            socket: self.socket.clone(),
        })
    }
}

impl PortTable {
    fn is_taken(&self, proto: Proto, ip: IpAddr, port: u16) -> bool {
        self.taken.get(&(proto, port)).is_some_and(|holders| {
            let clash = |held: &IpAddr| {
                let overlap = *held == ip || held.is_unspecified() || ip.is_unspecified();
                overlap && held.is_ipv4() == ip.is_ipv4()
            };
            holders.iter().any(clash)
        })
    }

    fn insert(&mut self, proto: Proto, ip: IpAddr, port: u16) {
        self.taken.entry((proto, port)).or_default().push(ip);
    }

    fn remove(&mut self, proto: Proto, ip: IpAddr, port: u16) {
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
        let PublishedPort { proto, host_ip, host_port, .. } = self.published;
        let mut table = lock(&self.table);
        table.remove(proto, host_ip, host_port);
        // A port that could not be bound is not on its way to being free.
        if self.socket.take().is_some() {
            table.note_release(host_port);
        }
    }
}

/// Reserves host ports for every request, or none, in the order of the requests: one each, or
/// one of IPv4 and one of IPv6. Waits for ports that linger.
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
    let both = host_addresses(requests, defaults);
    let mut reserved = Vec::with_capacity(requests.len());
    for at in order {
        let one = requests[at].host_ip.map(|ip| [ip.to_canonical()]);
        let addresses = one.as_ref().map_or(both, |one| &one[..]);
        reserved.push((at, reserve_one(table, &requests[at], addresses, defaults)?));
    }
    reserved.sort_by_key(|(at, _)| *at);
    Ok(reserved.into_iter().flat_map(|(_, reserved)| reserved).collect())
}

/// Takes over a port that was published before a restart. Rules for it stand, so that nothing
/// but the guard against others depends on the socket.
pub(crate) fn readopt(
    table: &Arc<Mutex<PortTable>>,
    published: &PublishedPort,
) -> Result<Reserved, JoinError> {
    let PublishedPort { proto, host_ip, host_port, .. } = *published;
    take(table, proto, host_ip, host_port)?;
    let socket = hold(proto, host_ip, host_port).unwrap_or_else(|error| {
        tracing::warn!(%host_ip, host_port, %proto, %error, "published port is not held");
        None
    });
    let table = Arc::clone(table);
    Ok(Reserved { published: published.clone(), table, socket })
}

const ANY_V4: IpAddr = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
const ANY_V6: IpAddr = IpAddr::V6(Ipv6Addr::UNSPECIFIED);

/// The host addresses of requests that name none.
fn host_addresses<'a>(requests: &[PortRequest], defaults: &'a PortDefaults) -> &'a [IpAddr] {
    let wanted = requests.iter().any(|request| request.host_ip.is_none());
    if wanted && defaults.host_ip == ANY_V4 && has_ipv6() {
        return &[ANY_V4, ANY_V6];
    }
    std::slice::from_ref(&defaults.host_ip)
}

/// Whether this host's loopback has IPv6: the kernel may lack it, or it may be switched off.
fn has_ipv6() -> bool {
    let flags = SocketFlags::CLOEXEC;
    let probe = socket_with(AddressFamily::INET6, SocketType::DGRAM, flags, None);
    let address = SocketAddr::from((Ipv6Addr::LOCALHOST, 0));
    probe.is_ok_and(|probe| bind(&probe, &address).is_ok())
}

/// Reserves one port on all of `addresses`.
fn reserve_one(
    table: &Arc<Mutex<PortTable>>,
    request: &PortRequest,
    addresses: &[IpAddr],
    defaults: &PortDefaults,
) -> Result<Vec<Reserved>, JoinError> {
    let invalid = JoinError::InvalidPort { container_port: request.container_port };
    if request.container_port == 0 {
        return Err(invalid);
    }
    let attempt = |port: u16| {
        let on_one = |address: &IpAddr| reserve_at(table, request, *address, port);
        addresses.iter().map(on_one).collect::<Result<Vec<Reserved>, JoinError>>()
    };
    let address = addresses.first().copied().unwrap_or(defaults.host_ip);
    match request.host_port {
        PortChoice::Exact(0) => Err(invalid),
        PortChoice::Exact(port) => attempt(port),
        PortChoice::Range(low, high) if low == 0 || low > high => Err(invalid),
        PortChoice::Range(low, high) => first_free(low..=high, address, attempt),
        PortChoice::Any => {
            let (low, high) = (*defaults.ephemeral.start(), *defaults.ephemeral.end());
            let start = lock(table).cursor.clamp(low, high);
            let found = first_free((start..=high).chain(low..start), address, attempt)?;
            let taken = found.first().map_or(low, |found| found.published.host_port);
            lock(table).cursor = taken.checked_add(1).unwrap_or(low);
            Ok(found)
        }
    }
}

fn reserve_at(
    table: &Arc<Mutex<PortTable>>,
    request: &PortRequest,
    host_ip: IpAddr,
    port: u16,
) -> Result<Reserved, JoinError> {
    let &PortRequest { container_port, proto, .. } = request;
    take(table, proto, host_ip, port)?;
    // From here on the drop of this gives the port back.
    let published = PublishedPort { container_port, proto, host_ip, host_port: port };
    let mut reserved = Reserved { published, table: Arc::clone(table), socket: None };
    reserved.socket = hold(proto, host_ip, port).map_err(|source| match source {
        Errno::ADDRINUSE => JoinError::PortInUse { host_ip, port },
        other => JoinError::Bind { host_ip, port, source: other.into() },
    })?;
    Ok(reserved)
}

/// The first port that nobody has; an error other than that somebody has it ends the search.
fn first_free(
    ports: impl IntoIterator<Item = u16>,
    host_ip: IpAddr,
    attempt: impl Fn(u16) -> Result<Vec<Reserved>, JoinError>,
) -> Result<Vec<Reserved>, JoinError> {
    for port in ports {
        match attempt(port) {
            Err(JoinError::PortAllocated { .. } | JoinError::PortInUse { .. }) => {}
            other => return other,
        }
    }
    Err(JoinError::NoFreePort { host_ip })
}

fn take(table: &Mutex<PortTable>, proto: Proto, ip: IpAddr, port: u16) -> Result<(), JoinError> {
    let mut table = lock(table);
    if table.is_taken(proto, ip, port) {
        return Err(JoinError::PortAllocated { host_ip: ip, port });
    }
    table.insert(proto, ip, port);
    Ok(())
}

/// Binds a socket; `None` if the kernel was built without the protocol.
///
/// With `SO_REUSEADDR` a later server of the host could bind the port as well, since this socket
/// does not listen. So it is set only if the port is not free without: connections of an earlier
/// server that wait for their end (`TIME_WAIT`) are no reason to refuse it.
fn hold(proto: Proto, ip: IpAddr, port: u16) -> Result<Option<Arc<OwnedFd>>, Errno> {
    let (kind, protocol) = match proto {
        Proto::Tcp => (SocketType::STREAM, ipproto::TCP),
        Proto::Udp => (SocketType::DGRAM, ipproto::UDP),
        Proto::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let family = if ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    // Whoever reads from it, if anybody does, must never be stopped by it.
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let opened = socket_with(family, kind, flags, Some(protocol));
    let socket = match opened {
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT) if proto == Proto::Sctp => {
            return Ok(None);
        }
        other => other?,
    };
    if ip.is_ipv6() {
        set_ipv6_v6only(&socket, true)?;
    }
    let address = SocketAddr::new(ip, port);
    match bind(&socket, &address) {
        Err(Errno::ADDRINUSE) if proto == Proto::Tcp => {
            set_socket_reuseaddr(&socket, true)?;
            bind(&socket, &address)?;
        }
        other => other?,
    }
    Ok(Some(Arc::new(socket)))
}
