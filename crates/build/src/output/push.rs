//! Images to registries, under all their names.

use std::collections::BTreeMap;

use bytes::Bytes;
use gantry_archive::Compression;
use gantry_build_proto::{Built, OutputKind, OutputSpec};
use gantry_distribution::{At, Credentials, DistributionError};
use gantry_image::{
    manifest_of,
    transfer::{Events, Push, PushCompression, TransferError},
};
use gantry_oci::{Descriptor, Digest, ImageConfig, Index, Reference, image::media};

use super::{OutputError, Product, annotations, compression, describe_manifest, names};
use crate::{build::Build, travel};

/// Whether an output is to be pushed.
pub(super) fn is_wanted(spec: &OutputSpec) -> Result<bool, OutputError> {
    Ok(spec.kind == OutputKind::Registry || spec.kind == OutputKind::Image && is_on(spec, "push")?)
}

/// Refuses what cannot be pushed, or not so.
pub(super) fn check(spec: &OutputSpec, names: &[Reference]) -> Result<(), OutputError> {
    if is_on(spec, "push-by-digest")? {
        return Err(OutputError::NotImplemented("push-by-digest"));
    }
    if is_on(spec, "registry.insecure")? {
        let word = "registry.insecure (the daemon's insecure-registries are)";
        return Err(OutputError::NotImplemented(word));
    }
    if names.is_empty() || names.iter().any(|name| name.digest().is_some()) {
        return Err(OutputError::NoTag);
    }
    wanted_compression(spec).map(drop)
}

/// Pushes what was made. What its registry has is what the result is called.
pub(super) async fn all(
    build: &Build,
    spec: &OutputSpec,
    products: &[Product],
    built: &mut Built,
) -> Result<(), OutputError> {
    let annotations = annotations(build, spec);
    let names = names(&build.request.tags, spec)?;
    // One as the store of images has it goes as any image goes, and is known to have gone.
    let is_stored = products.len() == 1 && annotations.is_empty();
    for name in &names {
        let shown = name.familiar();
        let credentials = build.client.credentials(name.domain());
        let task = build.reporter.task(&format!("pushing {shown}"));
        let pushed = travel::told(&build.reporter, task.id(), |events| async {
            let events = events;
            match is_stored {
                true => stored(build, spec, name, credentials, &events).await,
                false => {
                    loose(build, spec, name, credentials, products, &annotations, &events).await
                }
            }
        });
        let top = task.end(pushed.await)?;
        describe_manifest(built, &top);
    }
    built.names = names.iter().map(Reference::familiar).collect();
    Ok(())
}

/// Pushes an image of the store; what its name stands for now.
async fn stored(
    build: &Build,
    spec: &OutputSpec,
    name: &Reference,
    credentials: Credentials,
    events: &Events,
) -> Result<Descriptor, OutputError> {
    let compression = wanted_compression(spec)?;
    let push = Push { reference: name.clone(), platform: None, compression, credentials };
    let pushed = build.inner.parts.transfers.push(&push, events).await;
    let pushed = pushed.map_err(|error| failed(name, error))?;
    let one = pushed.into_iter().next().ok_or(OutputError::NoTag)?;
    Ok(one.descriptor)
}

/// Pushes images with annotations, several of them as an index; what the name stands for now.
async fn loose(
    build: &Build,
    spec: &OutputSpec,
    name: &Reference,
    credentials: Credentials,
    products: &[Product],
    annotations: &BTreeMap<String, String>,
    events: &Events,
) -> Result<Descriptor, OutputError> {
    let transfers = &build.inner.parts.transfers;
    let compression = compression(spec)?;
    let refused = |error: DistributionError| failed(name, error.into());
    let mut manifests = Vec::new();
    for product in products {
        let sent = transfers.push_layers(name, &credentials, &product.layers, compression, events);
        let (repository, blobs) = sent.await.map_err(|error| failed(name, error))?;
        let raw = Bytes::from(product.raw_config.clone());
        let config = Descriptor::new(media::CONFIG, Digest::of(&raw), raw.len() as u64);
        let image: ImageConfig = serde_json::from_slice(&raw).map_err(OutputError::Config)?;
        repository.push_blob(raw, Some(&config), &[]).await.map_err(refused)?;
        let document = manifest_of(&product.raw_config, blobs, annotations)?;
        let size = document.len() as u64;
        let mut manifest = Descriptor::new(media::MANIFEST, Digest::of(&document), size);
        manifest.platform = Some(image.platform());
        let at = match products {
            [_] => At::of(name),
            _ => At::Digest(manifest.digest.clone()),
        };
        let put = repository.push_manifest(document.into(), media::MANIFEST, &at).await;
        put.map_err(refused)?;
        manifests.push((repository, manifest));
    }
    let Some((repository, first)) = manifests.first() else { return Err(OutputError::NoTag) };
    if manifests.len() == 1 {
        return Ok(first.clone());
    }
    let index = Index {
        schema_version: 2,
        media_type: media::INDEX.to_owned(),
        manifests: manifests.iter().map(|(_, manifest)| manifest.clone()).collect(),
        annotations: BTreeMap::new(),
    };
    let document = serde_json::to_vec(&index).map_err(OutputError::Config)?;
    let top = Descriptor::new(media::INDEX, Digest::of(&document), document.len() as u64);
    let put = repository.push_manifest(document.into(), media::INDEX, &At::of(name)).await;
    put.map_err(refused)?;
    Ok(top)
}

fn failed(name: &Reference, error: TransferError) -> OutputError {
    OutputError::Push(name.familiar(), Box::new(error))
}

fn wanted_compression(spec: &OutputSpec) -> Result<Option<PushCompression>, OutputError> {
    match compression(spec)? {
        None => Ok(None),
        Some(Compression::Zstd) => Ok(Some(PushCompression::Zstd)),
        Some(Compression::Gzip) => Ok(Some(PushCompression::Gzip)),
        Some(_) => Err(OutputError::NotImplemented("pushing layers uncompressed")),
    }
}

/// An attribute of Go's truth values.
fn is_on(spec: &OutputSpec, name: &str) -> Result<bool, OutputError> {
    match spec.attributes.get(name).map(String::as_str) {
        None | Some("" | "0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some(value) => {
            Err(OutputError::Attribute { name: name.to_owned(), value: value.to_owned() })
        }
    }
}
