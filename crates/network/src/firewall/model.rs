//! What the firewall knows: networks and redirects, and the elements that come of them.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use crate::ports::Proto;

/// What the rules must know of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkRules {
    /// Id of the network.
    pub(crate) id: String,
    /// Name of its bridge.
    pub(crate) interface: String,
    /// Absent if the network has no IPv4.
    pub(crate) v4: Option<SubnetRules<Ipv4Addr>>,
    /// Absent if the network has no IPv6.
    pub(crate) v6: Option<SubnetRules<Ipv6Addr>>,
    /// Whether its containers may talk to each other.
    pub(crate) icc: bool,
    /// Whether it has no way in or out but to the bridge itself.
    pub(crate) internal: bool,
}

/// One family of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubnetRules<A> {
    /// An address of the subnet; host bits are ignored.
    pub(crate) network: A,
    pub(crate) prefix_len: u8,
    /// The bridge's own address, if it has one.
    pub(crate) gateway: Option<A>,
    pub(crate) mode: GatewayMode,
    /// Whether packets leave with the host's address.
    pub(crate) masquerade: bool,
    /// Address that packets leave with instead of the outgoing interface's (`host_ipv4`).
    pub(crate) snat_to: Option<A>,
}

/// How a network's addresses are reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum GatewayMode {
    /// By published ports alone.
    #[default]
    Nat,
    /// By published ports, and directly at any port by those who have a route.
    NatUnprotected,
    /// Directly, without translation, at published ports.
    Routed,
    /// Not at all; the host has no address there.
    Isolated,
}

/// Where packets to a host port go.
#[derive(Debug, Clone)]
pub(crate) struct Redirect {
    /// Id of the network of `container`.
    pub(crate) network: String,
    /// Unspecified: every address of the host of that family.
    pub(crate) host_ip: IpAddr,
    /// 0 opens the container's port without translation (routed mode).
    pub(crate) host_port: u16,
    pub(crate) proto: Proto,
    /// IPv4 for an IPv6 `host_ip` if the container has no IPv6: then by the relay alone.
    pub(crate) container: IpAddr,
    pub(crate) container_port: u16,
    /// The socket that holds the host port, for the relay; without it there is none.
    pub(crate) socket: Option<Arc<OwnedFd>>,
}
