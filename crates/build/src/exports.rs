//! Caches that a build leaves with its client; [`imports`](crate::imports) has their form.

use std::{collections::BTreeMap, io::Write, sync::Arc};

use gantry_archive::{ArchiveError, Compression, Header, TarWriter};
use gantry_build_proto::CacheSpec;
use gantry_image::{ImageError, Images, LayerRecord};
use gantry_oci::{Descriptor, Digest, Index, Manifest, image::media};

use crate::{
    ClientError,
    build::Build,
    cache::record::{Layer, Record},
    imports::{CONFIG_TYPE, Carried, DIFF_ID, blob_path},
    ops::OpError,
    output::layer_records,
    solve::{Solved, Solver},
    streams,
};

/// Why a cache is not left.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ExportError {
    /// A kind that there is not, or not yet.
    #[error("cache exports of type {0} are not implemented")]
    Kind(String),
    /// An attribute has a wrong value.
    #[error("invalid value {value:?} of cache attribute {name}")]
    Attribute {
        /// Its name.
        name: &'static str,
        /// Its value.
        value: String,
    },
    /// Layers are missing.
    #[error(transparent)]
    Op(#[from] OpError),
    /// A layer could not be packed.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Records cannot be written.
    #[error("writing a cache's records")]
    Document(#[source] serde_json::Error),
    /// The client does not take it.
    #[error("sending a cache")]
    Client(#[source] ClientError),
    /// It could not be sent.
    #[error("sending a cache")]
    Send(#[from] std::io::Error),
}

/// Refuses what cannot be left, before anything is done for it.
pub(crate) fn check(specs: &[CacheSpec]) -> Result<(), ExportError> {
    for spec in specs {
        match spec.kind.as_str() {
            "inline" | "local" => {}
            other => return Err(ExportError::Kind(other.to_owned())),
        }
        mode(spec)?;
        compression(spec)?;
    }
    Ok(())
}

/// Leaves all caches that the request names.
pub(crate) async fn export(
    build: &Arc<Build>,
    solver: &Solver,
    solved: &[Arc<Solved>],
) -> Result<(), ExportError> {
    for (index, spec) in build.request.cache_to.iter().enumerate() {
        // An inline cache has gone with its image.
        if spec.kind != "local" {
            continue;
        }
        let task = build.reporter.task("exporting cache to client directory");
        let done = task.end(one(build, solver, solved, index, spec).await);
        let forgiven = spec.attributes.get("ignore-error").is_some_and(|value| value == "true");
        if !forgiven {
            done?;
        }
    }
    Ok(())
}

/// A cache, ready to be sent.
struct Parcel {
    index: Vec<u8>,
    documents: Vec<(Digest, Vec<u8>)>,
    layers: Vec<LayerRecord>,
}

async fn one(
    build: &Arc<Build>,
    solver: &Solver,
    solved: &[Arc<Solved>],
    index: usize,
    spec: &CacheSpec,
) -> Result<(), ExportError> {
    let mut records = solver.records();
    if !mode(spec)? {
        let own: Vec<&Layer> = solved.iter().flat_map(|solved| &solved.layers).collect();
        let shown = |layer: &Layer| own.iter().any(|known| known.diff_id == layer.diff_id);
        records.retain(|record| record.layers().all(shown));
    }
    let layers = made_layers(&records);
    build.ensure(&layers).await?;
    let tag = spec.attributes.get("tag").map_or("latest", String::as_str).to_owned();
    let compression = compression(spec)?;
    let wanted = layer_records(build, &layers);
    let images = build.inner.parts.images.clone();
    let output = build.client.cache_output(index).await.map_err(ExportError::Client)?;
    let packer = images.clone();
    let (layers, lease) =
        crate::blocking(move || packer.compressed_layers(&wanted, compression)).await?;
    let parcel = Parcel::new(records, layers, &tag)?;
    let sent = streams::write(output, move |out| parcel.write(&images, out)).await;
    drop(lease);
    let images = build.inner.parts.images.clone();
    crate::blocking(move || images.sweep()).await?;
    sent
}

/// The layers that builds made, each once; those of images come with the images.
fn made_layers(records: &[Record]) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::new();
    for layer in records.iter().flat_map(|record| record.layers()) {
        let known = layers.iter().any(|known| known.diff_id == layer.diff_id);
        if layer.made_by.is_some() && !known {
            layers.push(layer.clone());
        }
    }
    layers
}

impl Parcel {
    fn new(records: Vec<Record>, layers: Vec<LayerRecord>, tag: &str) -> Result<Self, ExportError> {
        let json = ExportError::Document;
        let config = serde_json::to_vec(&Carried { records }).map_err(json)?;
        let config_id = Digest::of(&config);
        let layer = |layer: &LayerRecord| {
            let mut descriptor =
                Descriptor::new(&layer.media_type, layer.digest.clone(), layer.size_bytes);
            descriptor.annotations.insert(DIFF_ID.to_owned(), layer.diff_id.to_string());
            descriptor
        };
        let manifest = Manifest {
            schema_version: 2,
            media_type: media::MANIFEST.to_owned(),
            config: Descriptor::new(CONFIG_TYPE, config_id.clone(), config.len() as u64),
            layers: layers.iter().map(layer).collect(),
            annotations: BTreeMap::new(),
        };
        let manifest = serde_json::to_vec(&manifest).map_err(json)?;
        let manifest_id = Digest::of(&manifest);
        let mut top = Descriptor::new(media::MANIFEST, manifest_id.clone(), manifest.len() as u64);
        let name = "org.opencontainers.image.ref.name".to_owned();
        top.annotations.insert(name, tag.to_owned());
        let index = Index {
            schema_version: 2,
            media_type: media::INDEX.to_owned(),
            manifests: vec![top],
            annotations: BTreeMap::new(),
        };
        let index = serde_json::to_vec(&index).map_err(json)?;
        Ok(Self { index, documents: vec![(config_id, config), (manifest_id, manifest)], layers })
    }

    /// Writes the cache as a tar; what points at others comes last.
    fn write(&self, images: &Images, out: &mut dyn Write) -> Result<(), ExportError> {
        let mut tar = TarWriter::new(out);
        for directory in ["blobs/", "blobs/sha256/"] {
            tar.data(&Header::directory(directory.as_bytes()), b"")?;
        }
        let mut written: Vec<&Digest> = Vec::new();
        for layer in &self.layers {
            if written.contains(&&layer.digest) {
                continue;
            }
            written.push(&layer.digest);
            let path = blob_path(&layer.digest);
            let header = Header::file(path.as_bytes(), layer.size_bytes);
            tar.written(&header, |out| images.write_blob_of(layer, out))?;
        }
        for (digest, data) in &self.documents {
            tar.data(&Header::file(blob_path(digest).as_bytes(), 0), data)?;
        }
        tar.data(&Header::file(b"oci-layout", 0), br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        tar.data(&Header::file(b"index.json", 0), &self.index)?;
        tar.finish()?;
        Ok(())
    }
}

/// Whether results of all steps are left, not only those that are in the result.
fn mode(spec: &CacheSpec) -> Result<bool, ExportError> {
    match spec.attributes.get("mode").map(String::as_str) {
        None | Some("" | "min") => Ok(false),
        Some("max") => Ok(true),
        Some(value) => Err(ExportError::Attribute { name: "mode", value: value.to_owned() }),
    }
}

fn compression(spec: &CacheSpec) -> Result<Compression, ExportError> {
    match spec.attributes.get("compression").map(String::as_str) {
        None | Some("" | "gzip") => Ok(Compression::Gzip),
        Some("zstd") => Ok(Compression::Zstd),
        Some("uncompressed") => Ok(Compression::None),
        Some(value) => Err(ExportError::Attribute { name: "compression", value: value.to_owned() }),
    }
}

impl From<ArchiveError> for ExportError {
    fn from(error: ArchiveError) -> Self {
        Self::Image(error.into())
    }
}
