//! A name in a registry becomes an image here.

use std::{sync::Arc, time::Duration};

use futures_util::{
    FutureExt,
    future::{try_join, try_join_all},
};
use gantry_distribution::{At, Credentials, Repository};
use gantry_oci::{Descriptor, Digest, ImageConfig, Platform, Reference};

use super::{
    Events, Step, TransferError, Transfers, blocking,
    flight::Held,
    found::{Found, check_platform, fits, plain},
};
use crate::{
    Image, ImageAction, ImageError, ImageLease, LayerRecord, Origin,
    state::{DOCUMENT_MAX, NewImage},
};

/// How often it is looked whether what was given up still writes.
const QUIET_TRIES: u32 = 40;
/// The wait between.
const QUIET_WAIT: Duration = Duration::from_millis(50);

/// What is to be pulled.
#[derive(Clone, Debug)]
pub struct Pull {
    /// The name; `latest` is meant where it has neither a tag nor a digest.
    pub reference: Reference,
    /// All tags of the repository.
    pub all_tags: bool,
    /// The image gets no tag here, only the name by its digest.
    pub unnamed: bool,
    /// The platform; this machine's without one.
    pub platform: Option<Platform>,
    /// For the registry.
    pub credentials: Credentials,
}

/// An image that was pulled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pulled {
    /// The image.
    pub id: Digest,
    /// What the tag points at.
    pub digest: Digest,
    /// Whether the name stands for something else than before.
    pub changed: bool,
}

impl Pulled {
    /// The digests that an image which is here has in the registry: the name's and its manifest's.
    fn known_as(&self, image: &Image) -> Vec<Digest> {
        let mut digests = vec![self.digest.clone()];
        let origin = image.origins.iter().find(|origin| origin.top().digest == self.digest);
        digests.extend(origin.map(|origin| origin.manifest.digest.clone()));
        digests.dedup();
        digests
    }
}

/// An image that is whole, and what keeps its parts until it is recorded.
struct Whole {
    raw_config: Vec<u8>,
    config: ImageConfig,
    layers: Vec<LayerRecord>,
    _held: Vec<Arc<Held>>,
    _lease: Option<ImageLease>,
}

impl Transfers {
    /// Pulls an image, or all of a repository.
    ///
    /// # Errors
    /// When the registry or the disk fails; layers that came are kept for the next try.
    pub async fn pull(&self, pull: &Pull, events: &Events) -> Result<Vec<Pulled>, TransferError> {
        let pulled = self.pull_all(pull, events).await;
        if pulled.as_ref().is_err_and(TransferError::is_full) {
            self.give_back().await;
        }
        pulled
    }

    /// Gives back the room of what came in part: where there is none left, others need it more
    /// than the next try. Layers that came whole stay until somebody prunes.
    async fn give_back(&self) {
        for _ in 0..QUIET_TRIES {
            // What was given up goes on for a moment; other pulls keep what is theirs.
            if self.0.flights.are_none() {
                break;
            }
            tokio::time::sleep(QUIET_WAIT).await;
        }
        let images = self.0.images.clone();
        let freed = blocking(move || {
            let freed = images.0.content.drop_partials()?;
            images.sweep().map(|()| freed)
        });
        match freed.await {
            Ok(Ok(bytes)) => tracing::info!(bytes, "no room: partial downloads are given back"),
            Ok(Err(error)) => {
                let error = gantry_fault::chain(&error);
                tracing::warn!(error, "partial downloads cannot be given back");
            }
            Err(_) => {}
        }
    }

    async fn pull_all(&self, pull: &Pull, events: &Events) -> Result<Vec<Pulled>, TransferError> {
        if let Some(made) = self.make(pull, events).await? {
            return Ok(vec![made]);
        }
        let repository = self.0.client.repository(&pull.reference, &pull.credentials).await?;
        let mut names = vec![pull.reference.clone().or_latest()];
        if pull.all_tags {
            names.clear();
            for tag in repository.tags().await? {
                let name = pull.reference.with_tag(&tag);
                names.push(name.map_err(|source| TransferError::Tag { tag, source })?);
            }
        }
        let mut all = Vec::new();
        for name in &names {
            // Boxed, since whoever awaits this nests it deeply.
            all.push(self.pull_one(&repository, name, pull, events).boxed().await?);
        }
        let status = |pulled: &Pulled| match pulled.changed {
            true => "Downloaded newer image for",
            false => "Image is up to date for",
        };
        if pull.all_tags {
            let changed = all.iter().any(|pulled| pulled.changed);
            let words =
                if changed { "Downloaded newer image for" } else { "Image is up to date for" };
            let name = pull.reference.familiar_name();
            events.line("", format!("Status: {words} {name}")).await;
        } else if let (Some(pulled), Some(name)) = (all.first(), names.first()) {
            events.line("", format!("Status: {} {}", status(pulled), name.familiar())).await;
        }
        Ok(all)
    }

    async fn pull_one(
        &self,
        repository: &Repository,
        name: &Reference,
        pull: &Pull,
        events: &Events,
    ) -> Result<Pulled, TransferError> {
        let platform = pull.platform.as_ref();
        let id = match (name.tag(), name.digest()) {
            (_, Some(_)) => name.canonical(),
            (tag, None) => tag.unwrap_or("latest").to_owned(),
        };
        let before = self.known(name);
        // Asking costs less than fetching, and registries count what is fetched.
        if let Some(image) = before.as_ref().filter(|image| fits(image, platform))
            && let Some(pulled) = self.up_to_date(repository, name, image).await
        {
            // What is here may come from a time when it might come.
            self.admit(repository, name, &pulled.known_as(image)).await?;
            events.line(&id, format!("Pulling from {}", name.path())).await;
            events.line("", format!("Digest: {}", pulled.digest)).await;
            self.tell_pull(name, &pulled.id);
            return Ok(pulled);
        }
        let found = Found::at(repository, name, platform).await?;
        self.admit(repository, name, &found.digests()).await?;
        events.line(&id, format!("Pulling from {}", name.path())).await;
        let whole = self.fetch(repository, name, &found, platform, events).await?;
        let digest = found.top().descriptor.digest.clone();
        let image_id = self.record(name, pull.unnamed, found, whole).await?;
        events.line("", format!("Digest: {digest}")).await;
        self.tell_pull(name, &image_id);
        let changed = before.is_none_or(|before| {
            let named = before.repo_digests.contains(&name.with_digest(digest.clone()));
            before.id != image_id || !named
        });
        Ok(Pulled { id: image_id, digest, changed })
    }

    pub(super) fn tell_pull(&self, name: &Reference, id: &Digest) {
        let mut event = self.0.images.event(ImageAction::Pull, id, &name.familiar_name());
        event.id = name.familiar();
        self.0.images.tell_event(event);
    }

    pub(super) fn known(&self, name: &Reference) -> Option<Arc<Image>> {
        self.0.images.resolve(&name.canonical()).ok()
    }

    /// What is here already, if the name still points at it.
    async fn up_to_date(
        &self,
        repository: &Repository,
        name: &Reference,
        image: &Image,
    ) -> Option<Pulled> {
        let digest = match name.digest() {
            Some(digest) => digest.clone(),
            // A registry that does not answer this well is asked for the document.
            None => repository.resolve(&At::of(name)).await.ok()?.digest,
        };
        let named = image.repo_digests.contains(&name.with_digest(digest.clone()));
        let kept = image.origins.iter().any(|origin| origin.top().digest == digest);
        (named && kept).then(|| Pulled { id: image.id.clone(), digest, changed: false })
    }

    /// Brings everything of an image here.
    async fn fetch(
        &self,
        repository: &Repository,
        name: &Reference,
        found: &Found,
        platform: Option<&Platform>,
        events: &Events,
    ) -> Result<Whole, TransferError> {
        let id = &found.parsed.config.digest;
        if let Ok((image, lease)) = self.0.images.resolve_leased(id.as_str())
            && image.layers.iter().all(|layer| self.0.images.is_here(layer))
        {
            check_platform(name, &image.config, platform)?;
            return Ok(Whole {
                raw_config: image.raw_config.to_vec(),
                config: image.config.clone(),
                layers: image.layers.clone(),
                _held: Vec::new(),
                _lease: Some(lease),
            });
        }
        let config = async {
            let raw = repository.read_blob(&found.parsed.config, DOCUMENT_MAX).await?;
            let config: ImageConfig = serde_json::from_slice(&raw).map_err(|source| {
                TransferError::Document { what: "configuration", digest: id.clone(), source }
            })?;
            check_platform(name, &config, platform)?;
            let (expected, actual) = (config.rootfs.diff_ids.len(), found.parsed.layers.len());
            if expected != actual {
                return Err(ImageError::LayerCount { expected, actual }.into());
            }
            Ok((raw, config))
        };
        let layers = self.layers(repository, &found.parsed.layers, events);
        // A configuration that is none ends the downloads.
        let ((raw, config), (layers, held)) = try_join(config, layers).await?;
        for (index, (layer, expected)) in layers.iter().zip(&config.rootfs.diff_ids).enumerate() {
            if layer.diff_id != *expected {
                let (expected, actual) = (expected.clone(), layer.diff_id.clone());
                return Err(ImageError::DiffId { index, expected, actual }.into());
            }
        }
        Ok(Whole { raw_config: raw.to_vec(), config, layers, _held: held, _lease: None })
    }

    /// Brings layers here, each once.
    async fn layers(
        &self,
        repository: &Repository,
        wanted: &[Descriptor],
        events: &Events,
    ) -> Result<(Vec<LayerRecord>, Vec<Arc<Held>>), TransferError> {
        let mut blobs: Vec<&Descriptor> = Vec::new();
        for blob in wanted {
            if !blobs.iter().any(|known| known.digest == blob.digest) {
                blobs.push(blob);
            }
        }
        let mut flights = Vec::new();
        for blob in blobs {
            let (images, digest) = (self.0.images.clone(), blob.digest.clone());
            let here = blocking(move || hold(&images, &digest)).await??;
            match here {
                Some(layer) => {
                    events.step(blob.digest.short(), Step::Known).await;
                    flights.push(Arrival::Here(Arc::new(layer)));
                }
                None => {
                    events.step(blob.digest.short(), Step::Fetching).await;
                    flights.push(Arrival::Coming(blob));
                }
            }
        }
        let arrivals = flights.iter().map(|arrival| async move {
            match arrival {
                Arrival::Here(held) => Ok(Arc::clone(held)),
                Arrival::Coming(blob) => self.arrival(repository, blob, events).await,
            }
        });
        let held = try_join_all(arrivals).await?;
        let of = |blob: &Descriptor| {
            let held = held.iter().find(|held| held.blob == blob.digest)?;
            Some(held.record.clone())
        };
        let layers: Option<Vec<LayerRecord>> = wanted.iter().map(of).collect();
        Ok((layers.ok_or(TransferError::Interrupted)?, held))
    }

    /// Waits for a layer that somebody brings. What another asker failed of is tried once more.
    async fn arrival(
        &self,
        repository: &Repository,
        blob: &Descriptor,
        events: &Events,
    ) -> Result<Arc<Held>, TransferError> {
        loop {
            let (flight, own) = self.0.flights.join(&self.0, repository, blob);
            match flight.follow(blob.digest.short(), events).await {
                Err(_) if !own => {}
                end => return end,
            }
        }
    }

    /// Records an image under its names.
    async fn record(
        &self,
        name: &Reference,
        unnamed: bool,
        found: Found,
        whole: Whole,
    ) -> Result<Digest, TransferError> {
        let images = self.0.images.clone();
        let name = name.clone();
        let recorded = blocking(move || {
            let content = &images.0.content;
            let mut lease = content.lease();
            for document in std::iter::once(&found.manifest).chain(&found.index) {
                lease.add(&document.descriptor.digest);
                content.put_as(&document.descriptor.digest, &document.bytes)?;
            }
            lease.add(&found.parsed.config.digest);
            let repository = name.name();
            let origin = Origin {
                repository: repository.clone(),
                manifest: plain(&found.manifest.descriptor),
                index: found.index.as_ref().map(|index| plain(&index.descriptor)),
            };
            let digest = found.top().descriptor.digest.clone();
            let mut names = vec![name.with_digest(digest)];
            names.extend((name.digest().is_none() && !unnamed).then(|| name.clone()));
            images.note_places(&whole.layers, false, &repository)?;
            images.note_foreign(&found.parsed.layers)?;
            let new = NewImage {
                raw_config: whole.raw_config,
                config: whole.config,
                layers: whole.layers,
                parent: None,
                names,
                origin: Some(origin),
            };
            Ok::<_, ImageError>(images.register(new)?.id.clone())
        });
        Ok(recorded.await??)
    }

    /// Forgets what unfinished pulls left, unless one is under way; tells the bytes that this freed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn prune_partial(&self) -> Result<u64, TransferError> {
        if !self.0.flights.are_none() {
            return Ok(0);
        }
        let layers: u64 =
            self.0.images.fetched()?.iter().map(|layer| layer.unpacked_size_bytes).sum();
        self.0.images.forget_fetched()?;
        self.0.images.sweep()?;
        Ok(layers + self.0.images.0.content.drop_partials()?)
    }
}

/// A layer that is here, or comes.
enum Arrival<'a> {
    Here(Arc<Held>),
    Coming(&'a Descriptor),
}

/// A layer that is here, held.
fn hold(images: &crate::Images, digest: &Digest) -> Result<Option<Held>, ImageError> {
    let mut blob = images.0.content.lease();
    blob.add(digest);
    let Some(record) = images.layer_of_blob(digest)? else { return Ok(None) };
    let mut layer = images.layer_lease();
    if layer.keep(std::slice::from_ref(&record.diff_id)).is_err() {
        return Ok(None);
    }
    blob.add(&record.digest);
    Ok(Some(Held { blob: digest.clone(), record, _layer: layer, _lease: blob }))
}
