//! Caches that a build leaves with its client, or in registries; [`imports`](crate::imports) has
//! their form.

mod document;

use std::sync::Arc;

use gantry_archive::{ArchiveError, Compression};
use gantry_build_proto::CacheSpec;
use gantry_distribution::At;
use gantry_image::{ImageError, LayerRecord, transfer::TransferError};
use gantry_oci::{Reference, image::media};

use crate::{
    ClientError,
    build::Build,
    cache::record::{Layer, Record},
    ops::OpError,
    output::layer_records,
    solve::{Solved, Solver},
    streams, travel,
};
use document::Document;

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
    /// A cache in a registry has no name that one can have.
    #[error("ref of a cache in a registry must be an image's name, not {0:?}")]
    Name(String),
    /// The registry does not take it.
    #[error("pushing the cache to {0}")]
    Push(String, #[source] Box<TransferError>),
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
            "registry" => drop(name(spec)?),
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
        let to = match spec.kind.as_str() {
            "local" => "client directory",
            "registry" => "registry",
            // An inline cache has gone with its image.
            _ => continue,
        };
        let task = build.reporter.task(&format!("exporting cache to {to}"));
        let vertex = task.id();
        let done = task.end(one(build, solver, solved, index, spec, vertex).await);
        let forgiven = spec.attributes.get("ignore-error").is_some_and(|value| value == "true");
        if !forgiven {
            done?;
        }
    }
    Ok(())
}

async fn one(
    build: &Arc<Build>,
    solver: &Solver,
    solved: &[Arc<Solved>],
    index: usize,
    spec: &CacheSpec,
    vertex: u32,
) -> Result<(), ExportError> {
    let mut records = solver.records();
    if !mode(spec)? {
        let own: Vec<&Layer> = solved.iter().flat_map(|solved| &solved.layers).collect();
        let shown = |layer: &Layer| own.iter().any(|known| known.diff_id == layer.diff_id);
        records.retain(|record| record.layers().all(shown));
    }
    let layers = made_layers(&records);
    build.ensure(&layers).await?;
    let layers = layer_records(build, &layers);
    match spec.kind.as_str() {
        "registry" => push(build, spec, Document::new(records, layers)?, vertex).await,
        _ => send(build, index, spec, records, layers).await,
    }
}

/// To the client.
async fn send(
    build: &Build,
    index: usize,
    spec: &CacheSpec,
    records: Vec<Record>,
    layers: Vec<LayerRecord>,
) -> Result<(), ExportError> {
    let tag = spec.attributes.get("tag").map_or("latest", String::as_str).to_owned();
    let compression = compression(spec)?;
    let images = build.inner.parts.images.clone();
    let output = build.client.cache_output(index).await.map_err(ExportError::Client)?;
    let packer = images.clone();
    let (layers, lease) =
        crate::blocking(move || packer.compressed_layers(&layers, compression)).await?;
    let cache = Document::new(records, layers)?;
    let writer = images.clone();
    let write =
        move |out: &mut dyn std::io::Write| document::write_directory(&cache, &tag, &writer, out);
    let sent = streams::write(output, write).await;
    drop(lease);
    crate::blocking(move || images.sweep()).await?;
    sent
}

/// To a registry.
async fn push(
    build: &Build,
    spec: &CacheSpec,
    cache: Document,
    vertex: u32,
) -> Result<(), ExportError> {
    let name = name(spec)?;
    let compression = Some(compression(spec)?);
    let credentials = build.client.credentials(name.domain());
    let failed = |error| ExportError::Push(name.familiar(), Box::new(error));
    let (transfers, to, layers) = (&build.inner.parts.transfers, &name, &cache.layers);
    let pushed = travel::told(&build.reporter, vertex, |events| async move {
        transfers.push_layers(to, &credentials, layers, compression, &events).await
    });
    let (repository, blobs) = pushed.await.map_err(failed)?;
    let manifest = cache.manifest(&blobs)?;
    let put = async {
        repository.push_blob(cache.config_bytes, Some(&cache.config), &[]).await?;
        repository.push_manifest(manifest, media::MANIFEST, &At::of(&name)).await
    };
    put.await.map(drop).map_err(|error| failed(error.into()))
}

/// The name that a cache gets in a registry.
fn name(spec: &CacheSpec) -> Result<Reference, ExportError> {
    let text = spec.attributes.get("ref").map(String::as_str).unwrap_or_default();
    let named = text.parse::<Reference>().ok().filter(|name| name.digest().is_none());
    named.map(Reference::or_latest).ok_or_else(|| ExportError::Name(text.to_owned()))
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
