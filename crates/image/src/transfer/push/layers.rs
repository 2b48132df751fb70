//! Layers that go to a registry without an image.

use futures_util::future::try_join_all;
use gantry_archive::Compression;
use gantry_distribution::{Credentials, Repository};
use gantry_oci::{Descriptor, Digest, Reference};

use crate::{
    LayerRecord,
    transfer::{Events, TransferError, Transfers, blocking},
};

impl Transfers {
    /// Brings layers to the repository of a name; answers it and their blobs, in their order. What it
    /// has is not compressed again if that is known. Without a compression it is the one that is set.
    ///
    /// # Errors
    /// When a layer is not here any more, or the registry refuses.
    pub async fn push_layers(
        &self,
        name: &Reference,
        credentials: &Credentials,
        layers: &[LayerRecord],
        compression: Option<Compression>,
        events: &Events,
    ) -> Result<(Repository, Vec<Descriptor>), TransferError> {
        let repository = self.0.client.repository(name, credentials).await?;
        let planner = self.planner(name, compression).await;
        let layers = layers.to_vec();
        let uploads = blocking(move || planner.layers(&layers)).await??;
        let sent = uploads.iter().map(|upload| self.push_layer(&repository, name, upload, events));
        let blobs = try_join_all(sent).await?;
        Ok((repository, blobs))
    }

    /// Notes that a repository has the blob of a layer, which compressing the layer gives again.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn note_blob(
        &self,
        repository: &Repository,
        diff_id: &Digest,
        blob: &Descriptor,
    ) -> Result<(), TransferError> {
        let layer = LayerRecord {
            digest: blob.digest.clone(),
            media_type: blob.media_type.clone(),
            ..LayerRecord::made(diff_id.clone(), blob.size, 0)
        };
        let (images, name) = (self.0.images.clone(), repository.name().name());
        blocking(move || images.note_places(&[layer], true, &name)).await??;
        Ok(())
    }
}
