//! The registry: its parts, put together.

use std::{ops::Deref, sync::Arc};

use gantry_oci::Digest;

use crate::{
    blobs::{BlobError, Blobs},
    config::Config,
    index::Index,
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
}
