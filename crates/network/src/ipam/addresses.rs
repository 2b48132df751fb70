//! The addresses of one subnet.

use std::collections::BTreeSet;

use super::runs::Runs;
use crate::address::{Cidr, Ip};

/// Why an address cannot be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Outside the subnet.
    Outside,
    /// Somebody has it, or the subnet itself: its first and last address, and the gateway.
    Taken,
}

/// The addresses of a subnet; the lowest free one is given first, as Docker does it.
///
/// A container that starts again so finds its address free more often than not, and who resolved
/// a name once goes on finding it. Whoever gives an address back must have seen to it that
/// nothing answers to it any more: it may have a new owner at once.
#[derive(Debug)]
pub(crate) struct Addresses<A> {
    subnet: Cidr<A>,
    /// What is never given away: the subnet's own addresses, the gateway, auxiliary ones.
    reserved: BTreeSet<u128>,
    low: u128,
    high: u128,
    /// What is left from `low` to `high`.
    free: Runs,
    used: BTreeSet<u128>,
}

impl<A: Ip> Addresses<A> {
    /// `range` and `gateway` must lie within the subnet.
    pub(crate) fn new(subnet: Cidr<A>, range: Option<Cidr<A>>, gateway: Option<A>) -> Addresses<A> {
        let (mut first, mut last) = (subnet.first().number(), subnet.last().number());
        let mut reserved = BTreeSet::new();
        // In IPv4 the ends name the network and everybody in it (not in a /31: RFC 3021); in IPv6
        // the first is the routers' anycast address (RFC 4291, not in a /127: RFC 6164).
        if subnet.prefix_len() < A::BITS - 1 {
            reserved.insert(first);
            first += 1;
            if A::BITS == 32 {
                reserved.insert(last);
                last -= 1;
            }
        }
        reserved.extend(gateway.map(Ip::number));
        let range = range.unwrap_or(subnet);
        let low = range.first().number().max(first);
        let high = range.last().number().min(last);
        let mut free = Runs::new(low, high);
        for number in &reserved {
            free.take(*number);
        }
        Addresses { subnet, reserved, low, high, free, used: BTreeSet::new() }
    }

    /// Keeps an address from being given away, or claimed.
    pub(crate) fn reserve(&mut self, address: A) {
        self.reserved.insert(address.number());
        self.free.take(address.number());
    }

    /// Takes the lowest free address.
    pub(crate) fn allocate(&mut self) -> Option<A> {
        let found = self.free.take_lowest()?;
        self.used.insert(found);
        Some(A::of_number(found))
    }

    /// Takes this address if [`Addresses::allocate`] could give it.
    pub(crate) fn allocate_this(&mut self, address: A) -> bool {
        let number = address.number();
        self.free.take(number) && self.used.insert(number)
    }

    /// Takes this address, also outside the range to hand out.
    pub(crate) fn claim(&mut self, address: A) -> Result<(), ClaimError> {
        if !self.subnet.contains(address) {
            return Err(ClaimError::Outside);
        }
        let number = address.number();
        let free = !self.reserved.contains(&number) && self.used.insert(number);
        if !free {
            return Err(ClaimError::Taken);
        }
        self.free.take(number);
        Ok(())
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: A) {
        let number = address.number();
        let was_used = self.used.remove(&number);
        let in_range = (self.low..=self.high).contains(&number);
        if was_used && in_range && !self.reserved.contains(&number) {
            self.free.put(number);
        }
    }

    /// How many addresses are in use, those of the subnet itself included.
    pub(crate) fn in_use(&self) -> u64 {
        u64::try_from(self.used.len() + self.reserved.len()).unwrap_or(u64::MAX)
    }

    /// How many addresses there are to hand out, at most `u64::MAX`.
    pub(crate) fn available(&self) -> u64 {
        self.free.count()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, Ipv6Addr};

    use super::*;
    use crate::address::{Ipv4Cidr, Ipv6Cidr};

    /// The subnet of a bridge with its gateway.
    fn of(bridge: &str, range: Option<&str>) -> Addresses<Ipv4Addr> {
        let bridge: Ipv4Cidr = bridge.parse().unwrap();
        let range = range.map(|range| range.parse().unwrap());
        Addresses::new(bridge, range, Some(bridge.address()))
    }

    #[test]
    fn the_lowest_that_is_free() {
        let mut addresses = of("10.0.0.1/29", None);
        let last = |address: Ipv4Addr| address.octets()[3];
        let mut next = || addresses.allocate().map(last);
        assert_eq!([next(), next(), next()], [Some(2), Some(3), Some(4)]);
        addresses.release(Ipv4Addr::new(10, 0, 0, 3));
        addresses.release(Ipv4Addr::new(10, 0, 0, 2));
        // A second release, and those of addresses that were never given, change nothing.
        for last in [2, 0, 1, 7, 9] {
            addresses.release(Ipv4Addr::new(10, 0, 0, last));
        }
        let mut next = || addresses.allocate().map(last);
        assert_eq!([next(), next(), next()], [Some(2), Some(3), Some(5)]);
        assert_eq!([next(), next()], [Some(6), None]);
        addresses.release(Ipv4Addr::new(10, 0, 0, 4));
        assert!(!addresses.allocate_this(Ipv4Addr::new(10, 0, 0, 5)));
        assert!(addresses.allocate_this(Ipv4Addr::new(10, 0, 0, 4)));
        assert_eq!((addresses.allocate(), addresses.available()), (None, 0));
    }

    #[test]
    fn many() {
        let mut addresses = of("10.0.0.1/8", None);
        let host = |n: u32| Ipv4Addr::from_bits(u32::from_be_bytes([10, 0, 0, 0]) + n);
        for n in 2..200_000 {
            assert_eq!(addresses.allocate(), Some(host(n)));
        }
        // Were there a scan, these would be twenty thousand million steps.
        for n in 2..100_000 {
            addresses.release(host(n));
            assert_eq!(addresses.allocate(), Some(host(n)));
            assert_eq!(addresses.allocate(), Some(host(200_000)));
            addresses.release(host(200_000));
        }
        for n in (2..200_000).step_by(2) {
            addresses.release(host(n));
        }
        for n in (2..200_000).step_by(2) {
            assert_eq!(addresses.allocate(), Some(host(n)));
        }
        assert_eq!(addresses.in_use(), 199_998 + 3);
    }

    #[test]
    fn ranges() {
        for (bridge, range, want) in [
            ("10.0.0.1/24", Some("10.0.0.128/30"), vec![128, 129, 130, 131]),
            ("10.0.0.129/24", Some("10.0.0.128/30"), vec![128, 130, 131]),
            ("10.0.0.1/24", Some("10.0.0.252/30"), vec![252, 253, 254]),
            ("10.0.0.1/24", Some("10.0.0.0/30"), vec![2, 3]),
            ("10.0.0.1/30", None, vec![2]),
            ("10.0.0.0/31", None, vec![1]),
            ("10.0.0.1/32", None, vec![]),
            ("255.255.255.253/30", None, vec![254]),
        ] {
            let mut addresses = of(bridge, range);
            assert_eq!(addresses.available(), want.len() as u64, "{bridge} {range:?}");
            let got: Vec<u8> = std::iter::from_fn(|| addresses.allocate())
                .map(|address| address.octets()[3])
                .collect();
            assert_eq!(got, want, "{bridge} {range:?}");
            assert_eq!(addresses.available(), 0, "{bridge} {range:?}");
        }
    }

    #[test]
    fn claims() {
        let mut addresses = of("10.0.0.1/24", Some("10.0.0.16/28"));
        addresses.reserve(Ipv4Addr::new(10, 0, 0, 18));
        for (host, want) in [
            ([10, 0, 0, 200], Ok(())),
            ([10, 0, 0, 200], Err(ClaimError::Taken)),
            ([10, 0, 0, 16], Ok(())),
            ([10, 0, 0, 1], Err(ClaimError::Taken)),
            ([10, 0, 0, 0], Err(ClaimError::Taken)),
            ([10, 0, 0, 255], Err(ClaimError::Taken)),
            ([10, 0, 0, 18], Err(ClaimError::Taken)),
            ([10, 0, 1, 2], Err(ClaimError::Outside)),
        ] {
            assert_eq!(addresses.claim(host.into()), want, "{host:?}");
        }
        assert_eq!(addresses.allocate(), Some(Ipv4Addr::new(10, 0, 0, 17)));
        assert_eq!(addresses.allocate(), Some(Ipv4Addr::new(10, 0, 0, 19)));
        for last in [18, 200, 1] {
            assert!(!addresses.allocate_this(Ipv4Addr::new(10, 0, 0, last)), "{last}");
        }
        // The ends, the gateway, the reserved one, and four that were given.
        assert_eq!((addresses.in_use(), addresses.available()), (8, 12));
        // Back out of the range, it is no address to hand out.
        addresses.release(Ipv4Addr::new(10, 0, 0, 200));
        assert_eq!((addresses.in_use(), addresses.available()), (7, 12));
    }

    #[test]
    fn addresses_of_ipv6() {
        let subnet: Ipv6Cidr = "fd00::/64".parse().unwrap();
        let gateway: Ipv6Addr = "fd00::1".parse().unwrap();
        let mut addresses = Addresses::new(subnet, None, Some(gateway));
        assert_eq!(addresses.available(), u64::MAX - 1);
        assert_eq!(addresses.allocate(), "fd00::2".parse().ok());
        assert_eq!(addresses.claim("fd00::".parse().unwrap()), Err(ClaimError::Taken));
        assert_eq!(addresses.claim("fd00::ffff:ffff:ffff:ffff".parse().unwrap()), Ok(()));
        assert_eq!(addresses.claim("fd01::1".parse().unwrap()), Err(ClaimError::Outside));
    }
}
