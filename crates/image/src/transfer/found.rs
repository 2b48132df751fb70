//! From a name in a registry to the manifest of an image.

use gantry_distribution::{At, Document, Repository};
use gantry_oci::{
    Descriptor, Digest, ImageConfig, Index, Manifest, Platform, Reference, image::media,
};

use super::{TransferError, choose};
use crate::Image;

/// What a name points at, followed to an image.
pub(super) struct Found {
    pub(super) manifest: Document,
    pub(super) parsed: Manifest,
    pub(super) index: Option<Document>,
}

impl Found {
    /// What the name points at.
    pub(super) fn top(&self) -> &Document {
        self.index.as_ref().unwrap_or(&self.manifest)
    }

    /// The digests that the image has in the registry: what the name points at, and its manifest.
    pub(super) fn digests(&self) -> Vec<Digest> {
        let mut digests = vec![self.top().descriptor.digest.clone()];
        digests.push(self.manifest.descriptor.digest.clone());
        digests.dedup();
        digests
    }

    /// Follows a name to the manifest of an image.
    pub(super) async fn at(
        repository: &Repository,
        name: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Self, TransferError> {
        let found = Self::of_any(repository, name, platform).await?;
        match found.parsed.config.media_type.as_str() {
            media::CONFIG | media::DOCKER_CONFIG | "" => Ok(found),
            other => Err(TransferError::Artifact {
                reference: name.familiar(),
                media_type: other.to_owned(),
            }),
        }
    }

    /// The same, of an image or of something else.
    pub(super) async fn of_any(
        repository: &Repository,
        name: &Reference,
        platform: Option<&Platform>,
    ) -> Result<Self, TransferError> {
        let top = repository.manifest(&At::of(name)).await?;
        if !media::is_index(&top.descriptor.media_type) {
            return Ok(Self { parsed: manifest(name, &top)?, manifest: top, index: None });
        }
        let index: Index = parse("index", &top)?;
        let Some(chosen) = choose::manifest(&index, platform) else {
            let host = Platform::host();
            let wanted = platform.unwrap_or(&host).to_string();
            return Err(TransferError::NoPlatform(wanted));
        };
        let inner = repository.manifest(&At::Digest(chosen.digest.clone())).await?;
        Ok(Self { parsed: manifest(name, &inner)?, manifest: inner, index: Some(top) })
    }
}

pub(super) fn fits(image: &Image, platform: Option<&Platform>) -> bool {
    platform.is_none_or(|wanted| image.config.platform().matches(wanted))
}

pub(super) fn check_platform(
    name: &Reference,
    config: &ImageConfig,
    platform: Option<&Platform>,
) -> Result<(), TransferError> {
    if !config.os.is_empty() && config.os != "linux" {
        return Err(TransferError::OtherOs(config.os.clone()));
    }
    match platform {
        Some(wanted) if !config.platform().matches(wanted) => Err(TransferError::Platform {
            reference: name.familiar(),
            wanted: wanted.to_string(),
            actual: config.platform().to_string(),
        }),
        _ => Ok(()),
    }
}

fn manifest(name: &Reference, document: &Document) -> Result<Manifest, TransferError> {
    let media_type = &document.descriptor.media_type;
    if !media::is_manifest(media_type) {
        return Err(TransferError::ManifestType {
            reference: name.familiar(),
            media_type: media_type.clone(),
        });
    }
    parse("manifest", document)
}

fn parse<T: serde::de::DeserializeOwned>(
    what: &'static str,
    document: &Document,
) -> Result<T, TransferError> {
    serde_json::from_slice(&document.bytes).map_err(|source| TransferError::Document {
        what,
        digest: document.descriptor.digest.clone(),
        source,
    })
}

/// A descriptor without what was said about its place.
pub(super) fn plain(descriptor: &Descriptor) -> Descriptor {
    Descriptor::new(&descriptor.media_type, descriptor.digest.clone(), descriptor.size)
}
