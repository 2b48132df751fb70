//! Every container of one daemon.

use std::sync::Arc;

use gantry_api_types::network::NetworkResource;
use gantry_image::ImageUser;
use gantry_oci::Digest;

use crate::config::{EngineConfig, Parts};
use crate::events::Events;
use crate::{Container, Exec, LookupError, RecoverError};

/// The containers; clones share them.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) parts: Parts,
    pub(crate) config: EngineConfig,
    pub(crate) events: Events,
}

impl Engine {
    /// Finds again what an earlier daemon left, and starts what restart policies want.
    ///
    /// # Errors
    /// [`RecoverError`]; a single container that cannot be recovered is logged and marked dead.
    pub async fn recover(parts: Parts, config: EngineConfig) -> Result<Engine, RecoverError> {
        todo!("{parts:?} {config:?}")
    }

    /// Ends the work in progress and the drivers. Containers run on.
    pub async fn shutdown(&self) {
        todo!()
    }

    /// A container by full id, name (with or without the slash) or unique id prefix.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn container(&self, name: &str) -> Result<Container, LookupError> {
        todo!("{name}")
    }

    /// Every container, newest first.
    #[must_use]
    pub fn containers(&self) -> Vec<Container> {
        todo!()
    }

    /// An exec by id.
    ///
    /// # Errors
    /// [`LookupError::NoExec`].
    pub fn exec(&self, id: &str) -> Result<Exec, LookupError> {
        todo!("{id}")
    }

    /// What happens.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The engine's settings.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// The services below.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> &gantry_image::Images {
        &self.0.parts.images
    }

    /// The volumes; for removal and prune see [`Engine::volume_users`].
    #[must_use]
    pub fn volumes(&self) -> &gantry_volume::Volumes {
        &self.0.parts.volumes
    }

    /// The ids of the containers that use a volume.
    #[must_use]
    pub fn volume_users(&self, name: &str) -> Vec<String> {
        todo!("{name}")
    }

    /// The containers that use an image.
    #[must_use]
    pub fn image_users(&self, id: &Digest) -> Vec<ImageUser> {
        todo!("{id}")
    }

    /// The networks: `bridge`, `host` and `none`, filtered.
    #[must_use]
    pub fn networks(&self) -> Vec<NetworkResource> {
        todo!()
    }

    /// One network by name or id, with its containers.
    ///
    /// # Errors
    /// [`LookupError::NoNetwork`].
    pub fn network(&self, name: &str) -> Result<NetworkResource, LookupError> {
        todo!("{name}")
    }
}
