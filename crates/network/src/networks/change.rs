//! Changing a sandbox that runs: connect, disconnect, other names.

use std::sync::Arc;

use super::Inner;
use super::join::{Draft, note_wired};
use crate::error::JoinError;
use crate::ipam::lock;
use crate::sandbox::plumb::{self, Reroute};
use crate::sandbox::{
    ContainerNames, EndpointRecord, EndpointRequest, Held, LiveSandbox, Outlets, SandboxRecord,
};

impl Inner {
    pub(super) async fn connect(
        inner: &Arc<Inner>,
        id: &str,
        wish: EndpointRequest,
    ) -> Result<SandboxRecord, JoinError> {
        let sandbox = inner.sandbox(id).ok_or_else(|| JoinError::NoSandbox(id.to_owned()))?;
        let _busy = inner.enter(id, &sandbox).await?;
        // Nobody else changes it meanwhile.
        let known = lock(&sandbox.live).record.clone();
        let mut names: Vec<String> =
            known.endpoints.iter().map(|endpoint| endpoint.interface.clone()).collect();
        let draft = inner.draft(&known.names.name, wish, &known.endpoints, &mut names).await?;
        let Draft { record, held, wiring } = draft;
        let network = record.network.clone();
        let (before, routes, without_ipv6) = {
            let mut live = lock(&sandbox.live);
            let first_ipv6 = record.v6.is_some() && !live.has_ipv6();
            let without_ipv6 = first_ipv6.then(|| live.interfaces_without_ipv6());
            let (before, from) = (live.outlets(), live.routes());
            live.record.endpoints.push(record);
            live.held.push(held);
            live.settle();
            (before, Reroute { from, to: live.routes() }, without_ipv6)
        };
        let (host, netns) = (Arc::clone(&inner.host), Arc::clone(&sandbox.netns));
        let wired = plumb::connect(host, netns, wiring, without_ipv6, routes).await;
        let wired = match wired {
            Ok(wired) => wired,
            Err(error) => {
                // The interface is gone already; what stood before stands.
                drop(take_out(&sandbox, &network));
                return Err(error);
            }
        };
        {
            let mut live = lock(&sandbox.live);
            if let Some(at) = live.position(&network) {
                note_wired(&mut live.record.endpoints[at], wired);
            }
        }
        let published = Inner::move_ports(inner, &sandbox, &before).await;
        let done = match published {
            Ok(()) => inner.serve_names(&sandbox).await,
            Err(error) => Err(error),
        };
        if let Err(error) = done {
            if let Err(error) = Inner::detach(inner, &sandbox, &network).await {
                tracing::warn!(id, ?error, "a failed connect could not be undone");
            }
            return Err(error);
        }
        Ok(lock(&sandbox.live).record.clone())
    }

    pub(super) async fn disconnect(
        inner: &Arc<Inner>,
        id: &str,
        network: &str,
    ) -> Result<SandboxRecord, JoinError> {
        let found = Arc::clone(lock(&inner.networks).find(network)?);
        let not_connected = || JoinError::NotConnected {
            container_id: id.to_owned(),
            network: found.record.name.clone(),
        };
        let sandbox = inner.sandbox(id).ok_or_else(not_connected)?;
        let busy = inner.enter(id, &sandbox).await?;
        if lock(&sandbox.live).position(&found.record.id).is_none() {
            return Err(not_connected());
        }
        Inner::detach_behind(inner, &sandbox, &found.record.id, busy).await?;
        Ok(lock(&sandbox.live).record.clone())
    }

    /// Waits until nothing else changes the sandbox; an error if it is gone by then.
    async fn enter(
        &self,
        id: &str,
        sandbox: &Arc<LiveSandbox>,
    ) -> Result<tokio::sync::OwnedMutexGuard<()>, JoinError> {
        let busy = Arc::clone(&sandbox.busy).lock_owned().await;
        let there = self.sandbox(id).is_some_and(|there| Arc::ptr_eq(&there, sandbox));
        if there { Ok(busy) } else { Err(JoinError::NoSandbox(id.to_owned())) }
    }

    /// Takes an endpoint out of routes, ports and names, and then away, all before it returns.
    async fn detach(
        inner: &Arc<Inner>,
        sandbox: &Arc<LiveSandbox>,
        network: &str,
    ) -> Result<(), JoinError> {
        let Some((endpoint, held)) = Inner::unplug(inner, sandbox, network).await? else {
            return Ok(());
        };
        let last = last_with_ipv6(sandbox, &endpoint);
        plumb::disconnect(Arc::clone(&sandbox.netns), endpoint.interface, last).await?;
        drop(held);
        Ok(())
    }

    /// The same, with the interface deleted behind the answer. Until that is done, the addresses
    /// are not free, and nothing else changes the sandbox.
    async fn detach_behind(
        inner: &Arc<Inner>,
        sandbox: &Arc<LiveSandbox>,
        network: &str,
        busy: tokio::sync::OwnedMutexGuard<()>,
    ) -> Result<(), JoinError> {
        let Some((endpoint, held)) = Inner::unplug(inner, sandbox, network).await? else {
            return Ok(());
        };
        let last = last_with_ipv6(sandbox, &endpoint);
        let (inner, netns) = (Arc::clone(inner), Arc::clone(&sandbox.netns));
        let Held { place, v4, v6 } = held;
        // The network itself can go at once.
        drop(place);
        tokio::spawn(async move {
            let interface = endpoint.interface.clone();
            if let Err(error) = plumb::disconnect(netns, interface.clone(), last).await {
                tracing::error!(interface, ?error, "a disconnected interface is left");
            }
            Inner::forget_flows(&inner, &endpoint).await;
            drop((v4, v6, busy));
        });
        Ok(())
    }

    /// Takes an endpoint out of the record, routes, ports and names; its interface stands.
    async fn unplug(
        inner: &Arc<Inner>,
        sandbox: &Arc<LiveSandbox>,
        network: &str,
    ) -> Result<Option<(EndpointRecord, Held)>, JoinError> {
        let before = state(sandbox);
        let Some((at, endpoint, held)) = take_out(sandbox, network) else { return Ok(None) };
        let reroute = Reroute { from: before.1, to: lock(&sandbox.live).routes() };
        let changed = reroute.from != reroute.to;
        let rerouted = match changed {
            true => plumb::change_routes(Arc::clone(&sandbox.netns), reroute.clone()).await,
            false => Ok(()),
        };
        let moved = match rerouted {
            Ok(()) => Inner::move_ports(inner, sandbox, &before.0).await,
            Err(error) => Err(error),
        };
        if let Err(error) = moved {
            let now = lock(&sandbox.live).outlets();
            put_back(sandbox, at, endpoint, held);
            let back = Reroute { from: reroute.to, to: reroute.from };
            if changed
                && let Err(error) = plumb::change_routes(Arc::clone(&sandbox.netns), back).await
            {
                tracing::warn!(?error, "a failed disconnect left other routes");
            }
            if let Err(error) = Inner::move_ports(inner, sandbox, &now).await {
                tracing::warn!(?error, "a failed disconnect left ports unpublished");
            }
            return Err(error);
        }
        if held.place.0.has_names() {
            inner.names.remove(&endpoint.network, &endpoint.id);
        }
        if let Err(error) = inner.serve_names(sandbox).await {
            tracing::warn!(?error, "names of the remaining networks");
        }
        Ok(Some((endpoint, held)))
    }

    pub(super) fn set_names(
        &self,
        id: &str,
        names: ContainerNames,
    ) -> Result<SandboxRecord, JoinError> {
        let sandbox = self.sandbox(id).ok_or_else(|| JoinError::NoSandbox(id.to_owned()))?;
        lock(&sandbox.live).record.names = names;
        self.tell_names(&sandbox);
        let record = lock(&sandbox.live).record.clone();
        Ok(record)
    }
}

fn state(sandbox: &LiveSandbox) -> (Outlets, plumb::DefaultRoutes) {
    let live = lock(&sandbox.live);
    (live.outlets(), live.routes())
}

/// Whether no endpoint with IPv6 is left without this one, which has it.
fn last_with_ipv6(sandbox: &LiveSandbox, gone: &EndpointRecord) -> bool {
    gone.v6.is_some() && !lock(&sandbox.live).has_ipv6()
}

fn take_out(sandbox: &LiveSandbox, network: &str) -> Option<(usize, EndpointRecord, Held)> {
    let mut live = lock(&sandbox.live);
    let at = live.position(network)?;
    let taken = (at, live.record.endpoints.remove(at), live.held.remove(at));
    live.settle();
    Some(taken)
}

fn put_back(sandbox: &LiveSandbox, at: usize, endpoint: EndpointRecord, held: Held) {
    let mut live = lock(&sandbox.live);
    live.record.endpoints.insert(at, endpoint);
    live.held.insert(at, held);
    live.settle();
}
