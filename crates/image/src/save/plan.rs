//! What an archive will hold, and the documents that are made for it.

use std::collections::{BTreeMap, BTreeSet};

use gantry_oci::{Descriptor, Digest, ImageConfig, Index, Manifest, Reference, image::media};
use serde::Serialize;

use crate::{
    ImageError, LayerRecord,
    layout::{DockerManifest, NAME_ANNOTATION, REF_ANNOTATION, blob_path},
};

/// What goes into a manifest.
pub(super) struct Parts<'a> {
    pub(super) raw_config: &'a [u8],
    pub(super) config: &'a ImageConfig,
    pub(super) layers: &'a [LayerRecord],
    pub(super) annotations: &'a BTreeMap<String, String>,
}

/// Everything an archive will hold, in its order.
#[derive(Default)]
pub(super) struct Plan {
    /// Blobs that are in content.
    pub(super) stored: BTreeSet<Digest>,
    /// Layers' tars, with their sizes: those that are not in content are packed.
    pub(super) layers: BTreeMap<Digest, u64>,
    /// Blobs that are made here.
    pub(super) made: BTreeMap<Digest, Vec<u8>>,
    pub(super) index: Vec<Descriptor>,
    pub(super) manifests: Vec<DockerManifest>,
    pub(super) repositories: BTreeMap<String, BTreeMap<String, String>>,
}

impl Plan {
    /// The files at the archive's top.
    pub(super) fn tables(&self, docker: bool) -> Result<Vec<(&'static str, Vec<u8>)>, ImageError> {
        let index = json(&index_of(self.index.clone()))?;
        let layout = br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec();
        if !docker {
            return Ok(vec![("index.json", index), ("oci-layout", layout)]);
        }
        Ok(vec![
            ("index.json", index),
            ("manifest.json", json(&self.manifests)?),
            ("oci-layout", layout),
            ("repositories", json(&self.repositories)?),
        ])
    }

    /// Adds an image's blobs; returns what points at its manifest.
    pub(super) fn add(&mut self, parts: &Parts<'_>) -> Result<Descriptor, ImageError> {
        let manifest = manifest(parts.raw_config, parts.layers, parts.annotations)?;
        Ok(self.add_with(parts, media::MANIFEST, manifest))
    }

    /// As [`Plan::add`], with a manifest that is there already.
    pub(super) fn add_with(
        &mut self,
        parts: &Parts<'_>,
        media_type: &str,
        manifest: Vec<u8>,
    ) -> Descriptor {
        let mut descriptor =
            Descriptor::new(media_type, Digest::of(&manifest), manifest.len() as u64);
        descriptor.platform = Some(parts.config.platform());
        self.stored.insert(Digest::of(parts.raw_config));
        self.stored.extend(parts.layers.iter().map(|layer| layer.digest.clone()));
        let tars = parts.layers.iter().filter(|layer| layer.digest == layer.diff_id);
        self.layers.extend(tars.map(|layer| (layer.digest.clone(), layer.size_bytes)));
        self.made.insert(descriptor.digest.clone(), manifest);
        descriptor
    }

    pub(super) fn add_index(&mut self, manifests: &[Descriptor]) -> Result<Descriptor, ImageError> {
        let index = json(&index_of(manifests.to_vec()))?;
        let descriptor = Descriptor::new(media::INDEX, Digest::of(&index), index.len() as u64);
        self.made.insert(descriptor.digest.clone(), index);
        Ok(descriptor)
    }

    /// Puts an image into the index: once for each of its names.
    pub(super) fn name(
        &mut self,
        descriptor: &Descriptor,
        names: &[Reference],
        top: Option<&LayerRecord>,
    ) {
        for name in names {
            let mut named = descriptor.clone();
            named.annotations.insert(NAME_ANNOTATION.to_owned(), name.canonical());
            let tag = name.tag().unwrap_or("latest");
            named.annotations.insert(REF_ANNOTATION.to_owned(), tag.to_owned());
            self.index.push(named);
            if let Some(top) = top {
                let repository = self.repositories.entry(name.familiar_name()).or_default();
                repository.insert(tag.to_owned(), top.digest.hex().to_owned());
            }
        }
        if names.is_empty() {
            self.index.push(descriptor.clone());
        }
    }

    /// Puts an image into Docker's table.
    pub(super) fn list(&mut self, id: &Digest, layers: &[LayerRecord], names: &[Reference]) {
        let tags: Vec<String> = names.iter().map(Reference::familiar).collect();
        self.manifests.push(DockerManifest {
            config: blob_path(id),
            repo_tags: Some(tags).filter(|tags| !tags.is_empty()),
            layers: layers.iter().map(|layer| blob_path(&layer.digest)).collect(),
            layer_sources: layers
                .iter()
                .map(|layer| (layer.diff_id.clone(), descriptor_of(layer)))
                .collect(),
        });
    }
}

/// The manifest of an image, as archives have it.
///
/// # Errors
/// When it cannot be encoded.
pub fn manifest(
    raw_config: &[u8],
    layers: &[LayerRecord],
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>, ImageError> {
    manifest_of(raw_config, layers.iter().map(descriptor_of).collect(), annotations)
}

/// The manifest of an image whose layers have these blobs.
///
/// # Errors
/// When it cannot be encoded.
pub fn manifest_of(
    raw_config: &[u8],
    layers: Vec<Descriptor>,
    annotations: &BTreeMap<String, String>,
) -> Result<Vec<u8>, ImageError> {
    let id = Digest::of(raw_config);
    json(&Manifest {
        schema_version: 2,
        media_type: media::MANIFEST.to_owned(),
        config: Descriptor::new(media::CONFIG, id, raw_config.len() as u64),
        layers,
        annotations: annotations.clone(),
    })
}

fn descriptor_of(layer: &LayerRecord) -> Descriptor {
    Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size_bytes)
}

fn index_of(manifests: Vec<Descriptor>) -> Index {
    Index {
        schema_version: 2,
        media_type: media::INDEX.to_owned(),
        manifests,
        annotations: BTreeMap::new(),
    }
}

fn json(value: &impl Serialize) -> Result<Vec<u8>, ImageError> {
    serde_json::to_vec(value)
        .map_err(|source| ImageError::Document { name: "archive".to_owned(), source })
}
