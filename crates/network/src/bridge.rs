//! The bridge: found or made, with its address.

use std::fs;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use crate::address::{Cidr, Ip, Ipv4Cidr, Ipv6Cidr, MacAddr};
use crate::bridge_v6::{self, Standing};
use crate::config::{BridgeInfo, NetworkConfig};
use crate::error::NetworkError;
use crate::ipam::{AddressPool, Holder, Obstacle, Occupant, Occupied, first_host};
use crate::namespace::random_hex;
use crate::netlink::link;
use crate::netlink::message::Batch;
use crate::netlink::route::{self, PortFlags};
use crate::netlink::socket::{Refused, Socket};
use crate::network::options::{DEFAULT_MTU, is_interface_name};

/// Makes the bridge, or takes over the one that stands, with its address if none is configured.
/// Gives it with its gateway address and prefix. `others` and `others_v6` are the subnets of other
/// networks.
pub(crate) fn establish(
    socket: &mut Socket,
    config: &NetworkConfig,
    others: &[(Ipv4Cidr, Holder)],
    others_v6: &[(Ipv6Cidr, Holder)],
) -> Result<BridgeInfo, NetworkError> {
    let name = config.bridge.as_str();
    check_name(name)?;
    check_address(config.bip)?;
    let step = |step| move |source| link_error(name, step, source);
    let saved = Saved::read(&config.state_dir, name)?;
    let found = route::find_link(socket, name).map_err(step("looking up the bridge"))?;
    if found.as_ref().is_some_and(|link| link.kind != "bridge") {
        return Err(NetworkError::NotABridge(name.to_owned()));
    }
    let index = found.as_ref().map_or(0, |link| link.index);
    let addresses = route::addresses(socket).map_err(step("reading addresses"))?;
    let has: Vec<Ipv4Cidr> =
        addresses.iter().filter(|(on, _)| *on == index).map(|(_, address)| *address).collect();
    let address = match config.bip.or(has.first().copied()) {
        Some(address) => address,
        None => find_address(socket, config, index, saved.address, others)?,
    };
    check_range(config.fixed_cidr, address)?;
    check_router(config.default_gateway, address)?;
    let undrawn =
        |source| NetworkError::State { path: Saved::path(&config.state_dir, name), source };
    let ula = saved.ula.map_or_else(random_ula, Ok).map_err(undrawn)?;
    let had = saved.address_v6;
    let v6 = bridge_v6::choose(socket, config, Standing { index, had, ula, others: others_v6 })?;
    if let Some(v6) = v6 {
        check_router(config.default_gateway_v6, v6)?;
    }

    let mtu = config.mtu.unwrap_or(DEFAULT_MTU);
    let mut batch = Batch::new();
    let index = match found {
        Some(link) => {
            if link.mtu != mtu {
                route::set_mtu(&mut batch, link.index, mtu);
            }
            link.index
        }
        None => make(socket, name, MacAddr::for_address(address.address()), mtu)?,
    };
    if config.bip.is_some() || has.is_empty() {
        replace_addresses(&mut batch, index, &has, address);
    }
    route::set_up(&mut batch, index);
    socket.request(batch).map_err(|Refused { step, source }| link_error(name, step, source))?;
    set_parameters(config)?;
    bridge_v6::give(socket, config, index, v6, had)?;
    let id = saved.id.map_or_else(|| random_hex(32), Ok).map_err(undrawn)?;
    // What is switched off may be wanted again.
    let address_v6 = v6.or(had);
    Saved { id: Some(id.clone()), address: Some(address), ula: Some(ula), address_v6 }
        .write(&config.state_dir, name)?;
    Ok(BridgeInfo {
        id,
        ula,
        name: name.to_owned(),
        subnet: address.network(),
        gateway: address.address(),
        v6,
        mtu,
        ifindex: index,
    })
}

/// Leaves a bridge one address of those that it has.
fn replace_addresses(batch: &mut Batch, index: u32, has: &[Ipv4Cidr], address: Ipv4Cidr) {
    for stale in has.iter().filter(|standing| **standing != address) {
        route::delete_address(batch, index, *stale);
    }
    if !has.contains(&address) {
        route::add_address(batch, index, address);
    }
}

/// An address for a bridge that neither has one nor is told of one.
fn find_address(
    socket: &mut Socket,
    config: &NetworkConfig,
    index: u32,
    had: Option<Ipv4Cidr>,
    others: &[(Ipv4Cidr, Holder)],
) -> Result<Ipv4Cidr, NetworkError> {
    let host = prefixes_of_host(socket, index)
        .map_err(|source| link_error(&config.bridge, "reading routes", source))?;
    let host = host.into_iter().map(|(on, prefix)| (prefix, Holder::Interface(on)));
    let occupied = Occupied::new(host.chain(others.iter().cloned()));
    let preferred = config.fixed_cidr.and_then(first_host).or(had);
    choose(preferred, &occupied, config).map_err(|obstacle| {
        NetworkError::NoSubnet(obstacle.map(|obstacle| in_words(socket, obstacle)))
    })
}

/// Deletes the bridge and what was saved of it; that they are not there is no error.
pub(crate) fn remove(socket: &mut Socket, config: &NetworkConfig) -> Result<(), NetworkError> {
    let name = config.bridge.as_str();
    let found = route::find_link(socket, name)
        .map_err(|source| link_error(name, "looking up the bridge", source))?;
    if let Some(link) = found.filter(|link| link.kind == "bridge") {
        let mut batch = Batch::new();
        route::delete_link(&mut batch, link.index);
        socket.request(batch).map_err(|Refused { step, source }| link_error(name, step, source))?;
    }
    let path = Saved::path(&config.state_dir, name);
    match fs::remove_file(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other.map_err(|source| NetworkError::State { path, source }),
    }
}

/// What the ports of the bridge need.
///
/// Where the kernel sends bridged frames through the IP hooks (`br_netfilter`), a container that
/// comes to itself by a published port is answered on the port that it asked on. Elsewhere that
/// packet is routed, and reflecting frames would only upset address conflict detection.
pub(crate) fn port_flags(icc: bool) -> PortFlags {
    let path = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    let hairpin = fs::read_to_string(path).is_ok_and(|text| text.trim() == "1");
    PortFlags { hairpin, isolated: !icc }
}

/// Refuses a router that the bridge's subnet has not.
fn check_router<A: Ip>(router: Option<A>, address: Cidr<A>) -> Result<(), NetworkError> {
    let subnet = address.network();
    match router.filter(|router| !subnet.contains(*router)) {
        None => Ok(()),
        Some(router) => {
            let subnet = subnet.to_string();
            Err(NetworkError::DefaultGateway { gateway: router.into(), subnet })
        }
    }
}

/// A prefix of RFC 4193, section 3.2: `fd`, 40 random bits, /48.
fn random_ula() -> io::Result<Ipv6Cidr> {
    let digits = random_hex(5)?;
    let digits = u128::from_str_radix(&digits, 16).map_err(|_| io::ErrorKind::InvalidData)?;
    let prefix = Ipv6Addr::from_bits((0xfd << 120) | (digits << 80));
    Cidr::new(prefix, 48).ok_or(io::ErrorKind::InvalidData.into())
}

fn make(socket: &mut Socket, name: &str, mac: MacAddr, mtu: u32) -> Result<u32, NetworkError> {
    let mut batch = Batch::new();
    route::add_bridge(&mut batch, name, mac, mtu);
    socket.request(batch).map_err(|Refused { step, source }| link_error(name, step, source))?;
    route::find_link(socket, name)
        .and_then(|link| link.ok_or(io::ErrorKind::NotFound.into()))
        .map(|link| link.index)
        .map_err(|source| link_error(name, "looking up the bridge", source))
}

/// Forwarding, if configured, and loopback sources and destinations on the bridge, which
/// published ports need from this host itself.
fn set_parameters(config: &NetworkConfig) -> Result<(), NetworkError> {
    let set = |path: String| {
        let stands = fs::read_to_string(&path).is_ok_and(|text| text.trim() == "1");
        if stands { Ok(()) } else { fs::write(&path, "1") }
            .map_err(|source| NetworkError::Sysctl { path, source })
    };
    set(format!("/proc/sys/net/ipv4/conf/{}/route_localnet", config.bridge))?;
    if config.ip_forward {
        set("/proc/sys/net/ipv4/ip_forward".to_owned())?;
    }
    Ok(())
}

/// Every prefix that an address or a route of the host has, with the index of its interface;
/// those of the interface `but` are left out.
pub(crate) fn prefixes_of_host<A: Ip>(
    socket: &mut Socket,
    but: u32,
) -> io::Result<Vec<(u32, Cidr<A>)>> {
    let mut found = route::addresses(socket)?;
    found.extend(route::routes(socket)?);
    found.retain(|(index, _)| *index != but || but == 0);
    Ok(found)
}

/// What is in the way of a subnet, with the name of its interface.
pub(crate) fn in_words(socket: &mut Socket, obstacle: Obstacle) -> Occupant {
    obstacle.named(|index| {
        let links = link::links(socket).unwrap_or_default();
        let found = links.into_iter().find(|link| link.index == index);
        // A route that leads nowhere has none.
        found.map_or_else(|| "none".to_owned(), |link| link.name)
    })
}

/// The bridge's address: `preferred` if nothing is in its way, else the first host of the first
/// free subnet of the pools.
fn choose(
    preferred: Option<Ipv4Cidr>,
    occupied: &Occupied<Ipv4Addr>,
    config: &NetworkConfig,
) -> Result<Ipv4Cidr, Option<Obstacle>> {
    if let Some(preferred) = preferred.filter(|wish| occupied.obstacle(*wish).is_none()) {
        return Ok(preferred);
    }
    let pools = config.pools().into_iter().filter_map(|pool| match pool {
        AddressPool::V4 { base, size } => Some((base, size)),
        AddressPool::V6 { .. } => None,
    });
    first_host(occupied.choose(pools)?).ok_or(None)
}

fn check_name(name: &str) -> Result<(), NetworkError> {
    if is_interface_name(name) { Ok(()) } else { Err(NetworkError::BridgeName(name.to_owned())) }
}

fn check_address(bip: Option<Ipv4Cidr>) -> Result<(), NetworkError> {
    let Some(bip) = bip else { return Ok(()) };
    let edge = bip.address() == bip.first() || bip.address() == bip.last();
    match bip.prefix_len() == 0 || (bip.prefix_len() < 31 && edge) {
        true => Err(NetworkError::BridgeAddress(bip)),
        false => Ok(()),
    }
}

fn check_range(range: Option<Ipv4Cidr>, bridge: Ipv4Cidr) -> Result<(), NetworkError> {
    match range {
        Some(range) if !bridge.contains(range.first()) || !bridge.contains(range.last()) => {
            Err(NetworkError::FixedCidr { range, subnet: bridge.network() })
        }
        _ => Ok(()),
    }
}

pub(crate) fn link_error(interface: &str, step: &'static str, source: io::Error) -> NetworkError {
    NetworkError::Link { step, interface: interface.to_owned(), source }
}

/// What outlives a reboot, a line each: `id=<64 hex>`, `address=<CIDR>`, `ula=<CIDR>`, the range
/// that subnets of IPv6 are cut from, and `address_v6=<CIDR>`.
#[derive(Debug, Default, PartialEq, Eq)]
struct Saved {
    id: Option<String>,
    address: Option<Ipv4Cidr>,
    ula: Option<Ipv6Cidr>,
    address_v6: Option<Ipv6Cidr>,
}

impl Saved {
    fn path(directory: &Path, bridge: &str) -> PathBuf {
        directory.join(format!("{bridge}.network"))
    }

    fn read(directory: &Path, bridge: &str) -> Result<Saved, NetworkError> {
        let path = Saved::path(directory, bridge);
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Saved::parse(&text)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Saved::default()),
            Err(source) => Err(NetworkError::State { path, source }),
        }
    }

    /// Unknown and broken lines are dropped: both values can be found anew.
    fn parse(text: &str) -> Saved {
        let mut saved = Saved::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let is_id = value.len() == 64 && value.bytes().all(|byte| byte.is_ascii_hexdigit());
            match key {
                "id" if is_id => saved.id = Some(value.to_owned()),
                "address" => saved.address = value.parse().ok(),
                "ula" => saved.ula = value.parse().ok(),
                "address_v6" => saved.address_v6 = value.parse().ok(),
                _ => {}
            }
        }
        saved
    }

    /// Writes a new file and renames it over the old one, so that there is never half of it.
    fn write(&self, directory: &Path, bridge: &str) -> Result<(), NetworkError> {
        let path = Saved::path(directory, bridge);
        let mut text = String::new();
        text.extend(self.id.iter().map(|id| format!("id={id}\n")));
        text.extend(self.address.iter().map(|address| format!("address={address}\n")));
        text.extend(self.ula.iter().map(|ula| format!("ula={ula}\n")));
        text.extend(self.address_v6.iter().map(|address| format!("address_v6={address}\n")));
        if fs::read_to_string(&path).is_ok_and(|standing| standing == text) {
            return Ok(());
        }
        let fresh = path.with_extension("network.new");
        let write = || {
            fs::create_dir_all(directory)?;
            let mut file = fs::File::create(&fresh)?;
            io::Write::write_all(&mut file, text.as_bytes())?;
            file.sync_all()?;
            fs::rename(&fresh, &path)
        };
        write().map_err(|source| NetworkError::State { path: path.clone(), source })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_text() {
        let id = "ab".repeat(32);
        let text = format!(
            "id={id}\naddress=10.0.0.1/24\n\
             ula=fd01:2:3::/48\naddress_v6=fd01:2:3::1/64\nfuture=1\n"
        );
        let want = Saved {
            id: Some(id),
            address: "10.0.0.1/24".parse().ok(),
            ula: "fd01:2:3::/48".parse().ok(),
            address_v6: "fd01:2:3::1/64".parse().ok(),
        };
        assert_eq!(Saved::parse(&text), want);
        assert_eq!(Saved::parse("id=short\naddress=x\nnonsense"), Saved::default());
    }
}
