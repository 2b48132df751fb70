//! What becomes of results: images, archives, files.

mod archive;
mod config;
mod files;
mod image;
mod push;
mod squash;

use std::{collections::BTreeMap, sync::Arc};

use gantry_archive::ArchiveError;
use gantry_build_proto::{BuildRequest, Built, OutputKind, OutputSpec};
use gantry_image::{ImageError, LayerRecord, transfer::TransferError};
use gantry_oci::{Descriptor, Digest, Reference, ReferenceError};
use gantry_snapshot::SnapshotError;

use crate::{
    ClientError,
    build::Build,
    cache::record::Layer,
    graph::Target,
    ops::OpError,
    solve::{Solved, Solver},
};

/// Why a result did not become what it was to be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OutputError {
    /// Not yet.
    #[error("{0} is not implemented")]
    NotImplemented(&'static str),
    /// The store of images holds one platform under a name.
    #[error("docker exporter does not currently support exporting manifest lists")]
    ManifestList,
    /// A registry keeps images by their names.
    #[error("tag is needed when pushing to registry")]
    NoTag,
    /// A registry does not take it.
    #[error("failed to push {0}")]
    Push(String, #[source] Box<TransferError>),
    /// An attribute has a wrong value.
    #[error("invalid value {value:?} of output attribute {name}")]
    Attribute {
        /// Its name.
        name: String,
        /// Its value.
        value: String,
    },
    /// A name is none.
    #[error("invalid tag {name:?}")]
    Name {
        /// The name.
        name: String,
        /// What is wrong.
        #[source]
        source: ReferenceError,
    },
    /// A configuration cannot be written.
    #[error("writing an image's configuration")]
    Config(#[source] serde_json::Error),
    /// An image could not be made.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A layer could not be made or shown.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// An archive could not be written.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Layers are missing or could not be made.
    #[error(transparent)]
    Op(#[from] OpError),
    /// The client does not take it.
    #[error("sending output {index}")]
    Client {
        /// Which.
        index: usize,
        /// Why not.
        #[source]
        source: ClientError,
    },
    /// It could not be sent.
    #[error("sending output")]
    Send(#[from] std::io::Error),
}

/// A target's image, ready for outputs.
#[derive(Debug, Clone)]
pub(crate) struct Product {
    pub raw_config: Vec<u8>,
    pub layers: Vec<LayerRecord>,
}

/// Makes all outputs of a build.
pub(crate) async fn export(
    build: &Arc<Build>,
    solver: &Solver,
    targets: &[Target],
    solved: &[Arc<Solved>],
) -> Result<Built, OutputError> {
    let mut built = Built::default();
    for (index, spec) in build.request.outputs.iter().enumerate() {
        if spec.kind == OutputKind::CacheOnly {
            continue;
        }
        let task = build.reporter.task(exporting(spec.kind));
        let made = one(build, solver, targets, solved, index, &mut built).await;
        let products = task.end(made)?;
        if push::is_wanted(spec)? {
            push::all(build, spec, &products, &mut built).await?;
        }
    }
    Ok(built)
}

/// Refuses what cannot be made, before anything is done for it.
pub(crate) fn check(request: &BuildRequest) -> Result<(), OutputError> {
    for spec in &request.outputs {
        compression(spec)?;
        rewrites_times(spec)?;
        let names = names(&request.tags, spec)?;
        if push::is_wanted(spec)? {
            push::check(spec, &names)?;
        }
    }
    Ok(())
}

fn exporting(kind: OutputKind) -> &'static str {
    match kind {
        OutputKind::Image | OutputKind::Registry => "exporting to image",
        OutputKind::Local => "exporting to client directory",
        OutputKind::Tar => "exporting to client tarball",
        OutputKind::Oci => "exporting to oci image format",
        OutputKind::Docker => "exporting to docker image format",
        OutputKind::CacheOnly => "exporting cache",
    }
}

/// Makes an output; the images that it is of, if it is of any.
async fn one(
    build: &Arc<Build>,
    solver: &Solver,
    targets: &[Target],
    solved: &[Arc<Solved>],
    index: usize,
    built: &mut Built,
) -> Result<Vec<Product>, OutputError> {
    let spec = &build.request.outputs[index];
    for result in solved {
        build.ensure(&result.layers).await?;
    }
    if matches!(spec.kind, OutputKind::Local | OutputKind::Tar) {
        files::send(build, targets, solved, index).await?;
        return Ok(Vec::new());
    }
    let mut products = Vec::new();
    for (target, result) in targets.iter().zip(solved) {
        products.push(config::product(build, solver, target, result, spec).await?);
    }
    match spec.kind {
        OutputKind::Oci | OutputKind::Docker => {
            archive::send(build, products.clone(), index, built).await?;
        }
        // The store of images holds one platform under a name; a registry holds them all.
        _ if products.len() > 1 && push::is_wanted(spec)? && !push::is_on(spec, "store")? => {}
        _ => image::make(build, products.clone(), spec, built)?,
    }
    Ok(products)
}

/// The names that an output gets.
fn names(tags: &[String], spec: &OutputSpec) -> Result<Vec<Reference>, OutputError> {
    let own = spec.attributes.get("name").map(String::as_str).unwrap_or_default();
    let texts = tags.iter().map(String::as_str).chain(own.split(',')).map(str::trim);
    let mut names: Vec<Reference> = Vec::new();
    for text in texts.filter(|text| !text.is_empty()) {
        let name: Reference =
            text.parse().map_err(|source| OutputError::Name { name: text.to_owned(), source })?;
        let name = name.or_latest();
        if !names.contains(&name) {
            names.push(name);
        }
    }
    Ok(names)
}

/// How an output's layers are compressed, if it says so.
fn compression(spec: &OutputSpec) -> Result<Option<gantry_archive::Compression>, OutputError> {
    use gantry_archive::Compression;
    let Some(value) = spec.attributes.get("compression") else { return Ok(None) };
    match value.as_str() {
        "uncompressed" => Ok(Some(Compression::None)),
        "gzip" => Ok(Some(Compression::Gzip)),
        "zstd" => Ok(Some(Compression::Zstd)),
        _ => Err(OutputError::Attribute { name: "compression".to_owned(), value: value.clone() }),
    }
}

/// Whether what is later than the time that is given for the build gets that time.
fn rewrites_times(spec: &OutputSpec) -> Result<bool, OutputError> {
    let name = "rewrite-timestamp";
    match spec.attributes.get(name).map(String::as_str) {
        None | Some("" | "true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(value) => {
            Err(OutputError::Attribute { name: name.to_owned(), value: value.to_owned() })
        }
    }
}

/// The time that the build's output gets, s since 1970.
fn epoch(build: &Build, spec: Option<&OutputSpec>) -> Option<i64> {
    let own = spec.and_then(|spec| spec.attributes.get("source-date-epoch"));
    let text = own.or_else(|| build.request.args.get("SOURCE_DATE_EPOCH"))?;
    text.trim().parse().ok()
}

/// Annotations of an output: those of the request, and its own (`annotation.NAME`).
fn annotations(build: &Build, spec: &OutputSpec) -> BTreeMap<String, String> {
    let mut annotations = build.request.annotations.clone();
    for (name, value) in &spec.attributes {
        if let Some(name) = name.strip_prefix("annotation.") {
            annotations.insert(name.to_owned(), value.clone());
        }
    }
    annotations
}

/// Layers as images' records have them.
pub(crate) fn layer_records(build: &Build, layers: &[Layer]) -> Vec<LayerRecord> {
    let known = build.image_layers();
    let record = |layer: &Layer| match known.get(&layer.diff_id) {
        Some(record) => record.clone(),
        None => LayerRecord::made(layer.diff_id.clone(), layer.tar_bytes, layer.size_bytes),
    };
    layers.iter().map(record).collect()
}

/// Notes a result's digests, for `--metadata-file`.
fn describe(built: &mut Built, id: &Digest, manifest: &[u8], names: &[Reference]) {
    let text = |digest: &Digest| serde_json::Value::String(digest.to_string());
    built.metadata.insert("containerimage.config.digest".to_owned(), text(id));
    let media_type = gantry_oci::image::media::MANIFEST;
    describe_manifest(
        built,
        &Descriptor::new(media_type, Digest::of(manifest), manifest.len() as u64),
    );
    if !names.is_empty() {
        let all: Vec<String> = names.iter().map(Reference::canonical).collect();
        built.metadata.insert("image.name".to_owned(), all.join(",").into());
    }
}

/// Notes which manifest a result has.
fn describe_manifest(built: &mut Built, manifest: &Descriptor) {
    let digest = manifest.digest.to_string();
    built.metadata.insert("containerimage.digest".to_owned(), digest.clone().into());
    built.metadata.insert(
        "containerimage.descriptor".to_owned(),
        serde_json::json!({
            "mediaType": manifest.media_type, "digest": digest, "size": manifest.size,
        }),
    );
    built.manifest = digest;
}
