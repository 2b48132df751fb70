//! A registry that listens.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use gantry_fault::{Fault, Kind};
use tokio::net::TcpListener;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    blobs::Directory,
    config::Config,
    http::{self, Io},
    index::Index,
    registry::{Parts, Registry},
    uploads::Uploads,
};

/// How long requests under way may take when the registry ends.
const DRAIN_MAX: Duration = Duration::from_secs(10);
/// Pause after a connection could not be accepted: most likely there are no descriptors left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Why a registry cannot run.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// Its directory cannot be used.
    #[error("cannot use {root}")]
    Root {
        /// The directory.
        root: String,
        /// The cause.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The address cannot be listened on.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl Fault for ServeError {
    fn kind(&self) -> Kind {
        Kind::Unavailable
    }
}

/// A registry that listens and does not answer yet.
pub struct Server {
    registry: Registry,
    listener: TcpListener,
    address: SocketAddr,
}

impl Server {
    /// Opens the registry's directory and listens.
    ///
    /// # Errors
    /// When the directory or the address cannot be used.
    pub async fn bind(config: Config) -> Result<Self, ServeError> {
        let root = config.root.clone();
        let unusable = |source: Box<dyn std::error::Error + Send + Sync>| ServeError::Root {
            root: root.display().to_string(),
            source,
        };
        let blobs = Directory::open(&root).map_err(|error| unusable(Box::new(error)))?;
        let index = Index::open(&root.join("registry.db"), config.limits.cache_bytes)
            .map_err(|error| unusable(Box::new(error)))?;
        let failed = |source| ServeError::Listen { address: config.listen.clone(), source };
        let listener = TcpListener::bind(&config.listen).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        let parts = Parts { config, index, blobs: Arc::new(blobs), uploads: Uploads::default() };
        Ok(Self { registry: Registry::new(parts), listener, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until told to end; requests under way then have some seconds to finish.
    pub async fn run(self, shutdown: CancellationToken) {
        let connections = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                () = shutdown.cancelled() => break,
                accepted = self.listener.accept() => accepted,
            };
            let stream = match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            // Answers are small or whole buffers: nothing is gained by waiting for more.
            let _ = stream.set_nodelay(true);
            let (registry, shutdown) = (self.registry.clone(), shutdown.clone());
            connections.spawn(http::serve(Io::Plain(stream), registry, shutdown));
        }
        drop(self.listener);
        connections.close();
        if tokio::time::timeout(DRAIN_MAX, connections.wait()).await.is_err() {
            tracing::warn!(connections = connections.len(), "requests are cut off");
        }
    }
}
