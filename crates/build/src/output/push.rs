//! Images to registries, under all their names.

use gantry_archive::Compression;
use gantry_build_proto::{Built, OutputKind, OutputSpec};
use gantry_image::transfer::{Push, PushCompression};
use gantry_oci::Reference;

use super::{OutputError, compression, describe_manifest, names};
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

/// Pushes an image that was made. What its registry has is what the result is called.
pub(super) async fn all(
    build: &Build,
    spec: &OutputSpec,
    built: &mut Built,
) -> Result<(), OutputError> {
    let transfers = &build.inner.parts.transfers;
    for name in names(&build.request.tags, spec)? {
        let shown = name.familiar();
        let push = Push {
            credentials: build.client.credentials(name.domain()),
            compression: wanted_compression(spec)?,
            platform: None,
            reference: name,
        };
        let task = build.reporter.task(&format!("pushing {shown}"));
        let pushed = travel::told(&build.reporter, task.id(), |events| async move {
            transfers.push(&push, &events).await
        });
        let pushed = pushed.await.map_err(|error| OutputError::Push(shown, Box::new(error)));
        for one in task.end(pushed)? {
            describe_manifest(built, &one.descriptor);
        }
    }
    Ok(())
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
