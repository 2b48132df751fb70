//! Images of the daemon's: nothing is copied, layers are where they are.

use gantry_build_proto::{Built, OutputSpec};
use gantry_image::{Make, manifest};
use gantry_oci::{Digest, Reference};

use super::{OutputError, Product, annotations, describe, names};
use crate::build::Build;

/// Makes an image, with the request's names.
pub(super) fn make(
    build: &Build,
    products: Vec<Product>,
    spec: &OutputSpec,
    built: &mut Built,
) -> Result<(), OutputError> {
    let [product] = <[Product; 1]>::try_from(products).map_err(|_| OutputError::ManifestList)?;
    let names = names(&build.request.tags, spec)?;
    let id = Digest::of(&product.raw_config);
    let document = manifest(&product.raw_config, &product.layers, &annotations(build, spec))?;
    build.inner.parts.images.make_of_layers(Make {
        raw_config: product.raw_config,
        layers: product.layers,
        names: names.clone(),
        parent: None,
    })?;
    describe(built, &id, &document, &names);
    built.image = id.to_string();
    built.names = names.iter().map(Reference::familiar).collect();
    Ok(())
}
