//! What a registry tells of a name, without fetching an image.

use gantry_distribution::{At, Credentials};
use gantry_oci::{Descriptor, ImageConfig, Index, Manifest, Platform, Reference, image::media};

use super::{TransferError, Transfers};
use crate::state::DOCUMENT_MAX;

/// What a name points at in its registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// The index or manifest.
    pub descriptor: Descriptor,
    /// The platforms that it is for.
    pub platforms: Vec<Platform>,
}

impl Transfers {
    /// Asks a registry what a name points at.
    ///
    /// # Errors
    /// When the registry refuses or cannot be reached.
    pub async fn describe(
        &self,
        name: &Reference,
        credentials: &Credentials,
    ) -> Result<Described, TransferError> {
        let name = name.clone().or_latest();
        let repository = self.0.client.repository(&name, credentials).await?;
        let document = repository.manifest(&At::of(&name)).await?;
        let digest = &document.descriptor.digest;
        let wrong =
            |what| move |source| TransferError::Document { what, digest: digest.clone(), source };
        let descriptor = document.descriptor.clone();
        if media::is_index(&descriptor.media_type) {
            let index: Index = serde_json::from_slice(&document.bytes).map_err(wrong("index"))?;
            let platforms = index.manifests.into_iter().filter_map(|one| one.platform).collect();
            return Ok(Described { descriptor, platforms });
        }
        let manifest: Manifest =
            serde_json::from_slice(&document.bytes).map_err(wrong("manifest"))?;
        let kind = manifest.config.media_type.as_str();
        if !matches!(kind, media::CONFIG | media::DOCKER_CONFIG) {
            return Ok(Described { descriptor, platforms: Vec::new() });
        }
        let raw = repository.read_blob(&manifest.config, DOCUMENT_MAX).await?;
        let config: ImageConfig = serde_json::from_slice(&raw).map_err(wrong("configuration"))?;
        Ok(Described { descriptor, platforms: vec![config.platform()] })
    }
}
