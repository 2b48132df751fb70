//! The default bridge network.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::{Semaphore, oneshot};

use crate::address::{Ipv4Cidr, MacAddr};
use crate::bridge;
use crate::config::{BridgeInfo, NetworkConfig};
use crate::endpoint::{Endpoint, EndpointRecord, JoinRequest};
use crate::error::{JoinError, NetworkError};
use crate::firewall::{
    self, Firewall, FirewallOptions, GatewayMode, NetworkRules, Reach, ReachQuery, Redirect,
    Report, SubnetRules,
};
use crate::ipam::{Addresses, ClaimError, Lease, lock};
use crate::namespace::{self, Plan, Prepared, random_hex};
use crate::netlink::socket::{Refused, Socket};
use crate::pool::{self, Maker, Pool};
use crate::ports::Proto;
use crate::reserve::{self, PortDefaults, PortTable, Reserved};

/// Namespaces made at once. The kernel makes links one after the other anyway.
const MAKERS: usize = 4;

/// Most TCP ports that are published on the caller's own thread.
const QUICK_PORTS: usize = 64;

/// A handle on the network; clones are the same network.
#[derive(Debug, Clone)]
pub struct Networks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    config: NetworkConfig,
    bridge: BridgeInfo,
    plan: Plan,
    port_defaults: PortDefaults,
    host: Arc<Mutex<Socket>>,
    addresses: Arc<Mutex<Addresses>>,
    ports: Arc<Mutex<PortTable>>,
    /// Locked before `endpoints` where both are.
    firewall: Arc<Mutex<Firewall>>,
    endpoints: Mutex<HashMap<String, Held>>,
    pool: Pool,
    makers: Semaphore,
    filling: AtomicBool,
    closed: AtomicBool,
}

/// What an endpoint has; all of it is free again when this is dropped.
#[derive(Debug)]
struct Held {
    lease: Lease,
    ports: Vec<Reserved>,
}

impl Held {
    fn redirects(&self, network: &str) -> Vec<Redirect> {
        let container = Some(self.lease.address());
        self.ports.iter().filter_map(|port| port.redirect(network, container, None)).collect()
    }
}

impl Networks {
    /// Sets up bridge and firewall table, or takes over those that stand.
    ///
    /// Must be called in the network namespace that the bridge shall be in.
    ///
    /// # Errors
    /// [`NetworkError`] naming the step.
    pub async fn open(config: NetworkConfig) -> Result<Networks, NetworkError> {
        let inner = blocking(move || Inner::open(config)).await??;
        Ok(Networks(Arc::new(inner)))
    }

    /// The bridge.
    #[must_use]
    pub fn bridge(&self) -> BridgeInfo {
        self.0.bridge.clone()
    }

    /// Gives a container a namespace with an address, and publishes its ports.
    ///
    /// If the caller stops waiting, all is undone.
    ///
    /// # Errors
    /// [`JoinError`]; nothing is kept then.
    pub async fn join(&self, request: JoinRequest) -> Result<Endpoint, JoinError> {
        let (answer, joined) = oneshot::channel();
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let result = Inner::join(&inner, request).await;
            inner.pool.wake();
            if let Err(Ok(unwanted)) = answer.send(result)
                && let Err(error) = Inner::leave(&inner, &unwanted.record.id).await
            {
                tracing::warn!(?error, "an abandoned join could not be undone");
            }
        });
        joined.await.map_err(|_| JoinError::Closed)?
    }

    /// Withdraws the ports and releases the address. A second call does nothing.
    ///
    /// # Errors
    /// [`NetworkError::Firewall`]; the endpoint then stands, and `leave` can be called again.
    pub async fn leave(&self, endpoint: &EndpointRecord) -> Result<(), NetworkError> {
        Inner::leave(&self.0, &endpoint.id).await
    }

    /// Claims address and ports of a container that ran on while the daemon was away.
    ///
    /// # Errors
    /// [`NetworkError::Adopt`] if another endpoint has its address or one of its ports.
    pub async fn adopt(&self, endpoint: &EndpointRecord) -> Result<(), NetworkError> {
        let inner = &self.0;
        let refused = || NetworkError::Adopt(endpoint.address);
        if lock(&inner.endpoints).contains_key(&endpoint.id) {
            return Ok(());
        }
        let lease = Lease::claim(&inner.addresses, endpoint.address).map_err(|_| refused())?;
        let readopt = |port| reserve::readopt(&inner.ports, port);
        let ports: Result<Vec<Reserved>, JoinError> = endpoint.ports.iter().map(readopt).collect();
        let ports = ports.map_err(|error| {
            tracing::warn!(?error, endpoint = endpoint.id, "a published port is not ours");
            refused()
        })?;
        let held = Held { lease, ports };
        lock(&inner.firewall).adopt(&endpoint.id, &held.redirects(&inner.bridge.id));
        lock(&inner.endpoints).insert(endpoint.id.clone(), held);
        Ok(())
    }

    /// Makes the published ports exactly those of the endpoints there are, and starts the pool.
    ///
    /// # Errors
    /// [`NetworkError::Firewall`].
    pub async fn finish_adoption(&self) -> Result<(), NetworkError> {
        self.restore_rules().await?;
        let inner = &self.0;
        let first = !inner.filling.swap(true, Ordering::AcqRel);
        if first {
            tokio::spawn(firewall::guard(Arc::downgrade(&inner.firewall)));
        }
        if first && inner.config.pool_size > 0 && !inner.is_closed() {
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

    /// Stops the pool. Containers, bridge and rules stay.
    pub async fn close(&self) {
        let inner = &self.0;
        inner.closed.store(true, Ordering::Release);
        inner.pool.wake();
        inner.pool.clear();
    }

    /// Removes bridge and table, and what was saved.
    ///
    /// # Errors
    /// The first [`NetworkError`]; everything that could be removed is.
    pub async fn destroy(&self) -> Result<(), NetworkError> {
        self.close().await;
        let inner = Arc::clone(&self.0);
        blocking(move || {
            lock(&inner.endpoints).clear();
            let table = lock(&inner.firewall).remove();
            let link = bridge::remove(&mut lock(&inner.host), &inner.config);
            table.and(link)
        })
        .await?
    }
}

impl Inner {
    fn open(config: NetworkConfig) -> Result<Inner, NetworkError> {
        let mut host = Socket::route().map_err(NetworkError::Socket)?;
        let bridge = bridge::establish(&mut host, &config)?;
        let table = format!("gantry-{}", bridge.name);
        let mut firewall = Firewall::install(table, FirewallOptions::default())?;
        firewall.add_network(rules(&bridge, &config))?;
        let prefix_len = bridge.subnet.prefix_len();
        let gateway = Ipv4Cidr::new(bridge.gateway, prefix_len).expect("the prefix was read");
        Ok(Inner {
            plan: Plan {
                bridge: bridge.ifindex,
                gateway: bridge.gateway,
                prefix_len,
                mtu: bridge.mtu,
                port_flags: bridge::port_flags(config.icc),
            },
            port_defaults: PortDefaults {
                host_ip: config.default_host_ip,
                ephemeral: config.ephemeral_ports.clone(),
            },
            host: Arc::new(Mutex::new(host)),
            addresses: Arc::new(Mutex::new(Addresses::new(gateway, config.fixed_cidr))),
            ports: Arc::default(),
            firewall: Arc::new(Mutex::new(firewall)),
            endpoints: Mutex::default(),
            pool: Pool::new(config.pool_size),
            makers: Semaphore::new(MAKERS),
            filling: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            bridge,
            config,
        })
    }

    async fn join(inner: &Arc<Inner>, request: JoinRequest) -> Result<Endpoint, JoinError> {
        if let Some(mac) = request.mac.filter(|mac| !mac.is_unicast()) {
            return Err(JoinError::Mac(mac));
        }
        if inner.is_closed() {
            return Err(JoinError::Closed);
        }
        let ports = reserve::reserve(&inner.ports, &request.ports, &inner.port_defaults).await?;
        let mut prepared = match inner.pool.take(request.address) {
            Some(prepared) => prepared,
            None => match inner.make_for(&request).await {
                Err(error @ JoinError::NoAddress { .. }) => {
                    inner.pool.take_next().await.ok_or(error)?
                }
                other => other?,
            },
        };
        if let Some(mac) = request.mac.filter(|mac| *mac != prepared.mac) {
            prepared.set_mac(mac)?;
        }
        let id = random_hex(32)
            .map_err(|source| JoinError::Namespace { step: "drawing an endpoint id", source })?;
        let record = EndpointRecord {
            id,
            address: prepared.lease.address(),
            prefix_len: inner.plan.prefix_len,
            gateway: inner.plan.gateway,
            mac: prepared.mac.to_string(),
            host_interface: prepared.host_interface,
            ports: ports.iter().map(|port| port.published.clone()).collect(),
        };
        let held = Held { lease: prepared.lease, ports };
        let redirects = held.redirects(&inner.bridge.id);
        lock(&inner.endpoints).insert(record.id.clone(), held);
        if !redirects.is_empty()
            && let Err(error) = Inner::publish(inner, &record.id, redirects).await
        {
            lock(&inner.endpoints).remove(&record.id);
            return Err(error);
        }
        tracing::debug!(container = request.container_id, address = %record.address, "joined");
        Ok(Endpoint { record, netns: Arc::new(prepared.netns) })
    }

    async fn publish(
        inner: &Arc<Inner>,
        endpoint: &str,
        redirects: Vec<Redirect>,
    ) -> Result<(), JoinError> {
        let published = match inner.publish_at_once(endpoint, &redirects) {
            Some(published) => published,
            None => {
                let (inner, endpoint) = (Arc::clone(inner), endpoint.to_owned());
                let publish = move || lock(&inner.firewall).publish(&endpoint, &redirects);
                blocking(publish).await.map_err(|_| JoinError::Closed)?
            }
        };
        published.map_err(|refused| JoinError::Publish(refused.source))
    }

    /// Publishes on this thread what takes a tenth of a millisecond, less than waking another
    /// does; `None` if it would take longer, or have to wait.
    fn publish_at_once(
        &self,
        endpoint: &str,
        redirects: &[Redirect],
    ) -> Option<Result<(), Refused>> {
        let all_tcp = redirects.iter().all(|redirect| redirect.proto == Proto::Tcp);
        if redirects.len() > QUICK_PORTS || !all_tcp {
            return None;
        }
        let mut firewall = self.firewall.try_lock().ok()?;
        Some(firewall.publish(endpoint, redirects))
    }

    async fn leave(inner: &Arc<Inner>, id: &str) -> Result<(), NetworkError> {
        let Some(held) = lock(&inner.endpoints).remove(id) else {
            return Ok(());
        };
        if !held.ports.is_empty() {
            let (inner, id) = (Arc::clone(inner), id.to_owned());
            blocking(move || {
                let done = lock(&inner.firewall).withdraw(&id, &[held.lease.address().into()]);
                if done.is_err() {
                    lock(&inner.endpoints).insert(id, held);
                }
                done
            })
            .await??;
        }
        inner.pool.wake();
        Ok(())
    }

    /// A namespace on the spot: the pool is empty, or the wish is special.
    async fn make_for(&self, request: &JoinRequest) -> Result<Prepared, JoinError> {
        let lease = match request.address {
            None => self.any_lease()?,
            Some(address) => {
                Lease::claim(&self.addresses, address).map_err(|error| match error {
                    ClaimError::NotAHost => JoinError::AddressOutside { address },
                    ClaimError::Taken => JoinError::AddressInUse(address),
                })?
            }
        };
        self.make_with(lease, request.mac).await
    }

    async fn make_with(&self, lease: Lease, mac: Option<MacAddr>) -> Result<Prepared, JoinError> {
        let _permit = self.makers.acquire().await.map_err(|_| JoinError::Closed)?;
        namespace::make(Arc::clone(&self.host), self.plan.clone(), lease, mac).await
    }

    fn any_lease(&self) -> Result<Lease, JoinError> {
        Lease::allocate(&self.addresses)
            .ok_or_else(|| JoinError::NoAddress { network_id: self.bridge.id.clone() })
    }
}

impl Maker for Inner {
    fn pool(&self) -> &Pool {
        &self.pool
    }

    async fn make(&self) -> Result<Prepared, JoinError> {
        self.make_with(self.any_lease()?, None).await
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

fn rules(bridge: &BridgeInfo, config: &NetworkConfig) -> NetworkRules {
    NetworkRules {
        id: bridge.id.clone(),
        interface: bridge.name.clone(),
        v4: Some(SubnetRules {
            network: bridge.subnet.address(),
            prefix_len: bridge.subnet.prefix_len(),
            gateway: Some(bridge.gateway),
            mode: GatewayMode::Nat,
            masquerade: config.ip_masq,
            snat_to: None,
        }),
        v6: None,
        icc: config.icc,
        internal: false,
    }
}

/// Runs work that calls into the kernel on a thread that may block.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, NetworkError> {
    tokio::task::spawn_blocking(work).await.map_err(|_| NetworkError::Worker)
}
