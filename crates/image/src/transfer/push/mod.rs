//! An image goes to a registry under the tag that it has here.

mod layer;
mod layers;
mod plan;

use std::sync::Arc;

use futures_util::{FutureExt, future::try_join_all};
use gantry_archive::Compression;
use gantry_distribution::{At, Credentials, DistributionError, Repository};
use gantry_oci::{Descriptor, Digest, Platform, Reference, image::media};

use super::{Events, PushCompression, Step, TransferError, TransferEvent, Transfers, blocking};
use crate::{Image, ImageAction, ImageLease, Origin, state::DOCUMENT_MAX};
use layer::Upload;
use plan::Planner;

/// What is to be pushed.
#[derive(Clone, Debug)]
pub struct Push {
    /// The name; without a tag all tags of the repository are meant.
    pub reference: Reference,
    /// The platform that the image must be for.
    pub platform: Option<Platform>,
    /// What layers are compressed with that have no compressed blob, if not as it is set.
    pub compression: Option<PushCompression>,
    /// For the registry.
    pub credentials: Credentials,
}

/// A tag that was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The name.
    pub reference: Reference,
    /// What it points at now.
    pub descriptor: Descriptor,
}

/// A manifest on its way, and the index that is to point at it.
struct Ready {
    manifest: Descriptor,
    bytes: bytes::Bytes,
    index: Option<(Descriptor, bytes::Bytes)>,
}

impl Transfers {
    /// Pushes an image, or all tags of a repository.
    ///
    /// # Errors
    /// When nothing here has the name, or the registry refuses.
    pub async fn push(&self, push: &Push, events: &Events) -> Result<Vec<Pushed>, TransferError> {
        if push.reference.digest().is_some() {
            return Err(TransferError::PushDigest);
        }
        let repository = self.0.client.repository(&push.reference, &push.credentials).await?;
        let name = push.reference.name();
        events.line("", format!("The push refers to repository [{name}]")).await;
        let own: Vec<Reference> = self
            .0
            .images
            .list()
            .iter()
            .flat_map(|image| image.names.clone())
            .filter(|own| own.name() == name)
            .collect();
        if own.is_empty() {
            return Err(TransferError::NoRepository(push.reference.familiar_name()));
        }
        let wanted = match push.reference.tag() {
            Some(_) => vec![push.reference.clone()],
            None => {
                let mut own = own;
                own.sort_unstable();
                own
            }
        };
        let mut pushed = Vec::new();
        for reference in wanted {
            let one = self.push_one(&repository, &reference, push, events).boxed().await;
            pushed.push(one.map_err(|error| match error {
                TransferError::Registry(error @ DistributionError::NoBasicCredentials { .. }) => {
                    TransferError::NoCredentials(error)
                }
                error => error,
            })?);
        }
        Ok(pushed)
    }

    async fn push_one(
        &self,
        repository: &Repository,
        reference: &Reference,
        push: &Push,
        events: &Events,
    ) -> Result<Pushed, TransferError> {
        let (image, lease) = self
            .0
            .images
            .resolve_leased(&reference.canonical())
            .map_err(|_| TransferError::NoTag(reference.familiar()))?;
        if let Some(wanted) = &push.platform
            && !image.config.platform().matches(wanted)
        {
            return Err(TransferError::Platform {
                reference: reference.familiar(),
                wanted: wanted.to_string(),
                actual: image.config.platform().to_string(),
            });
        }
        let ready = self.send(repository, reference, &image, push, events).await?;
        let tag = reference.tag().unwrap_or("latest").to_owned();
        let top = put(repository, &ready, &tag).await?;
        let (digest, size_bytes) = (top.digest.clone(), top.size);
        events.line(&tag, format!("digest: {digest} size: {size_bytes}")).await;
        events.tell(TransferEvent::Pushed { tag, digest, size_bytes }).await;
        self.note(reference, image, lease, ready, &top).await?;
        let mut event =
            self.0.images.event(ImageAction::Push, &Digest::of(&[]), &reference.familiar_name());
        event.id = reference.familiar();
        self.0.images.tell_event(event);
        Ok(Pushed { reference: reference.clone(), descriptor: top })
    }

    /// Brings an image's blobs to the registry; its manifest is what is left to do.
    async fn send(
        &self,
        repository: &Repository,
        reference: &Reference,
        image: &Arc<Image>,
        push: &Push,
        events: &Events,
    ) -> Result<Ready, TransferError> {
        let compression = push.compression.map(PushCompression::archive);
        let planner = self.planner(reference, compression).await;
        let of = Arc::clone(image);
        let plan = blocking(move || planner.plan(&of)).await??;
        // Docker tells of the topmost first.
        for upload in plan.uploads.iter().rev() {
            events.step(upload.id(), Step::Preparing).await;
        }
        let layers = plan
            .uploads
            .iter()
            .rev()
            .map(|upload| self.push_layer(repository, reference, upload, events));
        let config = self.push_config(repository, image);
        let (mut sent, ()) = futures_util::future::try_join(try_join_all(layers), config).await?;
        sent.reverse();
        match plan.kept {
            Some((origin, manifest)) => {
                let index = match (&origin.index, &push.platform) {
                    (Some(index), None) => self.whole_index(repository, &origin, index).await?,
                    _ => None,
                };
                Ok(Ready { manifest: origin.manifest, bytes: manifest.into(), index })
            }
            None => {
                let bytes = plan::manifest(image, &sent)?;
                let manifest =
                    Descriptor::new(media::MANIFEST, Digest::of(&bytes), bytes.len() as u64);
                Ok(Ready { manifest, bytes: bytes.into(), index: None })
            }
        }
    }

    /// What plans pushes to a name. Without a compression it is the one that is set.
    async fn planner(&self, name: &Reference, compression: Option<Compression>) -> Planner {
        Planner {
            images: self.0.images.clone(),
            name: name.clone(),
            foreign_too: self.0.client.gets_nondistributable(name).await,
            compression: compression.unwrap_or(self.0.compression),
        }
    }

    async fn push_config(
        &self,
        repository: &Repository,
        image: &Image,
    ) -> Result<(), TransferError> {
        let raw = bytes::Bytes::copy_from_slice(&image.raw_config);
        let config = Descriptor::new(media::CONFIG, image.id.clone(), raw.len() as u64);
        repository.push_blob(raw, Some(&config), &[]).await?;
        Ok(())
    }

    /// The index that an image came with, if everything else that it lists is there already.
    async fn whole_index(
        &self,
        repository: &Repository,
        origin: &Origin,
        index: &Descriptor,
    ) -> Result<Option<(Descriptor, bytes::Bytes)>, TransferError> {
        let (content, digest) = (self.0.images.0.content.clone(), index.digest.clone());
        let raw = blocking(move || content.read(&digest, DOCUMENT_MAX)).await??;
        let parsed: gantry_oci::Index = serde_json::from_slice(&raw).map_err(|source| {
            TransferError::Document { what: "index", digest: index.digest.clone(), source }
        })?;
        let others = parsed.manifests.iter().filter(|one| one.digest != origin.manifest.digest);
        for other in others {
            if repository.resolve(&At::Digest(other.digest.clone())).await.is_err() {
                return Ok(None);
            }
        }
        Ok(Some((index.clone(), raw.into())))
    }

    /// Notes what the registry has now.
    async fn note(
        &self,
        reference: &Reference,
        image: Arc<Image>,
        lease: ImageLease,
        ready: Ready,
        top: &Descriptor,
    ) -> Result<(), TransferError> {
        let (images, name) = (self.0.images.clone(), reference.with_digest(top.digest.clone()));
        let origin = Origin {
            repository: reference.name(),
            manifest: ready.manifest,
            index: ready.index.as_ref().map(|(index, _)| index.clone()),
        };
        let bytes = ready.bytes;
        blocking(move || {
            let mut kept = images.0.content.lease();
            kept.add(&origin.manifest.digest);
            images.0.content.put_as(&origin.manifest.digest, &bytes)?;
            let noted = images.note_origin(&image.id, origin, &name);
            drop(lease);
            noted
        })
        .await??;
        Ok(())
    }

    async fn push_layer(
        &self,
        repository: &Repository,
        reference: &Reference,
        upload: &Upload,
        events: &Events,
    ) -> Result<Descriptor, TransferError> {
        if self.0.uploads.available_permits() == 0 {
            events.step(upload.id(), Step::Waiting).await;
        }
        let _permit = self.0.uploads.acquire().await.map_err(|_| TransferError::Interrupted)?;
        let blob = upload.send(&self.0.images, repository, reference, events).await?;
        if upload.is_kept_back() {
            return Ok(blob);
        }
        let (images, layer) = (self.0.images.clone(), upload.record(&blob));
        let (made, name) = (upload.is_made(), reference.name());
        blocking(move || images.note_places(&[layer], made, &name)).await??;
        Ok(blob)
    }
}

/// Puts the manifest, and the index if all that it lists is there; tells what the tag points at.
async fn put(
    repository: &Repository,
    ready: &Ready,
    tag: &str,
) -> Result<Descriptor, DistributionError> {
    let at = At::Tag(tag.to_owned());
    let (manifest, bytes) = (&ready.manifest, ready.bytes.clone());
    match &ready.index {
        Some((index, raw)) => {
            let inner = At::Digest(manifest.digest.clone());
            repository.push_manifest(bytes, &manifest.media_type, &inner).await?;
            repository.push_manifest(raw.clone(), &index.media_type, &at).await?;
            Ok(index.clone())
        }
        None => {
            repository.push_manifest(bytes, &manifest.media_type, &at).await?;
            Ok(manifest.clone())
        }
    }
}
