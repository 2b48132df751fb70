//! The networks that every daemon has: `bridge`, `host` and `none`.

use std::collections::BTreeMap;

use gantry_api_types::network::{EndpointResource, Ipam, IpamConfig, NetworkResource};
use gantry_network::BridgeInfo;
use gantry_oci::Digest;

use crate::record::NetworkMode;
use crate::{Engine, LookupError};

/// Names and drivers, in the order of `docker network ls`.
const BUILT_IN: [(&str, &str); 3] = [("bridge", "bridge"), ("host", "host"), ("none", "null")];

/// The id of a built-in network; those of `host` and `none` follow from the bridge's, so that
/// they stay the same as long as it does.
pub(crate) fn id_of(bridge: &BridgeInfo, name: &str) -> String {
    match name {
        "bridge" => bridge.id.clone(),
        other => Digest::of(format!("{}/{other}", bridge.id).as_bytes()).hex().to_owned(),
    }
}

impl Engine {
    /// The networks, with their containers.
    #[must_use]
    pub fn networks(&self) -> Vec<NetworkResource> {
        BUILT_IN.iter().map(|(name, driver)| self.describe(name, driver)).collect()
    }

    /// One network by name, id or id prefix, with its containers.
    ///
    /// # Errors
    /// [`LookupError::NoNetwork`].
    pub fn network(&self, name: &str) -> Result<NetworkResource, LookupError> {
        let networks = self.networks();
        let by_prefix = || networks.iter().find(|n| !name.is_empty() && n.id.starts_with(name));
        let found = networks.iter().find(|network| network.name == name).or_else(by_prefix);
        found.cloned().ok_or_else(|| LookupError::NoNetwork(name.to_owned()))
    }

    fn describe(&self, name: &str, driver: &str) -> NetworkResource {
        let bridge = self.0.parts.networks.bridge();
        let is_bridge = name == "bridge";
        let mut options = BTreeMap::new();
        let mut config = Vec::new();
        if is_bridge {
            for (key, value) in [
                ("com.docker.network.bridge.default_bridge", "true".to_owned()),
                ("com.docker.network.bridge.enable_icc", "true".to_owned()),
                ("com.docker.network.bridge.enable_ip_masquerade", "true".to_owned()),
                ("com.docker.network.bridge.host_binding_ipv4", "0.0.0.0".to_owned()),
                ("com.docker.network.bridge.name", bridge.name.clone()),
                ("com.docker.network.driver.mtu", bridge.mtu.to_string()),
            ] {
                options.insert(key.to_owned(), value);
            }
            config.push(IpamConfig {
                subnet: bridge.subnet.to_string(),
                gateway: bridge.gateway.to_string(),
                ..IpamConfig::default()
            });
        }
        NetworkResource {
            name: name.to_owned(),
            id: id_of(&bridge, name),
            created: crate::container::timestamp(self.0.started_ns),
            scope: "local".to_owned(),
            driver: driver.to_owned(),
            enable_ipv4: Some(true),
            ipam: Ipam {
                driver: "default".to_owned(),
                config: Some(config).filter(|config| !config.is_empty()),
                ..Ipam::default()
            },
            containers: Some(self.endpoints_of(name)),
            options,
            ..NetworkResource::default()
        }
    }

    fn endpoints_of(&self, name: &str) -> BTreeMap<String, EndpointResource> {
        let wanted = NetworkMode::parse(name);
        let mut found = BTreeMap::new();
        for cell in self.0.registry.all() {
            let view = cell.view();
            if !view.phase.is_up() || view.record.network() != wanted {
                continue;
            }
            let mut endpoint =
                EndpointResource { name: view.record.name.clone(), ..Default::default() };
            if let Some(record) = view.state.endpoint() {
                endpoint.endpoint_id.clone_from(&record.id);
                endpoint.mac_address.clone_from(&record.mac);
                let v4 = record.v4.and_then(|v4| v4.cidr());
                endpoint.ipv4_address = v4.map(|cidr| cidr.to_string()).unwrap_or_default();
            }
            found.insert(cell.id.clone(), endpoint);
        }
        found
    }
}
