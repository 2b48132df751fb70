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
        /// The endpoint with the highest gives the default gateway; from 1.48.
        pub gw_priority: i64,
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
