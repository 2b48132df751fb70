//! A cache as a manifest and its layers; [`imports`](crate::imports) has the form.

use std::{collections::BTreeMap, io::Write};

use gantry_archive::{Header, TarWriter};
use gantry_image::{Images, LayerRecord, transfer::Parcel};
use gantry_oci::{Descriptor, Digest, Index, Manifest, image::media};

use super::ExportError;
use crate::{
    cache::record::Record,
    imports::{CONFIG_TYPE, Carried, DIFF_ID, blob_path},
};

/// The manifest of a cache with all that it names, ready to be sent.
pub(super) fn parcel(
    records: Vec<Record>,
    layers: Vec<LayerRecord>,
) -> Result<Parcel, ExportError> {
    let json = ExportError::Document;
    let config = serde_json::to_vec(&Carried { records }).map_err(json)?;
    let described = Descriptor::new(CONFIG_TYPE, Digest::of(&config), config.len() as u64);
    let layer = |layer: &LayerRecord| {
        let mut descriptor =
            Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size_bytes);
        descriptor.annotations.insert(DIFF_ID.to_owned(), layer.diff_id.to_string());
        descriptor
    };
    let manifest = Manifest {
        schema_version: 2,
        media_type: media::MANIFEST.to_owned(),
        config: described.clone(),
        layers: layers.iter().map(layer).collect(),
        annotations: BTreeMap::new(),
    };
    let manifest = serde_json::to_vec(&manifest).map_err(json)?.into();
    Ok(Parcel { layers, config: (described, config.into()), manifest })
}

/// Writes a cache as the tar of a directory; what points at others comes last.
pub(super) fn write_directory(
    parcel: &Parcel,
    tag: &str,
    images: &Images,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let mut tar = TarWriter::new(out);
    for directory in ["blobs/", "blobs/sha256/"] {
        tar.data(&Header::directory(directory.as_bytes()), b"")?;
    }
    let mut written: Vec<&Digest> = Vec::new();
    for layer in &parcel.layers {
        if written.contains(&&layer.digest) {
            continue;
        }
        written.push(&layer.digest);
        let path = blob_path(&layer.digest);
        let header = Header::file(path.as_bytes(), layer.size_bytes);
        tar.written(&header, |out| images.write_blob_of(layer, out))?;
    }
    let (config, data) = &parcel.config;
    tar.data(&Header::file(blob_path(&config.digest).as_bytes(), 0), data)?;
    let manifest = &parcel.manifest;
    let mut top = Descriptor::new(media::MANIFEST, Digest::of(manifest), manifest.len() as u64);
    tar.data(&Header::file(blob_path(&top.digest).as_bytes(), 0), manifest)?;
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
