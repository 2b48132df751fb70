//! Caches in registries: manifests of their own, and images that carry theirs.

use std::io;

use futures_util::{StreamExt, stream::poll_fn};
use gantry_distribution::{Repository, Sink};
use gantry_image::transfer::{Artifact, TransferError};
use gantry_oci::{Algorithm, Descriptor, Digest, Hasher, ImageConfig, Reference};
use tokio::sync::mpsc;

use super::{CONFIG_TYPE, DIFF_ID, DOCUMENT_MAX, ImportError, Imports, Place, inline, parse};
use crate::{Bytes, ClientError, build::Build};

/// Pieces of a blob that wait to be unpacked.
const QUEUE: usize = 4;

impl Imports {
    pub(super) async fn read_registry(
        &mut self,
        build: &Build,
        name: &Reference,
    ) -> Result<(), ImportError> {
        let credentials = build.client.credentials(name.domain());
        let transfers = &build.inner.parts.transfers;
        let Artifact { repository, manifest } = transfers.find(name, &credentials).await?;
        let shown = name.familiar();
        let config = repository.read_blob(&manifest.config, DOCUMENT_MAX as u64).await;
        let config = config.map_err(TransferError::from)?;
        let (carried, diff_ids) = if manifest.config.media_type == CONFIG_TYPE {
            let told = |layer: &Descriptor| layer.annotations.get(DIFF_ID)?.parse().ok();
            let diff_ids: Vec<Option<Digest>> = manifest.layers.iter().map(told).collect();
            (parse(&shown, &config)?, diff_ids)
        } else {
            let carried = inline(&shown, &config)?;
            let image: ImageConfig = parse(&shown, &config)?;
            (carried, image.rootfs.diff_ids.into_iter().map(Some).collect())
        };
        self.add(carried);
        for (diff_id, layer) in diff_ids.into_iter().zip(manifest.layers) {
            if let Some(diff_id) = diff_id {
                self.blobs.insert(diff_id, (Place::Registry(repository.clone()), layer));
            }
        }
        Ok(())
    }
}

/// A blob, as it comes. It ends early when nobody reads it any more.
pub(super) fn stream(repository: &Repository, blob: &Descriptor) -> Bytes {
    let (pieces, mut queue) = mpsc::channel(QUEUE);
    let (repository, blob) = (repository.clone(), blob.clone());
    tokio::spawn(async move {
        let algorithm = blob.digest.algorithm();
        let hasher = Hasher::new(algorithm);
        let sink = Pieces { pieces: pieces.clone(), offset: 0, algorithm, hasher };
        if let Err(error) = repository.blob(&blob, sink).await {
            let refused = ClientError::Refused(gantry_fault::chain(&error));
            // Nobody who listens: it was given up.
            drop(pieces.send(Err(refused)).await);
        }
    });
    poll_fn(move |context| queue.poll_recv(context)).boxed()
}

/// Hands a blob on in pieces. What is handed on cannot be taken back.
struct Pieces {
    pieces: mpsc::Sender<Result<Vec<u8>, ClientError>>,
    offset: u64,
    algorithm: Algorithm,
    hasher: Hasher,
}

impl Sink for Pieces {
    fn offset(&self) -> u64 {
        self.offset
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.hasher.update(data);
        self.offset += data.len() as u64;
        let sent = self.pieces.blocking_send(Ok(data.to_vec()));
        sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    fn restart(&mut self) -> io::Result<()> {
        Err(io::Error::new(io::ErrorKind::InvalidData, "what came is not the blob"))
    }

    fn digest(&mut self, algorithm: Algorithm) -> io::Result<Digest> {
        if algorithm != self.algorithm {
            return Err(io::Error::other("the digest is of another algorithm"));
        }
        Ok(std::mem::replace(&mut self.hasher, Hasher::new(algorithm)).finish())
    }
}
