//! What can go wrong, by the step that failed.

mod manage;

use std::io;
use std::net::{IpAddr, Ipv6Addr};
use std::path::PathBuf;

use gantry_fault::{Fault, Kind};

pub use self::manage::{CreateError, FindError, RemoveError};
use crate::address::{Ipv4Cidr, Ipv6Cidr, MacAddr};
use crate::ipam::Occupant;

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
    /// `fixed_cidr_v6` has no address for the bridge.
    #[error("fixed-cidr-v6 {0} is too small for a bridge and its containers")]
    FixedCidrV6(Ipv6Cidr),
    /// A default gateway is not in the bridge's subnet.
    #[error("default gateway {gateway} is not inside the bridge's subnet {subnet}")]
    DefaultGateway {
        /// What was asked for.
        gateway: IpAddr,
        /// What the bridge has.
        subnet: String,
    },
    /// Every subnet to choose from overlaps a route or an address of the host.
    #[error("could not find an available, non-overlapping IPv6 address pool among the defaults")]
    NoSubnetV6(Option<Occupant>),
    /// Every default subnet overlaps a route or an address of the host.
    #[error("could not find an available, non-overlapping IPv4 address pool among the defaults")]
    NoSubnet(Option<Occupant>),
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
    /// The host's network namespace or its parameters could not be opened.
    #[error("opening the host's network namespace")]
    Host(#[source] Box<JoinError>),
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
    Adopt(IpAddr),
    /// A running container is on a network that is not there.
    #[error("network {0} of a running container is gone")]
    AdoptNetwork(String),
    /// The records could not be read or written.
    #[error("records of the networks")]
    Store(#[from] gantry_store::StoreError),
    /// A network's record says what this program does not understand.
    #[error("record of network {name}")]
    Record {
        /// Its name.
        name: String,
        /// Why.
        #[source]
        source: Box<CreateError>,
    },
    /// A thread could not be had.
    #[error("spawning a thread")]
    Thread(#[source] io::Error),
    /// A worker thread died.
    #[error("network worker stopped")]
    Worker,
}

/// Failure to join a container to its networks, to connect it to one more, or to disconnect it;
/// all is as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JoinError {
    /// A network that is not there, or is ambiguous.
    #[error(transparent)]
    Find(#[from] FindError),
    /// A network for configurations alone.
    #[error("cannot create endpoint on configuration-only network")]
    ConfigOnly,
    /// A network that others' namespaces have no part in: `host`, `none`.
    #[error("container cannot be connected to network {0}, which has no endpoints")]
    NoEndpoints(String),
    /// The network is being removed.
    #[error("network {0} not found")]
    Removed(String),
    /// The container has an endpoint there.
    #[error("endpoint with name {container} already exists in network {network}")]
    Connected {
        /// Name of the container.
        container: String,
        /// Name of the network.
        network: String,
    },
    /// The container has no endpoint there.
    #[error("container {container_id} is not connected to network {network}")]
    NotConnected {
        /// Id of the container.
        container_id: String,
        /// Name of the network.
        network: String,
    },
    /// The container is not on any network.
    #[error("container {0} has no network namespace")]
    NoSandbox(String),
    /// The container has a namespace already.
    #[error("container {0} has a network namespace already")]
    SandboxExists(String),
    /// Every address is taken.
    #[error("no available {family} addresses on this network's address pools: {name} ({id})")]
    NoAddress {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// Name of the network.
        name: String,
        /// Id of the network.
        id: String,
    },
    /// The wished address is taken.
    #[error("Address already in use")]
    AddressInUse(IpAddr),
    /// The wished address is in none of the subnets.
    #[error("invalid address {address}: It does not belong to any of this network's subnets")]
    AddressOutside {
        /// The wish.
        address: IpAddr,
    },
    /// An address was wished for on a network whose subnet may be another one next time.
    #[error(
        "user specified IP address is supported only when connecting to networks with user configured subnets"
    )]
    SubnetNotNamed,
    /// An address of a family that the network has not.
    #[error("invalid address {address}: the network has no {family}")]
    NoFamily {
        /// The wish.
        address: IpAddr,
        /// `IPv4` or `IPv6`.
        family: &'static str,
    },
    /// A link-local address that is none.
    #[error("invalid link-local IP address: {0}")]
    LinkLocal(IpAddr),
    /// A name that no interface can have, or that another has.
    #[error("invalid interface name {0:?}")]
    Interface(String),
    /// An option of the endpoint.
    #[error(transparent)]
    Option(Box<CreateError>),
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
    /// The kernel has no IPv6.
    #[error("IPv6 is not there to give the container {0}")]
    NoIpv6(Ipv6Addr),
    /// The namespace or its interface could not be made.
    #[error("{step} for the container's interface")]
    Namespace {
        /// What was being done.
        step: &'static str,
        /// The kernel's answer.
        #[source]
        source: io::Error,
    },
    /// A kernel parameter of the namespace could not be written.
    #[error("writing {path}")]
    Parameter {
        /// The file.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The network's link is not in the kernel, and could not be made again.
    #[error("network {network} is not there")]
    NetworkDown {
        /// Name of the network.
        network: String,
        /// Why.
        #[source]
        source: Box<CreateError>,
    },
    /// The name server could not be had.
    #[error("starting the name server")]
    Dns(#[from] crate::dns::DnsError),
    /// A port could not be withdrawn.
    #[error(transparent)]
    Firewall(NetworkError),
    /// The nftables transaction was refused.
    #[error("publishing ports in nftables")]
    Publish(#[source] io::Error),
    /// The network was closed or a worker died.
    #[error("network is closed")]
    Closed,
}

impl JoinError {
    /// Whether others have what is asked for, which may be free in a moment.
    #[must_use]
    pub fn is_for_want(&self) -> bool {
        matches!(
            self,
            JoinError::AddressInUse(_)
                | JoinError::NoAddress { .. }
                | JoinError::PortAllocated { .. }
                | JoinError::NoFreePort { .. }
        )
    }

    /// Whether a port was the reason, and not a network or the place on it.
    #[must_use]
    pub fn is_about_ports(&self) -> bool {
        matches!(
            self,
            JoinError::PortAllocated { .. }
                | JoinError::PortInUse { .. }
                | JoinError::Bind { .. }
                | JoinError::NoFreePort { .. }
                | JoinError::InvalidPort { .. }
                | JoinError::Publish(_)
        )
    }
}

impl Fault for NetworkError {
    fn kind(&self) -> Kind {
        match self {
            NetworkError::BridgeName(_)
            | NetworkError::BridgeAddress(_)
            | NetworkError::FixedCidr { .. }
            | NetworkError::FixedCidrV6(_)
            | NetworkError::DefaultGateway { .. } => Kind::InvalidArgument,
            NetworkError::Store(error) => error.kind(),
            _ => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            NetworkError::NoSubnet(occupant) | NetworkError::NoSubnetV6(occupant) => {
                let what = occupant.as_ref().map(|occupant| format!("{occupant} is in the way; "));
                let option = match self {
                    NetworkError::NoSubnet(_) => "bip",
                    _ => "fixed-cidr-v6",
                };
                Some(format!("{}set {option} or default-address-pools", what.unwrap_or_default()))
            }
            _ => None,
        }
    }
}

impl Fault for JoinError {
    fn kind(&self) -> Kind {
        match self {
            JoinError::Find(error) => error.kind(),
            JoinError::Removed(_) => Kind::NotFound,
            JoinError::ConfigOnly
            | JoinError::NoEndpoints(_)
            | JoinError::Connected { .. }
            | JoinError::NotConnected { .. }
            | JoinError::AddressInUse(_) => Kind::Forbidden,
            JoinError::NoSandbox(_) | JoinError::SandboxExists(_) => Kind::Conflict,
            JoinError::AddressOutside { .. }
            | JoinError::SubnetNotNamed
            | JoinError::NoFamily { .. }
            | JoinError::LinkLocal(_)
            | JoinError::Interface(_)
            | JoinError::Option(_)
            | JoinError::Mac(_)
            | JoinError::InvalidPort { .. } => Kind::InvalidArgument,
            JoinError::Closed => Kind::Unavailable,
            _ => Kind::Internal,
        }
    }
}
