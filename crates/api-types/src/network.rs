//! Networks, endpoints and their addresses.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::body::{Map, body, null_default, omit, present};
use crate::host_config::PortMap;

body! {
    /// Endpoint settings of a container to create.
    pub struct NetworkingConfig {
        /// Settings by network name or ID; `null` asks for the defaults.
        pub endpoints_config: BTreeMap<String, Option<EndpointSettings>>,
    }

    /// An endpoint: what was asked for and what it got.
    pub struct EndpointSettings {
        /// Addresses asked for.
        #[serde(rename = "IPAMConfig")]
        pub ipam_config: Option<EndpointIpamConfig>,
        /// `container:alias` legacy links on this network.
        pub links: Option<Vec<String>>,
        /// DNS names asked for.
        pub aliases: Option<Vec<String>>,
        /// MAC address, asked for or got.
        pub mac_address: String,
        /// Driver options.
        pub driver_opts: Option<Map>,
        /// The endpoint with the highest gives the default gateway; from 1.48, `None` before.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub gw_priority: Option<i64>,
        /// Network's ID.
        #[serde(rename = "NetworkID")]
        pub network_id: String,
        /// Endpoint's ID.
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        /// IPv4 gateway.
        pub gateway: String,
        /// IPv4 address.
        #[serde(rename = "IPAddress")]
        pub ip_address: String,
        /// IPv4 prefix length in bits.
        #[serde(rename = "IPPrefixLen")]
        pub ip_prefix_len: u8,
        /// IPv6 gateway.
        #[serde(rename = "IPv6Gateway")]
        pub ipv6_gateway: String,
        /// IPv6 address.
        #[serde(rename = "GlobalIPv6Address")]
        pub global_ipv6_address: String,
        /// IPv6 prefix length in bits.
        #[serde(rename = "GlobalIPv6PrefixLen")]
        pub global_ipv6_prefix_len: u8,
        /// All DNS names on this network; from 1.44.
        #[serde(rename = "DNSNames")]
        pub dns_names: Option<Vec<String>>,
    }

    /// Addresses asked for.
    pub struct EndpointIpamConfig {
        /// IPv4 address.
        #[serde(rename = "IPv4Address", skip_serializing_if = "omit")]
        pub ipv4_address: String,
        /// IPv6 address.
        #[serde(rename = "IPv6Address", skip_serializing_if = "omit")]
        pub ipv6_address: String,
        /// Further link-local addresses.
        #[serde(rename = "LinkLocalIPs", skip_serializing_if = "omit")]
        pub link_local_ips: Vec<String>,
    }

    /// Endpoints in a list row.
    pub struct SummaryNetworkSettings {
        /// Endpoints by network name.
        pub networks: BTreeMap<String, EndpointSettings>,
    }

    /// An address with its prefix length.
    pub struct Address {
        /// Address.
        pub addr: String,
        /// Prefix length in bits.
        pub prefix_len: u8,
    }
}

body! {
    /// A network: a row of `GET /networks` and the answer to `GET /networks/{id}`.
    pub struct NetworkResource {
        /// Name.
        pub name: String,
        /// Full ID.
        pub id: String,
        /// Creation, RFC 3339 with ns.
        pub created: String,
        /// `local`, `global` or `swarm`.
        pub scope: String,
        /// Driver.
        pub driver: String,
        /// Has IPv4 addresses; from 1.48, `None` before.
        #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
        pub enable_ipv4: Option<bool>,
        /// Has IPv6 addresses.
        #[serde(rename = "EnableIPv6")]
        pub enable_ipv6: bool,
        /// Address management.
        #[serde(rename = "IPAM")]
        pub ipam: Ipam,
        /// No way out.
        pub internal: bool,
        /// Open to containers that are no service's tasks.
        pub attachable: bool,
        /// Swarm's ingress network.
        pub ingress: bool,
        /// Network whose configuration this one uses.
        pub config_from: ConfigReference,
        /// Only a configuration for others.
        pub config_only: bool,
        /// Endpoints by container ID; absent from lists as of 1.52, empty in older ones.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub containers: Option<BTreeMap<String, EndpointResource>>,
        /// Driver options.
        pub options: Map,
        /// Labels.
        pub labels: Map,
        /// Gossip peers, of swarm networks.
        #[serde(skip_serializing_if = "omit")]
        pub peers: Vec<PeerInfo>,
        /// Address use; from 1.52, on inspection.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub status: Option<NetworkStatus>,
    }

    /// A network named as another's configuration.
    pub struct ConfigReference {
        /// Its name.
        pub network: String,
    }

    /// A gossip peer.
    pub struct PeerInfo {
        /// Name.
        pub name: String,
        /// Address.
        #[serde(rename = "IP")]
        pub ip: String,
    }

    /// Address management of a network.
    pub struct Ipam {
        /// Driver, `default`.
        pub driver: String,
        /// Driver options; `null` when none were given.
        pub options: Option<Map>,
        /// Pools; `null` when none are set.
        pub config: Option<Vec<IpamConfig>>,
    }

    /// An address pool.
    pub struct IpamConfig {
        /// Subnet, `10.0.0.0/24`.
        #[serde(skip_serializing_if = "omit")]
        pub subnet: String,
        /// Part of the subnet that addresses are given from.
        #[serde(rename = "IPRange", skip_serializing_if = "omit")]
        pub ip_range: String,
        /// Gateway.
        #[serde(skip_serializing_if = "omit")]
        pub gateway: String,
        /// Addresses kept out, by name.
        #[serde(skip_serializing_if = "omit")]
        pub auxiliary_addresses: Map,
    }

    /// A container's endpoint as its network shows it.
    pub struct EndpointResource {
        /// Container's name, without slash.
        pub name: String,
        /// Endpoint's ID.
        #[serde(rename = "EndpointID")]
        pub endpoint_id: String,
        /// MAC address.
        pub mac_address: String,
        /// IPv4 address with prefix length.
        #[serde(rename = "IPv4Address")]
        pub ipv4_address: String,
        /// IPv6 address with prefix length.
        #[serde(rename = "IPv6Address")]
        pub ipv6_address: String,
    }

    /// Live facts of a network.
    pub struct NetworkStatus {
        /// Address use.
        #[serde(rename = "IPAM")]
        pub ipam: IpamStatus,
    }

    /// Address use of a network.
    pub struct IpamStatus {
        /// By subnet.
        #[serde(skip_serializing_if = "omit")]
        pub subnets: BTreeMap<String, SubnetStatus>,
    }

    /// Address use of a subnet.
    pub struct SubnetStatus {
        /// Addresses in use.
        #[serde(rename = "IPsInUse")]
        pub ips_in_use: u64,
        /// Addresses that can still be given automatically.
        #[serde(rename = "DynamicIPsAvailable")]
        pub dynamic_ips_available: u64,
    }

    /// Body of `POST /networks/create`.
    pub struct NetworkCreateBody {
        /// Name.
        pub name: String,
        /// Refuse a name that is taken; always so from 1.44.
        #[serde(skip_serializing_if = "omit")]
        pub check_duplicate: bool,
        /// Driver; empty for `bridge`.
        pub driver: String,
        /// `local`, `global` or `swarm`.
        pub scope: String,
        /// Give IPv4 addresses; `None` for the default, which is yes.
        #[serde(rename = "EnableIPv4", skip_serializing_if = "Option::is_none")]
        pub enable_ipv4: Option<bool>,
        /// Give IPv6 addresses; `None` for the default, which is no.
        #[serde(rename = "EnableIPv6", skip_serializing_if = "Option::is_none")]
        pub enable_ipv6: Option<bool>,
        /// Address management.
        #[serde(rename = "IPAM")]
        pub ipam: Option<Ipam>,
        /// No way out.
        pub internal: bool,
        /// Open to containers that are no service's tasks.
        pub attachable: bool,
        /// Swarm's ingress network.
        pub ingress: bool,
        /// Only a configuration for others.
        pub config_only: bool,
        /// Network whose configuration to use.
        pub config_from: Option<ConfigReference>,
        /// Driver options.
        pub options: Option<Map>,
        /// Labels.
        pub labels: Option<Map>,
    }

    /// Answer to `POST /networks/create`.
    pub struct NetworkCreateResponse {
        /// Full ID.
        pub id: String,
        /// What the client should know, or nothing.
        pub warning: String,
    }

    /// Body of `POST /networks/{id}/connect`.
    pub struct NetworkConnectBody {
        /// Container's name or ID.
        pub container: String,
        /// Endpoint asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub endpoint_config: Option<EndpointSettings>,
    }

    /// Body of `POST /networks/{id}/disconnect`.
    pub struct NetworkDisconnectBody {
        /// Container's name or ID.
        pub container: String,
        /// Also when the container does not answer.
        pub force: bool,
    }

    /// Answer to `POST /networks/prune`.
    pub struct NetworksPruneReport {
        /// Names removed; `null` when none.
        pub networks_deleted: Option<Vec<String>>,
    }
}

body! {
    /// Who reaches an address of a container, and why: a row of `GET /gantry/networks/reach`.
    ///
    /// Gantry's own. The query names the `container` and, if wished, one `port` as `80/tcp`.
    pub struct Reach {
        /// Where from: `this host`, `other hosts`, `network NAME`.
        pub from: String,
        /// Name of the container's network that it comes in by.
        pub network: String,
        /// Address, port and protocol that it asks: `0.0.0.0:8080/tcp`.
        pub address: String,
        /// Whether it gets an answer.
        pub reachable: bool,
        /// By which rule.
        pub why: String,
    }

    /// Answer to `GET /gantry/networks/doctor`; Gantry's own.
    pub struct NetworkReport {
        /// Everything that was looked at, in order.
        pub checks: Vec<NetworkCheck>,
    }

    /// One thing that was looked at.
    pub struct NetworkCheck {
        /// What: `nftables table`, `forward policy`, `route of NAME`.
        pub check: String,
        /// `ok`, `healed` when Gantry has put it right, `warning` where it cannot see, or `failed`.
        pub state: String,
        /// What was found.
        pub detail: String,
        /// What the user can do; empty when there is nothing to do.
        pub remedy: String,
    }
}

impl NetworkReport {
    /// Whether nothing is left to be done.
    #[must_use]
    pub fn is_well(&self) -> bool {
        self.checks.iter().all(|check| check.state != "failed")
    }
}

/// Networks of a container. Fields in options left API 1.52; `None` leaves them out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct NetworkSettings {
    /// Bridge name; always empty, before 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<String>,
    /// Sandbox's ID.
    #[serde(rename = "SandboxID", deserialize_with = "null_default")]
    pub sandbox_id: String,
    /// Path of the network namespace.
    #[serde(deserialize_with = "null_default")]
    pub sandbox_key: String,
    /// Published ports by container port.
    #[serde(deserialize_with = "null_default")]
    pub ports: PortMap,
    /// Always false, before 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hairpin_mode: Option<bool>,
    /// Always empty, before 1.52.
    #[serde(rename = "LinkLocalIPv6Address", skip_serializing_if = "Option::is_none")]
    pub link_local_ipv6_address: Option<String>,
    /// Always 0, before 1.52.
    #[serde(rename = "LinkLocalIPv6PrefixLen", skip_serializing_if = "Option::is_none")]
    pub link_local_ipv6_prefix_len: Option<u8>,
    /// Always `null`, before 1.52; the outer option is presence.
    #[serde(
        rename = "SecondaryIPAddresses",
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub secondary_ip_addresses: Option<Option<Vec<Address>>>,
    /// Always `null`, before 1.52; the outer option is presence.
    #[serde(
        rename = "SecondaryIPv6Addresses",
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    pub secondary_ipv6_addresses: Option<Option<Vec<Address>>>,
    /// Endpoint's ID on the default bridge, before 1.52.
    #[serde(rename = "EndpointID", skip_serializing_if = "Option::is_none")]
    pub endpoint_id: Option<String>,
    /// IPv4 gateway on the default bridge, before 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateway: Option<String>,
    /// IPv6 address on the default bridge, before 1.52.
    #[serde(rename = "GlobalIPv6Address", skip_serializing_if = "Option::is_none")]
    pub global_ipv6_address: Option<String>,
    /// IPv6 prefix length in bits on the default bridge, before 1.52.
    #[serde(rename = "GlobalIPv6PrefixLen", skip_serializing_if = "Option::is_none")]
    pub global_ipv6_prefix_len: Option<u8>,
    /// IPv4 address on the default bridge, before 1.52.
    #[serde(rename = "IPAddress", skip_serializing_if = "Option::is_none")]
    pub ip_address: Option<String>,
    /// IPv4 prefix length in bits on the default bridge, before 1.52.
    #[serde(rename = "IPPrefixLen", skip_serializing_if = "Option::is_none")]
    pub ip_prefix_len: Option<u8>,
    /// IPv6 gateway on the default bridge, before 1.52.
    #[serde(rename = "IPv6Gateway", skip_serializing_if = "Option::is_none")]
    pub ipv6_gateway: Option<String>,
    /// MAC address on the default bridge, before 1.52.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac_address: Option<String>,
    /// Endpoints by network name.
    #[serde(deserialize_with = "null_default")]
    pub networks: BTreeMap<String, EndpointSettings>,
}

impl NetworkSettings {
    /// Fills the fields that left API 1.52 from the endpoint on the default bridge.
    pub fn fill_legacy(&mut self) {
        let endpoint = self.networks.get("bridge").cloned().unwrap_or_default();
        self.bridge = Some(String::new());
        self.hairpin_mode = Some(false);
        self.link_local_ipv6_address = Some(String::new());
        self.link_local_ipv6_prefix_len = Some(0);
        self.secondary_ip_addresses = Some(None);
        self.secondary_ipv6_addresses = Some(None);
        self.endpoint_id = Some(endpoint.endpoint_id);
        self.gateway = Some(endpoint.gateway);
        self.global_ipv6_address = Some(endpoint.global_ipv6_address);
        self.global_ipv6_prefix_len = Some(endpoint.global_ipv6_prefix_len);
        self.ip_address = Some(endpoint.ip_address);
        self.ip_prefix_len = Some(endpoint.ip_prefix_len);
        self.ipv6_gateway = Some(endpoint.ipv6_gateway);
        self.mac_address = Some(endpoint.mac_address);
    }
}
