//! A container's place on the network.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::address::MacAddr;
use crate::ports::{PortRequest, PublishedPort};

/// What a container asks of the network.
#[derive(Debug, Clone, Default)]
pub struct JoinRequest {
    /// Id of the container, for messages.
    pub container_id: String,
    /// Ports to publish.
    pub ports: Vec<PortRequest>,
    /// A fixed address, instead of the next free one.
    pub address: Option<Ipv4Addr>,
    /// A fixed hardware address, instead of the one made from the address.
    pub mac: Option<MacAddr>,
}

/// A joined container: its record, and its network namespace.
#[derive(Debug)]
pub struct Endpoint {
    /// What to store with the container.
    pub record: EndpointRecord,
    /// The namespace. The kernel deletes it, and both ends of its veth pair, when the last
    /// process in it is gone and the last descriptor of it is closed.
    pub netns: Arc<OwnedFd>,
}

/// What must be known of an endpoint after a restart of the daemon.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// The container's address.
    pub address: Ipv4Addr,
    /// Prefix length of the subnet.
    pub prefix_len: u8,
    /// The bridge's address.
    pub gateway: Ipv4Addr,
    /// Hardware address of the container's interface.
    pub mac: String,
    /// Name of the host's end of the veth pair.
    pub host_interface: String,
    /// Ports as they were published.
    pub ports: Vec<PublishedPort>,
}
