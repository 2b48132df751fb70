//! Base images that come from a registry.

use std::collections::HashMap;

use futures_util::FutureExt;
use gantry_image::transfer::{Events, Pull, Step, TransferEvent};
use gantry_oci::{Digest, Platform, Reference};
use tokio::sync::mpsc;

use crate::{build::Build, plan::SourceError, reporter::Reporter};

/// Events that wait to be told.
const QUEUE: usize = 64;

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
    let (queue, told) = mpsc::channel(QUEUE);
    let pull = Pull {
        credentials: build.client.credentials(reference.domain()),
        // A name stands for one image here: that of another platform stays without it.
        unnamed: platform.is_some_and(|wanted| !Platform::host().matches(wanted)),
        reference: reference.clone(),
        all_tags: false,
        platform: platform.cloned(),
    };
    let transfers = &build.inner.parts.transfers;
    let events = Events::new(queue);
    let work = async {
        let pulled = transfers.pull(&pull, &events).await;
        drop(events);
        pulled
    }
    .boxed();
    let ((), pulled) = futures_util::future::join(tell(&build.reporter, vertex, told), work).await;
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

/// Passes on how layers come.
async fn tell(reporter: &Reporter, vertex: u32, mut told: mpsc::Receiver<TransferEvent>) {
    let mut sizes: HashMap<String, u64> = HashMap::new();
    while let Some(event) = told.recv().await {
        let TransferEvent::Layer { id, step } = event else { continue };
        match step {
            Step::Downloading { current, total } => {
                reporter.progress(vertex, &id, current, total, false);
                sizes.insert(id, total);
            }
            Step::Pulled => {
                let total = sizes.get(&id).copied().unwrap_or_default();
                reporter.progress(vertex, &id, total, total, true);
            }
            _ => {}
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
