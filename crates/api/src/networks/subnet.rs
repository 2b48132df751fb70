//! Subnets as requests write them.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// An address and a prefix length, as written: host bits may be set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Subnet {
    pub(super) address: IpAddr,
    pub(super) prefix_len: u32,
}

impl Subnet {
    /// Reads `10.0.0.0/24`.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (address, prefix_len) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let plain = !prefix_len.is_empty() && prefix_len.bytes().all(|byte| byte.is_ascii_digit());
        let prefix_len = prefix_len.parse().ok().filter(|_| plain)?;
        (prefix_len <= width(address)).then_some(Self { address, prefix_len })
    }

    /// 4 or 6.
    pub(super) fn family(self) -> u8 {
        family(self.address)
    }

    /// The same without host bits.
    pub(super) fn masked(self) -> Self {
        let keep = |width: u32| u128::MAX.checked_shl(width - self.prefix_len).unwrap_or(0);
        let address = match self.address {
            IpAddr::V4(address) => {
                #[expect(clippy::cast_possible_truncation, reason = "the low half is the mask")]
                let mask = keep(32) as u32;
                IpAddr::V4(Ipv4Addr::from(u32::from(address) & mask))
            }
            IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from(u128::from(address) & keep(128))),
        };
        Self { address, ..self }
    }

    /// Whether it holds the address.
    pub(super) fn contains(self, address: IpAddr) -> bool {
        self.family() == family(address)
            && Self { address, ..self }.masked().address == self.masked().address
    }

    /// Whether the two have an address in common.
    pub(super) fn overlaps(self, other: Self) -> bool {
        self.contains(other.masked().address) || other.contains(self.masked().address)
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

/// 4 or 6.
pub(super) fn family(address: IpAddr) -> u8 {
    if address.is_ipv4() { 4 } else { 6 }
}

fn width(address: IpAddr) -> u32 {
    if address.is_ipv4() { 32 } else { 128 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_masks() {
        for (text, want) in [
            ("10.0.0.5/24", Some("10.0.0.0/24")),
            ("10.0.0.5/32", Some("10.0.0.5/32")),
            ("10.0.0.5/0", Some("0.0.0.0/0")),
            ("fd00::5/64", Some("fd00::/64")),
            ("::1/0", Some("::/0")),
            ("10.0.0.0/33", None),
            ("10.0.0.0", None),
            ("10.0.0.0/+8", None),
            ("x/8", None),
        ] {
            let masked = Subnet::parse(text).map(|subnet| subnet.masked().to_string());
            assert_eq!(masked.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn contains_and_overlaps() {
        let subnet = |text| Subnet::parse(text).expect(text);
        for (text, address, want) in [
            ("10.0.0.0/24", "10.0.0.255", true),
            ("10.0.0.0/24", "10.0.1.0", false),
            ("0.0.0.0/0", "::1", false),
            ("fd00::/64", "fd00::1:0:0:1", true),
        ] {
            let address = address.parse().expect(address);
            assert_eq!(subnet(text).contains(address), want, "{text} {address}");
        }
        for (a, b, want) in [
            ("10.0.0.0/24", "10.0.0.128/25", true),
            ("10.0.0.128/25", "10.0.0.0/24", true),
            ("10.0.0.0/25", "10.0.0.128/25", false),
        ] {
            assert_eq!(subnet(a).overlaps(subnet(b)), want, "{a} {b}");
        }
    }
}
