//! IPv6 on the default bridge: switched on or off, with its address.

use crate::address::Ipv6Cidr;
use crate::bridge::{in_words, link_error, prefixes_of_host};
use crate::config::NetworkConfig;
use crate::error::NetworkError;
use crate::ipam::{Holder, Occupied, first_host};
use crate::netlink::message::Batch;
use crate::netlink::route;
use crate::netlink::socket::{Refused, Socket};
use crate::network::link;

/// The bridge as it stands, and what is around it.
#[derive(Debug)]
pub(crate) struct Standing<'a> {
    /// Index of the interface; 0 while there is none.
    pub(crate) index: u32,
    /// The address that it had when it had one last.
    pub(crate) had: Option<Ipv6Cidr>,
    /// The daemon's own range.
    pub(crate) ula: Ipv6Cidr,
    /// Subnets of other networks.
    pub(crate) others: &'a [(Ipv6Cidr, Holder)],
}

/// The address that the bridge is to have, if any: the first of the configured subnet, or of the one
/// it had, or of a free one.
pub(crate) fn choose(
    socket: &mut Socket,
    config: &NetworkConfig,
    standing: Standing<'_>,
) -> Result<Option<Ipv6Cidr>, NetworkError> {
    match config.ipv6 {
        true => address(socket, config, standing).map(Some),
        false => Ok(None),
    }
}

/// Gives the bridge with this index the wanted address, and takes away what it had instead.
pub(crate) fn give(
    socket: &mut Socket,
    config: &NetworkConfig,
    index: u32,
    wanted: Option<Ipv6Cidr>,
    had: Option<Ipv6Cidr>,
) -> Result<(), NetworkError> {
    let name = config.bridge.as_str();
    // A bridge of somebody else's may have addresses that are none of ours.
    let stale = had.filter(|had| wanted != Some(*had));
    if wanted.is_none() && stale.is_none() {
        return Ok(());
    }
    if wanted.is_some() {
        link::enable_ipv6(name, config.ip_forward)?;
    }
    let has =
        route::addresses(socket).map_err(|source| link_error(name, "reading addresses", source))?;
    let has = |address: &Ipv6Cidr| has.contains(&(index, *address));
    let mut batch = Batch::new();
    if let Some(stale) = stale.filter(has) {
        route::delete_address(&mut batch, index, stale);
    }
    if let Some(wanted) = wanted.filter(|wanted| !has(wanted)) {
        route::add_address(&mut batch, index, wanted);
    }
    if batch.count() == 0 {
        return Ok(());
    }
    socket.request(batch).map_err(|Refused { step, source }| link_error(name, step, source))
}

fn address(
    socket: &mut Socket,
    config: &NetworkConfig,
    standing: Standing<'_>,
) -> Result<Ipv6Cidr, NetworkError> {
    if let Some(fixed) = config.fixed_cidr_v6 {
        return first_host(fixed.network()).ok_or(NetworkError::FixedCidrV6(fixed));
    }
    let host = prefixes_of_host(socket, standing.index)
        .map_err(|source| link_error(&config.bridge, "reading routes", source))?;
    let host = host.into_iter().map(|(on, prefix)| (prefix, Holder::Interface(on)));
    let occupied = Occupied::new(standing.others.iter().cloned().chain(host));
    let pools = config.pools_v6(standing.ula);
    // One that was configured once is not what is chosen now.
    let chosen = |had: &Ipv6Cidr| pools.iter().any(|(base, _)| base.encloses(*had));
    let had = standing.had.filter(chosen).filter(|had| occupied.obstacle(*had).is_none());
    if let Some(had) = had {
        return Ok(had);
    }
    let subnet = occupied.choose(pools).map_err(|obstacle| {
        NetworkError::NoSubnetV6(obstacle.map(|obstacle| in_words(socket, obstacle)))
    })?;
    first_host(subnet).ok_or(NetworkError::NoSubnetV6(None))
}
