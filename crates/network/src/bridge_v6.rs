//! IPv6 on the default bridge: switched on or off, with its address.

use std::path::Path;

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
    /// Index of the interface.
    pub(crate) index: u32,
    /// The address that it had when it had one last.
    pub(crate) had: Option<Ipv6Cidr>,
    /// The daemon's own range.
    pub(crate) ula: Ipv6Cidr,
    /// Subnets of other networks.
    pub(crate) others: &'a [(Ipv6Cidr, Holder)],
}

/// Gives the bridge the address that it is to have, and takes away what it had instead.
pub(crate) fn establish(
    socket: &mut Socket,
    config: &NetworkConfig,
    standing: Standing<'_>,
) -> Result<Option<Ipv6Cidr>, NetworkError> {
    let name = config.bridge.as_str();
    let step = |step| move |source| link_error(name, step, source);
    let (index, had) = (standing.index, standing.had);
    let wanted = match config.ipv6 {
        true => Some(address(socket, config, standing)?),
        false => None,
    };
    // A bridge of somebody else's may have addresses that are none of ours.
    let stale = had.filter(|had| wanted != Some(*had));
    if wanted.is_none() && stale.is_none() {
        return Ok(None);
    }
    if !Path::new(&format!("/proc/sys/net/ipv6/conf/{name}")).exists() && wanted.is_none() {
        return Ok(None);
    }
    if wanted.is_some() {
        link::enable_ipv6(name, config.ip_forward)?;
    }
    let has = route::addresses(socket).map_err(step("reading addresses"))?;
    let has = |address: &Ipv6Cidr| has.contains(&(index, *address));
    let mut batch = Batch::new();
    if let Some(stale) = stale.filter(has) {
        route::delete_address(&mut batch, index, stale);
    }
    if let Some(wanted) = wanted.filter(|wanted| !has(wanted)) {
        route::add_address(&mut batch, index, wanted);
    }
    if batch.count() > 0 {
        let refused = |Refused { step, source }| link_error(name, step, source);
        socket.request(batch).map_err(refused)?;
    }
    Ok(wanted)
}

/// The bridge's address: the first of the configured subnet, or of the one it had, or of a free
/// one.
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
