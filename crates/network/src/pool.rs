//! Namespaces made ahead of need, so that a join finds one ready.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Notify;

use crate::error::JoinError;
use crate::ipam::lock;
use crate::namespace::Prepared;

/// Pause after a namespace could not be made.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Pause before filling up a pool that is at least half full: the container that emptied it is
/// being started right now, and shall have the processors for itself.
const YIELD_PAUSE: Duration = Duration::from_millis(3);

/// Namespaces by their addresses: the lowest goes first.
#[derive(Debug)]
pub(crate) struct Pool {
    ready: Mutex<BTreeMap<Ipv4Addr, Prepared>>,
    size: usize,
    wanted: Arc<Notify>,
    /// Held while a namespace is made for the pool.
    making: tokio::sync::Mutex<()>,
}

/// What the pool asks of its owner.
pub(crate) trait Maker: Send + Sync + 'static {
    /// The pool to fill.
    fn pool(&self) -> &Pool;
    /// Makes a namespace.
    fn make(&self) -> impl Future<Output = Result<Prepared, JoinError>> + Send;
    /// Whether to stop.
    fn is_closed(&self) -> bool;
}

impl Pool {
    pub(crate) fn new(size: usize) -> Pool {
        Pool {
            ready: Mutex::default(),
            size,
            wanted: Arc::default(),
            making: tokio::sync::Mutex::default(),
        }
    }

    /// Takes the one with the lowest address, or with this one. The caller wakes the filler when
    /// it has done what is urgent.
    pub(crate) fn take(&self, address: Option<Ipv4Addr>) -> Option<Prepared> {
        let mut ready = lock(&self.ready);
        match address {
            None => ready.pop_first().map(|(_, prepared)| prepared),
            Some(address) => ready.remove(&address),
        }
    }

    /// The same, but that the one that is being made at the moment counts too: to be called when
    /// there is no address to make another with.
    pub(crate) async fn take_made(&self, address: Option<Ipv4Addr>) -> Option<Prepared> {
        let _made = self.making.lock().await;
        self.take(address)
    }

    /// Has the filler look again.
    pub(crate) fn wake(&self) {
        self.wanted.notify_one();
    }

    /// Drops all that is ready.
    pub(crate) fn clear(&self) {
        let dropped = std::mem::take(&mut *lock(&self.ready));
        drop(dropped);
    }

    fn is_full(&self) -> bool {
        lock(&self.ready).len() >= self.size
    }

    fn is_half_full(&self) -> bool {
        lock(&self.ready).len() * 2 >= self.size
    }

    fn put(&self, prepared: Prepared) {
        lock(&self.ready).insert(prepared.lease.address(), prepared);
    }
}

/// Keeps the pool full until its owner is closed or dropped.
pub(crate) async fn fill<M: Maker>(owner: Weak<M>) {
    let Some(wanted) = owner.upgrade().map(|owner| Arc::clone(&owner.pool().wanted)) else {
        return;
    };
    while let Some(made) = step(&owner).await {
        match made {
            Step::Made => {}
            Step::Idle => {
                wanted.notified().await;
                if owner.upgrade().is_some_and(|owner| owner.pool().is_half_full()) {
                    tokio::time::sleep(YIELD_PAUSE).await;
                }
            }
            Step::Failed => tokio::time::sleep(RETRY_PAUSE).await,
        }
    }
}

enum Step {
    Made,
    Idle,
    Failed,
}

/// Makes one namespace if one is missing; `None` at the end.
async fn step<M: Maker>(owner: &Weak<M>) -> Option<Step> {
    let owner = owner.upgrade().filter(|owner| !owner.is_closed())?;
    if owner.pool().is_full() {
        return Some(Step::Idle);
    }
    let _making = owner.pool().making.lock().await;
    match owner.make().await {
        Ok(prepared) => {
            owner.pool().put(prepared);
            if owner.is_closed() {
                owner.pool().clear();
            }
            Some(Step::Made)
        }
        // Nothing to be had until a container leaves.
        Err(JoinError::NoAddress { .. }) => Some(Step::Idle),
        Err(error) => {
            tracing::warn!(?error, "a network namespace could not be prepared");
            Some(Step::Failed)
        }
    }
}
