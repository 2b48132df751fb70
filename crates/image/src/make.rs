//! Images made of layers that are unpacked already: what a build ends with.
//!
//! Such a layer has no blob: [`LayerRecord::digest`] is its diff ID, and its tar is packed again from
//! its directory when somebody wants it (`save`), which gives the same bytes as packing gave before.

use std::sync::Arc;

use gantry_oci::{Digest, Reference, image::media};

use crate::{
    Image, ImageAction, ImageError, Images, LayerRecord,
    state::{NewImage, parse_config},
};

/// An image to be made.
#[derive(Clone, Debug)]
pub struct Make {
    /// Its configuration document.
    pub raw_config: Vec<u8>,
    /// Its layers, bottom first.
    pub layers: Vec<LayerRecord>,
    /// Its names.
    pub names: Vec<Reference>,
    /// The image that it is based on, which is then not removed before it.
    pub parent: Option<Digest>,
}

impl LayerRecord {
    /// A layer that was made here: `tar_bytes` is the length of its tar.
    #[must_use]
    pub fn made(diff_id: Digest, tar_bytes: u64, unpacked_size_bytes: u64) -> Self {
        Self {
            digest: diff_id.clone(),
            diff_id,
            media_type: media::LAYER.to_owned(),
            size_bytes: tar_bytes,
            unpacked_size_bytes,
        }
    }
}

impl Images {
    /// Makes an image of layers that are here and kept by a lease; nothing is copied. One that is
    /// here already only gets the names that it has not.
    ///
    /// # Errors
    /// When a layer is missing, or the configuration lists others.
    pub fn make_of_layers(&self, make: Make) -> Result<Arc<Image>, ImageError> {
        if make.names.iter().any(|name| name.digest().is_some()) {
            return Err(ImageError::DigestTag);
        }
        let names: Vec<Reference> = make.names.into_iter().map(Reference::or_latest).collect();
        let id = Digest::of(&make.raw_config);
        let news: Vec<Reference> = match self.get(&id) {
            Some(known) if names.iter().all(|name| known.names.contains(name)) => return Ok(known),
            Some(known) => {
                names.iter().filter(|name| !known.names.contains(name)).cloned().collect()
            }
            None => names,
        };
        let config = parse_config("configuration", &make.raw_config)?;
        self.check_layers(&config.rootfs.diff_ids, &make.layers)?;
        let image = {
            let _activity = self.activity();
            self.register(NewImage {
                raw_config: make.raw_config,
                config,
                layers: make.layers,
                parent: make.parent,
                names: news.clone(),
                origin: None,
            })?
        };
        for name in &news {
            self.tell(ImageAction::Tag, &image.id, &name.familiar());
        }
        Ok(image)
    }

    fn check_layers(&self, expected: &[Digest], layers: &[LayerRecord]) -> Result<(), ImageError> {
        if expected.len() != layers.len() {
            let (expected, actual) = (expected.len(), layers.len());
            return Err(ImageError::LayerCount { expected, actual });
        }
        for (index, (expected, layer)) in expected.iter().zip(layers).enumerate() {
            if *expected != layer.diff_id {
                let (expected, actual) = (expected.clone(), layer.diff_id.clone());
                return Err(ImageError::DiffId { index, expected, actual });
            }
            if !self.0.snapshots.has_layer(expected) {
                return Err(gantry_snapshot::SnapshotError::NoLayer(expected.clone()).into());
            }
        }
        Ok(())
    }
}
