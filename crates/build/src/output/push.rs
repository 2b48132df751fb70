//! Images to registries, under all their names.

use std::collections::BTreeMap;

use bytes::Bytes;
use gantry_archive::Compression;
use gantry_build_proto::{Built, OutputKind, OutputSpec};
use gantry_distribution::{At, Credentials, Repository};
use gantry_image::{
    manifest_of,
    transfer::{Events, Push, PushCompression, TransferError, Transfers},
};
use gantry_oci::{Descriptor, Digest, ImageConfig, Index, Reference, image::media};

use super::{OutputError, Product, annotations, compression, describe_manifest, names};
use crate::{build::Build, travel};

/// Whether an output is to be pushed.
pub(super) fn is_wanted(spec: &OutputSpec) -> Result<bool, OutputError> {
    match spec.kind {
        OutputKind::Image => is_on(spec, "push"),
        OutputKind::Registry => is_on(spec, "push").map(|_| true),
        _ => Ok(false),
    }
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
    let annotations = &annotations(build, spec);
    let names = names(&build.request.tags, spec)?;
    // One as the store of images has it goes as any image goes, and is known to have gone.
    let is_stored = products.len() == 1 && annotations.is_empty();
    for name in &names {
        let credentials = build.client.credentials(name.domain());
        let to = Destination { transfers: &build.inner.parts.transfers, spec, name, credentials };
        let task = build.reporter.task(&format!("pushing {}", name.familiar()));
        let pushed = travel::told(&build.reporter, task.id(), |events| async move {
            match is_stored {
                true => to.stored(&events).await,
                false => to.index(products, annotations, &events).await,
            }
        });
        let top = task.end(pushed.await)?;
        describe_manifest(built, &top);
    }
    built.names = names.iter().map(Reference::familiar).collect();
    Ok(())
}

/// A name in a registry, and what goes there.
struct Destination<'a> {
    transfers: &'a Transfers,
    spec: &'a OutputSpec,
    name: &'a Reference,
    credentials: Credentials,
}

impl Destination<'_> {
    /// Pushes the image that the store has under the name; what that stands for now.
    async fn stored(self, events: &Events) -> Result<Descriptor, OutputError> {
        let compression = wanted_compression(self.spec)?;
        let (reference, credentials) = (self.name.clone(), self.credentials.clone());
        let push = Push { reference, platform: None, compression, credentials };
        let pushed =
            self.transfers.push(&push, events).await.map_err(|error| self.failed(error))?;
        let one = pushed.into_iter().next().ok_or(OutputError::NoTag)?;
        Ok(one.descriptor)
    }

    /// Pushes images with annotations, several of them as an index; what the name stands for now.
    async fn index(
        self,
        products: &[Product],
        annotations: &BTreeMap<String, String>,
        events: &Events,
    ) -> Result<Descriptor, OutputError> {
        let mut manifests = Vec::new();
        let mut place = None;
        for product in products {
            let alone = products.len() == 1;
            let (repository, manifest) = self.one(product, annotations, alone, events).await?;
            manifests.push(manifest);
            place = Some(repository);
        }
        let (Some(repository), Some(first)) = (place, manifests.first()) else {
            return Err(OutputError::NoTag);
        };
        if manifests.len() == 1 {
            return Ok(first.clone());
        }
        let annotations = BTreeMap::new();
        let media_type = media::INDEX.to_owned();
        let index = Index { schema_version: 2, media_type, manifests, annotations };
        let document = serde_json::to_vec(&index).map_err(OutputError::Config)?;
        self.put(&repository, media::INDEX, document, None).await
    }

    /// Pushes an image, under the name if it is `alone`; its manifest.
    async fn one(
        &self,
        product: &Product,
        annotations: &BTreeMap<String, String>,
        alone: bool,
        events: &Events,
    ) -> Result<(Repository, Descriptor), OutputError> {
        let compression = compression(self.spec)?;
        let layers = &product.layers;
        let sent =
            self.transfers.push_layers(self.name, &self.credentials, layers, compression, events);
        let (repository, blobs) = sent.await.map_err(|error| self.failed(error))?;
        let raw = Bytes::from(product.raw_config.clone());
        let image: ImageConfig = serde_json::from_slice(&raw).map_err(OutputError::Config)?;
        let config = Descriptor::new(media::CONFIG, Digest::of(&raw), raw.len() as u64);
        let pushed = repository.push_blob(raw, Some(&config), &[]).await;
        pushed.map_err(|error| self.failed(error.into()))?;
        let document = manifest_of(&product.raw_config, blobs, annotations)?;
        let at = (!alone).then(|| At::Digest(Digest::of(&document)));
        let mut manifest = self.put(&repository, media::MANIFEST, document, at).await?;
        manifest.platform = Some(image.platform());
        Ok((repository, manifest))
    }

    /// Puts a manifest or index, under the name unless it is said where else.
    async fn put(
        &self,
        repository: &Repository,
        media_type: &str,
        document: Vec<u8>,
        at: Option<At>,
    ) -> Result<Descriptor, OutputError> {
        let put = Descriptor::new(media_type, Digest::of(&document), document.len() as u64);
        let at = at.unwrap_or_else(|| At::of(self.name));
        let pushed = repository.push_manifest(document.into(), media_type, &at).await;
        pushed.map_err(|error| self.failed(error.into()))?;
        Ok(put)
    }

    fn failed(&self, error: TransferError) -> OutputError {
        OutputError::Push(self.name.familiar(), Box::new(error))
    }
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
pub(super) fn is_on(spec: &OutputSpec, name: &str) -> Result<bool, OutputError> {
    match spec.attributes.get(name).map(String::as_str) {
        None | Some("" | "0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some(value) => {
            Err(OutputError::Attribute { name: name.to_owned(), value: value.to_owned() })
        }
    }
}
