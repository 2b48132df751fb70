//! Archives of images that are in no list, which a build ends with, and layers without an image.

use std::{collections::BTreeMap, io::Write};

use gantry_archive::{ArchiveError, Compression};
use gantry_content::Lease;
use gantry_oci::{Digest, Reference};

use super::plan::{Parts, Plan};
use crate::{ImageError, Images, LayerRecord, ingest::media_type, state::parse_config};

/// An archive of images that need not be in the list.
#[derive(Clone, Debug)]
pub struct Archive {
    /// The images; several are of one name, each for another platform.
    pub images: Vec<ArchiveImage>,
    /// Their names.
    pub names: Vec<Reference>,
    /// With Docker's tables, for `docker load`.
    pub docker: bool,
    /// How layers are compressed that are not compressed yet.
    pub compression: Compression,
}

/// An image of an archive.
#[derive(Clone, Debug)]
pub struct ArchiveImage {
    /// Its configuration document.
    pub raw_config: Vec<u8>,
    /// Its layers, bottom first; they are unpacked here and kept by a lease.
    pub layers: Vec<LayerRecord>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

impl Images {
    /// Writes an archive of images that need not be in the list; their layers are packed as they are
    /// written, or compressed into blobs for the time of the call.
    ///
    /// # Errors
    /// When a layer is not here, or reading or writing fails.
    pub fn archive(&self, archive: &Archive, out: &mut dyn Write) -> Result<(), ImageError> {
        let mut lease = self.0.content.lease();
        let mut plan = Plan::default();
        let mut descriptors = Vec::new();
        for image in &archive.images {
            let config = parse_config("configuration", &image.raw_config)?;
            let layers = self.compressed(&image.layers, archive.compression, &mut lease)?;
            let parts = Parts {
                raw_config: &image.raw_config,
                config: &config,
                layers: &layers,
                annotations: &image.annotations,
            };
            descriptors.push(plan.add(&parts)?);
            let id = Digest::of(&image.raw_config);
            plan.made.insert(id.clone(), image.raw_config.clone());
            plan.list(&id, &layers, &archive.names);
        }
        let top = match descriptors.as_slice() {
            [one] => one.clone(),
            several => plan.add_index(several)?,
        };
        let last = archive.images.last().and_then(|image| image.layers.last());
        plan.name(&top, &archive.names, last);
        let activity = self.activity();
        self.write_plan(&plan, archive.docker, out)?;
        drop(activity);
        drop(lease);
        self.collect()?;
        Ok(())
    }

    /// Layers with their blobs compressed, and what keeps those: for exports of layers without an
    /// image. Each is written by [`Images::write_blob_of`].
    ///
    /// # Errors
    /// When a layer is not here, or cannot be compressed.
    pub fn compressed_layers(
        &self,
        layers: &[LayerRecord],
        compression: Compression,
    ) -> Result<(Vec<LayerRecord>, Lease), ImageError> {
        let mut lease = self.0.content.lease();
        let layers = self.compressed(layers, compression, &mut lease)?;
        Ok((layers, lease))
    }

    /// Layers with their blobs compressed; those that came compressed stay as they are.
    fn compressed(
        &self,
        layers: &[LayerRecord],
        compression: Compression,
        lease: &mut Lease,
    ) -> Result<Vec<LayerRecord>, ImageError> {
        let mut done = Vec::new();
        for layer in layers {
            if compression == Compression::None || layer.digest != layer.diff_id {
                done.push(layer.clone());
                continue;
            }
            let mut writer = self.0.content.ingest()?;
            let mut pack = |out: &mut dyn Write| {
                self.write_layer(layer, out).map_err(|error| {
                    ArchiveError::Write(std::io::Error::other(gantry_fault::chain(&error)))
                })
            };
            gantry_archive::compress(compression, &mut writer, &mut pack)?;
            let size_bytes = writer.offset();
            let activity = self.activity();
            let digest = writer.commit(None, None)?;
            lease.add(&digest);
            drop(activity);
            let media_type = media_type(compression);
            done.push(LayerRecord { digest, media_type, size_bytes, ..layer.clone() });
        }
        Ok(done)
    }
}
