//! A starting daemon reads its images.

use std::sync::Arc;

use gantry_oci::{Digest, Reference};
use gantry_store::Durability;

use crate::{
    Image, ImageError, Images,
    record::{ImageRecord, NameRecord},
    state::{DOCUMENT_MAX, NewImage, State, parse_config},
};

impl Images {
    /// Reads all images from the store; those that are damaged are dropped.
    pub(crate) fn read_all(&self) -> Result<(), ImageError> {
        let mut state = State::default();
        for (key, record) in self.0.store.list::<ImageRecord>()? {
            match self.read_one(&key, record) {
                Ok(image) => drop(state.images.insert(image.id.clone(), Arc::new(image))),
                Err(error) => {
                    let error = gantry_fault::chain(&error);
                    tracing::warn!(image = key, error, "image is damaged, dropped");
                    let mut batch = self.0.store.batch();
                    batch.delete::<ImageRecord>(&key);
                    self.0.store.commit(batch, Durability::Durable)?;
                }
            }
        }
        for (key, record) in self.0.store.list::<NameRecord>()? {
            match key.parse::<Reference>() {
                Ok(reference) if state.images.contains_key(&record.image) => {
                    let last =
                        state.images.get(&record.image).and_then(|image| image.last_tagged.clone());
                    state.add_names(&record.image, &[reference], &last.unwrap_or_default());
                }
                _ => {
                    let mut batch = self.0.store.batch();
                    batch.delete::<NameRecord>(&key);
                    self.0.store.commit(batch, Durability::Durable)?;
                }
            }
        }
        *self.state_mut() = state;
        Ok(())
    }

    fn read_one(&self, key: &str, record: ImageRecord) -> Result<Image, ImageError> {
        let digest = |source| ImageError::Digest { name: key.to_owned(), source };
        let id: Digest = key.parse().map_err(digest)?;
        let raw_config = self.0.content.read(&id, DOCUMENT_MAX)?;
        id.verify(&raw_config).map_err(digest)?;
        for layer in &record.layers {
            if !self.0.snapshots.has_layer(&layer.diff_id) {
                let (blob, _) = self.0.content.get(&layer.digest)?;
                self.0.snapshots.unpack_layer(&layer.diff_id, Box::new(blob))?;
            }
        }
        let config = parse_config(key, &raw_config)?;
        let new = NewImage {
            raw_config,
            config,
            layers: record.layers,
            parent: record.parent,
            names: Vec::new(),
            origin: None,
        };
        let (last_tagged, mut origins) = (record.last_tagged, record.origins);
        // A power cut may have cost these documents; the image does without them.
        let here = |digest: &Digest| self.0.content.contains(digest);
        origins.retain(|origin| origin.documents().all(here));
        Ok(Image { last_tagged, origins, ..new.into_image(id) })
    }
}
