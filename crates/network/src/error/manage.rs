//! Errors of making, finding and removing networks, in Docker's words where users see them.

use gantry_fault::{Fault, Kind};
use gantry_store::StoreError;

use super::NetworkError;
use crate::ipam::Occupant;

/// Failure to make a network; nothing of it is left.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// No name.
    #[error("invalid network name: name is empty")]
    NoName,
    /// A name of a network that is always there.
    #[error("operation is not permitted on predefined {0} network")]
    Predefined(String),
    /// The name has an owner.
    #[error("network with name {0} already exists")]
    NameInUse(String),
    /// A driver that is not there.
    #[error("plugin {0:?} not found")]
    NoDriver(String),
    /// A second network of `host` or `null`.
    #[error("only one instance of {0:?} network is allowed")]
    OnlyOne(String),
    /// An address management that is not there.
    #[error("Error looking up ipam driver plugin {0:?}: plugin not found")]
    IpamDriver(String),
    /// A text that is no subnet.
    #[error("Invalid subnet {0} : invalid CIDR address: {0}")]
    Subnet(String),
    /// A subnet of IPv6 on a network without it.
    #[error("invalid subnet {0}: IPv6 has not been enabled for this network")]
    Ipv6Off(String),
    /// No family at all.
    #[error("IPv4 or IPv6 must be enabled")]
    NoFamily,
    /// A gateway, range or auxiliary address outside its subnet.
    #[error("no matching subnet for {what} {value}")]
    NotInside {
        /// `gateway`, `range` or `aux-address`.
        what: &'static str,
        /// As given.
        value: String,
    },
    /// A gateway or range without a subnet.
    #[error("every ip-range or gateway must have a corresponding subnet")]
    NoSubnetFor,
    /// A bridge has one subnet of each family.
    #[error("bridge driver doesn't support multiple subnets")]
    ManySubnets,
    /// A subnet is taken, as a whole or in part.
    #[error("Pool overlaps with other one on this address space{}", in_words(.0.as_ref()))]
    Overlap(Option<Occupant>),
    /// No subnet of the pools is free.
    #[error(
        "could not find an available, non-overlapping {family} address pool among the defaults to assign to the network"
    )]
    NoPool {
        /// `IPv4` or `IPv6`.
        family: &'static str,
        /// What stands in the way of the first one.
        occupant: Option<Occupant>,
    },
    /// A subnet without room for a gateway.
    #[error("failed to allocate gateway (): No available addresses on this pool")]
    NoGateway,
    /// The gateway is also an auxiliary address.
    #[error("failed to allocate gateway ({0}): Address already in use")]
    GatewayTaken(String),
    /// A driver option that cannot be read.
    #[error("failed to parse {key} value: {value} ({reason})")]
    Option {
        /// The option.
        key: String,
        /// Its value.
        value: String,
        /// Why.
        reason: String,
    },
    /// An MTU that no interface can have.
    #[error("invalid MTU number: {0}")]
    Mtu(i64),
    /// A name that no interface can have.
    #[error("invalid interface name {0:?}")]
    Interface(String),
    /// An interface with the bridge's name is there, and is not this network's.
    #[error("bridge name {0} is already in use")]
    InterfaceInUse(String),
    /// A kernel parameter that is none of an endpoint's own.
    #[error("invalid endpoint sysctl {0:?}: expected net.<family>.<group>.IFNAME.<name>=<value>")]
    Sysctl(String),
    /// A mode of macvlan that there is not.
    #[error(
        "requested macvlan mode '{0}' is not valid, 'bridge' mode is the macvlan driver default"
    )]
    MacvlanMode(String),
    /// Macvlan on loopback.
    #[error("loopback interface is not a valid macvlan parent link")]
    LoopbackParent,
    /// Macvlan on an interface that is not there, and is none that could be made.
    #[error("invalid subinterface vlan name {0}, example formatting is eth0.10")]
    NoParent(String),
    /// Another network has the parent to itself.
    #[error("network {network} is already using parent interface {parent}")]
    ParentInUse {
        /// Name of the other network.
        network: String,
        /// The interface.
        parent: String,
    },
    /// An isolated gateway mode on a network that is not internal.
    #[error("gateway mode 'isolated' can only be used for an internal network")]
    IsolatedNotInternal,
    /// A driver for what is only a configuration.
    #[error("configuration networks cannot be created with a driver")]
    ConfigDriver,
    /// A configuration that takes another's.
    #[error("a configuration network cannot depend on another configuration network")]
    ConfigOfConfig,
    /// The named configuration is not there.
    #[error("configuration network {0:?} does not exist")]
    NoConfig(String),
    /// The named network is one to use.
    #[error("network {0:?} is not a configuration network")]
    NotAConfig(String),
    /// A configuration taken over, and more of its own.
    #[error(
        "user specified configurations are not supported if the network depends on a configuration network"
    )]
    ConfigAndOwn,
    /// The kernel, or the firewall.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The record could not be written.
    #[error("recording the network")]
    Store(#[from] StoreError),
}

fn in_words(occupant: Option<&Occupant>) -> String {
    occupant.map_or_else(String::new, |occupant| format!(": {occupant} is in the way"))
}

impl Fault for CreateError {
    fn kind(&self) -> Kind {
        match self {
            CreateError::NameInUse(_) | CreateError::InterfaceInUse(_) => Kind::Conflict,
            CreateError::Predefined(_)
            | CreateError::OnlyOne(_)
            | CreateError::Overlap(_)
            | CreateError::ManySubnets
            | CreateError::ParentInUse { .. } => Kind::Forbidden,
            CreateError::NoDriver(_) | CreateError::NoConfig(_) => Kind::NotFound,
            CreateError::NoPool { .. } | CreateError::Network(_) => Kind::Internal,
            CreateError::Store(error) => error.kind(),
            _ => Kind::InvalidArgument,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            CreateError::NoPool { occupant, .. } => {
                let what = occupant.as_ref().map(|occupant| format!("{occupant} is in the way; "));
                Some(format!(
                    "{}name a subnet, or set default-address-pools",
                    what.unwrap_or_default()
                ))
            }
            _ => None,
        }
    }
}

/// No network, or more than one, goes by a name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FindError {
    /// None.
    #[error("network {0} not found")]
    NotFound(String),
    /// An id's beginning that several have.
    #[error("network {name} is ambiguous ({matches} matches found based on ID prefix)")]
    Ambiguous {
        /// As given.
        name: String,
        /// How many.
        matches: usize,
    },
}

impl Fault for FindError {
    fn kind(&self) -> Kind {
        match self {
            FindError::NotFound(_) => Kind::NotFound,
            FindError::Ambiguous { .. } => Kind::InvalidArgument,
        }
    }
}

/// Failure to remove a network; it is as before.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RemoveError {
    /// Which one.
    #[error(transparent)]
    Find(#[from] FindError),
    /// One that is always there.
    #[error("{0} is a pre-defined network and cannot be removed")]
    Predefined(String),
    /// Containers are on it.
    #[error("error while removing network: network {name} id {id} has active endpoints")]
    InUse {
        /// Its name.
        name: String,
        /// Its id.
        id: String,
    },
    /// Networks have their configuration from it.
    #[error("error while removing network: configuration network {0:?} is in use")]
    ConfigInUse(String),
    /// The kernel, or the firewall.
    #[error("error while removing network")]
    Network(#[from] NetworkError),
    /// The record could not be deleted.
    #[error("error while removing network: recording it")]
    Store(#[from] StoreError),
}

impl Fault for RemoveError {
    fn kind(&self) -> Kind {
        match self {
            RemoveError::Find(error) => error.kind(),
            RemoveError::Predefined(_)
            | RemoveError::InUse { .. }
            | RemoveError::ConfigInUse(_) => Kind::Forbidden,
            RemoveError::Network(_) => Kind::Internal,
            RemoveError::Store(error) => error.kind(),
        }
    }
}
