//! Taking over sandboxes of an earlier daemon.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::Inner;
use crate::address::Ip;
use crate::error::{JoinError, NetworkError};
use crate::ipam::{Lease, lock};
use crate::network::SharedAddresses;
use crate::reserve::{self, Reserved};
use crate::sandbox::{EndpointRecord, Held, Live, LiveSandbox, SandboxRecord};

impl Inner {
    pub(super) async fn adopt(
        inner: &Arc<Inner>,
        record: &SandboxRecord,
        netns: OwnedFd,
    ) -> Result<(), NetworkError> {
        let id = record.container_id.as_str();
        if inner.sandbox(id).is_some() {
            return Ok(());
        }
        let held = record
            .endpoints
            .iter()
            .map(|endpoint| inner.reclaim(endpoint))
            .collect::<Result<Vec<Held>, NetworkError>>()?;
        let readopt = |port| reserve::readopt(&inner.ports, port);
        let ports: Result<Vec<Reserved>, JoinError> = record.ports.iter().map(readopt).collect();
        let ports = ports.map_err(|error| {
            tracing::warn!(?error, id, "a published port is not ours");
            let addresses = record.endpoints.iter().flat_map(EndpointRecord::addresses);
            NetworkError::Adopt(addresses.last().unwrap_or(IpAddr::from([0; 4])))
        })?;
        let live = Live { record: record.clone(), held, ports };
        let redirects = live.redirects(&live.outlets());
        if !redirects.is_empty() {
            lock(&inner.firewall).adopt(id, &redirects);
        }
        let dns = live.dns();
        let sandbox = Arc::new(LiveSandbox::new(Arc::new(netns), live));
        lock(&inner.sandboxes).insert(id.to_owned(), Arc::clone(&sandbox));
        inner.tell_names(&sandbox);
        if let Err(error) = inner.mend(&sandbox).await {
            tracing::error!(id, ?error, "interfaces are not as they are recorded");
        }
        if let (Some(dns), Some(served)) = (dns, record.dns) {
            // Without names the container is worse off, but it runs.
            let served = match sandbox.netns.try_clone() {
                Ok(netns) => inner.dns.adopt(netns, dns, &served).await,
                Err(source) => Err(crate::dns::DnsError::Duplicate(source)),
            };
            if let Err(error) = served {
                tracing::error!(id, ?error, "a container's names are not served");
            }
        }
        Ok(())
    }

    /// Takes place and addresses of an endpoint again.
    fn reclaim(&self, endpoint: &EndpointRecord) -> Result<Held, NetworkError> {
        let network = lock(&self.networks).by_id(&endpoint.network).map(Arc::clone);
        let gone = || NetworkError::AdoptNetwork(endpoint.network_name.clone());
        let network = network.ok_or_else(gone)?;
        let place = network.enter().ok_or_else(gone)?;
        let v4 = endpoint.v4.map(|v4| reclaim(&network.v4, v4.address)).transpose()?;
        // IPv6 of the default bridge may have been switched off meanwhile: it ends with the
        // container then.
        let v6 = endpoint.v6.filter(|_| !network.v6.is_empty());
        let v6 = v6.map(|v6| reclaim(&network.v6, v6.address)).transpose()?;
        Ok(Held { place, v4, v6 })
    }
}

fn reclaim<A: Ip>(pools: &[SharedAddresses<A>], address: A) -> Result<Lease<A>, NetworkError> {
    let claim = |pool: &SharedAddresses<A>| Lease::claim(pool, address).ok();
    pools.iter().find_map(claim).ok_or_else(|| NetworkError::Adopt(address.into()))
}
