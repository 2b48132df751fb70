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
    /// Of all blobs and manifests.
    pub(super) size_bytes: u64,
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
    /// It came from an upstream.
    pub(super) fetched: bool,
}

/// That a repository has a blob.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) size_bytes: u64,
    used_s: AtomicU64,
    /// It is about to go: nobody is told of it any more.
    pub(super) hidden: bool,
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
        self.size_bytes -= manifest.size_bytes;
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
        let link = Link { size_bytes, used_s: AtomicU64::new(now_s()), hidden: false };
        let is_new = repository.links.insert(Arc::clone(&key), link).is_none();
        repository.size_bytes += if is_new { size_bytes } else { 0 };
        let blob = self.blobs.entry(key).or_insert(Blob { size_bytes, links: 0 });
        blob.links += usize::from(is_new);
    }

    pub(super) fn unlink(&mut self, name: &Name, digest: &Digest) {
        let Some(repository) = self.repositories.get_mut(name) else { return };
        if let Some(link) = repository.links.remove(digest) {
            repository.size_bytes -= link.size_bytes;
            if let Some(blob) = self.blobs.get_mut(digest) {
                blob.links -= 1;
                if blob.links == 0 {
                    self.blobs.remove(digest);
                }
            }
        }
        self.drop_if_empty(name);
    }

    /// Hides a link, or shows it again.
    pub(super) fn set_hidden(&mut self, name: &Name, digest: &Digest, hidden: bool) {
        let repository = self.repositories.get_mut(name);
        if let Some(link) = repository.and_then(|repository| repository.links.get_mut(digest)) {
            link.hidden = hidden;
        }
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
        repository.size_bytes += manifest.size_bytes;
        if let Some(before) = repository.manifests.insert(key, manifest) {
            repository.size_bytes -= before.size_bytes;
        }
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
        let TagRecord { updated_s, fetched, .. } = *record;
        repository.tags.insert(tag.to_owned(), Tag { digest, updated_s, fetched });
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
