//! Making a namespace agree with its record, when a daemon has died in the middle of a change.
//!
//! ```text
//! connect      interface made, not recorded yet           it is removed
//! disconnect   interface removed, still recorded          it is made again
//!              recorded as gone, interface still there    it is removed
//! ```
//!
//! Interfaces are known by the host's end: a container may rename its own, or have further ones.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::Inner;
use super::join::note_wired;
use crate::error::JoinError;
use crate::ipam::lock;
use crate::netlink::link::{self, ListedLink};
use crate::sandbox::plumb::{self, DefaultRoutes, Reroute, Wiring};
use crate::sandbox::{EndpointRecord, LiveSandbox};

impl Inner {
    /// Removes interfaces that the record has not, and makes those that it has and are gone.
    pub(super) async fn mend(&self, sandbox: &LiveSandbox) -> Result<(), JoinError> {
        let there = plumb::interfaces(Arc::clone(&sandbox.netns)).await?;
        let recorded = lock(&sandbox.live).record.endpoints.clone();
        let known: BTreeSet<&str> =
            recorded.iter().map(|endpoint| endpoint.host_interface.as_str()).collect();
        let indices: BTreeSet<u32> = there.iter().map(|link| link.peer).collect();
        let on_host = self.links_by_index(&indices)?;
        let other_end = |link: &ListedLink| {
            on_host.iter().find(|end| end.index == link.peer && end.peer == link.index)
        };
        let mut changed = false;
        for stray in &there {
            let Some(end) = other_end(stray) else { continue };
            if known.contains(end.name.as_str()) || !is_our_name(&end.name) {
                continue;
            }
            tracing::warn!(interface = stray.name, "an interface of an unfinished change goes");
            plumb::disconnect(Arc::clone(&sandbox.netns), stray.name.clone(), false).await?;
            changed = true;
        }
        let stands = |name: &str| on_host.iter().any(|end| end.name == name);
        for endpoint in recorded.iter().filter(|endpoint| !endpoint.host_interface.is_empty()) {
            if !stands(&endpoint.host_interface) && self.is_gone(&endpoint.host_interface)? {
                tracing::warn!(interface = endpoint.interface, "a lost interface is made again");
                self.rewire(sandbox, endpoint).await?;
                changed = true;
            }
        }
        if changed {
            let to = lock(&sandbox.live).routes();
            let reroute = Reroute { from: DefaultRoutes::default(), to };
            plumb::change_routes(Arc::clone(&sandbox.netns), reroute).await?;
        }
        Ok(())
    }

    fn links_by_index(&self, indices: &BTreeSet<u32>) -> Result<Vec<ListedLink>, JoinError> {
        let links = link::links(&mut self.host.socket())
            .map_err(|source| JoinError::Namespace { step: "listing the interfaces", source })?;
        Ok(links.into_iter().filter(|link| indices.contains(&link.index)).collect())
    }

    /// Whether the host's end is nowhere: it may have its other end in a namespace that the
    /// container has moved it to.
    fn is_gone(&self, host_interface: &str) -> Result<bool, JoinError> {
        crate::netlink::route::find_link(&mut self.host.socket(), host_interface)
            .map(|link| link.is_none())
            .map_err(|source| JoinError::Namespace { step: "finding the veth", source })
    }

    /// Makes the interface of an endpoint as it is recorded. Parameters of its own, which are not
    /// recorded, it has no more.
    async fn rewire(
        &self,
        sandbox: &LiveSandbox,
        endpoint: &EndpointRecord,
    ) -> Result<(), JoinError> {
        let network = Arc::clone(lock(&self.networks).find(&endpoint.network)?);
        let wiring = Wiring {
            interface: endpoint.interface.clone(),
            upper: self.upper(&network)?,
            mac: endpoint.mac.parse().ok(),
            mtu: network.mtu(),
            v4: endpoint.v4.and_then(|v4| v4.cidr()),
            v6: endpoint.v6.and_then(|v6| v6.cidr()),
            link_local: Vec::new(),
            sysctls: Vec::new(),
        };
        let without_ipv6 =
            endpoint.v6.is_some().then(|| lock(&sandbox.live).interfaces_without_ipv6());
        let (host, netns) = (Arc::clone(&self.host), Arc::clone(&sandbox.netns));
        let same = Reroute { from: DefaultRoutes::default(), to: DefaultRoutes::default() };
        let wired = plumb::connect(host, netns, wiring, without_ipv6, same).await?;
        let mut live = lock(&sandbox.live);
        if let Some(at) = live.position(&endpoint.network) {
            note_wired(&mut live.record.endpoints[at], wired);
        }
        Ok(())
    }
}

/// Whether a name is of the kind that the host's ends get.
fn is_our_name(name: &str) -> bool {
    name.strip_prefix("veth").is_some_and(|digits| {
        digits.len() == 7 && digits.bytes().all(|digit| digit.is_ascii_hexdigit())
    })
}
