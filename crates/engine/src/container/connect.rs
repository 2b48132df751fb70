//! A container's networks while it exists: `network connect` and `network disconnect`.

use std::sync::Arc;

use gantry_api_types::network::EndpointSettings;
use gantry_network::SandboxRecord;
use gantry_store::Durability;

use super::Container;
use super::driver::{Ask, Driver};
use super::phase::Phase;
use crate::error::NetworkFault;
use crate::record::{ContainerRecord, NetworkMode};
use crate::{Engine, RemoveError, net};

impl Engine {
    /// Connects a container to a network: at once when it runs, at its next start when not.
    ///
    /// # Errors
    /// [`NetworkFault`]; nothing is changed then.
    pub async fn connect(
        &self,
        network: &str,
        container: &str,
        settings: EndpointSettings,
    ) -> Result<(), NetworkFault> {
        let container = self.container(container)?;
        let network = self.0.parts.networks.record(network)?.name;
        let connected = self.0.work.spawn(async move {
            let ask = |reply| Ask::Connect(network, Box::new(settings), reply);
            container.ask(ask).await.unwrap_or_else(|| Err(gone(&container)))
        });
        connected.await.unwrap_or_else(|error| Err(NetworkFault::Conflict(error.to_string())))
    }

    /// Disconnects a container from a network.
    ///
    /// # Errors
    /// [`NetworkFault`]; nothing is changed then.
    pub async fn disconnect(&self, network: &str, container: &str) -> Result<(), NetworkFault> {
        let container = self.container(container)?;
        let network = self.0.parts.networks.record(network)?.name;
        let disconnected = self.0.work.spawn(async move {
            let ask = |reply| Ask::Disconnect(network, reply);
            container.ask(ask).await.unwrap_or_else(|| Err(gone(&container)))
        });
        disconnected.await.unwrap_or_else(|error| Err(NetworkFault::Conflict(error.to_string())))
    }
}

impl Engine {
    /// Removes a link by its name `container/alias`; both containers stay.
    ///
    /// # Errors
    /// [`RemoveError::NoLink`].
    pub async fn remove_link(&self, name: &str) -> Result<(), RemoveError> {
        let missing = || RemoveError::NoLink(name.to_owned());
        let (parent, alias) = name.trim_start_matches('/').split_once('/').ok_or_else(missing)?;
        let container = self.container(parent).map_err(|_| missing())?;
        let ask = |reply| Ask::Unlink(alias.to_owned(), reply);
        container.ask(ask).await.unwrap_or_else(|| Err(missing()))
    }
}

fn gone(container: &Container) -> NetworkFault {
    NetworkFault::Gone(container.id().to_owned())
}

impl Driver {
    /// Adds a network to the container.
    pub(super) async fn connect(
        &mut self,
        network: &str,
        settings: EndpointSettings,
    ) -> Result<(), NetworkFault> {
        self.check_networking(network)?;
        let mut record = (*self.record).clone();
        record.endpoints.insert(network.to_owned(), settings.clone());
        let sandbox = match self.state.sandbox.clone() {
            Some(sandbox) if self.phase.is_up() => {
                let request = net::endpoint_request(&self.engine, &record, network, &settings)?;
                let networks = &self.engine.parts.networks;
                let changed = networks.connect(&self.cell.id, request).await?;
                Some((sandbox, changed))
            }
            _ => None,
        };
        self.keep_networks(record, sandbox, "connect", network).await
    }

    /// Takes a network from the container.
    pub(super) async fn disconnect(&mut self, network: &str) -> Result<(), NetworkFault> {
        self.check_networking(network)?;
        let mut record = (*self.record).clone();
        if record.endpoints.remove(network).is_none() {
            // Docker's words differ, and clients look for both.
            let the = if self.phase.is_up() { "" } else { "the " };
            return Err(NetworkFault::Forbidden(format!(
                "container {} is not connected to {the}network {network}",
                self.cell.id
            )));
        }
        let sandbox = match self.state.sandbox.clone() {
            Some(sandbox) if self.phase.is_up() => {
                let networks = &self.engine.parts.networks;
                let changed = networks.disconnect(&self.cell.id, network).await?;
                Some((sandbox, changed))
            }
            _ => None,
        };
        self.state.last_addresses.remove(network);
        self.keep_networks(record, sandbox, "disconnect", network).await
    }

    /// Forgets a link on the default bridge.
    pub(super) async fn unlink(&mut self, alias: &str) -> Result<(), RemoveError> {
        let mut record = (*self.record).clone();
        record.links.retain(|link| link.alias != alias);
        if record.links.len() == self.record.links.len() {
            return Err(RemoveError::NoLink(format!("{}/{alias}", self.record.name)));
        }
        let mut batch = self.engine.parts.store.batch();
        batch.put(&self.cell.id, &record);
        self.engine.parts.store.commit_async(batch, Durability::Durable).await?;
        self.record = Arc::new(record);
        self.show();
        Ok(())
    }

    /// Whether the networks of a container can change at all.
    fn check_networking(&self, network: &str) -> Result<(), NetworkFault> {
        if matches!(self.phase, Phase::Removing | Phase::Dead) {
            let id = &self.cell.id;
            let words = format!(
                "Container {id} is marked for removal and cannot be connected or disconnected to the network"
            );
            return Err(NetworkFault::Forbidden(words));
        }
        let refuse = |words: &str| Err(NetworkFault::Forbidden(words.to_owned()));
        match (self.record.network(), network) {
            (_, "host") => refuse(
                "container cannot be disconnected from host network or connected to host network",
            ),
            (NetworkMode::Host | NetworkMode::Container(_), _) => refuse(
                "container sharing network namespace with another container or host cannot be \
                 connected to any other network",
            ),
            (NetworkMode::None, _) | (_, "none") => refuse(
                "container cannot be connected to multiple networks with one of the networks in \
                 private (none) mode",
            ),
            _ => Ok(()),
        }
    }

    /// Records the networks as they are now, and tells the container by its files.
    async fn keep_networks(
        &mut self,
        record: ContainerRecord,
        sandbox: Option<(SandboxRecord, SandboxRecord)>,
        action: &str,
        network: &str,
    ) -> Result<(), NetworkFault> {
        let mut files = Ok(());
        if let Some((old, new)) = sandbox {
            files = net::follow_networks(&self.engine.config, &record, &old, &new);
            self.state.sandbox = Some(new);
        }
        let mut batch = self.engine.parts.store.batch();
        batch.put(&self.cell.id, &record).put(&self.cell.id, &self.state);
        self.record = Arc::new(record);
        self.show();
        self.engine.parts.store.commit_async(batch, Durability::Durable).await?;
        self.engine.tell_endpoint(action, network, &self.cell.id);
        files.map_err(|(path, source)| NetworkFault::File { path, source })
    }
}
