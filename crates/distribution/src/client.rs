//! The client: what all repositories share.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use gantry_oci::Reference;
use gantry_web::{Proxies, Trust, Waits, Wire};
use hyper::header::HeaderValue;

use crate::{
    Credentials, DistributionError, Limits, Settings,
    auth::Auth,
    greet::Settled,
    hosts::{Endpoint, HUB, Hosts, fingerprint},
    repository::Repository,
    server::Server,
};

/// How many kinds of connections are kept apart; certificates that changed make new ones.
const WIRES_MAX: usize = 64;

/// Speaks to registries; clones share connections and tokens.
#[derive(Clone)]
pub struct Client(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub limits: Limits,
    pub auth: Auth,
    pub settled: Settled,
    pub hosts: Hosts,
    proxies: Arc<Proxies>,
    user_agent: HeaderValue,
    wires: Mutex<HashMap<(String, Duration), Wire>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("hosts", &self.0.hosts).finish_non_exhaustive()
    }
}

impl Client {
    /// A client.
    ///
    /// # Errors
    /// [`DistributionError::Host`] for mirrors and insecure registries that cannot be such.
    pub fn new(settings: Settings) -> Result<Self, DistributionError> {
        let user_agent = HeaderValue::from_str(&settings.user_agent);
        Ok(Self(Arc::new(Inner {
            hosts: Hosts::new(&settings.hosts)?,
            limits: settings.limits,
            auth: Auth::default(),
            settled: Settled::default(),
            proxies: Arc::new(settings.proxies),
            user_agent: user_agent.unwrap_or(HeaderValue::from_static("gantry")),
            wires: Mutex::default(),
        })))
    }

    /// One repository, asked for with these credentials of its registry.
    ///
    /// Reads what is configured for the registry; nothing is asked of it yet.
    ///
    /// # Errors
    /// [`DistributionError::File`] when that configuration is wrong.
    pub async fn repository(
        &self,
        name: &Reference,
        credentials: &Credentials,
    ) -> Result<Repository, DistributionError> {
        let servers = self.servers(name.domain(), credentials).await?;
        Ok(Repository::new(name.clone(), servers))
    }

    /// Whether a registry may get layers that are not for everybody to give away.
    pub async fn gets_nondistributable(&self, name: &Reference) -> bool {
        self.0.hosts.gets_nondistributable(name.domain()).await
    }

    /// The servers of a registry, in the order in which they are asked.
    pub(crate) async fn servers(
        &self,
        registry: &str,
        credentials: &Credentials,
    ) -> Result<Vec<Server>, DistributionError> {
        let credentials = Arc::new(credentials.clone());
        let endpoints = self.0.hosts.endpoints(registry).await?;
        endpoints.into_iter().map(|endpoint| Server::new(&self.0, endpoint, &credentials)).collect()
    }

    /// The registry itself, without its mirrors.
    pub(crate) async fn own_server(
        &self,
        registry: &str,
        credentials: &Credentials,
    ) -> Result<Server, DistributionError> {
        let servers = self.servers(registry, credentials).await?;
        let own = servers.into_iter().rev().find(|server| server.endpoint().is_own);
        own.ok_or_else(|| DistributionError::NoHost {
            registry: if registry == HUB { "Docker Hub".to_owned() } else { registry.to_owned() },
            action: "lists and logins",
        })
    }
}

impl Inner {
    /// The connections for an endpoint.
    pub(crate) fn wire(&self, endpoint: &Endpoint) -> Result<Wire, DistributionError> {
        self.wire_by(&endpoint.trust, endpoint.connect.unwrap_or(self.limits.connect))
    }

    /// The connections for a server of which nothing is known.
    pub(crate) fn plain_wire(&self) -> Result<Wire, DistributionError> {
        self.wire_by(&Trust::system(false), self.limits.connect)
    }

    fn wire_by(&self, trust: &Trust, connect: Duration) -> Result<Wire, DistributionError> {
        let key = (fingerprint(trust), connect);
        let mut wires = self.wires.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(wire) = wires.get(&key) {
            return Ok(wire.clone());
        }
        let waits = Waits { connect, answer: self.limits.answer, stall: self.limits.stall };
        let wire = Wire::new(trust, &self.proxies, waits, &self.user_agent)
            .map_err(|error| DistributionError::Authorities(error.to_string()))?;
        if wires.len() >= WIRES_MAX {
            wires.clear();
        }
        wires.insert(key, wire.clone());
        Ok(wire)
    }
}
