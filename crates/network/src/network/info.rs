//! What there is to tell about networks.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::record::NetworkRecord;

/// A network with what it has at this moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkInfo {
    /// What it was made as. Its subnets are told again below, with their use.
    pub record: NetworkRecord,
    /// Whether there is no way out: by wish, or since there is no interface to go by.
    pub internal: bool,
    /// Its subnets of IPv4.
    pub v4: Vec<SubnetInfo>,
    /// Its subnets of IPv6.
    pub v6: Vec<SubnetInfo>,
    /// Its endpoints, by container id.
    pub endpoints: Vec<EndpointInfo>,
}

/// A subnet and its use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubnetInfo {
    /// The subnet.
    pub subnet: String,
    /// The part that addresses are given from by themselves.
    pub range: Option<String>,
    /// The gateway.
    pub gateway: Option<IpAddr>,
    /// Whether somebody named the gateway. Docker 20.10 shows it then, or with a chosen subnet.
    pub gateway_named: bool,
    /// Whether the subnet was chosen by us.
    pub chosen: bool,
    /// Addresses that are kept out, by name.
    pub auxiliary: BTreeMap<String, IpAddr>,
    /// Addresses in use, with those that nobody can have.
    pub ips_in_use: u64,
    /// Addresses that can still be given by themselves.
    pub ips_available: u64,
}

/// An endpoint as its network shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointInfo {
    /// Id of the container.
    pub container_id: String,
    /// Name of the container.
    pub container_name: String,
    /// Id of the endpoint.
    pub id: String,
    /// Hardware address.
    pub mac: String,
    /// IPv4 address with its prefix, or empty.
    pub v4: String,
    /// IPv6 address with its prefix, or empty.
    pub v6: String,
}
