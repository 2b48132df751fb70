//! All networks of a daemon.

mod change;
mod create;
mod deliver;
mod join;
mod join_default;
mod leave;
mod mend;
mod open;
mod publish;
mod ready;
mod restore;
mod table;

use std::collections::{BTreeMap, HashMap};
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, Weak};

use gantry_store::Store;
use tokio::sync::Semaphore;

use self::deliver::deliver;
use self::leave::Flows;
use self::table::Table;
use crate::config::{BridgeInfo, NetworkConfig};
use crate::dns::{Dns, Names};
use crate::error::{CreateError, FindError, JoinError, NetworkError, RemoveError};
use crate::firewall::{self, Firewall, Reach, ReachQuery, Report};
use crate::host::Host;
use crate::ipam::lock;
use crate::namespace::{Leases, Plan, Prepared};
use crate::netlink::socket::Socket;
use crate::network::Network;
use crate::network::SharedAddresses;
use crate::network::info::{EndpointInfo, NetworkInfo};
use crate::network::link::Owner;
use crate::network::record::NetworkRecord;
use crate::network::request::CreateNetwork;
use crate::network::unlink::Unlinker;
use crate::pool::{self, Maker, Pool};
use crate::reserve::PortTable;
use crate::sandbox::{
    ContainerNames, EndpointRequest, JoinRequest, LiveSandbox, Sandbox, SandboxRecord,
};

/// Namespaces made at once. The kernel makes links one after the other anyway.
const MAKERS: usize = 4;

/// A handle on the networks; clones are the same.
#[derive(Debug, Clone)]
pub struct Networks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: NetworkConfig,
    store: Store,
    owner: Owner,
    bridge: BridgeInfo,
    default: Arc<Network>,
    plan: Plan,
    /// The addresses of the default bridge.
    addresses: SharedAddresses<Ipv4Addr>,
    host: Arc<Host>,
    /// Held while a network is made or removed: one at a time.
    management: Mutex<Socket>,
    unlinker: Unlinker,
    networks: Mutex<Table>,
    ports: Arc<Mutex<PortTable>>,
    firewall: Arc<Mutex<Firewall>>,
    sandboxes: Mutex<HashMap<String, Arc<LiveSandbox>>>,
    /// Those that are out of the table, but have their addresses still.
    leaving: Mutex<Vec<Weak<LiveSandbox>>>,
    flows: Flows,
    names: Names,
    dns: Dns,
    pool: Pool,
    makers: Semaphore,
    filling: AtomicBool,
    closed: AtomicBool,
}

impl Networks {
    /// Sets up the default bridge, the networks of the store, and the firewall, or takes over
    /// what stands of them.
    ///
    /// Must be called in the network namespace that the bridges shall be in. A network whose link
    /// cannot be had at the moment is there all the same; it is tried again when it is joined.
    ///
    /// # Errors
    /// [`NetworkError`] naming the step.
    pub async fn open(config: NetworkConfig, store: Store) -> Result<Networks, NetworkError> {
        let inner = blocking(move || Inner::open(config, store)).await??;
        Ok(Networks(Arc::new(inner)))
    }

    /// The default bridge.
    #[must_use]
    pub fn bridge(&self) -> BridgeInfo {
        self.0.bridge.clone()
    }

    /// Makes a network; its id.
    ///
    /// If the caller stops waiting, it is removed again.
    ///
    /// # Errors
    /// [`CreateError`]; nothing is kept then.
    pub async fn create(&self, request: CreateNetwork) -> Result<String, CreateError> {
        let (inner, networks) = (Arc::clone(&self.0), self.clone());
        let work = async move {
            let made = blocking(move || inner.create(request)).await;
            made.map_err(CreateError::from).flatten()
        };
        let undo = async move |unwanted: String| {
            if let Err(error) = networks.remove(&unwanted).await {
                tracing::warn!(?error, "a network that nobody waited for could not be removed");
            }
        };
        deliver(work, undo).await.ok_or(NetworkError::Worker)?
    }

    /// Removes a network by name, id or the beginning of its id; what it was.
    ///
    /// # Errors
    /// [`RemoveError`]; the network stays then.
    pub async fn remove(&self, name: &str) -> Result<NetworkInfo, RemoveError> {
        let (inner, name) = (Arc::clone(&self.0), name.to_owned());
        blocking(move || inner.remove(&name)).await?
    }

    /// All networks with their endpoints, by id.
    #[must_use]
    pub fn list(&self) -> Vec<NetworkInfo> {
        let networks: Vec<Arc<Network>> = lock(&self.0.networks).all().map(Arc::clone).collect();
        let mut endpoints = self.0.endpoints();
        let info = |network: &Arc<Network>| {
            network.info(endpoints.remove(&network.record.id).unwrap_or_default())
        };
        networks.iter().map(info).collect()
    }

    /// A network by id, name or the beginning of its id, with its endpoints.
    ///
    /// # Errors
    /// [`FindError`].
    pub fn find(&self, name: &str) -> Result<NetworkInfo, FindError> {
        let network = Arc::clone(lock(&self.0.networks).find(name)?);
        let endpoints = self.0.endpoints().remove(&network.record.id).unwrap_or_default();
        Ok(network.info(endpoints))
    }

    /// What a network was made as, without a look at its endpoints; see [`Networks::find`].
    ///
    /// # Errors
    /// [`FindError`].
    pub fn record(&self, name: &str) -> Result<NetworkRecord, FindError> {
        lock(&self.0.networks).find(name).map(|network| network.record.clone())
    }

    /// Gives a container a namespace with an endpoint on each of its networks, and publishes its
    /// ports.
    ///
    /// If the caller stops waiting, all is undone.
    ///
    /// # Errors
    /// [`JoinError`]; nothing is kept then.
    pub async fn join(&self, request: JoinRequest) -> Result<Sandbox, JoinError> {
        let (inner, owner) = (Arc::clone(&self.0), Arc::clone(&self.0));
        let work = async move {
            let joined = Inner::join(&inner, request).await;
            inner.pool.wake();
            joined
        };
        let undo = async move |unwanted: Sandbox| {
            if let Err(error) = Inner::leave(&owner, &unwanted.record.container_id).await {
                tracing::warn!(?error, "an abandoned join could not be undone");
            }
        };
        deliver(work, undo).await.ok_or(JoinError::Closed)?
    }

    /// Connects a running container to one more network; its record as it is then.
    ///
    /// If the caller stops waiting, it is undone.
    ///
    /// # Errors
    /// [`JoinError`]; nothing is changed then.
    pub async fn connect(
        &self,
        container_id: &str,
        request: EndpointRequest,
    ) -> Result<SandboxRecord, JoinError> {
        let (inner, owner) = (Arc::clone(&self.0), Arc::clone(&self.0));
        let (id, network) = (container_id.to_owned(), request.network.clone());
        let work = async move { Inner::connect(&inner, &id, request).await };
        let undo = async move |unwanted: SandboxRecord| {
            let undone = Inner::disconnect(&owner, &unwanted.container_id, &network).await;
            if let Err(error) = undone {
                tracing::warn!(?error, "an abandoned connect could not be undone");
            }
        };
        deliver(work, undo).await.ok_or(JoinError::Closed)?
    }

    /// Disconnects a running container from a network; its record as it is then.
    ///
    /// The interface is deleted behind the answer, which takes the kernel some 20 ms.
    ///
    /// # Errors
    /// [`JoinError`]; nothing is changed then.
    pub async fn disconnect(
        &self,
        container_id: &str,
        network: &str,
    ) -> Result<SandboxRecord, JoinError> {
        let inner = Arc::clone(&self.0);
        let (id, network) = (container_id.to_owned(), network.to_owned());
        let work = async move { Inner::disconnect(&inner, &id, &network).await };
        tokio::spawn(work).await.map_err(|_| JoinError::Closed)?
    }

    /// Gives a running container other names, as after `rename`; its record as it is then.
    ///
    /// # Errors
    /// [`JoinError::NoSandbox`].
    pub fn set_names(
        &self,
        container_id: &str,
        names: ContainerNames,
    ) -> Result<SandboxRecord, JoinError> {
        self.0.set_names(container_id, names)
    }

    /// The record of a container's sandbox, if it has one.
    #[must_use]
    pub fn sandbox(&self, container_id: &str) -> Option<SandboxRecord> {
        let sandbox = self.0.sandbox(container_id)?;
        let live = lock(&sandbox.live);
        Some(live.record.clone())
    }

    /// Takes a container's names away at once, ahead of [`Networks::leave`].
    pub fn forget_names(&self, container_id: &str) {
        if let Some(sandbox) = self.0.sandbox(container_id) {
            self.0.forget_names(&sandbox);
        }
    }

    /// Withdraws the ports, cuts the namespace off, releases the addresses, and lets go of it. A
    /// second call does nothing.
    ///
    /// # Errors
    /// [`NetworkError::Firewall`]; the sandbox then stands, and `leave` can be called again.
    pub async fn leave(&self, container_id: &str) -> Result<(), NetworkError> {
        Inner::leave(&self.0, container_id).await
    }

    /// Claims addresses and ports of a container that ran on while the daemon was away, and
    /// serves its names again. `netns` is its namespace, as of one of its processes.
    ///
    /// # Errors
    /// [`NetworkError::Adopt`] if another endpoint has one of its addresses or ports,
    /// [`NetworkError::AdoptNetwork`] if one of its networks is gone.
    pub async fn adopt(&self, record: &SandboxRecord, netns: OwnedFd) -> Result<(), NetworkError> {
        Inner::adopt(&self.0, record, netns).await
    }

    /// Makes the published ports exactly those of the sandboxes there are, and starts the pool
    /// and the guard of the firewall.
    ///
    /// # Errors
    /// [`NetworkError::Firewall`].
    pub async fn finish_adoption(&self) -> Result<(), NetworkError> {
        self.restore_rules().await?;
        let inner = &self.0;
        if inner.filling.swap(true, Ordering::AcqRel) || inner.is_closed() {
            return Ok(());
        }
        tokio::spawn(firewall::guard(Arc::downgrade(&inner.firewall)));
        if inner.config.pool_size > 0 {
            tokio::spawn(pool::fill(Arc::downgrade(inner)));
        }
        Ok(())
    }

    /// Writes the whole firewall table again, as after somebody flushed it.
    ///
    /// # Errors
    /// [`NetworkError::Firewall`].
    pub async fn restore_rules(&self) -> Result<(), NetworkError> {
        let inner = Arc::clone(&self.0);
        blocking(move || lock(&inner.firewall).settle()).await?
    }

    /// From where a container's port can be reached, and by which rule.
    #[must_use]
    pub fn why_reachable(&self, query: &ReachQuery) -> Vec<Reach> {
        lock(&self.0.firewall).explain(query)
    }

    /// The state of the firewall, of others' rules, and of what they depend on.
    ///
    /// # Errors
    /// [`NetworkError::Worker`].
    pub async fn firewall_report(&self) -> Result<Report, NetworkError> {
        let inner = Arc::clone(&self.0);
        blocking(move || lock(&inner.firewall).report()).await
    }

    /// Stops the pool. Containers, bridges and rules stay.
    pub async fn close(&self) {
        let inner = &self.0;
        inner.closed.store(true, Ordering::Release);
        inner.pool.wake();
        inner.pool.clear();
        inner.discard_all();
    }

    /// Removes bridges and table, and what was saved.
    ///
    /// # Errors
    /// The first [`NetworkError`]; everything that could be removed is.
    pub async fn destroy(&self) -> Result<(), NetworkError> {
        self.close().await;
        let inner = Arc::clone(&self.0);
        blocking(move || inner.destroy()).await?
    }
}

impl Inner {
    fn sandbox(&self, container_id: &str) -> Option<Arc<LiveSandbox>> {
        lock(&self.sandboxes).get(container_id).map(Arc::clone)
    }

    /// The endpoints of all sandboxes, those that leave too, by network, and on each by container.
    fn endpoints(&self) -> BTreeMap<String, Vec<EndpointInfo>> {
        let sandboxes: Vec<Arc<LiveSandbox>> = {
            let table = lock(&self.sandboxes);
            let leaving = lock(&self.leaving);
            let leaving = leaving.iter().filter_map(Weak::upgrade);
            table.values().map(Arc::clone).chain(leaving).collect()
        };
        let mut all: BTreeMap<String, Vec<EndpointInfo>> = BTreeMap::new();
        for sandbox in sandboxes {
            let live = lock(&sandbox.live);
            for endpoint in &live.record.endpoints {
                let v4 = endpoint.v4.and_then(|v4| v4.cidr()).map(|cidr| cidr.to_string());
                let v6 = endpoint.v6.and_then(|v6| v6.cidr()).map(|cidr| cidr.to_string());
                all.entry(endpoint.network.clone()).or_default().push(EndpointInfo {
                    container_id: live.record.container_id.clone(),
                    container_name: live.record.names.name.clone(),
                    id: endpoint.id.clone(),
                    mac: endpoint.mac.clone(),
                    v4: v4.unwrap_or_default(),
                    v6: v6.unwrap_or_default(),
                });
            }
        }
        for endpoints in all.values_mut() {
            endpoints.sort_by(|a, b| a.container_id.cmp(&b.container_id));
        }
        all
    }
}

impl Maker for Inner {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    async fn make(&self) -> Result<Prepared, JoinError> {
        let v6 = self.lease_v6(&EndpointRequest::default())?;
        self.make_with(Leases { v4: self.any_lease()?, v6 }, None).await
    }

    fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        // The filler holds no strong reference; it ends when it looks again.
        self.pool.wake();
    }
}

/// Runs work that calls into the kernel on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NetworkError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| NetworkError::Worker)
}
