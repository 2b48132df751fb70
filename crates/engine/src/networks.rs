//! The networks as the API knows them, and what containers have to do with them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use gantry_api_types::network::ConfigReference;
use gantry_api_types::network::{
    EndpointResource, Ipam, IpamConfig, IpamStatus, NetworkCreateBody, NetworkResource,
    NetworkStatus, SubnetStatus,
};
use gantry_network::{CreateNetwork, EndpointInfo, NetworkInfo, SandboxRecord, SubnetInfo};

use crate::container::Cell;
use crate::container::phase::Phase;
use crate::engine::Inner;
use crate::error::NetworkFault;
use crate::events::EventKind;
use crate::record::NetworkMode;
use crate::{Engine, LookupError};

/// Longest wait for containers that leave a network that is to be removed.
const LEAVE_LIMIT: Duration = Duration::from_secs(3);
/// Pause between two looks at them.
const LEAVE_PAUSE: Duration = Duration::from_millis(2);

impl Engine {
    /// The networks, with their containers. Those that leave are waited for: what is told of is
    /// free for others.
    pub async fn networks(&self) -> Vec<NetworkResource> {
        self.0.wait_for_leavers().await;
        self.0.parts.networks.list().into_iter().map(|info| self.describe(info)).collect()
    }

    /// One network by id, name or id prefix, with its containers, when those that leave have left.
    ///
    /// # Errors
    /// [`LookupError::Network`].
    pub async fn network(&self, name: &str) -> Result<NetworkResource, LookupError> {
        self.0.wait_for_leavers().await;
        Ok(self.describe(self.0.parts.networks.find(name)?))
    }

    /// Whether the subnets of a network were named by its user, as static addresses need it.
    #[must_use]
    pub fn has_user_subnets(&self, network: &str) -> bool {
        self.0.parts.networks.record(network).is_ok_and(|record| {
            record.v4.iter().all(|subnet| !subnet.chosen)
                && record.v6.iter().all(|subnet| !subnet.chosen)
        })
    }

    /// Makes a network; its id.
    ///
    /// # Errors
    /// [`NetworkFault`]; nothing is kept then.
    pub async fn create_network(&self, body: NetworkCreateBody) -> Result<String, NetworkFault> {
        let id = self.0.parts.networks.create(request(body)).await?;
        let record = self.0.parts.networks.record(&id)?;
        self.0.tell_network("create", &id, &record.name, &record.driver.to_string(), None);
        Ok(id)
    }

    /// Removes a network that no running container is on.
    ///
    /// # Errors
    /// [`NetworkFault`]; the network stays then.
    pub async fn remove_network(&self, name: &str) -> Result<(), NetworkFault> {
        self.0.wait_for_leavers().await;
        let networks = &self.0.parts.networks;
        let begun = std::time::Instant::now();
        let record = loop {
            match networks.remove(name).await {
                // The last one has left, but its interface is still being let go of.
                Err(gantry_network::RemoveError::InUse { .. })
                    if begun.elapsed() < LEAVE_LIMIT
                        && networks.find(name).is_ok_and(|info| info.endpoints.is_empty()) =>
                {
                    tokio::time::sleep(LEAVE_PAUSE).await;
                }
                removed => break removed?.record,
            }
        };
        self.0.tell_network("destroy", &record.id, &record.name, &record.driver.to_string(), None);
        Ok(())
    }

    /// Removes the networks of users that no container is on and that `wanted` picks; their names.
    pub async fn prune_networks(&self, wanted: impl Fn(&NetworkResource) -> bool) -> Vec<String> {
        let mut removed = Vec::new();
        for network in self.networks().await {
            if matches!(network.name.as_str(), "bridge" | "host" | "none") {
                continue;
            }
            // As it is when they have left; one that is gone meanwhile needs no pruning.
            let Ok(network) = self.network(&network.id).await else { continue };
            let is_idle = network.containers.as_ref().is_none_or(BTreeMap::is_empty);
            if !is_idle || !wanted(&network) {
                continue;
            }
            match self.remove_network(&network.id).await {
                Ok(()) => removed.push(network.name),
                // Somebody joined it or removed it meanwhile.
                Err(error) => tracing::debug!(?error, network = network.name, "not pruned"),
            }
        }
        self.0.events.publish(
            EventKind::Network,
            "prune",
            "",
            [("reclaimed".into(), "0".into())].into(),
        );
        removed
    }

    fn describe(&self, info: NetworkInfo) -> NetworkResource {
        let mut containers: BTreeMap<String, EndpointResource> = info
            .endpoints
            .iter()
            .map(|endpoint| {
                let resource = EndpointResource {
                    name: endpoint.container_name.clone(),
                    endpoint_id: endpoint.id.clone(),
                    mac_address: endpoint.mac.clone(),
                    ipv4_address: endpoint.v4.clone(),
                    ipv6_address: endpoint.v6.clone(),
                };
                (endpoint.container_id.clone(), resource)
            })
            .collect();
        if matches!(info.record.name.as_str(), "host" | "none") {
            containers.extend(self.0.without_endpoints(&info.record.name));
        }
        let subnets: Vec<&SubnetInfo> = info.v4.iter().chain(&info.v6).collect();
        let status = subnets.iter().map(|subnet| {
            let status = SubnetStatus {
                ips_in_use: subnet.ips_in_use,
                dynamic_ips_available: subnet.ips_available,
            };
            (subnet.subnet.clone(), status)
        });
        let status = NetworkStatus { ipam: IpamStatus { subnets: status.collect() } };
        let config: Vec<IpamConfig> = subnets.into_iter().map(ipam_config).collect();
        let record = info.record;
        NetworkResource {
            name: record.name,
            id: record.id,
            created: record.created,
            scope: "local".to_owned(),
            driver: record.driver.to_string(),
            enable_ipv4: Some(record.enable_ipv4),
            enable_ipv6: record.enable_ipv6,
            ipam: Ipam {
                driver: "default".to_owned(),
                options: record.ipam_options,
                config: Some(config).filter(|config| !config.is_empty()),
            },
            internal: record.internal,
            attachable: record.attachable,
            config_from: ConfigReference { network: record.config_from.unwrap_or_default() },
            config_only: record.config_only,
            containers: Some(containers),
            options: record.options,
            labels: record.labels,
            status: Some(status),
            ..NetworkResource::default()
        }
    }
}

impl Inner {
    /// Waits for containers that have ended, or are removed, to leave their networks: they do so
    /// behind the answers, and whoever was told of the end may want the network gone next, or the
    /// address or port for another.
    pub(crate) async fn wait_for_leavers(&self) {
        let begun = std::time::Instant::now();
        let leaves = |info: &NetworkInfo| !info.endpoints.iter().all(|one| self.stays(one));
        while begun.elapsed() < LEAVE_LIMIT && self.parts.networks.list().iter().any(leaves) {
            tokio::time::sleep(LEAVE_PAUSE).await;
        }
    }

    /// Whether an endpoint's container, or step, is there and runs, or starts.
    fn stays(&self, endpoint: &EndpointInfo) -> bool {
        let cell = self.registry.find(&endpoint.container_id);
        cell.is_ok_and(|cell| cell.phase().is_up() || cell.phase() == Phase::Created)
            || self.steps.has(&endpoint.container_id)
    }

    /// The id of a network; empty when it is not there.
    pub(crate) fn network_id(&self, name: &str) -> String {
        self.parts.networks.record(name).map(|record| record.id).unwrap_or_default()
    }

    /// The name of a network that may be named by its id; as it is when there is none.
    pub(crate) fn network_name(&self, name: &str) -> String {
        self.parts.networks.record(name).map_or_else(|_| name.to_owned(), |record| record.name)
    }

    /// The address that `host-gateway` stands for.
    pub(crate) fn host_gateway(&self) -> IpAddr {
        let bridge = || self.parts.networks.bridge().gateway.into();
        self.config.host_gateway_ip.unwrap_or_else(bridge)
    }

    /// Publishes an event about a network.
    pub(crate) fn tell_network(
        &self,
        action: &str,
        id: &str,
        name: &str,
        driver: &str,
        container: Option<&str>,
    ) {
        let container = container.map(|container| ("container", container));
        let attributes = [("name", name), ("type", driver)].into_iter().chain(container);
        let attributes = attributes.map(|(key, value)| (key.to_owned(), value.to_owned()));
        self.events.publish(EventKind::Network, action, id, attributes.collect());
    }

    /// Publishes an event about each network that a sandbox is on.
    pub(crate) fn tell_endpoints(&self, action: &str, sandbox: &SandboxRecord) {
        for endpoint in &sandbox.endpoints {
            self.tell_endpoint(action, &endpoint.network, &sandbox.container_id);
        }
    }

    /// Publishes an event about a container and a network.
    pub(crate) fn tell_endpoint(&self, action: &str, network: &str, container: &str) {
        let Ok(record) = self.parts.networks.record(network) else { return };
        let driver = record.driver.to_string();
        self.tell_network(action, &record.id, &record.name, &driver, Some(container));
    }

    /// The container that another calls by a link: `other/alias`.
    pub(crate) fn find_linked(&self, name: &str) -> Option<Arc<Cell>> {
        let (parent, alias) = name.trim_start_matches('/').split_once('/')?;
        let record = self.registry.find(parent).ok()?.record();
        let link = record.links.iter().find(|link| link.alias == alias)?;
        self.registry.find(&link.target).ok()
    }

    /// What containers are called by those that are linked to them, by id.
    pub(crate) fn link_names(&self) -> HashMap<String, Vec<String>> {
        let mut names: HashMap<String, Vec<String>> = HashMap::new();
        for cell in self.registry.all() {
            let record = cell.record();
            for link in &record.links {
                let name = format!("/{}/{}", record.name, link.alias);
                names.entry(link.target.clone()).or_default().push(name);
            }
        }
        names
    }

    /// The running containers of `host` and `none`, which have no endpoints.
    fn without_endpoints(&self, network: &str) -> Vec<(String, EndpointResource)> {
        let wanted = NetworkMode::parse(network);
        let mut found = Vec::new();
        for cell in self.registry.all() {
            let view = cell.view();
            if view.phase.is_up() && view.record.network() == wanted {
                let name = view.record.name.clone();
                found.push((cell.id.clone(), EndpointResource { name, ..Default::default() }));
            }
        }
        found
    }
}

fn ipam_config(subnet: &SubnetInfo) -> IpamConfig {
    IpamConfig {
        subnet: subnet.subnet.clone(),
        ip_range: subnet.range.clone().unwrap_or_default(),
        gateway: subnet.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        auxiliary_addresses: subnet
            .auxiliary
            .iter()
            .map(|(name, address)| (name.clone(), address.to_string()))
            .collect(),
    }
}

fn request(body: NetworkCreateBody) -> CreateNetwork {
    let ipam = body.ipam.unwrap_or_default();
    let subnet = |config: IpamConfig| gantry_network::IpamConfig {
        subnet: config.subnet,
        ip_range: config.ip_range,
        gateway: config.gateway,
        auxiliary: config.auxiliary_addresses,
    };
    CreateNetwork {
        name: body.name,
        driver: body.driver,
        options: body.options.unwrap_or_default(),
        labels: body.labels.unwrap_or_default(),
        internal: body.internal,
        attachable: body.attachable,
        enable_ipv4: body.enable_ipv4,
        enable_ipv6: body.enable_ipv6,
        config_only: body.config_only,
        config_from: body.config_from.map(|from| from.network).filter(|name| !name.is_empty()),
        ipam_driver: ipam.driver,
        ipam_options: ipam.options,
        ipam: ipam.config.unwrap_or_default().into_iter().map(subnet).collect(),
    }
}
