//! Prefixes and MAC addresses, with their text forms.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The two families of addresses; a prefix, a pool or a lease is of one of them.
pub trait Ip:
    Copy + Ord + Hash + fmt::Debug + fmt::Display + FromStr + Into<IpAddr> + Send + Sync + 'static
{
    /// Length of an address in bits.
    const BITS: u8;
    /// `IPv4` or `IPv6`, for messages.
    const FAMILY: &'static str;

    /// The address as a number.
    fn number(self) -> u128;

    /// The address of a number; bits above [`Ip::BITS`] are cut off.
    fn of_number(number: u128) -> Self;

    /// The address, if it is of this family.
    fn of_ip(address: IpAddr) -> Option<Self>;
}

impl Ip for Ipv4Addr {
    const BITS: u8 = 32;
    const FAMILY: &'static str = "IPv4";

    fn number(self) -> u128 {
        self.to_bits().into()
    }

    fn of_number(number: u128) -> Self {
        Self::from_bits(u32::try_from(number & u128::from(u32::MAX)).unwrap_or(u32::MAX))
    }

    fn of_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(address) => Some(address),
            IpAddr::V6(_) => None,
        }
    }
}

impl Ip for Ipv6Addr {
    const BITS: u8 = 128;
    const FAMILY: &'static str = "IPv6";

    fn number(self) -> u128 {
        self.to_bits()
    }

    fn of_number(number: u128) -> Self {
        Self::from_bits(number)
    }

    fn of_ip(address: IpAddr) -> Option<Self> {
        match address {
            IpAddr::V4(_) => None,
            IpAddr::V6(address) => Some(address),
        }
    }
}

/// An address with the length of its network's prefix, such as `172.17.0.1/16`.
///
/// The host bits are kept, since a bridge address needs them; [`Cidr::network`] clears them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cidr<A> {
    address: A,
    prefix_len: u8,
}

/// A prefix of IPv4.
pub type Ipv4Cidr = Cidr<Ipv4Addr>;
/// A prefix of IPv6.
pub type Ipv6Cidr = Cidr<Ipv6Addr>;

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParseAddressError {
    /// Not of the form `address/n`.
    #[error("invalid CIDR address: {0}")]
    Cidr(String),
    /// Not six octets in hexadecimal, separated by colons or dashes.
    #[error("invalid MAC address: {0}")]
    Mac(String),
}

impl<A: Ip> Cidr<A> {
    /// Makes a prefix; `None` if `prefix_len` is longer than an address.
    #[must_use]
    pub const fn new(address: A, prefix_len: u8) -> Option<Cidr<A>> {
        if prefix_len <= A::BITS { Some(Cidr { address, prefix_len }) } else { None }
    }

    /// The address as given, host bits included.
    #[must_use]
    pub fn address(self) -> A {
        self.address
    }

    /// The number of leading bits that name the network.
    #[must_use]
    pub fn prefix_len(self) -> u8 {
        self.prefix_len
    }

    /// The same prefix with all host bits cleared.
    #[must_use]
    pub fn network(self) -> Cidr<A> {
        Cidr { address: self.first(), prefix_len: self.prefix_len }
    }

    /// The lowest address: the network's own.
    #[must_use]
    pub fn first(self) -> A {
        A::of_number(self.address.number() & !self.host_mask())
    }

    /// The highest address: of IPv4, the broadcast address of a prefix shorter than 31.
    #[must_use]
    pub fn last(self) -> A {
        A::of_number(self.address.number() | self.host_mask())
    }

    /// Whether `address` belongs to the prefix.
    #[must_use]
    pub fn contains(self, address: A) -> bool {
        (address.number() ^ self.address.number()) & !self.host_mask() == 0
    }

    /// Whether the two prefixes share an address.
    #[must_use]
    pub fn overlaps(self, other: Cidr<A>) -> bool {
        self.contains(other.first()) || other.contains(self.first())
    }

    /// Whether `other` lies wholly inside.
    #[must_use]
    pub fn encloses(self, other: Cidr<A>) -> bool {
        self.prefix_len <= other.prefix_len && self.contains(other.first())
    }

    /// The bits that name a host.
    pub(crate) fn host_mask(self) -> u128 {
        let host_bits = u32::from(A::BITS - self.prefix_len);
        u128::MAX.checked_shr(128 - host_bits).unwrap_or(0)
    }
}

impl Ipv4Cidr {
    /// The network mask as bits, `0xffff_0000` for a `/16`.
    #[must_use]
    pub fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix_len)).unwrap_or(0)
    }
}

impl<A: Ip> fmt::Display for Cidr<A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix_len)
    }
}

impl<A: Ip> FromStr for Cidr<A> {
    type Err = ParseAddressError;

    fn from_str(text: &str) -> Result<Cidr<A>, ParseAddressError> {
        let parsed = text.split_once('/').and_then(|(address, len)| {
            let plain = !len.is_empty() && len.bytes().all(|byte| byte.is_ascii_digit());
            Cidr::new(address.parse().ok()?, len.parse().ok().filter(|_| plain)?)
        });
        parsed.ok_or_else(|| ParseAddressError::Cidr(text.to_owned()))
    }
}

impl<A: Ip> Serialize for Cidr<A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de, A: Ip> Deserialize<'de> for Cidr<A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Cidr<A>, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
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

    /// The address of an interface that has IPv6 alone, made from that, so that neighbours who know
    /// the one know the other after a restart as well.
    #[must_use]
    pub fn for_address6(address: Ipv6Addr) -> MacAddr {
        let digest = gantry_oci::Digest::of(&address.octets());
        let bits = u64::from_str_radix(&digest.hex()[..10], 16).unwrap_or_default();
        let [_, _, _, a, b, c, d, e] = bits.to_be_bytes();
        MacAddr([0x02, a, b, c, d, e])
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
    fn cidr_text_of_ipv6() {
        for (text, want) in [
            ("fd00::1/64", Some(("fd00::", "fd00::ffff:ffff:ffff:ffff"))),
            ("::/0", Some(("::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"))),
            ("fd00::1/128", Some(("fd00::1", "fd00::1"))),
            ("fd00::1/129", None),
            ("10.0.0.1/8", None),
        ] {
            let got = text.parse::<Ipv6Cidr>().ok();
            let shape = got.map(|c| (c.first().to_string(), c.last().to_string()));
            assert_eq!(shape, want.map(|(a, b)| (a.to_owned(), b.to_owned())), "{text}");
        }
        let text = serde_json::to_string(&"fd00::1/64".parse::<Ipv6Cidr>().unwrap()).unwrap();
        assert_eq!(text, "\"fd00::1/64\"");
        assert!(serde_json::from_str::<Ipv6Cidr>(&text).is_ok());
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
        let six = |last| MacAddr::for_address6(Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, last));
        assert!(six(2).is_unicast() && six(2) == six(2) && six(2) != six(3));
        assert!(!MacAddr([1, 0, 0, 0, 0, 1]).is_unicast());
        assert!(!MacAddr([0; 6]).is_unicast());
    }
}
