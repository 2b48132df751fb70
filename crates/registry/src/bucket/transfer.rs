//! A file to the bucket, in parts.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    MultipartId, ObjectStoreExt,
    multipart::{MultipartStore, PartId},
    path::Path,
};
use tokio::sync::Semaphore;

use super::{Bucket, failed};
use crate::blobs::BlobError;

const MIB: u64 = 1 << 20;
/// Usual length of a part, in bytes; all but the last have at least 5 MiB.
const PART_BYTES: u64 = 8 * MIB;
/// Most parts that an object has: the storage's limit is 10,000.
const PARTS_MAX: u64 = 9_000;
/// Parts of one blob that are sent at once.
const AT_ONCE: usize = 3;
/// Memory for parts of all blobs together, in MiB: it does not grow with clients.
const MEMORY_MIB: u32 = 24;

/// What is shared by all transfers.
#[derive(Debug)]
pub(super) struct Transfers {
    bucket: Arc<Bucket>,
    memory: Semaphore,
}

/// Parts that are all there; they become an object, or go.
#[derive(Debug)]
pub(super) struct Sent {
    upload: MultipartId,
    parts: Vec<PartId>,
}

impl Transfers {
    pub(super) fn new(bucket: Arc<Bucket>) -> Self {
        Self { bucket, memory: Semaphore::new(MEMORY_MIB as usize) }
    }

    /// Sends a file's parts, which nobody sees yet; none if it is so small that
    /// [`Transfers::put`] sends it at once.
    ///
    /// # Errors
    /// When the storage does not take them; nothing is left then.
    pub(super) async fn send(
        &self,
        file: &Arc<File>,
        size_bytes: u64,
        key: &Path,
    ) -> Result<Option<Sent>, BlobError> {
        if size_bytes <= PART_BYTES {
            return Ok(None);
        }
        let begun = self.bucket.store.create_multipart(key).await;
        let upload = begun.map_err(|source| failed("beginning", key, source))?;
        let length = part_bytes(size_bytes);
        let parts = stream::iter((0..size_bytes).step_by(usize::try_from(length).unwrap_or(1)))
            .enumerate()
            .map(|(number, offset)| {
                let piece = (offset, length.min(size_bytes - offset));
                self.part(file, piece, key, &upload, number)
            })
            .buffered(AT_ONCE)
            .try_collect::<Vec<PartId>>()
            .await;
        match parts {
            Ok(parts) => Ok(Some(Sent { upload, parts })),
            Err(error) => {
                self.abort(key, &upload).await;
                Err(error)
            }
        }
    }

    /// Makes an object of parts.
    ///
    /// # Errors
    /// When the storage does not; nothing is left then.
    pub(super) async fn complete(&self, sent: Sent, key: &Path) -> Result<(), BlobError> {
        let done = self.bucket.store.complete_multipart(key, &sent.upload, sent.parts).await;
        if let Err(source) = done {
            self.abort(key, &sent.upload).await;
            return Err(failed("completing", key, source));
        }
        Ok(())
    }

    /// Makes an object of a whole file.
    ///
    /// # Errors
    /// When the storage does not take it.
    pub(super) async fn put(
        &self,
        file: &Arc<File>,
        size_bytes: u64,
        key: &Path,
    ) -> Result<(), BlobError> {
        let _memory = self.memory(size_bytes).await;
        let bytes = read(file, (0, size_bytes)).await?;
        let put = self.bucket.store.put(key, bytes.into()).await;
        put.map(drop).map_err(|source| failed("writing", key, source))
    }

    async fn part(
        &self,
        file: &Arc<File>,
        piece: (u64, u64),
        key: &Path,
        upload: &MultipartId,
        number: usize,
    ) -> Result<PartId, BlobError> {
        let _memory = self.memory(piece.1).await;
        let bytes = read(file, piece).await?;
        let put = self.bucket.store.put_part(key, upload, number, bytes.into()).await;
        put.map_err(|source| failed("writing", key, source))
    }

    /// Waits for memory; a part that is larger than all of it gets all of it.
    async fn memory(&self, bytes: u64) -> Option<tokio::sync::SemaphorePermit<'_>> {
        let mib = u32::try_from(bytes.div_ceil(MIB)).unwrap_or(MEMORY_MIB);
        // The semaphore is never closed.
        self.memory.acquire_many(mib.clamp(1, MEMORY_MIB)).await.ok()
    }

    /// Throws parts away. What cannot be thrown away is the bucket's to expire.
    async fn abort(&self, key: &Path, upload: &MultipartId) {
        if let Err(error) = self.bucket.store.abort_multipart(key, upload).await {
            tracing::warn!(%key, %error, "parts of an object are left in the bucket");
        }
    }
}

/// Length of all parts but the last of an object, in bytes.
fn part_bytes(size_bytes: u64) -> u64 {
    size_bytes.div_ceil(PARTS_MAX).div_ceil(MIB).saturating_mul(MIB).max(PART_BYTES)
}

/// Reads a part of a file, from an offset on, as long as told.
async fn read(file: &Arc<File>, (offset, length): (u64, u64)) -> Result<Bytes, BlobError> {
    let file = Arc::clone(file);
    let read = tokio::task::spawn_blocking(move || {
        let length = usize::try_from(length).map_err(io::Error::other)?;
        let mut bytes = vec![0; length];
        file.read_exact_at(&mut bytes, offset)?;
        Ok(Bytes::from(bytes))
    });
    let read = read.await.unwrap_or_else(|gone| Err(io::Error::other(gone)));
    read.map_err(|source| BlobError::Io { step: "reading", what: "an upload".to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_grow_with_objects() {
        for (size_mib, want_mib) in [(9, 8), (70_000, 8), (1 << 20, 117)] {
            let length = part_bytes(size_mib * MIB);
            assert_eq!(length, want_mib * MIB, "{size_mib} MiB");
            assert!((size_mib * MIB).div_ceil(length) <= PARTS_MAX);
        }
    }
}
