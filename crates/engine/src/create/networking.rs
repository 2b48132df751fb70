//! The networks and links of a container to be made.

use std::collections::BTreeMap;

use gantry_api_types::NullableList as _;
use gantry_api_types::host_config::HostConfig;
use gantry_api_types::network::EndpointSettings;

use crate::CreateError;
use crate::engine::Inner;
use crate::error::Invalid;
use crate::net::links::Link;
use crate::record::NetworkMode;

/// The networks that a container is to be on, by name, with what is asked of each.
///
/// A network that is not there is none of this step's business: it may come before the start.
pub(crate) fn endpoints(
    engine: &Inner,
    host: &HostConfig,
    asked: BTreeMap<String, EndpointSettings>,
) -> Result<BTreeMap<String, EndpointSettings>, CreateError> {
    let mode = NetworkMode::parse(&host.network_mode);
    let main = match mode {
        NetworkMode::Bridge => "bridge".to_owned(),
        NetworkMode::Other(name) => engine.network_name(name),
        NetworkMode::Host | NetworkMode::None | NetworkMode::Container(_) => {
            let mut others = asked.keys().filter(|name| Some(name.as_str()) != mode.network());
            return match others.next_back() {
                Some(name) => Err(Invalid(format!(
                    "container cannot be connected to network {name}: it has network mode {}",
                    host.network_mode
                ))
                .into()),
                None => Ok(BTreeMap::new()),
            };
        }
    };
    let mut endpoints = BTreeMap::new();
    for (name, settings) in asked {
        let name = if name == "default" { main.clone() } else { engine.network_name(&name) };
        let settings = EndpointSettings {
            network_id: String::new(),
            endpoint_id: String::new(),
            gateway: String::new(),
            ip_address: String::new(),
            ip_prefix_len: 0,
            ipv6_gateway: String::new(),
            global_ipv6_address: String::new(),
            global_ipv6_prefix_len: 0,
            dns_names: None,
            ..settings
        };
        endpoints.insert(name, settings);
    }
    endpoints.entry(main).or_default();
    Ok(endpoints)
}

/// Names the container whose network is shared by its id, which no renaming changes.
pub(super) fn name_by_id(engine: &Inner, host: &mut HostConfig) -> Result<(), Invalid> {
    if let NetworkMode::Container(other) = NetworkMode::parse(&host.network_mode) {
        if other.is_empty() {
            let words = "invalid network mode: invalid container format container:<name|id>";
            return Err(Invalid(words.to_owned()));
        }
        // One that is not there is missed when this one starts.
        if let Ok(other) = engine.registry.find(other) {
            host.network_mode = format!("container:{}", other.id);
        }
    }
    Ok(())
}

/// The links on the default bridge, taken out of the request: they are kept by the id of the other
/// container. On networks of users they stand with the endpoints.
pub(super) fn links(engine: &Inner, host: &mut HostConfig) -> Result<Vec<Link>, CreateError> {
    let asked = host.links.take();
    if matches!(NetworkMode::parse(&host.network_mode), NetworkMode::Other(_)) {
        return Ok(Vec::new());
    }
    let mut links: Vec<Link> = Vec::new();
    for text in asked.items() {
        let link = Link::parse(text)?;
        let target = engine.registry.find(&link.target).map_err(|error| {
            Invalid(format!("could not get container for {}: {error}", link.target))
        })?;
        if let NetworkMode::Host = target.record().network() {
            let words = "conflicting options: host type networking can't be used with links. This \
                         would result in undefined behavior";
            return Err(Invalid(words.to_owned()).into());
        }
        links.push(Link { target: target.id.clone(), alias: link.alias });
    }
    Ok(links)
}
