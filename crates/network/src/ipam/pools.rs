//! Where subnets come from, and what is in their way.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use crate::address::{Cidr, Ip, Ipv4Cidr, Ipv6Cidr, ParseAddressError};

/// Shortest prefix of a route that counts as occupied. Shorter ones, as VPNs use to cover the
/// whole Internet in two halves, leave room for a more specific route.
const SHORTEST_ROUTE: u8 = 5;

/// A range to cut subnets from (`default-address-pools`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddressPool {
    /// Of IPv4.
    V4 {
        /// The range.
        base: Ipv4Cidr,
        /// Prefix length of a subnet.
        size: u8,
    },
    /// Of IPv6.
    V6 {
        /// The range.
        base: Ipv6Cidr,
        /// Prefix length of a subnet.
        size: u8,
    },
}

impl AddressPool {
    /// Reads an entry of the daemon's setting.
    ///
    /// # Errors
    /// A base that is no prefix, or a size that does not fit into it.
    pub fn parse(base: &str, size: u8) -> Result<AddressPool, ParseAddressError> {
        let wrong = || ParseAddressError::Cidr(format!("{base} in subnets of /{size}"));
        if let Ok(base) = base.parse::<Ipv4Cidr>() {
            let base = base.network();
            let fits = size >= base.prefix_len() && size < <Ipv4Addr as Ip>::BITS;
            return fits.then_some(AddressPool::V4 { base, size }).ok_or_else(wrong);
        }
        let base = base.parse::<Ipv6Cidr>()?.network();
        let fits = size >= base.prefix_len() && size < <Ipv6Addr as Ip>::BITS;
        fits.then_some(AddressPool::V6 { base, size }).ok_or_else(wrong)
    }
}

/// The pools when none are set: 172.17.0.0/16 to 172.31.0.0/16 and the /20s of 192.168.0.0/16, as
/// Docker has them, and then /24s of 10.128.0.0/9, since those of Docker are 31 networks.
pub(crate) fn default_pools() -> Vec<AddressPool> {
    let v4 = |a, b, len, size| AddressPool::V4 {
        base: Cidr::new(Ipv4Addr::new(a, b, 0, 0), len).expect("the lengths are below 32"),
        size,
    };
    let large = (17..=31).map(|second| v4(172, second, 16, 16));
    large.chain([v4(192, 168, 16, 20), v4(10, 128, 9, 24)]).collect()
}

/// Who has addresses that a subnet would overlap with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Holder {
    /// An interface of the host, by a route or an address: its index. Its name is looked up for
    /// a message alone, since that takes as long as there are interfaces.
    Interface(u32),
    /// Another network of ours.
    Network(String),
}

/// A prefix that is in the way of a subnet, and whose it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Obstacle {
    pub(crate) prefix: String,
    pub(crate) holder: Holder,
}

/// The same for messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Occupant {
    /// The prefix.
    pub prefix: String,
    /// The interface or network that has it.
    pub holder: String,
    /// Whether `holder` is a network of ours.
    pub is_network: bool,
}

impl fmt::Display for Occupant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Occupant { prefix, holder, is_network } = self;
        let what = if *is_network { "network" } else { "interface" };
        write!(f, "{prefix} of {what} {holder}")
    }
}

/// The prefixes that are not free, by their first address; none encloses another.
#[derive(Debug)]
pub(crate) struct Occupied<A> {
    ranges: Vec<(u128, u128, Cidr<A>, Holder)>,
}

impl<A: Ip> Occupied<A> {
    pub(crate) fn new(entries: impl IntoIterator<Item = (Cidr<A>, Holder)>) -> Occupied<A> {
        let mut all: Vec<_> = entries
            .into_iter()
            .filter(|(prefix, _)| prefix.prefix_len() >= SHORTEST_ROUTE)
            .map(|(prefix, holder)| {
                (prefix.first().number(), prefix.last().number(), prefix, holder)
            })
            .collect();
        // The larger of two that begin alike comes first; two prefixes nest or are apart.
        all.sort_by_key(|(first, last, ..)| (*first, std::cmp::Reverse(*last)));
        let mut ranges: Vec<(u128, u128, Cidr<A>, Holder)> = Vec::with_capacity(all.len());
        for entry in all {
            if ranges.last().is_none_or(|(_, last, ..)| entry.0 > *last) {
                ranges.push(entry);
            }
        }
        Occupied { ranges }
    }

    /// The first that overlaps with a subnet.
    fn in_the_way(&self, subnet: Cidr<A>) -> Option<&(u128, u128, Cidr<A>, Holder)> {
        let at = self.ranges.partition_point(|(_, last, ..)| *last < subnet.first().number());
        self.ranges.get(at).filter(|(first, ..)| *first <= subnet.last().number())
    }

    /// The same, for who asks.
    pub(crate) fn obstacle(&self, subnet: Cidr<A>) -> Option<Obstacle> {
        self.in_the_way(subnet).map(|(.., prefix, holder)| obstacle(*prefix, holder))
    }

    /// The first free subnet of the pools, or what is in the way of the first subnet there is.
    pub(crate) fn choose(
        &self,
        pools: impl IntoIterator<Item = (Cidr<A>, u8)>,
    ) -> Result<Cidr<A>, Option<Obstacle>> {
        let mut first = None;
        for (base, size) in pools {
            match self.choose_in(base, size) {
                Ok(subnet) => return Ok(subnet),
                Err(found) => first = first.or(found),
            }
        }
        Err(first)
    }

    fn choose_in(&self, base: Cidr<A>, size: u8) -> Result<Cidr<A>, Option<Obstacle>> {
        let mut route = None;
        let mut next = Some(base.first().number());
        while let Some(first) = next.filter(|first| *first <= base.last().number()) {
            let subnet = Cidr::new(A::of_number(first), size).ok_or(None)?;
            let Some((_, last, prefix, holder)) = self.in_the_way(subnet) else {
                return Ok(subnet);
            };
            // A host's route is the news; that our own networks take subnets is expected.
            if route.is_none() && matches!(holder, Holder::Interface(_)) {
                route = Some(obstacle(*prefix, holder));
            }
            // Behind the subnet, and behind all of what is in its way.
            let behind = subnet.last().number().max(*last);
            let end = Cidr::new(A::of_number(behind), size).ok_or(None)?.last();
            next = end.number().checked_add(1);
        }
        Err(route)
    }
}

fn obstacle<A: Ip>(prefix: Cidr<A>, holder: &Holder) -> Obstacle {
    Obstacle { prefix: prefix.network().to_string(), holder: holder.clone() }
}

impl Obstacle {
    /// With the name of the interface.
    pub(crate) fn named(self, name_of: impl FnOnce(u32) -> String) -> Occupant {
        let (holder, is_network) = match self.holder {
            Holder::Interface(index) => (name_of(index), false),
            Holder::Network(name) => (name, true),
        };
        Occupant { prefix: self.prefix, holder, is_network }
    }
}

/// Of the host's prefixes, one that a subnet somebody named would take addresses from: equal to
/// it, or inside. A wider one, as a VPN's, leaves room for a more specific route.
pub(crate) fn standing_in_the_way<A: Ip>(
    subnet: Cidr<A>,
    host: &[(u32, Cidr<A>)],
) -> Option<Obstacle> {
    host.iter()
        .find(|(_, prefix)| subnet.encloses(*prefix) || subnet.contains(prefix.address()))
        .map(|(index, prefix)| obstacle(*prefix, &Holder::Interface(*index)))
}

/// The first host address of a subnet, with its prefix.
pub(crate) fn first_host<A: Ip>(subnet: Cidr<A>) -> Option<Cidr<A>> {
    let first = subnet.first().number().checked_add(1)?;
    Cidr::new(A::of_number(first), subnet.prefix_len())
        .filter(|_| subnet.prefix_len() < A::BITS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn occupied(prefixes: &[&str]) -> Occupied<Ipv4Addr> {
        Occupied::new(prefixes.iter().map(|text| {
            let holder = match text.strip_prefix("net ") {
                Some(_) => Holder::Network("ours".to_owned()),
                None => Holder::Interface(3),
            };
            (text.trim_start_matches("net ").parse().unwrap(), holder)
        }))
    }

    fn defaults() -> impl Iterator<Item = (Ipv4Cidr, u8)> {
        default_pools().into_iter().filter_map(|pool| match pool {
            AddressPool::V4 { base, size } => Some((base, size)),
            AddressPool::V6 { .. } => None,
        })
    }

    #[test]
    fn subnets() {
        for (taken, want) in [
            (&[][..], Ok("172.17.0.0/16")),
            (&["172.17.3.4/32"], Ok("172.18.0.0/16")),
            (&["0.0.0.0/1", "128.0.0.0/1"], Ok("172.17.0.0/16")),
            (&["172.16.0.0/12"], Ok("192.168.0.0/20")),
            (&["172.16.0.0/12", "192.168.1.0/24"], Ok("192.168.16.0/20")),
            (&["172.16.0.0/12", "192.168.0.0/16"], Ok("10.128.0.0/24")),
            (&["172.16.0.0/12", "192.168.0.0/16", "10.128.0.0/23"], Ok("10.128.2.0/24")),
            (
                &[
                    "net 172.17.0.0/16",
                    "172.18.5.0/24",
                    "172.16.0.0/12",
                    "192.168.0.0/16",
                    "10.0.0.0/8",
                ],
                Err("172.16.0.0/12 of interface tun3"),
            ),
            (&["net 172.16.0.0/12", "net 192.168.0.0/16", "net 10.0.0.0/8"], Err("")),
        ] {
            let got = occupied(taken).choose(defaults());
            let got = got.map(|subnet| subnet.to_string());
            let got = got.map_err(|obstacle| {
                obstacle
                    .map_or(String::new(), |o| o.named(|index| format!("tun{index}")).to_string())
            });
            let want = want.map(str::to_owned).map_err(str::to_owned);
            assert_eq!(got, want, "beside {taken:?}");
        }
    }

    #[test]
    fn a_thousand_subnets_are_apart() {
        let pool = [("10.0.0.0/8".parse::<Ipv4Cidr>().unwrap(), 24)];
        let mut all: Vec<Ipv4Cidr> = Vec::new();
        for _ in 0..1000 {
            let named = all.iter().map(|subnet| (*subnet, Holder::Network(String::new())));
            all.push(Occupied::new(named).choose(pool).unwrap());
        }
        assert_eq!(all.last().unwrap().to_string(), "10.3.231.0/24");
        all.dedup();
        assert_eq!(all.len(), 1000);
    }

    #[test]
    fn named_subnets() {
        let host: Vec<(u32, Ipv4Cidr)> =
            [(1, "192.168.1.5/24"), (2, "10.0.0.0/8"), (3, "10.9.0.0/16")]
                .map(|(index, prefix)| (index, prefix.parse().unwrap()))
                .into();
        for (subnet, want) in [
            ("192.168.1.0/24", Some("192.168.1.0/24 of interface eth1")),
            ("192.168.0.0/16", Some("192.168.1.0/24 of interface eth1")),
            ("192.168.1.0/29", Some("192.168.1.0/24 of interface eth1")),
            ("192.168.1.128/25", None),
            ("10.5.0.0/16", None),
            ("10.8.0.0/15", Some("10.9.0.0/16 of interface eth3")),
        ] {
            let got = standing_in_the_way(subnet.parse().unwrap(), &host);
            assert_eq!(
                got.map(|o| o.named(|i| format!("eth{i}")).to_string()).as_deref(),
                want,
                "{subnet}"
            );
        }
    }

    #[test]
    fn pools_as_set() {
        for (base, size, good) in [
            ("10.0.0.0/8", 24, true),
            ("10.0.0.0/8", 8, true),
            ("10.0.0.0/8", 7, false),
            ("10.0.0.0/8", 32, false),
            ("fd00::/8", 64, true),
            ("fd00::/8", 128, false),
            ("nonsense", 24, false),
        ] {
            assert_eq!(AddressPool::parse(base, size).is_ok(), good, "{base} {size}");
        }
    }
}
