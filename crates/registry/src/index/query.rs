//! Questions to the index.

use std::{
    collections::{BTreeMap, HashMap},
    ops::Bound,
    sync::Arc,
};

use bytes::Bytes;
use gantry_oci::Digest;
use gantry_store::StoreError;

use super::{
    Index, Reference,
    records::{self, BodyRecord, UploadRecord},
    state::{Key, Link},
};
use crate::name::Name;

/// A manifest, without its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) digest: Key,
    pub(crate) media_type: Arc<str>,
    pub(crate) size_bytes: u64,
}

/// A part of a list, in order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Page<T> {
    pub(crate) items: Vec<T>,
    /// There are more behind these.
    pub(crate) more: bool,
}

impl Index {
    /// The size in bytes of a blob that a repository has.
    ///
    /// To be told is a lease: garbage collection leaves the blob alone for a while.
    pub(crate) fn blob(&self, name: &Name, digest: &Digest) -> Option<u64> {
        let state = self.state();
        let link = state.repositories.get(name)?.links.get(digest)?;
        if link.hidden {
            return None;
        }
        link.touch();
        Some(link.size_bytes)
    }

    /// A repository that has a blob and that `allowed` lets through.
    pub(crate) fn holder(&self, digest: &Digest, allowed: &dyn Fn(&Name) -> bool) -> Option<Name> {
        let state = self.state();
        state.blobs.get(digest)?;
        let mut all = state.repositories.iter();
        let has = |links: &HashMap<Key, Link>| links.get(digest).is_some_and(|link| !link.hidden);
        all.find(|(name, repository)| has(&repository.links) && allowed(name))
            .map(|(name, _)| name.clone())
    }

    /// A manifest by tag or digest; a lease as [`Index::blob`] is.
    pub(crate) fn manifest(&self, name: &Name, reference: &Reference) -> Option<Found> {
        let found = self.find(name, reference)?;
        let state = self.state();
        state.repositories.get(name)?.manifests.get(&found.digest)?.touch();
        Some(found)
    }

    /// The same without a lease.
    pub(super) fn find(&self, name: &Name, reference: &Reference) -> Option<Found> {
        let state = self.state();
        let repository = state.repositories.get(name)?;
        let digest = match reference {
            Reference::Tag(tag) => &*repository.tags.get(tag)?.digest,
            Reference::Digest(digest) => digest,
        };
        let (key, manifest) = repository.manifests.get_key_value(digest)?;
        Some(Found {
            digest: Arc::clone(key),
            media_type: Arc::clone(&manifest.media_type),
            size_bytes: manifest.size_bytes,
        })
    }

    /// What a reference names here, and whether its tag came from an upstream.
    pub(crate) fn origin(&self, name: &Name, reference: &Reference) -> Option<(Digest, bool)> {
        let found = self.find(name, reference)?;
        let fetched = match reference {
            Reference::Digest(_) => false,
            Reference::Tag(tag) => self.state().repositories.get(name)?.tags.get(tag)?.fetched,
        };
        Some((Digest::clone(&found.digest), fetched))
    }

    /// The bytes of a manifest, as they came.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub(crate) async fn body(
        &self,
        name: &Name,
        digest: &Digest,
    ) -> Result<Option<Bytes>, StoreError> {
        let key = records::digest_key(name, digest);
        if let Some(body) = self.bodies.get(&key) {
            return Ok(Some(body));
        }
        let (store, wanted) = (self.store.clone(), key.clone());
        let read = tokio::task::spawn_blocking(move || store.get::<BodyRecord>(&wanted));
        let Some(record) = read.await.map_err(|_| StoreError::Closed)?? else { return Ok(None) };
        let body = Bytes::from(record.text);
        self.bodies.put(&key, body.clone());
        Ok(Some(body))
    }

    /// Tags behind `last`, at most `limit`; none if there is no such repository.
    pub(crate) fn tags(&self, name: &Name, last: &str, limit: usize) -> Option<Page<String>> {
        let state = self.state();
        Some(page(&state.repositories.get(name)?.tags, last, limit, |_| true))
    }

    /// Names of repositories behind `last` that `allowed` lets through.
    pub(crate) fn repositories(
        &self,
        last: &str,
        limit: usize,
        allowed: &dyn Fn(&Name) -> bool,
    ) -> Page<Name> {
        page(&self.state().repositories, last, limit, allowed)
    }

    /// Manifests that say they belong to `subject`, behind the digest `last`.
    pub(crate) fn referrers(&self, name: &Name, subject: &Digest, last: &str) -> Vec<Found> {
        let state = self.state();
        let Some(repository) = state.repositories.get(name) else { return Vec::new() };
        let Some(referrers) = repository.referrers.get(subject) else { return Vec::new() };
        let behind = referrers.iter().filter(|digest| digest.as_str() > last);
        behind
            .filter_map(|digest| {
                let manifest = repository.manifests.get(digest)?;
                Some(Found {
                    digest: Arc::clone(digest),
                    media_type: Arc::clone(&manifest.media_type),
                    size_bytes: manifest.size_bytes,
                })
            })
            .collect()
    }

    /// An upload under way.
    pub(crate) fn upload(&self, id: &str) -> Option<UploadRecord> {
        self.state().uploads.get(id).cloned()
    }
}

fn page<K, V>(
    all: &BTreeMap<K, V>,
    last: &str,
    limit: usize,
    allowed: impl Fn(&K) -> bool,
) -> Page<K>
where
    K: Ord + Clone + std::borrow::Borrow<str>,
{
    let behind = all.range::<str, _>((Bound::Excluded(last), Bound::Unbounded));
    let mut keys = behind.map(|(key, _)| key).filter(|key| allowed(key));
    let items: Vec<K> = keys.by_ref().take(limit).cloned().collect();
    // To ask for nothing is to be told nothing, not even that there is more.
    let more = limit > 0 && keys.next().is_some();
    Page { items, more }
}
