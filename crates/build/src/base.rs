//! Base images that come from a registry.

use gantry_image::transfer::Pull;
use gantry_oci::{Digest, Platform, Reference};

use crate::{build::Build, plan::SourceError, travel};

/// The name in a registry that an image of a Dockerfile has; an id has none.
pub(crate) fn pullable(name: &str) -> Option<Reference> {
    // An id looks like a repository with a tag.
    let is_id = name.parse::<Digest>().is_ok();
    name.parse::<Reference>().ok().filter(|_| !is_id).map(Reference::or_latest)
}

/// Pulls a base image; how its layers come is told of `vertex`.
pub(crate) async fn pull(
    build: &Build,
    reference: Reference,
    platform: Option<&Platform>,
    vertex: u32,
) -> Result<Digest, SourceError> {
    let pull = Pull {
        credentials: build.client.credentials(reference.domain()),
        // A name stands for one image here: that of another platform stays without it.
        unnamed: platform.is_some_and(|wanted| !Platform::host().matches(wanted)),
        reference: reference.clone(),
        all_tags: false,
        platform: platform.cloned(),
    };
    let transfers = &build.inner.parts.transfers;
    let pulled = travel::told(&build.reporter, vertex, |events| async move {
        transfers.pull(&pull, &events).await
    });
    let pulled = pulled.await;
    match pulled {
        Ok(pulled) => {
            pulled.into_iter().next().map(|pulled| pulled.id).ok_or_else(|| {
                SourceError::NoImage(format!("{}: not found", reference.canonical()))
            })
        }
        Err(error) => {
            let words = gantry_fault::chain(&error);
            Err(SourceError::NoImage(format!(
                "failed to resolve source metadata for {}: {words}",
                reference.canonical()
            )))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_in_no_registry() {
        let id = Digest::of(b"");
        for (name, want) in [
            ("busybox", Some("docker.io/library/busybox:latest")),
            ("reg:5000/a:1", Some("reg:5000/a:1")),
            (id.hex(), None),
            (id.as_str(), None),
            ("UPPER", None),
        ] {
            assert_eq!(pullable(name).map(|name| name.canonical()).as_deref(), want, "{name}");
        }
    }
}
