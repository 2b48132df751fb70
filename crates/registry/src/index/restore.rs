//! Whose bucket it is, and an index that is made again of what is in it.

use std::collections::{HashMap, HashSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use gantry_oci::Digest;
use gantry_store::{Batch, Durability, Store, StoreError};

use super::records::{BodyRecord, HomeRecord, LinkRecord, ManifestRecord, digest_key, tag_key};
use crate::{
    blobs::{BlobError, Blobs},
    bucket::{Entry, Ledger},
    manifest::{self, ManifestError},
    name::Name,
};

/// Objects that are read at once.
const AT_ONCE: usize = 16;
/// Records that are written at once.
const BATCH: usize = 64;
/// Key of the one record that says whose index it is.
const HOME: &str = "home";

/// Why an index cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(
        "its index is of blobs in this directory, the configuration names bucket {0}: give that \
         an empty root"
    )]
    OfDirectory(String),
    #[error("its index is of a bucket, and the configuration has no [s3]")]
    OfBucket,
    #[error("its index is not of bucket {0}: another registry has that, or it was emptied")]
    OtherBucket(String),
    #[error("manifest {digest} of {name} in the bucket is none; remove the object, or restore it")]
    Manifest {
        name: Name,
        digest: Digest,
        #[source]
        source: ManifestError,
    },
}

/// Sees that an index is of blobs on this disk.
pub(super) fn is_local(store: &Store) -> Result<(), OpenError> {
    match store.get::<HomeRecord>(HOME)? {
        None => Ok(()),
        Some(_) => Err(OpenError::OfBucket),
    }
}

/// Sees that an index is of a bucket. One that is new is made of what is in there.
pub(super) async fn settle(
    store: &Store,
    ledger: &Ledger,
    blobs: &dyn Blobs,
) -> Result<(), OpenError> {
    let label = || ledger.label().to_owned();
    let own = store.get::<HomeRecord>(HOME)?;
    let theirs = ledger.home().await?;
    let id = match (own, theirs) {
        (Some(own), Some(theirs)) if own.id != theirs => {
            return Err(OpenError::OtherBucket(label()));
        }
        (Some(own), theirs) if own.whole => {
            return theirs.map(drop).ok_or_else(|| OpenError::OtherBucket(label()));
        }
        // A registry before this one did not come to the end of what follows.
        (Some(own), _) => own.id,
        (None, _) if !is_empty(store)? => return Err(OpenError::OfDirectory(label())),
        (None, Some(theirs)) => theirs,
        (None, None) => crate::uploads::new_id(),
    };
    write_home(store, &id, false).await?;
    ledger.settle(&id).await?;
    restore(store, ledger, blobs).await?;
    Ok(write_home(store, &id, true).await?)
}

fn is_empty(store: &Store) -> Result<bool, StoreError> {
    Ok(store.list::<LinkRecord>()?.is_empty() && store.list::<ManifestRecord>()?.is_empty())
}

async fn write_home(store: &Store, id: &str, whole: bool) -> Result<(), StoreError> {
    let mut batch = store.batch();
    batch.put(HOME, &HomeRecord { id: id.to_owned(), whole });
    store.commit_async(batch, Durability::Durable).await
}

/// Takes in all manifests with what they need, then the tags that name them.
async fn restore(store: &Store, ledger: &Ledger, blobs: &dyn Blobs) -> Result<(), OpenError> {
    let sizes: HashMap<Digest, u64> = blobs.list().await?.into_iter().collect();
    let (mut manifests, mut tags) = (Vec::new(), Vec::new());
    for entry in ledger.entries().await? {
        match entry {
            Entry::Manifest(name, digest) => manifests.push((name, digest)),
            Entry::Tag(name, tag) => tags.push((name, tag)),
        }
    }
    if manifests.is_empty() {
        return Ok(());
    }
    tracing::info!(manifests = manifests.len(), tags = tags.len(), "the index is made again");
    let there: HashSet<(Name, Digest)> = manifests.iter().cloned().collect();
    let read = stream::iter(manifests).map(|(name, digest)| {
        let ledger = ledger.clone();
        async move {
            let object = ledger.manifest(&name, &digest).await?;
            Ok::<_, OpenError>((name, digest, object))
        }
    });
    let mut chunks = read.buffer_unordered(AT_ONCE).ready_chunks(BATCH);
    while let Some(chunk) = chunks.next().await {
        let mut batch = store.batch();
        for found in chunk {
            let (name, digest, object) = found?;
            // It was removed while this was under way, by hand.
            let Some(object) = object else { continue };
            put(&mut batch, &name, &digest, &object, &sizes)?;
        }
        store.commit_async(batch, Durability::Relaxed).await?;
    }
    let read = stream::iter(tags).map(|(name, tag)| {
        let ledger = ledger.clone();
        async move {
            let entry = ledger.tag(&name, &tag).await?;
            Ok::<_, OpenError>((name, tag, entry))
        }
    });
    let tags: Vec<_> = read.buffer_unordered(AT_ONCE).try_collect().await?;
    let mut batch = store.batch();
    for (name, tag, entry) in tags {
        let Some(entry) = entry else { continue };
        if there.contains(&(name.clone(), entry.digest.clone())) {
            batch.put(&tag_key(&name, &tag), &entry);
        } else {
            tracing::warn!(repository = %name, tag, "a tag of a manifest that is not there");
        }
    }
    Ok(store.commit_async(batch, Durability::Durable).await?)
}

/// A manifest, and that its repository has what it needs and the bucket has.
fn put(
    batch: &mut Batch,
    name: &Name,
    digest: &Digest,
    object: &crate::bucket::Object,
    sizes: &HashMap<Digest, u64>,
) -> Result<(), OpenError> {
    let wrong = |source| OpenError::Manifest { name: name.clone(), digest: digest.clone(), source };
    let parsed = manifest::parse(&object.bytes, &object.media_type).map_err(wrong)?;
    for blob in &parsed.blobs {
        match sizes.get(&blob.digest) {
            Some(&size_bytes) => {
                batch.put(&digest_key(name, &blob.digest), &LinkRecord { size_bytes });
            }
            None => {
                let lacking = &blob.digest;
                tracing::warn!(repository = %name, manifest = %digest, %lacking, "a blob is gone");
            }
        }
    }
    let text = str::from_utf8(&object.bytes)
        .map_err(|error| wrong(ManifestError::Json(error.to_string())))?;
    let key = digest_key(name, digest);
    let record = ManifestRecord::of(&parsed, object.bytes.len() as u64, object.written_s);
    batch.put(&key, &record).put(&key, &BodyRecord { text: text.to_owned() });
    Ok(())
}
