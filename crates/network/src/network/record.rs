//! What lasts of a network.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use gantry_store::Record;
use serde::{Deserialize, Serialize};

use crate::address::{Cidr, Ip};

/// Who makes a network's links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// A bridge of the host, with a firewall.
    Bridge,
    /// Interfaces of their own on an interface of the host.
    Macvlan,
    /// The host's own network.
    Host,
    /// None at all; a configuration for others has it too.
    Null,
}

impl fmt::Display for Driver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Driver::Bridge => "bridge",
            Driver::Macvlan => "macvlan",
            Driver::Host => "host",
            Driver::Null => "null",
        })
    }
}

/// A subnet of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(
    serialize = "A: Ip + Serialize",
    deserialize = "A: Ip + serde::de::DeserializeOwned"
))]
pub struct Subnet<A: Ip> {
    /// The subnet, host bits cleared.
    pub subnet: Cidr<A>,
    /// The part that addresses are given from by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub range: Option<Cidr<A>>,
    /// The gateway; none on a network without a way out by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<A>,
    /// Whether somebody named the gateway.
    #[serde(default)]
    pub gateway_named: bool,
    /// Addresses that are kept out, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub auxiliary: BTreeMap<String, A>,
    /// Whether nobody named the subnet, so that it was chosen.
    #[serde(default)]
    pub chosen: bool,
}

impl<A: Ip> Subnet<A> {
    /// Name of an auxiliary address that is the containers' gateway instead of the bridge.
    pub(crate) const ROUTER: &'static str =
        if A::BITS == 32 { "DefaultGatewayIPv4" } else { "DefaultGatewayIPv6" };

    /// Where containers send what leaves the subnet: the gateway, or another router of the link that
    /// goes by a name of Docker's among the auxiliary addresses.
    pub(crate) fn router(&self) -> Option<A> {
        let other = self.auxiliary.get(Subnet::<A>::ROUTER);
        self.gateway.map(|gateway| other.copied().unwrap_or(gateway))
    }

    /// The gateway with the subnet's prefix.
    pub(crate) fn cidr_of_gateway(&self) -> Option<Cidr<A>> {
        Cidr::new(self.gateway?, self.subnet.prefix_len())
    }
}

/// A network as it is kept, and as it was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRecord {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// Its driver.
    pub driver: Driver,
    /// Options of the driver, as given.
    pub options: BTreeMap<String, String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Without a way out.
    pub internal: bool,
    /// Open to containers that are no service's tasks.
    pub attachable: bool,
    /// Whether its containers have IPv4.
    pub enable_ipv4: bool,
    /// Whether its containers have IPv6.
    pub enable_ipv6: bool,
    /// A configuration for other networks, and nothing more.
    pub config_only: bool,
    /// Name of the network whose configuration this one has.
    pub config_from: Option<String>,
    /// Options of the address management, as given.
    pub ipam_options: Option<BTreeMap<String, String>>,
    /// Subnets of IPv4.
    pub v4: Vec<Subnet<Ipv4Addr>>,
    /// Subnets of IPv6.
    pub v6: Vec<Subnet<Ipv6Addr>>,
}

impl Record for NetworkRecord {
    const TABLE: &'static str = "networks";
    const VERSION: u32 = 1;
}

impl NetworkRecord {
    /// The first twelve digits of the id.
    pub(crate) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}
