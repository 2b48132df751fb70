//! With which manifest an image is pushed, and where the blobs of its layers are.

use std::{collections::BTreeMap, sync::Arc};

use gantry_archive::Compression;
use gantry_oci::{Descriptor, Digest, Manifest, Reference, image::media};

use super::layer::{Upload, Way};
use crate::{
    Image, ImageError, Images, LayerRecord, Origin, ingest::media_type, state::DOCUMENT_MAX,
    transfer::places::Place,
};

/// What a push sends.
pub(super) struct Plan {
    /// The layers, bottom first.
    pub(super) uploads: Vec<Upload>,
    /// The manifest as it came, unless a new one is to be made.
    pub(super) kept: Option<(Origin, Vec<u8>)>,
}

/// What plans are made from.
pub(super) struct Planner {
    pub(super) images: Images,
    /// The name that is pushed to.
    pub(super) name: Reference,
    /// Layers are pushed too that are not for registries to give away.
    pub(super) foreign_too: bool,
    /// What layers are compressed with that have no compressed blob.
    pub(super) compression: Compression,
}

impl Planner {
    /// Prefers a manifest that is there already to one that is known from elsewhere, and that to a
    /// new one.
    pub(super) fn plan(&self, image: &Arc<Image>) -> Result<Plan, ImageError> {
        let places = self.images.places()?;
        let mut origins: Vec<&Origin> = image.origins.iter().rev().collect();
        origins.sort_by_key(|origin| origin.repository != self.name.name());
        for origin in origins {
            let digest = &origin.manifest.digest;
            let Ok(raw) = self.images.0.content.read(digest, DOCUMENT_MAX) else { continue };
            let Ok(manifest) = serde_json::from_slice::<Manifest>(&raw) else { continue };
            if let Some(uploads) = self.of_manifest(image, &manifest, &places) {
                return Ok(Plan { uploads, kept: Some((origin.clone(), raw)) });
            }
        }
        let uploads = image.layers.iter().map(|layer| self.fresh(layer, &places));
        Ok(Plan { uploads: uploads.collect(), kept: None })
    }

    /// The uploads of layers for a manifest that is no image's.
    pub(super) fn layers(&self, layers: &[LayerRecord]) -> Result<Vec<Upload>, ImageError> {
        let places = self.images.places()?;
        Ok(layers.iter().map(|layer| self.fresh(layer, &places)).collect())
    }

    /// The uploads of a manifest, if all of its blobs are here or there.
    fn of_manifest(
        &self,
        image: &Image,
        manifest: &Manifest,
        places: &[Place],
    ) -> Option<Vec<Upload>> {
        if manifest.layers.len() != image.layers.len() {
            return None;
        }
        let one = |(blob, layer): (&Descriptor, &LayerRecord)| {
            let place = places.iter().find(|place| place.digest == blob.digest);
            let mut upload = Upload::new(layer.clone(), Some(blob.clone()));
            upload.mounts = self.mounts(place);
            let there = place.is_some_and(|place| {
                place.record.repositories.iter().any(|known| *known == self.name.name())
            });
            let made = place.is_some_and(|place| place.record.made_here);
            upload.way = if self.keeps_back(blob) {
                Way::KeptBack
            } else if self.images.0.content.contains(&blob.digest) {
                Way::Stored
            } else if made && place.is_some_and(|place| place.record.diff_id == layer.diff_id) {
                Way::Compressed(compression_of(&blob.media_type)?)
            } else if there {
                Way::There
            } else {
                return None;
            };
            Some(upload)
        };
        manifest.layers.iter().zip(&image.layers).map(one).collect()
    }

    /// The upload of a layer for a new manifest.
    fn fresh(&self, layer: &LayerRecord, places: &[Place]) -> Upload {
        let known = places.iter().find(|place| place.digest == layer.digest);
        let foreign = known.and_then(|place| place.record.foreign.clone());
        if let Some(blob) = foreign.clone().filter(|blob| self.keeps_back(blob)) {
            let mut upload = Upload::new(layer.clone(), Some(blob));
            upload.way = Way::KeptBack;
            return upload;
        }
        if layer.digest != layer.diff_id && self.images.0.content.contains(&layer.digest) {
            let plain =
                || Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size_bytes);
            let blob = foreign.unwrap_or_else(plain);
            let mut upload = Upload::new(layer.clone(), Some(blob));
            upload.mounts = self.mounts(known);
            return upload;
        }
        let kind = media_type(self.compression);
        let made = places.iter().find(|place| {
            let record = &place.record;
            record.made_here && record.diff_id == layer.diff_id && record.media_type == kind
        });
        let promise =
            made.map(|place| Descriptor::new(&kind, place.digest.clone(), place.record.size_bytes));
        let mut upload = Upload::new(layer.clone(), promise);
        upload.mounts = self.mounts(made);
        upload.way = Way::Compressed(self.compression);
        upload
    }

    fn keeps_back(&self, blob: &Descriptor) -> bool {
        media::is_foreign(&blob.media_type) && !blob.urls.is_empty() && !self.foreign_too
    }

    fn mounts(&self, place: Option<&Place>) -> Vec<String> {
        let paths = |place: &Place| place.paths(self.name.domain(), self.name.path());
        place.map(paths).unwrap_or_default()
    }
}

/// What makes blobs of a type, if it is a push that does.
fn compression_of(kind: &str) -> Option<Compression> {
    match kind {
        media::LAYER_GZIP | media::DOCKER_LAYER_GZIP => Some(Compression::Gzip),
        media::LAYER_ZSTD => Some(Compression::Zstd),
        _ => None,
    }
}

/// The manifest of an image whose layers have these blobs.
pub(super) fn manifest(image: &Image, blobs: &[Descriptor]) -> Result<Vec<u8>, ImageError> {
    crate::save::manifest_of(&image.raw_config, blobs.to_vec(), &BTreeMap::new())
}

/// Keeps a digest from being taken for another's blob.
pub(super) fn is_of(blob: &Descriptor, made: &(Digest, u64)) -> bool {
    blob.digest == made.0 && blob.size == made.1
}
