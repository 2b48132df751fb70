//! Changes to the index.

use bytes::Bytes;
use gantry_oci::Digest;
use gantry_store::{Durability, StoreError};

use super::{
    Index, Reference,
    records::{
        BodyRecord, LinkRecord, ManifestRecord, TagRecord, UploadRecord, digest_key, tag_key,
    },
    state::State,
};
use crate::{blobs::BlobError, clock::now_s, manifest::Parsed, name::Name};

/// A manifest that is pushed.
pub(crate) struct NewManifest<'a> {
    pub(crate) digest: &'a Digest,
    pub(crate) body: &'a Bytes,
    pub(crate) parsed: &'a Parsed,
    pub(crate) tags: &'a [String],
    /// What it refers to need not be there.
    pub(crate) sparse: bool,
    /// It comes from an upstream.
    pub(crate) fetched: bool,
}

/// Why a manifest is not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PutError {
    /// The repository lacks what it refers to.
    #[error("the repository lacks {}", list(.0))]
    Lacks(Vec<Digest>),
    /// It tells a size in bytes that is not the blob's.
    #[error("{digest} has {actual} bytes, the manifest says {told}")]
    Size { digest: Digest, told: u64, actual: u64 },
    /// A tag that does not move.
    #[error("tag {0} is protected")]
    Protected(String),
    /// The repository would hold too much.
    #[error(transparent)]
    Quota(#[from] OverQuota),
    /// It is no text.
    #[error("the manifest is not UTF-8")]
    Text,
    #[error(transparent)]
    Change(#[from] ChangeError),
}

/// Why a change is not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The bucket does not take it.
    #[error(transparent)]
    Ledger(#[from] BlobError),
}

/// A repository that would hold too much.
#[derive(Debug, thiserror::Error)]
#[error("the repository may hold {limit_bytes} bytes and would have {would_bytes}")]
pub(crate) struct OverQuota {
    limit_bytes: u64,
    would_bytes: u64,
}

/// Why a repository does not get a blob.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LinkError {
    #[error(transparent)]
    Quota(#[from] OverQuota),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What came of a removal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Removal {
    /// It is gone; the digest of what it named.
    Gone(Digest),
    /// It was not there.
    Missing,
    /// This tag of it must stay.
    Protected(String),
}

fn list(digests: &[Digest]) -> String {
    digests.iter().map(Digest::as_str).collect::<Vec<_>>().join(", ")
}

impl Index {
    /// Gives a repository a blob, whose file is there and held; ends the upload that brought it.
    ///
    /// # Errors
    /// When the store cannot be written; nothing has changed then.
    pub(crate) async fn link(
        &self,
        name: &Name,
        digest: &Digest,
        size_bytes: u64,
        upload: Option<&str>,
    ) -> Result<(), LinkError> {
        let _held = self.hold_repository(name).await;
        if self.blob(name, digest).is_none() {
            self.check_quota(name, size_bytes)?;
        }
        let mut batch = self.store.batch();
        batch.put(&digest_key(name, digest), &LinkRecord { size_bytes });
        if let Some(id) = upload {
            batch.delete::<UploadRecord>(id);
        }
        self.store.commit_async(batch, Durability::Durable).await?;
        let mut state = self.change();
        state.link(name, digest, size_bytes);
        if let Some(id) = upload {
            state.uploads.remove(id);
        }
        Ok(())
    }

    /// Gives a repository a blob that another has; false if that one lacks it.
    ///
    /// # Errors
    /// As [`Index::link`].
    pub(crate) async fn mount(
        &self,
        from: &Name,
        name: &Name,
        digest: &Digest,
    ) -> Result<bool, LinkError> {
        let _held = self.hold_blob(digest).await;
        let Some(size_bytes) = self.blob(from, digest) else { return Ok(false) };
        self.link(name, digest, size_bytes, None).await?;
        Ok(true)
    }

    /// Takes a blob from a repository; false if it lacks it. The file is not touched.
    ///
    /// # Errors
    /// As [`Index::link`].
    pub(crate) async fn unlink(&self, name: &Name, digest: &Digest) -> Result<bool, StoreError> {
        let _held = self.hold_repository(name).await;
        if self.blob(name, digest).is_none() {
            return Ok(false);
        }
        let mut batch = self.store.batch();
        batch.delete::<LinkRecord>(&digest_key(name, digest));
        self.store.commit_async(batch, Durability::Durable).await?;
        self.change().unlink(name, digest);
        Ok(true)
    }

    /// Whether no repository has a blob.
    pub(crate) fn is_unlinked(&self, digest: &Digest) -> bool {
        !self.state().blobs.contains_key(digest)
    }

    /// Takes in a manifest and points tags at it, all or nothing.
    ///
    /// # Errors
    /// When the repository lacks what it refers to, or the store cannot be written.
    pub(crate) async fn put_manifest(
        &self,
        name: &Name,
        new: NewManifest<'_>,
    ) -> Result<(), PutError> {
        let text = std::str::from_utf8(new.body).map_err(|_| PutError::Text)?.to_owned();
        let _held = self.hold_repository(name).await;
        if !new.sparse {
            check(&self.state(), name, new.parsed)?;
        }
        self.check_tags(name, new.digest, new.tags)?;
        self.check_quota(name, new.body.len() as u64)?;
        let (parsed, now) = (new.parsed, now_s());
        let record = ManifestRecord::of(parsed, new.body.len() as u64, now);
        let tag_record =
            TagRecord { digest: new.digest.clone(), updated_s: now, fetched: new.fetched };
        if let Some(ledger) = &self.ledger {
            let manifest = (new.body.clone(), parsed.media_type.as_str());
            let put = ledger.put(name, new.digest, manifest, new.tags, &tag_record).await;
            put.map_err(ChangeError::from)?;
        }
        let key = digest_key(name, new.digest);
        let mut batch = self.store.batch();
        batch.put(&key, &record).put(&key, &BodyRecord { text });
        for tag in new.tags {
            batch.put(&tag_key(name, tag), &tag_record);
        }
        let kept = self.store.commit_async(batch, Durability::Durable).await;
        kept.map_err(ChangeError::from)?;
        self.bodies.put(&key, new.body.clone());
        let mut state = self.change();
        state.put_manifest(name, new.digest, record);
        for tag in new.tags {
            state.put_tag(name, tag, &tag_record);
        }
        Ok(())
    }

    /// Whether a repository may grow by so many bytes.
    ///
    /// # Errors
    /// When it would hold more than it may.
    pub(crate) fn check_quota(&self, name: &Name, more_bytes: u64) -> Result<(), OverQuota> {
        let Some(limit_bytes) = self.rules.quota_bytes(name.as_str()) else { return Ok(()) };
        let has_bytes = self.state().repositories.get(name).map_or(0, |has| has.size_bytes);
        let would_bytes = has_bytes.saturating_add(more_bytes);
        if would_bytes > limit_bytes { Err(OverQuota { limit_bytes, would_bytes }) } else { Ok(()) }
    }

    /// Whether tags may point at a manifest: those that do not move may not, unless they do already.
    fn check_tags(&self, name: &Name, digest: &Digest, tags: &[String]) -> Result<(), PutError> {
        let state = self.state();
        let Some(repository) = state.repositories.get(name) else { return Ok(()) };
        let moves = |tag: &&String| {
            repository.tags.get(*tag).is_some_and(|tag| *tag.digest != *digest)
                && self.rules.is_immutable(name.as_str(), tag)
        };
        tags.iter().find(moves).map_or(Ok(()), |tag| Err(PutError::Protected(tag.clone())))
    }

    /// Removes a tag, or a manifest with all its tags, unless one of them is protected.
    ///
    /// # Errors
    /// As [`Index::link`].
    pub(crate) async fn remove(
        &self,
        name: &Name,
        reference: &Reference,
    ) -> Result<Removal, ChangeError> {
        let _held = self.hold_repository(name).await;
        self.remove_held(name, reference).await
    }

    /// The same for whoever holds the repository.
    pub(super) async fn remove_held(
        &self,
        name: &Name,
        reference: &Reference,
    ) -> Result<Removal, ChangeError> {
        let Some(found) = self.find(name, reference) else { return Ok(Removal::Missing) };
        let digest = Digest::clone(&found.digest);
        let tags = match reference {
            Reference::Tag(tag) => vec![tag.clone()],
            Reference::Digest(_) => {
                self.state().repositories.get(name).map_or_else(Vec::new, |r| r.tags_of(&digest))
            }
        };
        if let Some(tag) = tags.iter().find(|tag| self.rules.protects(name.as_str(), tag)) {
            return Ok(Removal::Protected(tag.clone()));
        }
        if let Some(ledger) = &self.ledger {
            let manifest = matches!(reference, Reference::Digest(_)).then_some(&digest);
            ledger.remove(name, &tags, manifest).await?;
        }
        let mut batch = self.store.batch();
        if let Reference::Digest(_) = reference {
            let key = digest_key(name, &digest);
            batch.delete::<ManifestRecord>(&key).delete::<BodyRecord>(&key);
        }
        for tag in &tags {
            batch.delete::<TagRecord>(&tag_key(name, tag));
        }
        self.store.commit_async(batch, Durability::Durable).await?;
        let mut state = self.change();
        for tag in &tags {
            state.remove_tag(name, tag);
        }
        if let Reference::Digest(_) = reference {
            state.remove_manifest(name, &digest);
            self.bodies.remove(&digest_key(name, &digest));
        }
        Ok(Removal::Gone(digest))
    }

    /// Notes an upload that begins.
    ///
    /// After a power cut it may be forgotten: its client begins another.
    ///
    /// # Errors
    /// As [`Index::link`].
    pub(crate) async fn begin_upload(
        &self,
        id: &str,
        record: UploadRecord,
    ) -> Result<(), StoreError> {
        let mut batch = self.store.batch();
        batch.put(id, &record);
        self.store.commit_async(batch, Durability::Relaxed).await?;
        self.change().uploads.insert(id.to_owned(), record);
        Ok(())
    }

    /// Forgets an upload.
    ///
    /// # Errors
    /// As [`Index::link`].
    pub(crate) async fn end_upload(&self, id: &str) -> Result<(), StoreError> {
        let mut batch = self.store.batch();
        batch.delete::<UploadRecord>(id);
        self.store.commit_async(batch, Durability::Relaxed).await?;
        self.change().uploads.remove(id);
        Ok(())
    }
}

/// Whether all that a manifest refers to is in its repository.
fn check(state: &State, name: &Name, parsed: &Parsed) -> Result<(), PutError> {
    let repository = state.repositories.get(name);
    let blob = |digest| Some(repository?.links.get(digest)?.size_bytes);
    let manifest = |digest| Some(repository?.manifests.get(digest)?.size_bytes);
    let blobs = parsed.blobs.iter().map(|target| (target, blob(&target.digest)));
    let manifests = parsed.manifests.iter().map(|target| (target, manifest(&target.digest)));
    let mut lacking = Vec::new();
    for (target, size_bytes) in blobs.chain(manifests) {
        let (digest, told) = (target.digest.clone(), target.size_bytes);
        match size_bytes {
            None => lacking.push(digest),
            Some(actual) if actual != told => return Err(PutError::Size { digest, told, actual }),
            Some(_) => {}
        }
    }
    if lacking.is_empty() { Ok(()) } else { Err(PutError::Lacks(lacking)) }
}
