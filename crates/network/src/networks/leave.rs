//! Leaving: an address that is free again has no trace of who had it.
//!
//! It may have a new owner at once. The kernel however takes the namespace of the old one down in
//! its own time, and until then that answers to the address: so its port of the bridge is disabled
//! first. Then its connections are forgotten, and only then is the address free.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex};

use rustix::io::Errno;

use super::{Inner, blocking};
use crate::error::NetworkError;
use crate::ipam::lock;
use crate::netlink::conntrack;
use crate::netlink::message::Batch;
use crate::netlink::route;
use crate::netlink::socket::Socket;
use crate::sandbox::{EndpointRecord, LiveSandbox, plumb};

/// Addresses whose connections are to be forgotten.
///
/// That takes one look or two through all connections of the host, so whoever is at it does it
/// for all who have come meanwhile.
#[derive(Debug)]
pub(super) struct Flows {
    waiting: Mutex<BTreeSet<IpAddr>>,
    socket: Mutex<Socket>,
}

impl Flows {
    pub(super) fn new() -> io::Result<Flows> {
        Ok(Flows { waiting: Mutex::default(), socket: Mutex::new(Socket::netfilter()?) })
    }

    /// Forgets the connections of these addresses, on a thread that may block.
    fn forget(&self, addresses: Vec<IpAddr>) {
        lock(&self.waiting).extend(addresses);
        let mut socket = lock(&self.socket);
        let waiting = std::mem::take(&mut *lock(&self.waiting));
        if waiting.is_empty() {
            return;
        }
        if let Err(refused) = conntrack::forget_all_of(&mut socket, &waiting) {
            tracing::debug!(?refused, "connections of released addresses stay");
        }
    }
}

impl Inner {
    pub(super) async fn leave(inner: &Arc<Inner>, id: &str) -> Result<(), NetworkError> {
        let sandbox = {
            let mut sandboxes = lock(&inner.sandboxes);
            let Some(sandbox) = sandboxes.remove(id) else { return Ok(()) };
            let mut leaving = lock(&inner.leaving);
            leaving.retain(|other| other.strong_count() > 0);
            leaving.push(Arc::downgrade(&sandbox));
            sandbox
        };
        // Whatever is under way comes to its end first.
        let busy = Arc::clone(&sandbox.busy).lock_owned().await;
        inner.forget_names(&sandbox);
        if let Err(error) = Inner::unplug_all(inner, id, &sandbox).await {
            drop(busy);
            let mut sandboxes = lock(&inner.sandboxes);
            lock(&inner.leaving).retain(|other| !std::ptr::eq(other.as_ptr(), &*sandbox));
            sandboxes.insert(id.to_owned(), sandbox);
            return Err(error);
        }
        // The addresses are free from here on.
        drop((busy, sandbox));
        inner.pool.wake();
        Ok(())
    }

    /// Withdraws the ports of a sandbox, and cuts it off its networks.
    async fn unplug_all(
        inner: &Arc<Inner>,
        id: &str,
        sandbox: &LiveSandbox,
    ) -> Result<(), NetworkError> {
        let (endpoints, has_ports) = {
            let live = lock(&sandbox.live);
            let has_ports = !live.record.wanted_ports.is_empty() && !live.outlets().is_empty();
            (live.record.endpoints.clone(), has_ports)
        };
        if endpoints.is_empty() {
            return Ok(());
        }
        // Two interfaces of a parent cannot have one hardware address, which follows from the IP
        // address: one that is still to go would keep its successor from being switched on.
        for macvlan in endpoints.iter().filter(|endpoint| endpoint.host_interface.is_empty()) {
            let (netns, interface) = (Arc::clone(&sandbox.netns), macvlan.interface.clone());
            if let Err(error) = plumb::disconnect(netns, interface, false).await {
                tracing::warn!(id, ?error, "an interface goes later than its address");
            }
        }
        let (inner, id) = (Arc::clone(inner), id.to_owned());
        let work = move || {
            if has_ports {
                lock(&inner.firewall).withdraw(&id, &[])?;
            }
            let ports = endpoints.iter().map(|endpoint| endpoint.host_interface.as_str());
            inner.disable_ports(ports);
            inner.flows.forget(endpoints.iter().flat_map(EndpointRecord::addresses).collect());
            Ok(())
        };
        blocking(work).await.flatten()
    }

    /// Forgets the connections of an endpoint whose interface is gone.
    pub(super) async fn forget_flows(inner: &Arc<Inner>, endpoint: &EndpointRecord) {
        let (inner, addresses) = (Arc::clone(inner), endpoint.addresses());
        if let Err(error) = blocking(move || inner.flows.forget(addresses)).await {
            tracing::warn!(?error, "connections of a released address stay");
        }
    }

    /// Gives the address of a ready namespace back, where an endpoint of another kind is to have
    /// it.
    pub(super) fn retire(&self, address: Option<Ipv4Addr>) {
        let Some(ready) = address.and_then(|address| self.pool.take(Some(address))) else {
            return;
        };
        self.disable_ports(std::iter::once(ready.host_interface.as_str()));
        drop(ready);
        self.pool.wake();
    }

    /// Has ports of bridges pass nothing any more. That this fails is no reason to keep anything:
    /// they go with their namespaces.
    pub(super) fn disable_ports<'a>(&self, names: impl Iterator<Item = &'a str>) {
        let mut names = names.peekable();
        if names.peek().is_none() {
            return;
        }
        let mut host = self.host.socket();
        let mut batch = Batch::new();
        for name in names.filter(|name| !name.is_empty()) {
            match route::find_link(&mut host, name) {
                Ok(Some(link)) => route::disable_port(&mut batch, link.index),
                Ok(None) => {}
                Err(error) => tracing::debug!(name, %error, "a port goes later than its address"),
            }
        }
        if batch.count() == 0 {
            return;
        }
        match host.request(batch) {
            Ok(()) => {}
            // Gone, or switched off, meanwhile.
            Err(refused) if refused.is(Errno::NODEV) || refused.is(Errno::NETDOWN) => {}
            Err(refused) => tracing::debug!(?refused, "a port goes later than its address"),
        }
    }
}
