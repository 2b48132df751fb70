//! What is in memory.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use gantry_oci::Digest;

use super::records::{ManifestRecord, TagRecord, UploadRecord};
use crate::{clock::now_s, name::Name};

/// A digest that many share.
pub(crate) type Key = Arc<Digest>;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) repositories: BTreeMap<Name, Repository>,
    /// Blobs that some repository has a link to.
    pub(super) blobs: HashMap<Key, Blob>,
    pub(super) uploads: HashMap<String, UploadRecord>,
}

#[derive(Debug)]
pub(super) struct Blob {
    pub(super) size_bytes: u64,
    pub(super) links: usize,
}

#[derive(Debug, Default)]
pub(super) struct Repository {
    pub(super) manifests: HashMap<Key, Manifest>,
    pub(super) tags: BTreeMap<String, Tag>,
    pub(super) links: HashMap<Key, Link>,
    /// Manifests by what they say they belong to, which need not be here.
    pub(super) referrers: HashMap<Key, BTreeSet<Key>>,
}

#[derive(Debug)]
pub(super) struct Manifest {
    pub(super) media_type: Arc<str>,
    pub(super) size_bytes: u64,
    pub(super) pushed_s: u64,
    pub(super) needs: Box<[Key]>,
    pub(super) subject: Option<Key>,
    used_s: AtomicU64,
}

#[derive(Debug)]
pub(super) struct Tag {
    pub(super) digest: Key,
    pub(super) updated_s: u64,
}

/// That a repository has a blob.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) size_bytes: u64,
    used_s: AtomicU64,
}

impl Link {
    /// Somebody was told that it is here, and may be about to rely on that.
    pub(super) fn touch(&self) {
        self.used_s.store(now_s(), Ordering::Relaxed);
    }

    pub(super) fn used_s(&self) -> u64 {
        self.used_s.load(Ordering::Relaxed)
    }
}

impl Manifest {
    /// As [`Link::touch`].
    pub(super) fn touch(&self) {
        self.used_s.store(now_s(), Ordering::Relaxed);
    }

    pub(super) fn used_s(&self) -> u64 {
        self.used_s.load(Ordering::Relaxed)
    }
}

impl Repository {
    pub(super) fn is_empty(&self) -> bool {
        self.manifests.is_empty() && self.tags.is_empty() && self.links.is_empty()
    }

    /// Bytes of all that it has.
    pub(super) fn size_bytes(&self) -> u64 {
        let blobs: u64 = self.links.values().map(|link| link.size_bytes).sum();
        let manifests: u64 = self.manifests.values().map(|manifest| manifest.size_bytes).sum();
        blobs + manifests
    }

    /// Everything that its manifests need.
    pub(super) fn needed(&self) -> HashSet<&Digest> {
        self.manifests.values().flat_map(|manifest| &manifest.needs).map(AsRef::as_ref).collect()
    }

    pub(super) fn tags_of(&self, digest: &Digest) -> Vec<String> {
        let same = self.tags.iter().filter(|(_, tag)| *tag.digest == *digest);
        same.map(|(name, _)| name.clone()).collect()
    }

    fn remove_manifest(&mut self, digest: &Digest) {
        let Some((key, manifest)) = self.manifests.remove_entry(digest) else { return };
        if let Some(subject) = manifest.subject
            && let Some(referrers) = self.referrers.get_mut(&subject)
        {
            referrers.remove(&key);
            if referrers.is_empty() {
                self.referrers.remove(&subject);
            }
        }
    }
}

impl State {
    /// The digest, as others hold it already.
    fn key(&self, digest: &Digest) -> Key {
        self.blobs
            .get_key_value(digest)
            .map_or_else(|| Arc::new(digest.clone()), |(key, _)| Arc::clone(key))
    }

    pub(super) fn link(&mut self, name: &Name, digest: &Digest, size_bytes: u64) {
        let key = self.key(digest);
        let repository = self.repositories.entry(name.clone()).or_default();
        let link = Link { size_bytes, used_s: AtomicU64::new(now_s()) };
        let is_new = repository.links.insert(Arc::clone(&key), link).is_none();
        let blob = self.blobs.entry(key).or_insert(Blob { size_bytes, links: 0 });
        blob.links += usize::from(is_new);
    }

    pub(super) fn unlink(&mut self, name: &Name, digest: &Digest) {
        let Some(repository) = self.repositories.get_mut(name) else { return };
        if repository.links.remove(digest).is_some()
            && let Some(blob) = self.blobs.get_mut(digest)
        {
            blob.links -= 1;
            if blob.links == 0 {
                self.blobs.remove(digest);
            }
        }
        self.drop_if_empty(name);
    }

    pub(super) fn put_manifest(&mut self, name: &Name, digest: &Digest, record: ManifestRecord) {
        let needs = record.needs.iter().map(|digest| self.key(digest)).collect();
        let subject = record.subject.map(Arc::new);
        let key = Arc::new(digest.clone());
        let repository = self.repositories.entry(name.clone()).or_default();
        if let Some(subject) = &subject {
            let referrers = repository.referrers.entry(Arc::clone(subject)).or_default();
            referrers.insert(Arc::clone(&key));
        }
        let manifest = Manifest {
            media_type: record.media_type.into(),
            size_bytes: record.size_bytes,
            pushed_s: record.pushed_s,
            needs,
            subject,
            used_s: AtomicU64::new(now_s()),
        };
        repository.manifests.insert(key, manifest);
    }

    pub(super) fn remove_manifest(&mut self, name: &Name, digest: &Digest) {
        if let Some(repository) = self.repositories.get_mut(name) {
            repository.remove_manifest(digest);
        }
        self.drop_if_empty(name);
    }

    pub(super) fn put_tag(&mut self, name: &Name, tag: &str, record: &TagRecord) {
        let repository = self.repositories.entry(name.clone()).or_default();
        let digest = repository
            .manifests
            .get_key_value(&record.digest)
            .map_or_else(|| Arc::new(record.digest.clone()), |(key, _)| Arc::clone(key));
        repository.tags.insert(tag.to_owned(), Tag { digest, updated_s: record.updated_s });
    }

    pub(super) fn remove_tag(&mut self, name: &Name, tag: &str) {
        if let Some(repository) = self.repositories.get_mut(name) {
            repository.tags.remove(tag);
        }
        self.drop_if_empty(name);
    }

    fn drop_if_empty(&mut self, name: &Name) {
        if self.repositories.get(name).is_some_and(Repository::is_empty) {
            self.repositories.remove(name);
        }
    }
}
