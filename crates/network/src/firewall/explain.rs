//! Why a container's port can be reached, and from where.

use std::net::{IpAddr, SocketAddr};

use crate::ports::Proto;

/// A container's port.
#[derive(Debug, Clone)]
pub struct ReachQuery {
    /// Ids of the networks that the container is on, with its addresses there.
    pub addresses: Vec<(String, IpAddr)>,
    /// Port in the container.
    pub port: u16,
    /// Protocol.
    pub proto: Proto,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A process of this host.
    ThisHost,
    /// Another host on the link.
    OtherHosts,
    /// A container of the same network.
    SameNetwork,
    /// A container of another network of this daemon.
    OtherNetworks,
}

/// One way to a port, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Who calls.
    pub from: Origin,
    /// The network that the container is reached on.
    pub network: String,
    /// The address to call.
    pub at: SocketAddr,
    /// Whether it answers.
    pub reachable: bool,
    /// The chain and the rule or element that decides, in words.
    pub by: String,
}
