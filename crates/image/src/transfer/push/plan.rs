//! With which manifest an image is pushed, and where the blobs of its layers are.

use std::{collections::BTreeMap, sync::Arc};

use gantry_oci::{Descriptor, Digest, Manifest, Reference};

use super::layer::{Upload, Way};
use crate::{
    Image, ImageError, Images, LayerRecord, Origin,
    ingest::media_type,
    state::DOCUMENT_MAX,
    transfer::{places::Place, sources::COMPRESSION},
};

/// What a push sends.
pub(super) struct Plan {
    /// The layers, bottom first.
    pub(super) uploads: Vec<Upload>,
    /// The manifest as it came, unless a new one is to be made.
    pub(super) kept: Option<(Origin, Vec<u8>)>,
}

impl Plan {
    /// Prefers a manifest that is there already to one that is known from elsewhere, and that to a
    /// new one.
    pub(super) fn of(
        images: &Images,
        image: &Arc<Image>,
        name: &Reference,
    ) -> Result<Self, ImageError> {
        let places = images.places()?;
        let mut origins: Vec<&Origin> = image.origins.iter().rev().collect();
        origins.sort_by_key(|origin| origin.repository != name.name());
        for origin in origins {
            let Ok(raw) = images.0.content.read(&origin.manifest.digest, DOCUMENT_MAX) else {
                continue;
            };
            let Ok(manifest) = serde_json::from_slice::<Manifest>(&raw) else { continue };
            if let Some(uploads) = of_manifest(images, image, &manifest, &places, name) {
                return Ok(Self { uploads, kept: Some((origin.clone(), raw)) });
            }
        }
        let uploads = image.layers.iter().map(|layer| fresh(images, layer, &places, name));
        Ok(Self { uploads: uploads.collect(), kept: None })
    }
}

/// The uploads of a manifest, if all of its blobs are here or there.
fn of_manifest(
    images: &Images,
    image: &Image,
    manifest: &Manifest,
    places: &[Place],
    name: &Reference,
) -> Option<Vec<Upload>> {
    if manifest.layers.len() != image.layers.len() {
        return None;
    }
    let one = |(blob, layer): (&Descriptor, &LayerRecord)| {
        let place = places.iter().find(|place| place.digest == blob.digest);
        let mut upload = Upload::new(layer.clone(), Some(blob.clone()));
        upload.mounts = mounts(place, name);
        if upload.is_foreign() {
            return Some(upload);
        }
        let there = place.is_some_and(|place| {
            place.record.repositories.iter().any(|repository| *repository == name.name())
        });
        let made = place.is_some_and(|place| place.record.made_here);
        upload.way = if images.0.content.contains(&blob.digest) {
            Way::Stored
        } else if made && place.is_some_and(|place| place.record.diff_id == layer.diff_id) {
            Way::Compressed
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
fn fresh(images: &Images, layer: &LayerRecord, places: &[Place], name: &Reference) -> Upload {
    if layer.digest != layer.diff_id && images.0.content.contains(&layer.digest) {
        let blob = Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size_bytes);
        let mut upload = Upload::new(layer.clone(), Some(blob));
        let place = places.iter().find(|place| place.digest == layer.digest);
        upload.mounts = mounts(place, name);
        return upload;
    }
    let kind = media_type(COMPRESSION);
    let made = places.iter().find(|place| {
        let record = &place.record;
        record.made_here && record.diff_id == layer.diff_id && record.media_type == kind
    });
    let promise =
        made.map(|place| Descriptor::new(&kind, place.digest.clone(), place.record.size_bytes));
    let mut upload = Upload::new(layer.clone(), promise);
    upload.mounts = mounts(made, name);
    upload.way = Way::Compressed;
    upload
}

fn mounts(place: Option<&Place>, name: &Reference) -> Vec<String> {
    place.map(|place| place.paths(name.domain(), name.path())).unwrap_or_default()
}

/// The manifest of an image whose layers have these blobs.
pub(super) fn manifest(image: &Image, blobs: &[Descriptor]) -> Result<Vec<u8>, ImageError> {
    let of = |(layer, blob): (&LayerRecord, &Descriptor)| LayerRecord {
        digest: blob.digest.clone(),
        media_type: blob.media_type.clone(),
        size_bytes: blob.size,
        ..layer.clone()
    };
    let layers: Vec<LayerRecord> = image.layers.iter().zip(blobs).map(of).collect();
    crate::save::manifest(&image.raw_config, &layers, &BTreeMap::new())
}

/// Keeps a digest from being taken for another's blob.
pub(super) fn is_of(blob: &Descriptor, made: &(Digest, u64)) -> bool {
    blob.digest == made.0 && blob.size == made.1
}
