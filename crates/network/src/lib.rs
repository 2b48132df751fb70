//! Network namespaces, bridges, veth pairs, addresses, nftables.
//!
//! [`Networks`] is the default bridge network of one daemon. It runs no helper program: links,
//! addresses and routes go by rtnetlink, the firewall by one nfnetlink transaction a change.
//!
//! ```text
//! open ──> adopt* ──> finish_adoption ──> join / leave ... ──> close      (containers run on)
//!                                                          └─> destroy    (nothing is left)
//! ```
//!
//! What lives where:
//!
//! ```text
//! kernel   bridge <name>, veth<7 hex> per container, table inet gantry-<name>
//! disk     <state_dir>/<name>.network    id and address of the network
//! ```

#![forbid(unsafe_code)]

mod address;
mod bridge;
mod config;
mod counters;
mod endpoint;
mod error;
pub mod files;
mod firewall;
mod ipam;
mod namespace;
mod netlink;
mod networks;
mod pool;
mod ports;
mod reserve;

// Tests of the firewall need a kernel, as those of `tests/it` do, and what is private to the crate.
#[cfg(test)]
extern crate self as gantry_network;
#[cfg(test)]
#[path = "../tests/firewall/mod.rs"]
mod firewall_tests;

pub use address::{Ipv4Cidr, MacAddr, ParseAddressError};
pub use config::{BridgeInfo, NetworkConfig};
pub use counters::{Counters, interface_counters};
pub use endpoint::{Endpoint, EndpointRecord, JoinRequest};
pub use error::{JoinError, NetworkError};
pub use firewall::{ForeignChain, Origin, Reach, ReachQuery, Report};
pub use networks::Networks;
pub use ports::{ParsePortError, PortChoice, PortRequest, Proto, PublishedPort};
