//! IPv4 prefixes and MAC addresses, with their text forms.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// An IPv4 address with the length of its network's prefix, such as `172.17.0.1/16`.
///
/// The host bits are kept, since a bridge address needs them; [`Ipv4Cidr::network`] clears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ipv4Cidr {
    address: Ipv4Addr,
    prefix_len: u8,
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAddressError {
    /// Not of the form `a.b.c.d/n`.
    #[error("invalid CIDR address: {0}")]
    Cidr(String),
    /// Not six octets in hexadecimal, separated by colons or dashes.
    #[error("invalid MAC address: {0}")]
    Mac(String),
}

impl Ipv4Cidr {
    /// Makes a prefix; `None` if `prefix_len` is over 32.
    #[must_use]
    pub const fn new(address: Ipv4Addr, prefix_len: u8) -> Option<Ipv4Cidr> {
        if prefix_len <= 32 { Some(Ipv4Cidr { address, prefix_len }) } else { None }
    }

    /// The address as given, host bits included.
    #[must_use]
    pub fn address(self) -> Ipv4Addr {
        self.address
    }

    /// The number of leading bits that name the network.
    #[must_use]
    pub fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// The same prefix with all host bits cleared.
    #[must_use]
    pub fn network(self) -> Ipv4Cidr {
        Ipv4Cidr { address: self.first(), prefix_len: self.prefix_len }
    }

    /// The lowest address: the network's own.
    #[must_use]
    pub fn first(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() & self.mask())
    }

    /// The highest address: the broadcast address of a prefix shorter than 31.
    #[must_use]
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.address.to_bits() | !self.mask())
    }

    /// The network mask as bits, `0xffff_0000` for a `/16`.
    #[must_use]
    pub fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(0)
    }

    /// Whether `address` belongs to the prefix.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        (address.to_bits() ^ self.address.to_bits()) & self.mask() == 0
    }

    /// Whether the two prefixes share an address.
    #[must_use]
    pub fn overlaps(self, other: Ipv4Cidr) -> bool {
        self.contains(other.first()) || other.contains(self.first())
    }
}

impl fmt::Display for Ipv4Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl FromStr for Ipv4Cidr {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Ipv4Cidr, ParseAddressError> {
        let parsed = text.split_once('/').and_then(|(address, len)| {
            let plain = !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit());
            Ipv4Cidr::new(address.parse().ok()?, len.parse().ok().filter(|_| plain)?)
        });
        parsed.ok_or_else(|| ParseAddressError::Cidr(text.to_owned()))
    }
}

/// An Ethernet address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MacAddr(pub [u8; 6]);

impl MacAddr {
    /// The address Docker gives the interface that has `address`: `02:42` and its four octets.
    ///
    /// The first octet marks it as locally administered; two containers on one bridge differ in
    /// their IPv4 addresses, and so in these.
    #[must_use]
    pub fn for_address(address: Ipv4Addr) -> MacAddr {
        let [a, b, c, d] = address.octets();
        MacAddr([0x02, 0x42, a, b, c, d])
    }

    /// Whether an interface can have it: no group address, and not all zero.
    #[must_use]
    pub fn is_unicast(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl fmt::Display for MacAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for MacAddr {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<MacAddr, ParseAddressError> {
        let error = || ParseAddressError::Mac(text.to_owned());
        let mut octets = [0; 6];
        let mut parts = text.split([':', '-']);
        for octet in &mut octets {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(error)?;
            if !part.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return Err(error());
            }
            *octet = u8::from_str_radix(part, 16).map_err(|_| error())?;
        }
        if parts.next().is_some() { Err(error()) } else { Ok(MacAddr(octets)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cidr_text() {
        for (text, want) in [
            ("172.17.0.1/16", Some(("172.17.0.0", "172.17.255.255", 0xffff_0000))),
            ("10.1.2.3/32", Some(("10.1.2.3", "10.1.2.3", u32::MAX))),
            ("10.1.2.3/0", Some(("0.0.0.0", "255.255.255.255", 0))),
            ("10.1.2.3/31", Some(("10.1.2.2", "10.1.2.3", 0xffff_fffe))),
            ("10.1.2.3/33", None),
            ("10.1.2.3/+8", None),
            ("10.1.2.3", None),
            ("10.1.2/8", None),
            ("", None),
        ] {
            let got = text.parse::<Ipv4Cidr>().ok();
            let shape = got.map(|c| (c.first().to_string(), c.last().to_string(), c.mask()));
            let want = want.map(|(a, b, mask)| (a.to_owned(), b.to_owned(), mask));
            assert_eq!(shape, want, "{text}");
            if let Some(cidr) = got {
                assert_eq!(cidr.to_string(), text);
            }
        }
    }

    #[test]
    fn overlap() {
        for (a, b, want) in [
            ("172.17.0.0/16", "172.17.3.0/24", true),
            ("172.17.3.0/24", "172.17.0.0/16", true),
            ("172.17.0.0/16", "172.18.0.0/16", false),
            ("0.0.0.0/0", "10.0.0.0/8", true),
            ("10.0.0.1/32", "10.0.0.2/32", false),
        ] {
            let (left, right): (Ipv4Cidr, Ipv4Cidr) = (a.parse().unwrap(), b.parse().unwrap());
            assert_eq!(left.overlaps(right), want, "{a} and {b}");
        }
    }

    #[test]
    fn mac_text() {
        let derived = MacAddr::for_address(Ipv4Addr::new(172, 17, 0, 2));
        assert_eq!(derived.to_string(), "02:42:ac:11:00:02");
        for (text, want) in [
            ("02:42:ac:11:00:02", true),
            ("02-42-AC-11-00-02", true),
            ("02:42:ac:11:00", false),
            ("02:42:ac:11:00:02:03", false),
            ("02:42:ac:11:00:+2", false),
            ("2:42:ac:11:00:02", false),
            ("", false),
        ] {
            assert_eq!(text.parse::<MacAddr>().ok(), want.then_some(derived), "{text}");
        }
        assert!(!MacAddr([1, 0, 0, 0, 0, 1]).is_unicast());
        assert!(!MacAddr([0; 6]).is_unicast());
    }
}
