//! Which subnet a network gets, and which address a container.

mod addresses;
mod pools;
mod runs;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use self::addresses::{Addresses, ClaimError};
pub use self::pools::{AddressPool, Occupant};
pub(crate) use self::pools::{
    Holder, Obstacle, Occupied, default_pools, first_host, standing_in_the_way,
};
use crate::address::Ip;

/// An address that goes back when the lease is dropped.
#[derive(Debug)]
pub(crate) struct Lease<A: Ip> {
    address: A,
    addresses: Arc<Mutex<Addresses<A>>>,
}

impl<A: Ip> Lease<A> {
    /// The lowest free address; `None` if there is none.
    pub(crate) fn allocate(addresses: &Arc<Mutex<Addresses<A>>>) -> Option<Lease<A>> {
        let address = lock(addresses).allocate()?;
        Some(Lease { address, addresses: Arc::clone(addresses) })
    }

    /// This address if it is one to hand out, and free.
    pub(crate) fn allocate_this(
        addresses: &Arc<Mutex<Addresses<A>>>,
        address: A,
    ) -> Option<Lease<A>> {
        let free = lock(addresses).allocate_this(address);
        free.then(|| Lease { address, addresses: Arc::clone(addresses) })
    }

    /// This address.
    pub(crate) fn claim(
        addresses: &Arc<Mutex<Addresses<A>>>,
        address: A,
    ) -> Result<Lease<A>, ClaimError> {
        lock(addresses).claim(address)?;
        Ok(Lease { address, addresses: Arc::clone(addresses) })
    }

    pub(crate) fn address(&self) -> A {
        self.address
    }
}

impl<A: Ip> Drop for Lease<A> {
    fn drop(&mut self) {
        lock(&self.addresses).release(self.address);
    }
}

/// Locks; a panic of another holder leaves nothing half-done in the states this crate keeps.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;
    use crate::address::Ipv4Cidr;

    #[test]
    fn leases() {
        let subnet: Ipv4Cidr = "10.0.0.0/30".parse().unwrap();
        let gateway = Some(Ipv4Addr::new(10, 0, 0, 1));
        let addresses = Arc::new(Mutex::new(Addresses::new(subnet, None, gateway)));
        let lease = Lease::allocate(&addresses).unwrap();
        assert_eq!(lease.address(), Ipv4Addr::new(10, 0, 0, 2));
        assert!(Lease::allocate(&addresses).is_none());
        assert!(Lease::claim(&addresses, lease.address()).is_err());
        drop(lease);
        assert!(Lease::claim(&addresses, Ipv4Addr::new(10, 0, 0, 2)).is_ok());
    }
}
