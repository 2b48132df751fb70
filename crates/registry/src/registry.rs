//! The registry: its parts, put together.

use std::{ops::Deref, sync::Arc};

use gantry_oci::Digest;
use gantry_store::StoreError;
use hyper::header::HeaderValue;

use crate::{
    audit::Audit,
    auth::Gate,
    blobs::{BlobError, Blobs},
    config::Config,
    index::Index,
    metrics::Metrics,
    mirror::Mirrors,
    uploads::Uploads,
};

/// The registry; clones share it.
#[derive(Clone)]
pub(crate) struct Registry(Arc<Parts>);

/// What it is made of.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) index: Index,
    pub(crate) blobs: Arc<dyn Blobs>,
    pub(crate) uploads: Uploads,
    pub(crate) gate: Gate,
    pub(crate) mirrors: Mirrors,
    pub(crate) metrics: Metrics,
    pub(crate) audit: Option<Audit>,
    /// What every answer tells its client's user, as a header.
    pub(crate) warning: Option<HeaderValue>,
}

impl Deref for Registry {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        &self.0
    }
}

impl Registry {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Removes a blob's file unless some repository has the blob.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) async fn remove_unlinked(&self, digest: &Digest) -> Result<bool, BlobError> {
        let _held = self.index.hold_blob(digest).await;
        if !self.index.is_unlinked(digest) {
            return Ok(false);
        }
        self.blobs.remove(digest).await?;
        Ok(true)
    }

    /// Ends an upload that nobody used since `idle_since_s`; false if somebody did, or does.
    ///
    /// # Errors
    /// When its data cannot be removed, or the store not be written.
    pub(crate) async fn end_upload(&self, id: &str, idle_since_s: u64) -> Result<bool, EndError> {
        let Some(_held) = self.uploads.hold_if_free(id) else { return Ok(false) };
        if self.uploads.used_s(id) >= idle_since_s {
            return Ok(false);
        }
        self.blobs.discard(id).await?;
        self.index.end_upload(id).await?;
        self.uploads.forget(id);
        Ok(true)
    }
}

/// Why an upload does not end.
#[derive(Debug, thiserror::Error)]
pub(crate) enum EndError {
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
}
