//! A container's namespace: what is asked for it, and what is kept of it.
//!
//! ```text
//!            join                          leave
//!   nothing ──────> namespace, endpoints ──────────> nothing (the kernel takes the rest away)
//!                    │   ^   connect, disconnect, set_names
//!                    └───┘
//!   daemon goes, daemon comes:  adopt
//! ```

mod gateway;
mod live;
pub(crate) mod plumb;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(crate) use self::gateway::{Candidate, Gateways, order};
pub(crate) use self::live::{Held, Live, LiveSandbox, Outlets};
use crate::address::{Cidr, Ip, MacAddr};
use crate::dns::DnsRecord;
use crate::ports::{PortRequest, PublishedPort};

/// What a container asks for when it starts.
#[derive(Debug, Clone, Default)]
pub struct JoinRequest {
    /// Id of the container.
    pub container_id: String,
    /// What it is called, on every network with names.
    pub names: ContainerNames,
    /// Its networks, in the order of its interfaces; none for loopback alone.
    pub endpoints: Vec<EndpointRequest>,
    /// Ports to publish.
    pub ports: Vec<PortRequest>,
    /// Name servers of its own (`--dns`), instead of the host's.
    pub dns_servers: Vec<IpAddr>,
}

/// What a container is called.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerNames {
    /// Its name; also what an address is looked up to.
    pub name: String,
    /// The first digits of its id.
    pub short_id: String,
    /// Its host name.
    pub hostname: String,
}

/// What a container asks of one network.
#[derive(Debug, Clone, Default)]
pub struct EndpointRequest {
    /// Name or id of the network.
    pub network: String,
    /// A fixed IPv4 address, instead of the lowest free one.
    pub address: Option<Ipv4Addr>,
    /// A fixed IPv6 address, instead of the lowest free one.
    pub address6: Option<Ipv6Addr>,
    /// The IPv4 address that it had before, without having asked for it: it gets that again if
    /// nobody else has it.
    pub preferred: Option<Ipv4Addr>,
    /// The same of IPv6.
    pub preferred6: Option<Ipv6Addr>,
    /// Further addresses that hold on the link alone.
    pub link_local: Vec<IpAddr>,
    /// A fixed hardware address, instead of the one made from the IPv4 address.
    pub mac: Option<MacAddr>,
    /// Name of the interface in the container, instead of the next free `eth0`, `eth1`.
    pub interface: Option<String>,
    /// The endpoint with the highest gives the default route.
    pub gw_priority: i64,
    /// Further names of the container on this network.
    pub aliases: Vec<String>,
    /// Names that the container alone has for others: alias, and name on the network.
    pub links: Vec<(String, String)>,
    /// Options of the driver for this endpoint.
    pub driver_opts: BTreeMap<String, String>,
}

impl EndpointRequest {
    /// An endpoint on a network, with nothing special.
    #[must_use]
    pub fn on(network: impl Into<String>) -> EndpointRequest {
        EndpointRequest { network: network.into(), ..EndpointRequest::default() }
    }

    /// Whether any endpoint of the network would do.
    pub(crate) fn is_plain(&self) -> bool {
        self.address6.is_none()
            && self.link_local.is_empty()
            && self.interface.is_none()
            && self.driver_opts.is_empty()
    }
}

/// A joined container: its record, and its network namespace.
#[derive(Debug, Clone)]
pub struct Sandbox {
    /// What to store with the container.
    pub record: SandboxRecord,
    /// The namespace. The kernel deletes it, and what is in it, when the last process in it is
    /// gone and the last descriptor of it is closed; this crate closes its own in `leave`.
    pub netns: Arc<OwnedFd>,
    /// What makes the start quicker, and is of no use afterwards: a sysfs of the namespace.
    pub sysfs: Option<Arc<OwnedFd>>,
}

/// What must be known of a sandbox after a restart of the daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxRecord {
    /// Id of the container.
    pub container_id: String,
    /// What it is called.
    pub names: ContainerNames,
    /// Its endpoints, in the order they were made.
    pub endpoints: Vec<EndpointRecord>,
    /// Ports as they are published; none without an endpoint that leads outside.
    pub ports: Vec<PublishedPort>,
    /// Ports as they were asked for, to publish them when there is an endpoint that leads outside.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub wanted_ports: Vec<PortRequest>,
    /// Name servers of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns_servers: Vec<IpAddr>,
    /// Its name server at 127.0.0.11: there is one on networks with names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dns: Option<DnsRecord>,
}

/// What must be known of an endpoint, and what there is to tell about it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Id of the network.
    pub network: String,
    /// Name of the network.
    pub network_name: String,
    /// Name of the interface in the container.
    pub interface: String,
    /// Name of the host's end of the veth pair; empty without one.
    pub host_interface: String,
    /// Hardware address of the container's interface.
    pub mac: String,
    /// Its IPv4.
    pub v4: Option<Assigned<Ipv4Addr>>,
    /// Its IPv6.
    pub v6: Option<Assigned<Ipv6Addr>>,
    /// The endpoint with the highest gives the default route.
    #[serde(default)]
    pub gw_priority: i64,
    /// Whether it gives the default route of IPv4, or of IPv6 where there is none.
    #[serde(default)]
    pub is_gateway: bool,
    /// Further names of the container on this network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Names that the container alone has for others: alias, and name on the network.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<(String, String)>,
}

/// An address of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assigned<A> {
    /// The address.
    pub address: A,
    /// Prefix length of the subnet.
    pub prefix_len: u8,
    /// The network's gateway, if it has one.
    pub gateway: Option<A>,
}

impl<A: Ip> Assigned<A> {
    /// The address with its prefix.
    #[must_use]
    pub fn cidr(&self) -> Option<Cidr<A>> {
        Cidr::new(self.address, self.prefix_len)
    }
}

impl EndpointRecord {
    /// Its addresses, IPv4 first.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let v4 = self.v4.iter().map(|v4| IpAddr::V4(v4.address));
        v4.chain(self.v6.iter().map(|v6| IpAddr::V6(v6.address))).collect()
    }

    /// Every name of its container on its network, each once: the container's, aliases, the
    /// short id, the host name. This is what the API calls `DNSNames`.
    #[must_use]
    pub fn names(&self, container: &ContainerNames) -> Vec<String> {
        let mut all: Vec<String> = Vec::new();
        let own = [&container.short_id, &container.hostname];
        for name in std::iter::once(&container.name).chain(&self.aliases).chain(own) {
            if !name.is_empty() && !all.contains(name) {
                all.push(name.clone());
            }
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_once_and_in_order() {
        let record = EndpointRecord {
            id: String::new(),
            network: String::new(),
            network_name: String::new(),
            interface: String::new(),
            host_interface: String::new(),
            mac: String::new(),
            v4: None,
            v6: None,
            gw_priority: 0,
            is_gateway: false,
            aliases: vec!["db".to_owned(), "web".to_owned()],
            links: Vec::new(),
        };
        let container = ContainerNames {
            name: "web".to_owned(),
            short_id: "0123456789ab".to_owned(),
            hostname: "0123456789ab".to_owned(),
        };
        assert_eq!(record.names(&container), ["web", "db", "0123456789ab"]);
    }
}
