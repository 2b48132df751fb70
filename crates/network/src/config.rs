//! What a daemon says about its default bridge network, and what it came to.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::path::PathBuf;

use crate::address::{Ipv4Cidr, Ipv6Cidr};
use crate::ipam::{AddressPool, default_pools};

/// The settings of the default bridge network.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// Name of the bridge, at most 15 bytes. The nftables table and all else is named after it.
    pub bridge: String,
    /// Address and prefix of the bridge (`--bip`); found by itself when absent.
    pub bip: Option<Ipv4Cidr>,
    /// The part of the subnet that containers get addresses from (`--fixed-cidr`).
    pub fixed_cidr: Option<Ipv4Cidr>,
    /// Whether containers on the bridge have IPv6 as well (`--ipv6`).
    pub ipv6: bool,
    /// Its subnet of IPv6 (`--fixed-cidr-v6`); one of RFC 4193 when absent.
    pub fixed_cidr_v6: Option<Ipv6Cidr>,
    /// The router that containers on the bridge use instead of this host (`--default-gateway`).
    pub default_gateway: Option<Ipv4Addr>,
    /// The same of IPv6 (`--default-gateway-v6`).
    pub default_gateway_v6: Option<Ipv6Addr>,
    /// MTU of the bridge and its interfaces in bytes; 1500 when absent.
    pub mtu: Option<u32>,
    /// Host address of ports that are published without one.
    pub default_host_ip: IpAddr,
    /// Whether containers on the bridge may talk to each other.
    pub icc: bool,
    /// Whether to turn the host's IPv4 forwarding on.
    pub ip_forward: bool,
    /// Whether packets of containers leave the host with the host's address.
    pub ip_masq: bool,
    /// How many prepared namespaces to hold ready; 0 turns the pool off.
    pub pool_size: usize,
    /// Directory for what must outlive a reboot of the host.
    pub state_dir: PathBuf,
    /// Host ports to choose from when none is asked for.
    pub ephemeral_ports: RangeInclusive<u16>,
    /// Where subnets of networks come from when none is named (`default-address-pools`); empty
    /// for the default.
    pub address_pools: Vec<AddressPool>,
    /// Options of new networks that name none of the same key, by driver (`default-network-opts`).
    pub default_options: BTreeMap<String, BTreeMap<String, String>>,
    /// Whether the host's own input rules hold for published ports (`"published-ports":
    /// "host-policy"`).
    pub host_policy_ports: bool,
    /// The host's list of name servers, which containers on user-defined networks are forwarded
    /// to.
    pub resolv_conf: PathBuf,
}

impl NetworkConfig {
    /// The defaults for a bridge of this name, as Docker has them for `docker0`.
    #[must_use]
    pub fn new(bridge: impl Into<String>, state_dir: impl Into<PathBuf>) -> NetworkConfig {
        NetworkConfig {
            bridge: bridge.into(),
            bip: None,
            fixed_cidr: None,
            ipv6: false,
            fixed_cidr_v6: None,
            default_gateway: None,
            default_gateway_v6: None,
            mtu: None,
            default_host_ip: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            icc: true,
            ip_forward: true,
            ip_masq: true,
            pool_size: DEFAULT_POOL_SIZE,
            state_dir: state_dir.into(),
            ephemeral_ports: host_ephemeral_ports(),
            address_pools: Vec::new(),
            default_options: BTreeMap::new(),
            host_policy_ports: false,
            resolv_conf: PathBuf::from("/etc/resolv.conf"),
        }
    }

    /// The pools to choose subnets of IPv4 from, or all that are set.
    pub(crate) fn pools(&self) -> Vec<AddressPool> {
        let of_v4 = |pool: &AddressPool| matches!(pool, AddressPool::V4 { .. });
        if self.address_pools.iter().any(of_v4) {
            return self.address_pools.clone();
        }
        default_pools().into_iter().chain(self.address_pools.iter().copied()).collect()
    }

    /// The pools to choose subnets of IPv6 from: those that are set, then the daemon's own range.
    pub(crate) fn pools_v6(&self, ula: Ipv6Cidr) -> Vec<(Ipv6Cidr, u8)> {
        let set = self.address_pools.iter().filter_map(|pool| match pool {
            AddressPool::V4 { .. } => None,
            AddressPool::V6 { base, size } => Some((*base, *size)),
        });
        set.chain([(ula, ULA_SUBNET)]).collect()
    }
}

/// Prefix length of a subnet of IPv6 that nobody named.
const ULA_SUBNET: u8 = 64;

/// Namespaces that are held ready by default: one burst of `compose up`.
const DEFAULT_POOL_SIZE: usize = 8;

/// The range the kernel itself takes ports from, or its documented default (`ip(7)`).
fn host_ephemeral_ports() -> RangeInclusive<u16> {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    text.ok().and_then(|text| parse_port_range(&text)).unwrap_or(32768..=60999)
}

fn parse_port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let mut words = text.split_whitespace().map(str::parse::<u16>);
    let (low, high) = (words.next()?.ok()?, words.next()?.ok()?);
    (low > 0 && low <= high).then_some(low..=high)
}

/// The bridge as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BridgeInfo {
    /// Id of the network, 64 hexadecimal digits; the same after every restart.
    pub id: String,
    /// Name of the interface.
    pub name: String,
    /// The subnet, host bits cleared.
    pub subnet: Ipv4Cidr,
    /// The bridge's own address, the containers' default gateway.
    pub gateway: Ipv4Addr,
    /// The bridge's own IPv6 address with its subnet's prefix, if it has IPv6.
    pub v6: Option<Ipv6Cidr>,
    /// MTU in bytes.
    pub mtu: u32,
    /// Index of the interface.
    pub ifindex: u32,
    /// The range that subnets of IPv6 are cut from when none is named, a /48 of this daemon's own.
    pub ula: Ipv6Cidr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn port_range() {
        for (text, want) in [
            ("32768\t60999\n", Some(32768..=60999)),
            ("0 5", None),
            ("9 5", None),
            ("70000 70001", None),
            ("5", None),
        ] {
            assert_eq!(parse_port_range(text), want, "{text:?}");
        }
    }
}
