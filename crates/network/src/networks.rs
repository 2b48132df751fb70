//! The default bridge network.

use std::sync::Arc;

use crate::config::{BridgeInfo, NetworkConfig};
use crate::endpoint::{Endpoint, EndpointRecord, JoinRequest};
use crate::error::{JoinError, NetworkError};

/// A handle on the network; clones are the same network.
#[derive(Debug, Clone)]
pub struct Networks(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    bridge: BridgeInfo,
}

impl Networks {
    /// Sets up bridge and firewall table, or takes over those that stand.
    ///
    /// # Errors
    /// [`NetworkError`] naming the step.
    #[allow(clippy::unused_async)]
    pub async fn open(config: NetworkConfig) -> Result<Networks, NetworkError> {
        todo!("{config:?}")
    }

    /// The bridge.
    #[must_use]
    pub fn bridge(&self) -> BridgeInfo {
        self.0.bridge.clone()
    }

    /// Gives a container a namespace with an address, and publishes its ports.
    ///
    /// # Errors
    /// [`JoinError`]; nothing is kept then.
    pub async fn join(&self, request: JoinRequest) -> Result<Endpoint, JoinError> {
        todo!("{request:?}")
    }

    /// Withdraws the ports and releases the address. A second call does nothing.
    ///
    /// # Errors
    /// [`NetworkError::Firewall`].
    pub async fn leave(&self, endpoint: &EndpointRecord) -> Result<(), NetworkError> {
        todo!("{endpoint:?}")
    }

    /// Claims address and ports of a container that ran on while the daemon was away.
    ///
    /// # Errors
    /// [`NetworkError::Adopt`].
    pub async fn adopt(&self, endpoint: &EndpointRecord) -> Result<(), NetworkError> {
        todo!("{endpoint:?}")
    }

    /// Withdraws published ports that nobody claimed, and starts the pool.
    ///
    /// # Errors
    /// [`NetworkError::Firewall`].
    pub async fn finish_adoption(&self) -> Result<(), NetworkError> {
        todo!()
    }

    /// Stops the pool. Containers, bridge and rules stay.
    pub async fn close(&self) {
        todo!()
    }

    /// Removes bridge and table.
    ///
    /// # Errors
    /// [`NetworkError`]; everything that could be removed is.
    pub async fn destroy(&self) -> Result<(), NetworkError> {
        todo!()
    }
}
