//! A directory of a context, as the client lists it, with what is known of its files.

use std::{
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use gantry_build_proto::{Entry, EntryKind};
use gantry_oci::Digest;
use serde::{Deserialize, Serialize};

/// What a directory holds.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Listing {
    /// Its path, so that nothing of another is taken for it.
    pub path: String,
    /// The client's hash of everything below it; empty if that is not known.
    pub deep: String,
    /// The client's hash of its entries alone; empty if that is not known.
    pub shallow: String,
    /// What is in it, sorted by name.
    pub items: Vec<Item>,
    /// Our digest of everything below it, once all of that is here.
    #[serde(default, with = "once")]
    pub digest: OnceLock<Digest>,
    /// It is to be written again.
    #[serde(skip)]
    pub changed: AtomicBool,
}

/// Something in a directory.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Item {
    /// As the client says.
    #[serde(rename = "e")]
    pub entry: Entry,
    /// Digest of a file's content, once it was read.
    #[serde(rename = "d", default, with = "once")]
    pub digest: OnceLock<Digest>,
}

impl Listing {
    /// Of what a client answers.
    pub(super) fn new(path: &str, deep: bool, hash: String, entries: Vec<Entry>) -> Self {
        let items = entries.into_iter().map(|entry| Item { entry, digest: OnceLock::new() });
        let mut items: Vec<Item> = items.collect();
        items.sort_by(|a, b| a.entry.name.as_bytes().cmp(b.entry.name.as_bytes()));
        items.dedup_by(|a, b| a.entry.name == b.entry.name);
        // A client that gives no hash is asked again the next time.
        let hash = if hash.is_empty() { "?".to_owned() } else { hash };
        let (deep, shallow) = if deep { (hash, String::new()) } else { (String::new(), hash) };
        let changed = AtomicBool::new(true);
        Self { path: path.to_owned(), deep, shallow, items, digest: OnceLock::new(), changed }
    }

    /// Reads one; none if it is not there or is damaged.
    pub(super) fn load(path: &Path) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path).ok()?).ok()
    }

    /// What has this name.
    pub(super) fn item(&self, name: &[u8]) -> Option<&Item> {
        let at = self.items.binary_search_by(|item| item.entry.name.as_bytes().cmp(name));
        Some(&self.items[at.ok()?])
    }

    /// Takes over what was known of files that are still the same.
    pub(super) fn learn(&self, before: &Self) {
        for item in self.items.iter().filter(|item| item.entry.kind == EntryKind::File) {
            if let Some(old) = before.item(item.entry.name.as_bytes())
                && old.entry.kind == EntryKind::File
                && old.entry.hash == item.entry.hash
                && !item.entry.hash.is_empty()
                && let Some(digest) = old.digest.get()
            {
                let _ = item.digest.set(digest.clone());
            }
        }
    }

    /// Contents that are known, with their sizes.
    pub(super) fn contents(&self) -> impl Iterator<Item = (&Digest, u64)> {
        self.items
            .iter()
            .filter_map(|item| item.digest.get().map(|digest| (digest, item.entry.size_bytes)))
    }

    /// Notes that it must be written again.
    pub(super) fn change(&self) {
        self.changed.store(true, Ordering::Relaxed);
    }
}

/// A value that may not be known yet, as `null` or itself.
mod once {
    use std::sync::OnceLock;

    use gantry_oci::Digest;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(
        value: &OnceLock<Digest>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.get().serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<OnceLock<Digest>, D::Error> {
        let value = Option::<Digest>::deserialize(deserializer)?;
        Ok(value.map_or_else(OnceLock::new, OnceLock::from))
    }
}
