//! A cache as a manifest and its layers; [`imports`](crate::imports) has the form.

use std::{collections::BTreeMap, io::Write};

use bytes::Bytes;
use gantry_archive::{Header, TarWriter};
use gantry_image::{Images, LayerRecord};
use gantry_oci::{Descriptor, Digest, Index, Manifest, image::media};

use super::ExportError;
use crate::{
    cache::record::Record,
    imports::{CONFIG_TYPE, Carried, DIFF_ID, blob_path},
};

/// A cache, ready to be sent.
pub(super) struct Document {
    /// Its layers.
    pub layers: Vec<LayerRecord>,
    /// Its records.
    pub config: Descriptor,
    /// The same as bytes.
    pub config_bytes: Bytes,
}

impl Document {
    pub(super) fn new(records: Vec<Record>, layers: Vec<LayerRecord>) -> Result<Self, ExportError> {
        let bytes = serde_json::to_vec(&Carried { records }).map_err(ExportError::Document)?;
        let config = Descriptor::new(CONFIG_TYPE, Digest::of(&bytes), bytes.len() as u64);
        Ok(Self { layers, config, config_bytes: bytes.into() })
    }

    /// The manifest, with the blobs of the layers in their order.
    pub(super) fn manifest(&self, blobs: &[Descriptor]) -> Result<Bytes, ExportError> {
        let layer = |(layer, blob): (&LayerRecord, &Descriptor)| {
            let mut blob = blob.clone();
            blob.annotations.insert(DIFF_ID.to_owned(), layer.diff_id.to_string());
            blob
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: media::MANIFEST.to_owned(),
            config: self.config.clone(),
            layers: self.layers.iter().zip(blobs).map(layer).collect(),
            annotations: BTreeMap::new(),
        };
        Ok(serde_json::to_vec(&manifest).map_err(ExportError::Document)?.into())
    }
}

/// Writes a cache, whose layers have the blobs that are recorded, as the tar of a directory. What
/// points at others comes last.
pub(super) fn write_directory(
    cache: &Document,
    tag: &str,
    images: &Images,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut tar = TarWriter::new(out);
    for directory in ["blobs/", "blobs/sha256/"] {
        tar.data(&Header::directory(directory.as_bytes()), b"")?;
    }
    let mut written: Vec<&Digest> = Vec::new();
    for layer in &cache.layers {
        if written.contains(&&layer.digest) {
            continue;
        }
        written.push(&layer.digest);
        let path = blob_path(&layer.digest);
        let header = Header::file(path.as_bytes(), layer.size_bytes);
        tar.written(&header, |out| images.write_blob_of(layer, out))?;
    }
    let config = blob_path(&cache.config.digest);
    tar.data(&Header::file(config.as_bytes(), 0), &cache.config_bytes)?;
    let blob = |layer: &LayerRecord| {
        Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size_bytes)
    };
    let manifest = cache.manifest(&cache.layers.iter().map(blob).collect::<Vec<_>>())?;
    let mut top = Descriptor::new(media::MANIFEST, Digest::of(&manifest), manifest.len() as u64);
    tar.data(&Header::file(blob_path(&top.digest).as_bytes(), 0), &manifest)?;
    let name = "org.opencontainers.image.ref.name".to_owned();
    top.annotations.insert(name, tag.to_owned());
    let index = Index {
        schema_version: 2,
        media_type: media::INDEX.to_owned(),
        manifests: vec![top],
        annotations: BTreeMap::new(),
    };
    let index = serde_json::to_vec(&index).map_err(ExportError::Document)?;
    tar.data(&Header::file(b"oci-layout", 0), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
    tar.data(&Header::file(b"index.json", 0), &index)?;
    tar.finish()?;
    Ok(())
}
