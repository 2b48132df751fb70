//! One layer on its way to a registry.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use gantry_archive::Compression;
use gantry_distribution::{DistributionError, PushedBlob, PushedHow, Repository, Source};
use gantry_oci::{Descriptor, Reference};

use super::plan::is_of;
use crate::{
    Images, LayerRecord,
    ingest::media_type,
    transfer::{
        Events, Step, TransferError, blocking,
        sources::{Compressed, Stored},
    },
};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);
/// Repositories that a blob is mounted from, at most: each costs a request.
const MOUNTS_MAX: usize = 4;

/// How the blob of a layer is had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// It is in `content`.
    Stored,
    /// It is made of the layer.
    Compressed(Compression),
    /// Only the registry has it.
    There,
    /// It is not for registries to give away, and the manifest says where it is.
    KeptBack,
}

/// A layer to be sent.
pub(super) struct Upload {
    layer: LayerRecord,
    /// What the blob will be, if that is known.
    pub(super) promise: Option<Descriptor>,
    pub(super) way: Way,
    /// Paths on the registry that may have it.
    pub(super) mounts: Vec<String>,
}

impl Upload {
    pub(super) fn new(layer: LayerRecord, promise: Option<Descriptor>) -> Self {
        Self { layer, promise, way: Way::Stored, mounts: Vec::new() }
    }

    /// Twelve digits that tell it from others.
    pub(super) fn id(&self) -> &str {
        self.layer.diff_id.short()
    }

    /// Whether it stays here: registries get it from where the manifest says.
    pub(super) fn is_kept_back(&self) -> bool {
        self.way == Way::KeptBack
    }

    /// Whether its blob is made here.
    pub(super) fn is_made(&self) -> bool {
        matches!(self.way, Way::Compressed(_))
    }

    /// The layer with the blob that was sent.
    pub(super) fn record(&self, blob: &Descriptor) -> LayerRecord {
        LayerRecord {
            digest: blob.digest.clone(),
            media_type: blob.media_type.clone(),
            size_bytes: blob.size,
            ..self.layer.clone()
        }
    }

    /// Sends it, if the registry has it not.
    pub(super) async fn send(
        &self,
        images: &Images,
        repository: &Repository,
        reference: &Reference,
        events: &Events,
    ) -> Result<Descriptor, TransferError> {
        let sent = Arc::new(AtomicU64::new(0));
        let track = Track { id: self.id(), events, sent: Arc::clone(&sent) };
        let mut lease = images.0.content.lease();
        let (promise, compression) = match (&self.promise, self.way) {
            (Some(blob), Way::Stored) => {
                lease.add(&blob.digest);
                let source = Stored { images: images.clone(), digest: blob.digest.clone(), sent };
                let pushed = track.push(repository, source, Some(blob), &self.mounts, blob.size);
                return self.told(&track, pushed.await?, blob.media_type.clone()).await;
            }
            (Some(blob), Way::There) => {
                let there = repository.has_blob(&blob.digest).await?;
                if there.is_none() {
                    let name = reference.familiar();
                    return Err(TransferError::Gone { name, digest: blob.digest.clone() });
                }
                events.step(self.id(), Step::Exists).await;
                return Ok(blob.clone());
            }
            (Some(blob), Way::KeptBack) => {
                events.step(self.id(), Step::Foreign).await;
                return Ok(blob.clone());
            }
            (promise, Way::Compressed(compression)) => (promise.as_ref(), compression),
            (None, _) => return Err(TransferError::Interrupted),
        };
        let source = Compressed::new(images.clone(), self.layer.clone(), compression, sent);
        let total = self.layer.size_bytes;
        let pushed = track.push(repository, source.clone(), promise, &self.mounts, total).await;
        let pushed = match (pushed, promise, source.made()) {
            // Compressing gives something else than it did: what was remembered is worth nothing.
            (Err(_), Some(blob), Some(made)) if !is_of(blob, &made) => {
                let (images, digest) = (images.clone(), blob.digest.clone());
                blocking(move || images.forget_place(&digest)).await??;
                track.push(repository, source, None, &[], total).await?
            }
            (pushed, ..) => pushed?,
        };
        let kind = promise.map_or_else(|| media_type(compression), |blob| blob.media_type.clone());
        self.told(&track, pushed, kind).await
    }

    async fn told(
        &self,
        track: &Track<'_>,
        pushed: PushedBlob,
        media_type: String,
    ) -> Result<Descriptor, TransferError> {
        let step = match pushed.how {
            PushedHow::Exists => Step::Exists,
            PushedHow::Mounted { from } => Step::Mounted { from },
            PushedHow::Uploaded => Step::Pushed,
        };
        track.events.step(track.id, step).await;
        Ok(Descriptor {
            urls: self.promise.as_ref().map(|blob| blob.urls.clone()).unwrap_or_default(),
            ..Descriptor::new(&media_type, pushed.digest, pushed.size)
        })
    }
}

/// Tells of an upload while it is under way.
struct Track<'a> {
    id: &'a str,
    events: &'a Events,
    sent: Arc<AtomicU64>,
}

impl Track<'_> {
    async fn push(
        &self,
        repository: &Repository,
        source: impl Source,
        promise: Option<&Descriptor>,
        mounts: &[String],
        total: u64,
    ) -> Result<PushedBlob, DistributionError> {
        let mounts = &mounts[..mounts.len().min(MOUNTS_MAX)];
        let mut push = std::pin::pin!(repository.push_blob(source, promise, mounts));
        let mut tick = tokio::time::interval(TICK);
        let mut told = 0;
        loop {
            tokio::select! {
                done = &mut push => return done,
                _ = tick.tick() => {
                    let current = self.sent.load(Ordering::Relaxed).min(total);
                    if current > told {
                        told = current;
                        self.events.step(self.id, Step::Pushing { current, total }).await;
                    }
                }
            }
        }
    }
}
