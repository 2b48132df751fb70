//! Differences of networks and endpoints.

use std::collections::BTreeMap;

use gantry_api_types::ApiVersion;
use gantry_api_types::container::ContainerCreateBody;
use gantry_api_types::network::{EndpointSettings, NetworkResource};

use crate::error::ApiError;

/// Digits of a short ID.
const SHORT_ID: usize = 12;

/// Endpoints of a create body as this version means them: 400 for what it does not allow.
///
/// Before 1.44 there was one endpoint, and the MAC address stood in the configuration alone.
pub(crate) fn create_endpoints(
    body: &mut ContainerCreateBody,
    version: ApiVersion,
) -> Result<(), ApiError> {
    let Some(networking) = &mut body.networking_config else { return Ok(()) };
    let endpoints = &mut networking.endpoints_config;
    if !version.at_least(48) {
        endpoints.values_mut().flatten().for_each(|endpoint| endpoint.gw_priority = None);
    }
    if !version.at_least(44) {
        if endpoints.len() > 1 {
            let names: Vec<_> = endpoints.keys().map(String::as_str).collect();
            return Err(ApiError::invalid(format!(
                "Container cannot be connected to network endpoints: {}",
                names.join(", ")
            )));
        }
        endpoints.values_mut().flatten().for_each(|endpoint| endpoint.mac_address.clear());
        return Ok(());
    }
    let wide = &body.config.mac_address;
    let mode = body.host_config.as_ref().map_or("", |host| host.network_mode.as_str());
    let main = endpoints.get(if mode.is_empty() { "default" } else { mode });
    let own = main.and_then(Option::as_ref).map_or("", |endpoint| endpoint.mac_address.as_str());
    if !wide.is_empty() && !own.is_empty() && wide != own {
        return Err(ApiError::invalid(
            "the container-wide MAC address must match the endpoint-specific MAC address for the \
             main network, or be left empty",
        ));
    }
    Ok(())
}

/// Endpoints of a container: all DNS names came with 1.44, until 1.45 the short ID stood among the
/// aliases too, and priorities came with 1.48.
pub(crate) fn endpoints(
    networks: &mut BTreeMap<String, EndpointSettings>,
    id: &str,
    version: ApiVersion,
) {
    for (name, endpoint) in networks {
        if version.at_least(48) {
            endpoint.gw_priority.get_or_insert(0);
        } else {
            endpoint.gw_priority = None;
        }
        if !version.at_least(44) {
            endpoint.dns_names = None;
        }
        let predefined = matches!(name.as_str(), "bridge" | "host" | "none");
        if !version.at_least(45) && !predefined {
            let short = id.get(..SHORT_ID).unwrap_or(id);
            let aliases = endpoint.aliases.get_or_insert_default();
            if !aliases.iter().any(|alias| alias == short) {
                aliases.push(short.to_owned());
            }
        }
    }
}

/// A row of `GET /networks`: with its containers before 1.28, with an empty list of them before
/// 1.52, without from then on.
pub(crate) fn network_row(network: &mut NetworkResource, version: ApiVersion) {
    if version.at_least(52) {
        network.containers = None;
    } else if version.at_least(28) {
        network.containers = Some(BTreeMap::new());
    }
    network.status = None;
    network_document(network, version);
}

/// `GET /networks/{id}`.
pub(crate) fn network_inspect(network: &mut NetworkResource, version: ApiVersion) {
    network.containers.get_or_insert_default();
    if !version.at_least(52) {
        network.status = None;
    }
    network_document(network, version);
}

fn network_document(network: &mut NetworkResource, version: ApiVersion) {
    if version.at_least(48) {
        network.enable_ipv4.get_or_insert(true);
    } else {
        network.enable_ipv4 = None;
    }
    // Networks without pools had an empty list of them before Docker 25.
    if !version.at_least(44) {
        network.ipam.config.get_or_insert_default();
    }
}

#[cfg(test)]
mod tests;
