//! Network namespaces, bridges, veth pairs, addresses, nftables, names.
//!
//! [`Networks`] is all networks of one daemon: the default bridge, `host` and `none`, which are
//! always there, and those that its users make. A container's namespace is a *sandbox*, which has
//! an *endpoint* on each of its networks. No helper program is run: links, addresses and routes go
//! by rtnetlink, the firewall by one nfnetlink transaction a change.
//!
//! ```text
//! open ──> adopt* ──> finish_adoption ──> create, remove              networks
//!                                         join, connect, disconnect,  sandboxes
//!                                         set_names, leave
//!                                      ──> close      (containers run on)
//!                                      └─> destroy    (nothing is left)
//! ```
//!
//! What lives where:
//!
//! ```text
//! kernel   bridge <name>, bridge br-<12 hex> per network, veth<7 hex> per endpoint,
//!          table inet gantry-<name>; of macvlan networks dm-<12 hex> or eth0.10
//! disk     <state_dir>/<name>.network    id and addresses of the default bridge, range of IPv6
//! store    table `networks`              every network that somebody made
//! ```

#![forbid(unsafe_code)]

mod address;
mod bridge;
mod bridge_v6;
mod config;
mod counters;
pub mod dns;
mod error;
pub mod files;
mod firewall;
mod host;
mod ipam;
mod namespace;
mod netlink;
mod network;
mod networks;
mod parameters;
mod pool;
mod ports;
mod reserve;
mod sandbox;

// Tests of the firewall need a kernel, as those of `tests/it` do, and what is private to the crate.
#[cfg(test)]
extern crate self as gantry_network;
#[cfg(test)]
#[path = "../tests/firewall/mod.rs"]
mod firewall_tests;

pub use address::{Cidr, Ip, Ipv4Cidr, Ipv6Cidr, MacAddr, ParseAddressError};
pub use config::{BridgeInfo, NetworkConfig};
pub use counters::{Counters, interface_counters};
pub use error::{CreateError, FindError, JoinError, NetworkError, RemoveError};
pub use firewall::{ForeignChain, Origin, Reach, ReachQuery, Report};
pub use ipam::{AddressPool, Occupant};
pub use network::info::{EndpointInfo, NetworkInfo, SubnetInfo};
pub use network::record::{Driver, NetworkRecord, Subnet};
pub use network::request::{CreateNetwork, IpamConfig};
pub use networks::Networks;
pub use ports::{ParsePortError, PortChoice, PortRequest, Proto, PublishedPort};
pub use sandbox::{
    Assigned, ContainerNames, EndpointRecord, EndpointRequest, JoinRequest, Sandbox, SandboxRecord,
};
