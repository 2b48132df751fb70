//! What is pushed that is no image.

use bytes::Bytes;
use futures_util::future::try_join_all;
use gantry_archive::Compression;
use gantry_distribution::{At, Credentials};
use gantry_oci::{Descriptor, Digest, Reference, image::media};

use super::layer::{Upload, Way};
use crate::{
    LayerRecord,
    transfer::{Events, TransferError, Transfers},
};

/// A manifest, and all that it names.
#[derive(Clone, Debug)]
pub struct Parcel {
    /// The layers, with the blobs that are recorded.
    pub layers: Vec<LayerRecord>,
    /// The manifest's configuration.
    pub config: (Descriptor, Bytes),
    /// The manifest, of OCI's type.
    pub manifest: Bytes,
}

impl Transfers {
    /// Pushes a parcel under a tag; its manifest comes last.
    ///
    /// # Errors
    /// When a layer is not here any more, or the registry refuses.
    pub async fn push_parcel(
        &self,
        name: &Reference,
        credentials: &Credentials,
        parcel: &Parcel,
        events: &Events,
    ) -> Result<Digest, TransferError> {
        let repository = self.0.client.repository(name, credentials).await?;
        let uploads: Vec<Upload> = parcel.layers.iter().map(|layer| self.upload(layer)).collect();
        let layers =
            uploads.iter().map(|upload| self.push_layer(&repository, name, upload, events));
        try_join_all(layers).await?;
        let (config, bytes) = &parcel.config;
        repository.push_blob(bytes.clone(), Some(config), &[]).await?;
        let at = At::Tag(name.tag().unwrap_or("latest").to_owned());
        let put = repository.push_manifest(parcel.manifest.clone(), media::MANIFEST, &at);
        Ok(put.await?.digest)
    }

    /// A layer whose blob is stored, or is its tar.
    fn upload(&self, layer: &LayerRecord) -> Upload {
        let promise = Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size_bytes);
        let mut upload = Upload::new(layer.clone(), Some(promise));
        if !self.0.images.0.content.contains(&layer.digest) {
            upload.way = Way::Compressed(Compression::None);
        }
        upload
    }
}
