//! The link of a network in the kernel: a bridge, or the parent of macvlan interfaces.
//!
//! What is made here has its owner written on it (`ip link set alias`): the name of the daemon's
//! table and the id of the network. A daemon that was killed between making a link and recording
//! its network finds it by that, and takes it away.

use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::{fs, path::Path};

use rustix::io::Errno;

use super::options::{BridgeOptions, MacvlanOptions};
use super::record::NetworkRecord;
use super::request::LinkOptions;
use super::unlink::Unlinker;
use crate::address::{Cidr, Ip, MacAddr};
use crate::bridge::link_error;
use crate::error::{CreateError, NetworkError};
use crate::firewall::GatewayMode;
use crate::namespace::random_hex;
use crate::netlink::link;
use crate::netlink::message::Batch;
use crate::netlink::route;
use crate::netlink::socket::{Refused, Socket};

/// What a network's interfaces hang on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Link {
    /// Index of the bridge.
    Bridge(u32),
    /// Index of the parent.
    Macvlan(u32),
}

/// Whose the links are.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    /// Name of the daemon's table.
    pub(crate) table: String,
    /// Whether to switch forwarding on.
    pub(crate) ip_forward: bool,
}

impl Owner {
    fn alias(&self, network: &str) -> String {
        format!("{}:{network}", self.table)
    }

    /// The network that an alias names, if it is of this daemon.
    fn network<'a>(&self, alias: &'a str) -> Option<&'a str> {
        alias.strip_prefix(self.table.as_str())?.strip_prefix(':')
    }
}

/// Name of a network's bridge.
pub(crate) fn bridge_name(record: &NetworkRecord, options: &BridgeOptions) -> String {
    options.name.clone().unwrap_or_else(|| format!("br-{}", record.short_id()))
}

/// Makes the link of a network, or takes over the one that stands; leaves nothing if it fails.
pub(crate) fn make(
    socket: &mut Socket,
    owner: &Owner,
    record: &NetworkRecord,
    options: &LinkOptions,
) -> Result<Option<Link>, CreateError> {
    match options {
        LinkOptions::None => Ok(None),
        LinkOptions::Bridge(options) => {
            let name = bridge_name(record, options);
            let standing = route::find_link(socket, &name)
                .map_err(|source| link_error(&name, "looking up the bridge", source))?;
            let is_new = standing.is_none();
            let made = make_bridge(socket, owner, record, options, standing);
            if made.is_err() && is_new {
                take_back(socket, &name);
            }
            Ok(Some(Link::Bridge(made?)))
        }
        LinkOptions::Macvlan(options) => {
            let parent = make_parent(socket, record, options, &owner.alias(&record.id))?;
            Ok(Some(Link::Macvlan(parent)))
        }
    }
}

/// Removes what was made for a network; what somebody else made stays.
///
/// Nobody waits for a bridge whose name is never used again: its addresses are taken away, so that
/// its subnet is free, and the rest goes behind. A daemon that ends before that leaves an orphan
/// to the next.
pub(crate) fn remove(
    socket: &mut Socket,
    unlinker: &Unlinker,
    owner: &Owner,
    record: &NetworkRecord,
    options: &LinkOptions,
) -> Result<(), NetworkError> {
    let (name, is_unique) = match options {
        LinkOptions::None => return Ok(()),
        LinkOptions::Bridge(options) => (bridge_name(record, options), options.name.is_none()),
        LinkOptions::Macvlan(options) => (parent_name(record, options), false),
    };
    let found = route::find_link(socket, &name)
        .map_err(|source| link_error(&name, "looking up the interface", source))?;
    let Some(found) = found.filter(|found| found.alias == owner.alias(&record.id)) else {
        return Ok(());
    };
    if !is_unique {
        return delete(socket, &name, found.index);
    }
    let mut batch = Batch::new();
    for subnet in &record.v4 {
        subnet.cidr_of_gateway().into_iter().for_each(|it| {
            route::delete_address(&mut batch, found.index, it);
        });
    }
    for subnet in &record.v6 {
        subnet.cidr_of_gateway().into_iter().for_each(|it| {
            route::delete_address(&mut batch, found.index, it);
        });
    }
    if batch.count() > 0
        && let Err(refused) = socket.request(batch)
    {
        tracing::debug!(name, ?refused, "addresses go with their interface");
    }
    unlinker.delete(name, found.index)
}

/// Deletes an interface now.
pub(super) fn delete(socket: &mut Socket, name: &str, index: u32) -> Result<(), NetworkError> {
    let mut batch = Batch::new();
    route::delete_link(&mut batch, index);
    match socket.request(batch) {
        // It may have gone with the one below it.
        Err(refused) if !refused.is(Errno::NODEV) => Err(of_link(name, refused)),
        _ => Ok(()),
    }
}

/// Removes every link of this daemon whose network is not there.
pub(crate) fn remove_orphans(
    socket: &mut Socket,
    owner: &Owner,
    known: impl Fn(&str) -> bool,
) -> Result<(), NetworkError> {
    let links = link::links(socket).map_err(|e| link_error("all", "listing interfaces", e))?;
    let orphan = |alias: &str| owner.network(alias).is_some_and(|id| !known(id));
    let orphans = links.iter().filter(|link| orphan(&link.alias));
    let mut first = Ok(());
    for link in orphans {
        // Whatever fails, the others go.
        first = first.and(delete(socket, &link.name, link.index));
    }
    first
}

fn of_link(name: &str, Refused { step, source }: Refused) -> NetworkError {
    link_error(name, step, source)
}

/// Removes a link that was made just now, after a failure that is told instead of this one's.
fn take_back(socket: &mut Socket, name: &str) {
    let Ok(Some(found)) = route::find_link(socket, name) else { return };
    let mut batch = Batch::new();
    route::delete_link(&mut batch, found.index);
    if let Err(refused) = socket.request(batch) {
        tracing::warn!(name, ?refused, "an interface is left of a network that failed");
    }
}

fn make_bridge(
    socket: &mut Socket,
    owner: &Owner,
    record: &NetworkRecord,
    options: &BridgeOptions,
    standing: Option<route::Link>,
) -> Result<u32, NetworkError> {
    let name = &bridge_name(record, options);
    let step = |step| move |source| link_error(name, step, source);
    let index = match standing {
        Some(link) if link.kind != "bridge" => {
            return Err(NetworkError::NotABridge(name.to_owned()));
        }
        Some(link) => link.index,
        None => {
            let mac = bridge_mac().map_err(step("drawing a hardware address"))?;
            let mut batch = Batch::new();
            route::add_bridge(&mut batch, name, mac, options.mtu);
            link::set_alias(&mut batch, name, &owner.alias(&record.id));
            socket.request(batch).map_err(|refused| of_link(name, refused))?;
            let link = route::find_link(socket, name)
                .and_then(|link| link.ok_or(io::ErrorKind::NotFound.into()))
                .map_err(step("looking up the bridge"))?;
            link.index
        }
    };
    set_parameters(name, owner, record)?;
    let mut batch = Batch::new();
    give_address(socket, &mut batch, index, bridge_v4(record, options))
        .and_then(|()| give_address(socket, &mut batch, index, bridge_v6(record, options)))
        .map_err(step("reading addresses"))?;
    route::set_up(&mut batch, index);
    socket.request(batch).map_err(|refused| of_link(name, refused))?;
    Ok(index)
}

fn give_address<A: Ip>(
    socket: &mut Socket,
    batch: &mut Batch,
    index: u32,
    address: Option<Cidr<A>>,
) -> io::Result<()> {
    let Some(address) = address else { return Ok(()) };
    if !route::addresses(socket)?.contains(&(index, address)) {
        route::add_address(batch, index, address);
    }
    Ok(())
}

/// The bridge's own IPv4 address.
fn bridge_v4(record: &NetworkRecord, options: &BridgeOptions) -> Option<Cidr<Ipv4Addr>> {
    let none = options.inhibit_v4 || options.mode_v4 == GatewayMode::Isolated;
    record.v4.first().filter(|_| !none)?.cidr_of_gateway()
}

/// The bridge's own IPv6 address.
fn bridge_v6(record: &NetworkRecord, options: &BridgeOptions) -> Option<Cidr<Ipv6Addr>> {
    let none = options.mode_v6 == GatewayMode::Isolated;
    record.v6.first().filter(|_| !none)?.cidr_of_gateway()
}

/// A random unicast address that is administered locally.
///
/// The bridge is given one, since it would otherwise have that of its lowest port, and another as
/// containers come and go.
pub(crate) fn bridge_mac() -> io::Result<MacAddr> {
    let digits = random_hex(4)?;
    let bits = u32::from_str_radix(&digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
    let [a, b, c, d] = bits.to_be_bytes();
    Ok(MacAddr([0x02, 0x42, a, b, c, d]))
}

/// Kernel parameters of a bridge, and forwarding.
fn set_parameters(name: &str, owner: &Owner, record: &NetworkRecord) -> Result<(), NetworkError> {
    set(format!("/proc/sys/net/ipv4/conf/{name}/route_localnet"), "1")?;
    if owner.ip_forward {
        set("/proc/sys/net/ipv4/ip_forward".to_owned(), "1")?;
    }
    let v6 = format!("/proc/sys/net/ipv6/conf/{name}");
    match record.enable_ipv6 {
        _ if !Path::new(&v6).exists() => Ok(()),
        false => set(format!("{v6}/disable_ipv6"), "1"),
        true => enable_ipv6(name, owner.ip_forward),
    }
}

/// Has a bridge have IPv6.
pub(crate) fn enable_ipv6(name: &str, ip_forward: bool) -> Result<(), NetworkError> {
    let v6 = format!("/proc/sys/net/ipv6/conf/{name}");
    // No container tells the host where to send its packets; and nobody else has the addresses.
    for (parameter, value) in [("accept_ra", "0"), ("accept_dad", "0"), ("disable_ipv6", "0")] {
        set(format!("{v6}/{parameter}"), value)?;
    }
    if ip_forward { forward_ipv6() } else { Ok(()) }
}

/// Switches forwarding of IPv6 on.
///
/// With it the kernel stops listening to routers on interfaces where `accept_ra` is 1, and the
/// host would lose its own way out: there it is made 2, "also when forwarding"
/// (kernel `ip-sysctl.rst`).
fn forward_ipv6() -> Result<(), NetworkError> {
    let all = "/proc/sys/net/ipv6/conf/all/forwarding";
    if fs::read_to_string(all).is_ok_and(|text| text.trim() == "1") {
        return Ok(());
    }
    for entry in fs::read_dir("/proc/sys/net/ipv6/conf").into_iter().flatten().flatten() {
        let path = entry.path().join("accept_ra");
        let listens = fs::read_to_string(&path).is_ok_and(|text| text.trim() == "1");
        if listens && entry.file_name() != "lo" {
            set(path.display().to_string(), "2")?;
        }
    }
    set(all.to_owned(), "1")
}

fn set(path: String, value: &str) -> Result<(), NetworkError> {
    let stands = fs::read_to_string(&path).is_ok_and(|text| text.trim() == value);
    if stands { Ok(()) } else { fs::write(&path, value) }
        .map_err(|source| NetworkError::Sysctl { path, source })
}

/// The parent of macvlan interfaces: the host's, an 802.1q one on it, or one that leads nowhere.
fn make_parent(
    socket: &mut Socket,
    record: &NetworkRecord,
    options: &MacvlanOptions,
    alias: &str,
) -> Result<u32, CreateError> {
    let wanted = options.parent.as_ref().filter(|_| !record.internal);
    let name = &parent_name(record, options);
    let find = |socket: &mut Socket, name: &str| {
        let found = route::find_link(socket, name);
        found.map_err(|source| link_error(name, "looking up the parent", source))
    };
    if let Some(link) = find(socket, name)? {
        return Ok(link.index);
    }
    let mut batch = Batch::new();
    match wanted {
        None => link::add_dummy(&mut batch, name),
        Some(parent) => {
            let missing = || CreateError::NoParent(parent.name.clone());
            let (below, number) = parent.vlan.as_ref().ok_or_else(missing)?;
            let below = find(socket, below)?.ok_or_else(missing)?;
            link::add_vlan(&mut batch, name, below.index, *number);
        }
    }
    link::set_alias(&mut batch, name, alias);
    if let Err(refused) = socket.request(batch) {
        if !refused.is(Errno::EXIST) {
            take_back(socket, name);
        }
        return Err(of_link(name, refused).into());
    }
    let made = find(socket, name)?.ok_or_else(|| CreateError::NoParent(name.to_owned()))?;
    Ok(made.index)
}

fn parent_name(record: &NetworkRecord, options: &MacvlanOptions) -> String {
    let wanted = options.parent.as_ref().filter(|_| !record.internal);
    wanted.map_or_else(|| format!("dm-{}", record.short_id()), |parent| parent.name.clone())
}
