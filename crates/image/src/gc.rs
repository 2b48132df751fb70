//! What no image needs goes away, and what is new is brought to disk behind the path.

use std::{collections::HashSet, sync::atomic::Ordering};

use gantry_oci::ChainId;

use crate::{ImageError, Images, Origin, RemoveError};

impl Images {
    /// Deletes blobs and layers that nothing needs any more; called after something that a keeper
    /// named was let go of.
    ///
    /// # Errors
    /// When they cannot be listed or removed.
    pub fn sweep(&self) -> Result<(), ImageError> {
        Ok(self.collect()?)
    }

    /// Deletes blobs and layers that neither an image, nor a container, nor a lease needs; later if
    /// something is being made just now.
    pub(crate) fn collect(&self) -> Result<(), CollectError> {
        let Some(_quiet) = self.quiet() else { return Ok(()) };
        let (mut blobs, mut layers, mut chains) = (HashSet::new(), HashSet::new(), HashSet::new());
        for image in self.list() {
            blobs.insert(image.id.clone());
            blobs.extend(image.layers.iter().map(|layer| layer.digest.clone()));
            blobs.extend(image.origins.iter().flat_map(Origin::documents).cloned());
            layers.extend(image.lowers());
            chains.extend(ChainId::of(&image.lowers()).map(|chain| chain.0.hex().to_owned()));
        }
        for layer in self.fetched()? {
            blobs.insert(layer.digest);
            layers.insert(layer.diff_id);
        }
        self.0.content.collect(&blobs, false)?;
        layers.extend(self.0.keepers.iter().flat_map(|keeper| keeper()));
        layers.extend(self.state().layer_leases.keys().cloned());
        // A container keeps its layers, even when its image was removed by force.
        for container in self.0.snapshots.containers()? {
            layers.extend(self.0.snapshots.container_layers(&container).unwrap_or_default());
        }
        self.forget_places_but(&layers)?;
        for layer in self.0.snapshots.layers()? {
            if !layers.contains(&layer) {
                self.0.snapshots.remove_layer(&layer)?;
            }
        }
        self.0.snapshots.retain_inits(&chains)?;
        // Taking in an image needs memory that the daemon has no use for afterwards.
        gantry_sys::memory::trim_heap();
        Ok(())
    }

    /// Brings blobs and layers to disk on a thread of its own, one at a time.
    pub(crate) fn sync_behind(&self) {
        if self.0.syncing.swap(true, Ordering::AcqRel) {
            return;
        }
        let images = self.clone();
        let work = move || {
            images.0.syncing.store(false, Ordering::Release);
            let synced = images.sync();
            if let Err(error) = synced {
                tracing::warn!(
                    error = gantry_fault::chain(&error),
                    "could not bring images to disk"
                );
            }
        };
        if std::thread::Builder::new().name("image-sync".into()).spawn(work).is_err() {
            self.0.syncing.store(false, Ordering::Release);
        }
    }

    /// Brings all blobs and layers to disk. Until then a power cut, though not a killed daemon, may
    /// cost the newest images.
    ///
    /// # Errors
    /// When the file system cannot be synced.
    pub fn sync(&self) -> Result<(), ImageError> {
        self.0.content.sync()?;
        self.0.snapshots.sync()?;
        Ok(())
    }
}

/// What stops a collection.
pub(crate) enum CollectError {
    Store(gantry_store::StoreError),
    Content(gantry_content::ContentError),
    Snapshot(gantry_snapshot::SnapshotError),
}

impl From<gantry_store::StoreError> for CollectError {
    fn from(error: gantry_store::StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<gantry_content::ContentError> for CollectError {
    fn from(error: gantry_content::ContentError) -> Self {
        Self::Content(error)
    }
}

impl From<gantry_snapshot::SnapshotError> for CollectError {
    fn from(error: gantry_snapshot::SnapshotError) -> Self {
        Self::Snapshot(error)
    }
}

impl From<CollectError> for ImageError {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Store(error) => error.into(),
            CollectError::Content(error) => error.into(),
            CollectError::Snapshot(error) => error.into(),
        }
    }
}

impl From<CollectError> for RemoveError {
    fn from(error: CollectError) -> Self {
        match error {
            CollectError::Store(error) => error.into(),
            CollectError::Content(error) => error.into(),
            CollectError::Snapshot(error) => error.into(),
        }
    }
}
