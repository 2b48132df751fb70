//! Namespaces that stand ready on busy networks: made, handed out, withdrawn.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::Inner;
use super::join::{Outline, endpoint_id, note_wired, record_of};
use crate::error::JoinError;
use crate::ipam::lock;
use crate::network::Network;
use crate::network::ready::ReadyEndpoint;
use crate::sandbox::plumb::{self, DefaultRoutes};
use crate::sandbox::{
    EndpointRecord, EndpointRequest, Gateways, Held, JoinRequest, Live, LiveSandbox, SandboxRecord,
};

/// Pause before the next is made: the container that took the last is being started right now, and
/// shall have the processors for itself.
const YIELD_PAUSE: Duration = Duration::from_millis(10);
/// Pause after one could not be made.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// Where fewer addresses are free than these, they are for containers alone.
const SPARE_ADDRESSES: u64 = 16;

impl Inner {
    /// The quick way of a container with one endpoint that wants nothing special; `None` if no
    /// namespace stands ready for it.
    pub(super) async fn join_ready(
        &self,
        request: &JoinRequest,
    ) -> Result<Option<Arc<LiveSandbox>>, JoinError> {
        let [wish] = request.endpoints.as_slice() else { return Ok(None) };
        if !wish.is_plain() || wish.address.is_some() || wish.mac.is_some() {
            return Ok(None);
        }
        let network = Arc::clone(lock(&self.networks).find(&wish.network)?);
        // Whoever had other addresses before gets them again, if they are free.
        let ready = match (wish.preferred, wish.preferred6) {
            (None, None) => network.ready.take(None),
            (Some(address), None) => network.ready.take(Some(address)),
            (_, Some(_)) => None,
        };
        let Some(ready) = ready else { return Ok(None) };
        self.settle_in(&network, ready, request).await.map(Some)
    }

    async fn settle_in(
        &self,
        network: &Arc<Network>,
        mut ready: ReadyEndpoint,
        request: &JoinRequest,
    ) -> Result<Arc<LiveSandbox>, JoinError> {
        let wish = &request.endpoints[0];
        let Ok(place) = self.place(network) else {
            self.discard(vec![ready]);
            return Err(JoinError::Removed(network.record.name.clone()));
        };
        let endpoint = EndpointRecord {
            gw_priority: wish.gw_priority,
            aliases: wish.aliases.clone(),
            links: wish.links.clone(),
            ..ready.record.clone()
        };
        let held = Held { place, v4: ready.v4.take(), v6: ready.v6.take() };
        let record = SandboxRecord { endpoints: vec![endpoint], ..record_of(request.clone()) };
        let mut live = Live { record, held: vec![held], ports: Vec::new() };
        match self.reserve_for(&live.record.wanted_ports, &live.outlets()).await {
            Ok(ports) => live.ports = ports,
            Err(error) => {
                // The addresses are free once the port passes nothing any more.
                self.discard(vec![ready]);
                return Err(error);
            }
        }
        live.settle();
        let sandbox = LiveSandbox::new(Arc::new(ready.netns), live);
        *lock(&sandbox.sysfs) = ready.sysfs;
        Ok(Arc::new(sandbox))
    }

    /// Notes that a container has joined; on networks where one comes after the other, namespaces
    /// stand ready from then on.
    pub(super) fn note_joins(inner: &Arc<Inner>, record: &SandboxRecord) {
        let [endpoint] = record.endpoints.as_slice() else { return };
        let found = lock(&inner.networks).find(&endpoint.network).map(Arc::clone);
        let Ok(network) = found else { return };
        let is_theirs = network.bridge().is_some() && !Arc::ptr_eq(&network, &inner.default);
        if is_theirs && inner.config.pool_size > 0 && network.ready.note_join(Instant::now()) {
            tokio::spawn(keep_ready(Arc::downgrade(inner), Arc::downgrade(&network)));
        }
    }

    /// Has one more stand ready.
    async fn add_ready(&self, network: &Arc<Network>) -> Result<(), JoinError> {
        let making = network.ready.making.lock().await;
        let unwanted = network.ready.put(self.make_ready(network).await?);
        drop(making);
        self.discard(unwanted.into_iter().collect());
        Ok(())
    }

    async fn make_ready(&self, network: &Arc<Network>) -> Result<ReadyEndpoint, JoinError> {
        let wish = EndpointRequest::on(network.record.id.clone());
        let Outline { mut record, v4, v6, wiring } = self.outline(network, wish, &[], &[])?;
        record.id = endpoint_id()?;
        let routes = routes(network, &record);
        let made = {
            let _permit = self.makers.acquire().await.map_err(|_| JoinError::Closed)?;
            plumb::make(Arc::clone(&self.host), vec![wiring], routes, true).await?
        };
        for wired in made.wired {
            note_wired(&mut record, wired);
        }
        Ok(ReadyEndpoint { netns: made.netns, sysfs: made.sysfs, record, v4, v6 })
    }

    /// Lets go of ready namespaces: cut off first, so that their addresses have no trace of them.
    pub(super) fn discard(&self, ready: Vec<ReadyEndpoint>) {
        self.disable_ports(ready.iter().map(|ready| ready.record.host_interface.as_str()));
    }

    /// The same for all networks, at the end.
    pub(super) fn discard_all(&self) {
        let networks: Vec<Arc<Network>> = lock(&self.networks).all().map(Arc::clone).collect();
        for network in networks {
            self.discard(network.ready.close());
        }
    }
}

/// Keeps namespaces ready on a network until it is a busy one no more, or gone.
async fn keep_ready(inner: Weak<Inner>, network: Weak<Network>) {
    loop {
        tokio::time::sleep(YIELD_PAUSE).await;
        let (Some(inner), Some(network)) = (inner.upgrade(), network.upgrade()) else { return };
        let spare = network.v4.first().is_none_or(|pool| lock(pool).available() >= SPARE_ADDRESSES);
        if spare && network.ready.lacks() {
            if let Err(error) = inner.add_ready(&network).await {
                tracing::debug!(?error, "a network namespace could not be prepared");
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        } else {
            network.ready.wanted().await;
        }
        if let Some(left) = network.ready.cool(Instant::now()) {
            inner.discard(left);
            return;
        }
    }
}

/// The default routes of a namespace with this endpoint alone.
fn routes(network: &Network, record: &EndpointRecord) -> DefaultRoutes {
    let v4 = record.v4.and_then(|v4| v4.gateway);
    let v6 = record.v6.and_then(|v6| v6.gateway);
    let chosen = Gateways::choose(&[network.candidate(0, v4.is_some(), v6.is_some())]);
    let by = |interface: &String| interface.clone();
    DefaultRoutes {
        v4: chosen.v4.and(v4).map(|gateway| (by(&record.interface), gateway)),
        v6: chosen.v6.and(v6).map(|gateway| (by(&record.interface), gateway)),
    }
}
