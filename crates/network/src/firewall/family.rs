//! What differs between IPv4 and IPv6.

use std::net::IpAddr;

use super::rules::{FamilySets, SETS_V4, SETS_V6};
use crate::netlink::expr::{FAMILY_IPV4, FAMILY_IPV6};

/// A family of addresses.
#[derive(Debug)]
pub(super) struct Family {
    /// The kernel's number.
    pub(super) number: u8,
    /// Length of an address in bytes.
    pub(super) len: u32,
    /// Offset of the source address in the header.
    pub(super) source: u32,
    /// Offset of the destination address in the header.
    pub(super) destination: u32,
    pub(super) sets: &'static FamilySets,
}

pub(super) static V4: Family =
    Family { number: FAMILY_IPV4, len: 4, source: 12, destination: 16, sets: &SETS_V4 };
pub(super) static V6: Family =
    Family { number: FAMILY_IPV6, len: 16, source: 8, destination: 24, sets: &SETS_V6 };

impl Family {
    /// The family of an address.
    pub(super) fn of(address: IpAddr) -> &'static Family {
        if address.is_ipv4() { &V4 } else { &V6 }
    }
}

/// An address's bytes.
pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

/// The first address of a prefix, and the first behind it, unless that is past the last of all.
pub(super) fn bounds(address: IpAddr, prefix_len: u8) -> (Vec<u8>, Option<Vec<u8>>) {
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    let host_bits = u32::saturating_sub(width, u32::from(prefix_len));
    let size = 1_u128.checked_shl(host_bits);
    let first = size.map_or(0, |size| bits & !(size - 1));
    let end =
        size.and_then(|size| first.checked_add(size)).filter(|end| width == 128 || *end >> 32 == 0);
    let len = octets(address).len();
    let bytes = |bits: u128| bits.to_be_bytes()[16 - len..].to_vec();
    (bytes(first), end.map(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes() {
        for (address, len, first, end) in [
            ("172.17.0.9", 16, "172.17.0.0", Some("172.18.0.0")),
            ("10.0.0.255", 31, "10.0.0.254", Some("10.0.1.0")),
            ("255.255.255.7", 24, "255.255.255.0", None),
            ("1.2.3.4", 0, "0.0.0.0", None),
            ("1.2.3.4", 32, "1.2.3.4", Some("1.2.3.5")),
            ("fd00::5", 64, "fd00::", Some("fd00:0:0:1::")),
            ("ffff::", 16, "ffff::", None),
            ("fd00::", 0, "::", None),
        ] {
            let bytes = |text: &str| octets(text.parse().unwrap());
            let want = (bytes(first), end.map(bytes));
            assert_eq!(bounds(address.parse().unwrap(), len), want, "{address}/{len}");
        }
    }
}
