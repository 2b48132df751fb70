//! What can go wrong, by the step that failed.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;

use crate::address::{Ipv4Cidr, MacAddr};

/// Failure to set up, take over or take down the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The interface name is empty, over 15 bytes, or has a slash, a colon or white space.
    #[error("invalid bridge name {0:?}")]
    BridgeName(String),
    /// `bip` is no host address of its prefix.
    #[error("invalid bridge address {0}: it must be a host address of its subnet")]
    BridgeAddress(Ipv4Cidr),
    /// `fixed_cidr` reaches outside the bridge's subnet.
    #[error("fixed-cidr {range} is not inside the bridge's subnet {subnet}")]
    FixedCidr {
        /// What was asked for.
        range: Ipv4Cidr,
        /// What the bridge has.
        subnet: Ipv4Cidr,
    },
    /// Every default subnet overlaps a route or an address of the host.
    #[error("could not find an available, non-overlapping IPv4 address pool among the defaults")]
    NoSubnet,
    /// An interface of the bridge's name is not a bridge.
    #[error("interface {0} exists and is not a bridge")]
    NotABridge(String),
    /// The state file cannot be read or written.
    #[error("network state {path}")]
    State {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A netlink socket could not be opened.
    #[error("opening a netlink socket")]
    Socket(#[source] io::Error),
    /// A link, address or route could not be read or changed.
    #[error("{step} for {interface}")]
    Link {
        /// What was being done.
        step: &'static str,
        /// On which interface.
        interface: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A kernel parameter could not be written.
    #[error("writing {path}")]
    Sysctl {
        /// The file below `/proc/sys`.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The nftables transaction was refused.
    #[error("{step} in nftables table {table}")]
    Firewall {
        /// What was being done.
        step: &'static str,
        /// The table.
        table: String,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A record's address is not of this network, or belongs to another container.
    #[error("address {0} of a running container cannot be claimed")]
    Adopt(Ipv4Addr),
    /// A worker thread died.
    #[error("network worker stopped")]
    Worker,
}

/// Failure to join a container to the network.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// Every address is taken.
    #[error("no available IPv4 addresses on this network's address pools: bridge ({network_id})")]
    NoAddress {
        /// Id of the network.
        network_id: String,
    },
    /// The wished address is taken.
    #[error("Address already in use")]
    AddressInUse(Ipv4Addr),
    /// The wished address is not one of the subnet's host addresses.
    #[error("invalid address {address}: It does not belong to any of this network's subnets")]
    AddressOutside {
        /// The wish.
        address: Ipv4Addr,
    },
    /// The wished hardware address is no unicast address.
    #[error("invalid MAC address {0}: an interface needs a unicast address")]
    Mac(MacAddr),
    /// Another container has the port.
    #[error("Bind for {host_ip}:{port} failed: port is already allocated")]
    PortAllocated {
        /// Host address.
        host_ip: IpAddr,
        /// Host port.
        port: u16,
    },
    /// A process of the host has the port.
    #[error("failed to bind host port for {host_ip}:{port}: address already in use")]
    PortInUse {
        /// Host address.
        host_ip: IpAddr,
        /// Host port.
        port: u16,
    },
    /// The host port cannot be bound for another reason, such as an address the host has not.
    #[error("failed to bind host port for {host_ip}:{port}")]
    Bind {
        /// Host address.
        host_ip: IpAddr,
        /// Host port.
        port: u16,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No port of the range, or of the ephemeral range, is free.
    #[error("Bind for {host_ip} failed: all ports are allocated")]
    NoFreePort {
        /// Host address.
        host_ip: IpAddr,
    },
    /// Port 0 of the container, or an empty range.
    #[error("invalid port mapping: container port {container_port}")]
    InvalidPort {
        /// Port in the container.
        container_port: u16,
    },
    /// The namespace or its interface could not be made.
    #[error("{step} for the container's interface")]
    Namespace {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// The nftables transaction was refused.
    #[error("publishing ports in nftables")]
    Publish(#[source] io::Error),
    /// The network was closed or a worker died.
    #[error("network is closed")]
    Closed,
}
