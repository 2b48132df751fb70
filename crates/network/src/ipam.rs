//! Which subnet the bridge gets, and which address a container.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::address::Ipv4Cidr;

/// Shortest prefix of a route that counts as occupied. Shorter ones, as VPNs use to cover the
/// whole Internet in two halves, leave room for a more specific route.
const SHORTEST_ROUTE: u8 = 5;

/// The subnets to choose from, in order: 172.17.0.0/16 to 172.31.0.0/16, then the /20s of
/// 192.168.0.0/16. The bridge has the first address of each.
fn candidates() -> impl Iterator<Item = Ipv4Cidr> {
    let large = (17..=31).map(|second| (Ipv4Addr::new(172, second, 0, 1), 16));
    let small = (0..=15).map(|step| (Ipv4Addr::new(192, 168, step * 16, 1), 20));
    large.chain(small).filter_map(|(address, prefix_len)| Ipv4Cidr::new(address, prefix_len))
}

/// Chooses the bridge's address: `preferred` if nothing is in its way, else the first candidate
/// that overlaps none of the host's addresses and routes.
pub(crate) fn choose_subnet(
    preferred: Option<Ipv4Cidr>,
    occupied: &[Ipv4Cidr],
) -> Option<Ipv4Cidr> {
    let free = |subnet: &Ipv4Cidr| {
        !occupied
            .iter()
            .any(|taken| taken.prefix_len() >= SHORTEST_ROUTE && taken.overlaps(*subnet))
    };
    preferred.into_iter().chain(candidates()).find(free)
}

/// Why an address cannot be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ClaimError {
    /// Outside the subnet, or its network or broadcast address, or the gateway.
    NotAHost,
    /// Somebody has it.
    Taken,
}

/// The addresses of a subnet, handed out in rising order. A released one is not given again
/// before all others were, so that nobody's stale knowledge of it does harm.
#[derive(Debug)]
pub(crate) struct Addresses {
    subnet: Ipv4Cidr,
    gateway: u32,
    low: u32,
    high: u32,
    next: u32,
    used: BTreeSet<u32>,
}

impl Addresses {
    /// `bridge` is the gateway with its prefix; `range` must lie within it.
    pub(crate) fn new(bridge: Ipv4Cidr, range: Option<Ipv4Cidr>) -> Addresses {
        let (mut first, mut last) = (bridge.first().to_bits(), bridge.last().to_bits());
        if bridge.prefix_len() < 31 {
            (first, last) = (first + 1, last - 1);
        }
        let range = range.unwrap_or(bridge);
        let low = range.first().to_bits().max(first);
        let high = range.last().to_bits().min(last);
        let gateway = bridge.address().to_bits();
        Addresses { subnet: bridge, gateway, low, high, next: low, used: BTreeSet::new() }
    }

    /// Takes the next free address.
    pub(crate) fn allocate(&mut self) -> Option<Ipv4Addr> {
        let taken = |address: &u32| *address == self.gateway || self.used.contains(address);
        let found = (self.next..=self.high)
            .chain(self.low..=self.high.min(self.next.saturating_sub(1)))
            .find(|address| !taken(address))?;
        self.used.insert(found);
        self.next = if found >= self.high { self.low } else { found + 1 };
        Some(Ipv4Addr::from_bits(found))
    }

    /// Takes this address, also outside the range to hand out.
    pub(crate) fn claim(&mut self, address: Ipv4Addr) -> Result<(), ClaimError> {
        let bits = address.to_bits();
        let edge = self.subnet.prefix_len() < 31
            && (address == self.subnet.first() || address == self.subnet.last());
        if !self.subnet.contains(address) || edge || bits == self.gateway {
            return Err(ClaimError::NotAHost);
        }
        if self.used.insert(bits) { Ok(()) } else { Err(ClaimError::Taken) }
    }

    /// Gives an address back.
    pub(crate) fn release(&mut self, address: Ipv4Addr) {
        self.used.remove(&address.to_bits());
    }
}

/// An address that goes back when the lease is dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    address: Ipv4Addr,
    addresses: Arc<Mutex<Addresses>>,
}

impl Lease {
    /// The next free address; `None` if there is none.
    pub(crate) fn allocate(addresses: &Arc<Mutex<Addresses>>) -> Option<Lease> {
        let address = lock(addresses).allocate()?;
        Some(Lease { address, addresses: Arc::clone(addresses) })
    }

    /// This address.
    pub(crate) fn claim(
        addresses: &Arc<Mutex<Addresses>>,
        address: Ipv4Addr,
    ) -> Result<Lease, ClaimError> {
        lock(addresses).claim(address)?;
        Ok(Lease { address, addresses: Arc::clone(addresses) })
    }

    pub(crate) fn address(&self) -> Ipv4Addr {
        self.address
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        lock(&self.addresses).release(self.address);
    }
}

/// Locks; a panic of another holder leaves nothing half-done in the states this crate keeps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cidr(text: &str) -> Ipv4Cidr {
        text.parse().unwrap()
    }

    #[test]
    fn subnets() {
        let all_172: Vec<&str> = vec!["172.16.0.0/12"];
        for (preferred, occupied, want) in [
            (None, vec![], Some("172.17.0.1/16")),
            (None, vec!["172.17.3.4/32"], Some("172.18.0.1/16")),
            (None, vec!["0.0.0.0/1", "128.0.0.0/1"], Some("172.17.0.1/16")),
            (None, all_172.clone(), Some("192.168.0.1/20")),
            (None, vec!["172.16.0.0/12", "192.168.1.0/24"], Some("192.168.16.1/20")),
            (None, vec!["172.16.0.0/12", "192.168.0.0/16"], None),
            (Some("10.9.0.1/24"), vec![], Some("10.9.0.1/24")),
            (Some("10.9.0.1/24"), vec!["10.0.0.0/8"], Some("172.17.0.1/16")),
        ] {
            let taken: Vec<Ipv4Cidr> = occupied.iter().map(|text| cidr(text)).collect();
            let got = choose_subnet(preferred.map(cidr), &taken);
            assert_eq!(got, want.map(cidr), "{preferred:?} beside {occupied:?}");
        }
    }

    #[test]
    fn rising_then_wrapping() {
        let mut addresses = Addresses::new(cidr("10.0.0.1/29"), None);
        let mut next = || addresses.allocate().map(|address| address.octets()[3]);
        assert_eq!([next(), next(), next()], [Some(2), Some(3), Some(4)]);
        addresses.release(Ipv4Addr::new(10, 0, 0, 2));
        let mut next = || addresses.allocate().map(|address| address.octets()[3]);
        assert_eq!([next(), next(), next(), next()], [Some(5), Some(6), Some(2), None]);
        addresses.release(Ipv4Addr::new(10, 0, 0, 4));
        assert_eq!(addresses.allocate(), Some(Ipv4Addr::new(10, 0, 0, 4)));
        assert_eq!(addresses.allocate(), None);
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
            let mut addresses = Addresses::new(cidr(bridge), range.map(cidr));
            let got: Vec<u8> = std::iter::from_fn(|| addresses.allocate())
                .map(|address| address.octets()[3])
                .collect();
            assert_eq!(got, want, "{bridge} {range:?}");
        }
    }

    #[test]
    fn claims() {
        let mut addresses = Addresses::new(cidr("10.0.0.1/24"), Some(cidr("10.0.0.16/28")));
        for (host, want) in [
            ([10, 0, 0, 200], Ok(())),
            ([10, 0, 0, 200], Err(ClaimError::Taken)),
            ([10, 0, 0, 16], Ok(())),
            ([10, 0, 0, 1], Err(ClaimError::NotAHost)),
            ([10, 0, 0, 0], Err(ClaimError::NotAHost)),
            ([10, 0, 0, 255], Err(ClaimError::NotAHost)),
            ([10, 0, 1, 2], Err(ClaimError::NotAHost)),
        ] {
            assert_eq!(addresses.claim(host.into()), want, "{host:?}");
        }
        assert_eq!(addresses.allocate(), Some(Ipv4Addr::new(10, 0, 0, 17)));
    }

    #[test]
    fn leases() {
        let addresses = Arc::new(Mutex::new(Addresses::new(cidr("10.0.0.1/30"), None)));
        let lease = Lease::allocate(&addresses).unwrap();
        assert_eq!(lease.address(), Ipv4Addr::new(10, 0, 0, 2));
        assert!(Lease::allocate(&addresses).is_none());
        assert!(Lease::claim(&addresses, lease.address()).is_err());
        drop(lease);
        assert!(Lease::claim(&addresses, Ipv4Addr::new(10, 0, 0, 2)).is_ok());
    }
}
