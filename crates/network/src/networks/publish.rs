//! Published ports and names of a sandbox.

use std::os::fd::AsFd;
use std::sync::Arc;

use super::{Inner, blocking};
use crate::dns::NamedEndpoint;
use crate::error::JoinError;
use crate::firewall::Redirect;
use crate::ipam::lock;
use crate::netlink::socket::Refused;
use crate::ports::{PortRequest, Proto};
use crate::reserve::{self, Reserved};
use crate::sandbox::{LiveSandbox, Outlets};

/// Most TCP ports that are published on the caller's own thread.
const QUICK_PORTS: usize = 64;

impl Inner {
    /// Host ports for a sandbox whose ports lead to these.
    pub(super) async fn reserve_for(
        &self,
        wanted: &[PortRequest],
        outlets: &Outlets,
    ) -> Result<Vec<Reserved>, JoinError> {
        if wanted.is_empty() || outlets.is_empty() {
            return Ok(Vec::new());
        }
        let binding = outlets.v4.as_ref().and_then(|outlet| outlet.host_binding);
        let defaults = self.port_defaults(binding);
        let mut reserved = reserve::reserve(&self.ports, wanted, &defaults).await?;
        // What cannot be reached by a host address, or needs none, is not held.
        reserved.retain(|port| outlets.redirect(port).is_some());
        Ok(reserved)
    }

    pub(super) async fn publish(
        inner: &Arc<Inner>,
        sandbox: &str,
        redirects: Vec<Redirect>,
    ) -> Result<(), JoinError> {
        let published = match inner.publish_at_once(sandbox, &redirects) {
            Some(published) => published,
            None => {
                let (firewall, sandbox) = (Arc::clone(&inner.firewall), sandbox.to_owned());
                let publish = move || lock(&firewall).publish(&sandbox, &redirects);
                blocking(publish).await.map_err(|_| JoinError::Closed)?
            }
        };
        published.map_err(|refused| JoinError::Publish(refused.source))
    }

    /// Publishes on this thread what takes a tenth of a millisecond, less than waking another
    /// does; `None` if it would take longer, or have to wait.
    fn publish_at_once(
        &self,
        sandbox: &str,
        redirects: &[Redirect],
    ) -> Option<Result<(), Refused>> {
        let all_tcp = redirects.iter().all(|redirect| redirect.proto == Proto::Tcp);
        if redirects.len() > QUICK_PORTS || !all_tcp {
            return None;
        }
        let mut firewall = self.firewall.try_lock().ok()?;
        Some(firewall.publish(sandbox, redirects))
    }

    /// Moves the ports of a sandbox from the endpoints they led to before, to those that give the
    /// default routes now.
    pub(super) async fn move_ports(
        inner: &Arc<Inner>,
        sandbox: &LiveSandbox,
        before: &Outlets,
    ) -> Result<(), JoinError> {
        let (id, now, wanted) = {
            let live = lock(&sandbox.live);
            let record = &live.record;
            (record.container_id.clone(), live.outlets(), record.wanted_ports.clone())
        };
        if wanted.is_empty() || now == *before {
            return Ok(());
        }
        if !before.is_empty() {
            let (firewall, name) = (Arc::clone(&inner.firewall), id.clone());
            let addresses = before.addresses();
            let work = move || lock(&firewall).withdraw(&name, &addresses);
            blocking(work).await.flatten().map_err(JoinError::Firewall)?;
        }
        if !now.take_same_ports(before) {
            // Those that are free again must not stand in the way of their successors; a port
            // that was found by chance stays the same where that can be.
            let old = std::mem::take(&mut lock(&sandbox.live).ports);
            let wanted = with_ports_of(&wanted, &old);
            drop(old);
            let reserved = inner.reserve_for(&wanted, &now).await?;
            lock(&sandbox.live).ports = reserved;
        }
        let redirects = {
            let mut live = lock(&sandbox.live);
            live.settle();
            live.redirects(&now)
        };
        if redirects.is_empty() { Ok(()) } else { Inner::publish(inner, &id, redirects).await }
    }

    /// Tells the names of a sandbox, and serves those of others to it.
    pub(super) async fn serve_names(&self, sandbox: &LiveSandbox) -> Result<(), JoinError> {
        let Some(dns) = lock(&sandbox.live).dns() else { return Ok(()) };
        let record = lock(&sandbox.live).record.dns;
        match record {
            Some(_) => {
                self.dns.set_networks(&dns.container_id, dns.networks, &dns.links, dns.internal);
            }
            None => {
                let served = self.dns.serve(sandbox.netns.as_fd(), dns).await?;
                lock(&sandbox.live).record.dns = Some(served);
            }
        }
        self.tell_names(sandbox);
        Ok(())
    }

    /// Enters a sandbox into the table of names.
    pub(super) fn tell_names(&self, sandbox: &LiveSandbox) {
        let live = lock(&sandbox.live);
        let record = &live.record;
        for (endpoint, held) in record.endpoints.iter().zip(&live.held) {
            if held.place.0.has_names() {
                self.names.add(NamedEndpoint {
                    network: &endpoint.network,
                    network_name: &endpoint.network_name,
                    endpoint: &endpoint.id,
                    container_name: &record.names.name,
                    names: &endpoint.names(&record.names),
                    v4: endpoint.v4.map(|v4| v4.address),
                    v6: endpoint.v6.map(|v6| v6.address),
                });
            }
        }
    }

    /// Takes a sandbox out of the table of names, and stops serving it.
    pub(super) fn forget_names(&self, sandbox: &LiveSandbox) {
        let live = lock(&sandbox.live);
        for (endpoint, held) in live.record.endpoints.iter().zip(&live.held) {
            if held.place.0.has_names() {
                self.names.remove(&endpoint.network, &endpoint.id);
            }
        }
        if live.record.dns.is_some() {
            self.dns.stop(&live.record.container_id);
        }
    }
}

/// The wishes, with the host ports that were given for those that left them open.
fn with_ports_of(wanted: &[PortRequest], given: &[Reserved]) -> Vec<PortRequest> {
    let mut used: Vec<usize> = Vec::new();
    let mut settled = Vec::with_capacity(wanted.len());
    for wish in wanted {
        let fits = |(at, port): &(usize, &Reserved)| {
            !used.contains(at)
                && port.published.container_port == wish.container_port
                && port.published.proto == wish.proto
                && wish.host_ip.is_none_or(|ip| ip == port.published.host_ip)
        };
        let first = given.iter().enumerate().find(fits);
        let mut wish = wish.clone();
        if let Some((at, port)) = first {
            let number = port.published.host_port;
            // Both families have one number.
            let same = |(_, other): &(usize, &Reserved)| {
                let (one, other) = (&port.published, &other.published);
                (other.container_port, other.proto, other.host_port)
                    == (one.container_port, one.proto, number)
            };
            used.push(at);
            used.extend(given.iter().enumerate().filter(same).map(|(at, _)| at));
            wish.host_port = crate::ports::PortChoice::Exact(number);
        }
        settled.push(wish);
    }
    settled
}
