//! What a container asks of its networks.

use std::collections::BTreeMap;

use gantry_api_types::NullableList as _;
use gantry_api_types::network::EndpointSettings;
use gantry_network::{ContainerNames, EndpointRequest, JoinRequest};

use super::links::Link;
use super::{files, ports};
use crate::engine::Inner;
use crate::error::Invalid;
use crate::record::{ContainerRecord, LastAddresses};

/// The driver option that names the interface in the container.
const INTERFACE_NAME: &str = "com.docker.network.endpoint.ifname";

/// The wishes of a container for its place on its networks; `None` when it has no namespace of its
/// own, or one that stays without networks. `last` are the addresses that it had before.
///
/// # Errors
/// A port or address that cannot be read, in Docker's words.
pub(crate) fn join_request(
    engine: &Inner,
    record: &ContainerRecord,
    last: &BTreeMap<String, LastAddresses>,
) -> Result<Option<JoinRequest>, Invalid> {
    if !record.is_networked() {
        return Ok(None);
    }
    let request = |(name, settings): (&String, &EndpointSettings)| {
        let request = endpoint_request(engine, record, name, settings)?;
        let LastAddresses { v4, v6 } = last.get(name).copied().unwrap_or_default();
        Ok(EndpointRequest { preferred: v4, preferred6: v6, ..request })
    };
    // The main network gives the first interface.
    let (mut first, others): (Vec<_>, Vec<_>) =
        record.endpoints.iter().partition(|(name, _)| is_main(engine, record, name));
    first.extend(others);
    Ok(Some(JoinRequest {
        container_id: record.id.clone(),
        names: names(record),
        endpoints: first.into_iter().map(request).collect::<Result<_, _>>()?,
        ports: ports::requests(&record.config, &record.host)?,
        dns_servers: files::name_servers(&engine.config, &record.host),
    }))
}

/// What a container is called on its networks.
pub(crate) fn names(record: &ContainerRecord) -> ContainerNames {
    ContainerNames {
        name: record.name.clone(),
        short_id: record.short_id().to_owned(),
        hostname: record.config.hostname.clone(),
    }
}

/// The wishes of a container for its place on one network.
///
/// # Errors
/// An address that cannot be read, in Docker's words.
pub(crate) fn endpoint_request(
    engine: &Inner,
    record: &ContainerRecord,
    network: &str,
    settings: &EndpointSettings,
) -> Result<EndpointRequest, Invalid> {
    let ipam = settings.ipam_config.clone().unwrap_or_default();
    let mac = match settings.mac_address.as_str() {
        "" if is_main(engine, record, network) => record.config.mac_address.as_str(),
        own => own,
    };
    let driver_opts = settings.driver_opts.clone().unwrap_or_default();
    Ok(EndpointRequest {
        network: network.to_owned(),
        address: address(&ipam.ipv4_address, "IPv4")?,
        address6: address(&ipam.ipv6_address, "IPv6")?,
        preferred: None,
        preferred6: None,
        link_local: ipam
            .link_local_ips
            .iter()
            .filter_map(|text| address(text, "link-local IP").transpose())
            .collect::<Result<_, _>>()?,
        mac: match mac {
            "" => None,
            text => Some(text.parse().map_err(|error| Invalid(format!("{error}")))?),
        },
        interface: driver_opts.get(INTERFACE_NAME).cloned(),
        gw_priority: settings.gw_priority.unwrap_or_default(),
        aliases: settings.aliases.clone().unwrap_or_default(),
        links: links(engine, settings)?,
        driver_opts,
    })
}

/// Whether a network is the one that a container's mode names, which may be by its id.
fn is_main(engine: &Inner, record: &ContainerRecord, network: &str) -> bool {
    record
        .main_network()
        .is_some_and(|main| main == network || engine.network_name(main) == network)
}

/// Links on a network of its user's: names of other containers for this one alone.
fn links(engine: &Inner, settings: &EndpointSettings) -> Result<Vec<(String, String)>, Invalid> {
    let mut links = Vec::new();
    for text in settings.links.items() {
        let Link { target, alias } = Link::parse(text)?;
        // A container that is not there yet may come; its name is what counts.
        let name = match engine.registry.find(&target) {
            Ok(cell) => cell.record().name.clone(),
            Err(_) => target,
        };
        links.push((alias, name));
    }
    Ok(links)
}

fn address<A: std::str::FromStr>(text: &str, what: &str) -> Result<Option<A>, Invalid> {
    match text {
        "" => Ok(None),
        text => match text.parse() {
            Ok(address) => Ok(Some(address)),
            Err(_) => Err(Invalid(format!("invalid {what} address: {text}"))),
        },
    }
}
