//! Archives of images: OCI layouts and what `docker load` takes.

use std::sync::Arc;

use gantry_archive::Compression;
use gantry_build_proto::{Built, OutputKind};
use gantry_image::{Archive, ArchiveImage, manifest};
use gantry_oci::{Digest, Reference};

use super::{OutputError, Product, annotations, compression, describe, names};
use crate::{build::Build, streams};

/// Sends an archive to the client.
pub(super) async fn send(
    build: &Arc<Build>,
    products: Vec<Product>,
    index: usize,
    built: &mut Built,
) -> Result<(), OutputError> {
    let spec = &build.request.outputs[index];
    let docker = spec.kind == OutputKind::Docker;
    if docker && products.len() > 1 {
        return Err(OutputError::ManifestList);
    }
    let usual = if docker { Compression::None } else { Compression::Gzip };
    let compression = compression(spec)?.unwrap_or(usual);
    let names = names(&build.request.tags, spec)?;
    let annotations = annotations(build, spec);
    if let [product] = products.as_slice()
        && built.image.is_empty()
    {
        let id = Digest::of(&product.raw_config);
        let document = manifest(&product.raw_config, &product.layers, &annotations)?;
        describe(built, &id, &document, &names);
        built.names = names.iter().map(Reference::familiar).collect();
    }
    let images = products.into_iter().map(|product| ArchiveImage {
        raw_config: product.raw_config,
        layers: product.layers,
        annotations: annotations.clone(),
    });
    let archive = Archive { images: images.collect(), names, docker, compression };
    let output = build.client.output(index).await;
    let output = output.map_err(|source| OutputError::Client { index, source })?;
    let images = build.inner.parts.images.clone();
    streams::write(output, move |out| Ok(images.archive(&archive, out)?)).await
}
