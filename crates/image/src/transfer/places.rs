//! Which repositories have which blobs: what a push need not send again.

use std::collections::HashSet;

use gantry_oci::{Descriptor, Digest, Reference, image::media};
use gantry_store::Durability;

use crate::{
    ImageError, Images, LayerRecord,
    record::{FetchedRecord, PlacesRecord},
};

/// Repositories that are remembered of one blob.
const REPOSITORIES_MAX: usize = 16;
/// How long a layer is kept for an image that did not become whole, s.
const FETCHED_KEPT_S: i64 = 7 * 24 * 3600;

/// A blob of a layer that registries were seen to have.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) digest: Digest,
    pub(crate) record: PlacesRecord,
}

impl Place {
    /// Paths on a registry that have the blob, newest first, without `but`.
    pub(crate) fn paths(&self, registry: &str, but: &str) -> Vec<String> {
        let path = |name: &String| {
            let reference: Reference = name.parse().ok()?;
            let other = reference.domain() == registry && reference.path() != but;
            other.then(|| reference.path().to_owned())
        };
        self.record.repositories.iter().rev().filter_map(path).collect()
    }
}

impl Images {
    /// All blobs that registries were seen to have.
    pub(crate) fn places(&self) -> Result<Vec<Place>, ImageError> {
        let place = |(key, record): (String, PlacesRecord)| {
            Some(Place { digest: key.parse().ok()?, record })
        };
        Ok(self.0.store.list::<PlacesRecord>()?.into_iter().filter_map(place).collect())
    }

    /// Notes that a repository has these blobs of layers.
    pub(crate) fn note_places(
        &self,
        layers: &[LayerRecord],
        made_here: bool,
        repository: &str,
    ) -> Result<(), ImageError> {
        let mut batch = self.0.store.batch();
        for layer in layers {
            let key = layer.digest.as_str();
            let known = self.0.store.get::<PlacesRecord>(key)?;
            if known.as_ref().is_some_and(|known| {
                known.repositories.last().is_some_and(|last| last == repository)
            }) {
                continue;
            }
            let mut record = known.unwrap_or_else(|| PlacesRecord {
                diff_id: layer.diff_id.clone(),
                media_type: layer.media_type.clone(),
                size_bytes: layer.size_bytes,
                made_here,
                repositories: Vec::new(),
                foreign: None,
            });
            record.repositories.retain(|other| other != repository);
            record.repositories.push(repository.to_owned());
            let extra = record.repositories.len().saturating_sub(REPOSITORIES_MAX);
            record.repositories.drain(..extra);
            batch.put(key, &record);
        }
        if batch.is_empty() {
            return Ok(());
        }
        // It is only worth time: what is lost is found out again.
        self.0.store.commit(batch, Durability::Relaxed)?;
        Ok(())
    }

    /// Notes how a manifest names layers that registries may not give away, for images that are
    /// made upon them.
    pub(crate) fn note_foreign(&self, blobs: &[Descriptor]) -> Result<(), ImageError> {
        let mut batch = self.0.store.batch();
        for blob in blobs.iter().filter(|blob| media::is_foreign(&blob.media_type)) {
            let key = blob.digest.as_str();
            if let Some(known) = self.0.store.get::<PlacesRecord>(key)? {
                batch.put(key, &PlacesRecord { foreign: Some(blob.clone()), ..known });
            }
        }
        if !batch.is_empty() {
            self.0.store.commit(batch, Durability::Relaxed)?;
        }
        Ok(())
    }

    /// Forgets blobs of all layers but these.
    pub(crate) fn forget_places_but(
        &self,
        layers: &HashSet<Digest>,
    ) -> Result<(), gantry_store::StoreError> {
        let mut batch = self.0.store.batch();
        for (key, record) in self.0.store.list::<PlacesRecord>()? {
            if !layers.contains(&record.diff_id) {
                batch.delete::<PlacesRecord>(&key);
            }
        }
        if batch.is_empty() { Ok(()) } else { self.0.store.commit(batch, Durability::Relaxed) }
    }

    /// Forgets a blob that is not what was remembered of it.
    pub(crate) fn forget_place(&self, digest: &Digest) -> Result<(), ImageError> {
        let mut batch = self.0.store.batch();
        batch.delete::<PlacesRecord>(digest.as_str());
        self.0.store.commit(batch, Durability::Relaxed)?;
        Ok(())
    }

    /// Keeps a layer that came, though its image is not whole yet.
    pub(crate) fn note_fetched(&self, layer: &LayerRecord) -> Result<(), ImageError> {
        let mut batch = self.0.store.batch();
        let record = FetchedRecord { layer: layer.clone(), at_s: now_s() };
        batch.put(layer.digest.as_str(), &record);
        self.0.store.commit(batch, Durability::Relaxed)?;
        Ok(())
    }

    /// Layers that came for images which are not whole; those that waited too long are forgotten.
    pub(crate) fn fetched(&self) -> Result<Vec<LayerRecord>, gantry_store::StoreError> {
        let (mut kept, mut batch) = (Vec::new(), self.0.store.batch());
        for (key, record) in self.0.store.list::<FetchedRecord>()? {
            if now_s() - record.at_s < FETCHED_KEPT_S && self.is_here(&record.layer) {
                kept.push(record.layer);
            } else {
                batch.delete::<FetchedRecord>(&key);
            }
        }
        if !batch.is_empty() {
            self.0.store.commit(batch, Durability::Relaxed)?;
        }
        Ok(kept)
    }

    /// Forgets layers of images that are not whole, for `prune`.
    pub(crate) fn forget_fetched(&self) -> Result<(), gantry_store::StoreError> {
        let mut batch = self.0.store.batch();
        for (key, _) in self.0.store.list::<FetchedRecord>()? {
            batch.delete::<FetchedRecord>(&key);
        }
        self.0.store.commit(batch, Durability::Relaxed)
    }

    /// A layer that is here, by the digest of its blob in a registry.
    pub(crate) fn layer_of_blob(&self, digest: &Digest) -> Result<Option<LayerRecord>, ImageError> {
        if let Some(known) = self.known_layer(digest) {
            return Ok(Some(known.record));
        }
        if let Some(fetched) = self.0.store.get::<FetchedRecord>(digest.as_str())?
            && self.is_here(&fetched.layer)
        {
            return Ok(Some(fetched.layer));
        }
        // One that was pushed from here: its blob can be made again.
        let Some(place) = self.0.store.get::<PlacesRecord>(digest.as_str())? else {
            return Ok(None);
        };
        let all = self.list();
        let mut layers = all.iter().flat_map(|image| &image.layers);
        let same = layers.find(|layer| layer.diff_id == place.diff_id && self.is_here(layer));
        Ok(same.cloned())
    }
}

fn now_s() -> i64 {
    jiff::Timestamp::now().as_second()
}
