//! What the cache takes, and making it take less.

use std::collections::{HashMap, HashSet};

use gantry_image::Images;
use gantry_oci::Digest;
use jiff::Timestamp;

use super::{Cache, CacheError, Filters, Prune, Pruned, RECORDS_MAX, RecordKind, Usage};
use crate::{mounts::CacheMounts, trees::mirror::Mirror};

/// Digits of ids that are made of names.
const ID_DIGITS: usize = 25;
/// How long a context or a cache mount is kept though the cache is full, s.
const RECENT_S: i64 = 3600;

/// Everything that the cache is made of.
#[derive(Clone)]
pub(crate) struct Holdings {
    pub cache: Cache,
    pub images: Images,
    pub mirror: Mirror,
    pub mounts: CacheMounts,
}

/// Something that can be removed.
struct Item {
    usage: Usage,
    owner: Owner,
    /// What builds upon others goes before them.
    depth: usize,
}

enum Owner {
    Record,
    Context(String),
    Mount(String),
}

impl Holdings {
    /// All that is there, the least recently used first. Blocks.
    pub(crate) fn usage(&self) -> Result<Vec<Usage>, CacheError> {
        Ok(self.items()?.into_iter().map(|item| item.usage).collect())
    }

    /// Removes what is meant and not used.
    pub(crate) async fn prune(&self, prune: &Prune) -> Result<Pruned, CacheError> {
        let filters = Filters::parse(&prune.filters)?;
        let holdings = self.clone();
        let items = crate::blocking(move || holdings.items()).await?;
        let all = prune.all;
        let meant = move |item: &Item| {
            let usual = !item.usage.shared && item.usage.kind != RecordKind::Internal;
            !item.usage.in_use && (all || usual) && filters.pick(&item.usage)
        };
        let total: u64 = items.iter().map(|item| item.usage.size_bytes).sum();
        let mut excess = match prune.keep_bytes {
            0 => u64::MAX,
            keep => total.saturating_sub(keep),
        };
        let mut picked = Vec::new();
        for item in items.into_iter().filter(meant) {
            if excess == 0 {
                break;
            }
            excess = excess.saturating_sub(item.usage.size_bytes);
            picked.push(item);
        }
        self.remove(picked).await
    }

    /// Removes the least recently used until the rest takes no more than `most_bytes`.
    pub(crate) async fn collect(&self, most_bytes: u64) -> Result<Pruned, CacheError> {
        let holdings = self.clone();
        let items = crate::blocking(move || holdings.items()).await?;
        let total: u64 = items.iter().map(|item| item.usage.size_bytes).sum();
        let mut excess = total.saturating_sub(most_bytes);
        let mut surplus = items.len().saturating_sub(RECORDS_MAX);
        let recent = Timestamp::now().as_second() - RECENT_S;
        let mut picked = Vec::new();
        for item in items {
            let fresh = !matches!(item.owner, Owner::Record)
                && item.usage.last_used.unwrap_or(item.usage.created).as_second() > recent;
            // Removing what an image shares frees nothing.
            if item.usage.in_use || item.usage.shared && surplus == 0 || fresh {
                continue;
            }
            if excess == 0 && surplus == 0 {
                break;
            }
            excess = excess.saturating_sub(item.usage.size_bytes);
            surplus = surplus.saturating_sub(1);
            picked.push(item);
        }
        if picked.is_empty() {
            return Ok(Pruned::default());
        }
        self.remove(picked).await
    }

    async fn remove(&self, items: Vec<Item>) -> Result<Pruned, CacheError> {
        let (mut records, mut contexts, mut mounts) = (Vec::new(), Vec::new(), Vec::new());
        for item in &items {
            match &item.owner {
                Owner::Record => records.push(item.usage.id.clone()),
                Owner::Context(identity) => contexts.push(identity.clone()),
                Owner::Mount(name) => mounts.push(name.clone()),
            }
        }
        let before = self.layers();
        self.cache.forget(&records).await?;
        let after = self.layers();
        let mut freed: u64 = before
            .iter()
            .filter(|(diff_id, _)| !after.contains_key(*diff_id))
            .map(|(_, size)| size)
            .sum();
        let holdings = self.clone();
        let work = move || -> Result<(bool, HashSet<String>), CacheError> {
            holdings.images.sweep()?;
            let failed = |what| move |source| CacheError::Files { what, source };
            let contexts = contexts.is_empty()
                || holdings.mirror.remove(&contexts).map_err(failed("contexts"))?;
            let removed = holdings.mounts.remove(&mounts).map_err(failed("cache mounts"))?;
            Ok((contexts, removed))
        };
        let (contexts_gone, mounts_gone) = crate::blocking(work).await?;
        let mut gone = Vec::new();
        for item in items {
            let was = match &item.owner {
                Owner::Record => true,
                Owner::Context(_) => contexts_gone,
                Owner::Mount(name) => mounts_gone.contains(name),
            };
            if was {
                if !matches!(item.owner, Owner::Record) {
                    freed += item.usage.size_bytes;
                }
                gone.push(item.usage);
            }
        }
        Ok(Pruned { records: gone, freed_bytes: freed })
    }

    /// Layers that the cache alone keeps, with their sizes.
    fn layers(&self) -> HashMap<Digest, u64> {
        let images = self.image_layers();
        let mut found = HashMap::new();
        for hit in self.cache.all() {
            for layer in hit.record.layers() {
                if !images.contains(&layer.diff_id) {
                    found.insert(layer.diff_id.clone(), layer.size_bytes);
                }
            }
        }
        found
    }

    fn image_layers(&self) -> HashSet<Digest> {
        self.images.list().iter().flat_map(|image| image.lowers()).collect()
    }

    fn items(&self) -> Result<Vec<Item>, CacheError> {
        let mut items = self.records();
        let failed = |what| move |source| CacheError::Files { what, source };
        for known in self.mirror.known().map_err(failed("contexts"))? {
            items.push(Item {
                usage: Usage {
                    id: id_of("context", &known.identity),
                    parents: Vec::new(),
                    kind: RecordKind::SourceLocal,
                    description: "local source for context".to_owned(),
                    in_use: false,
                    shared: false,
                    size_bytes: self.mirror.size_bytes(&known.identity),
                    created: known.created,
                    last_used: Some(known.last_used),
                    uses: known.uses,
                },
                owner: Owner::Context(known.identity),
                depth: 0,
            });
        }
        for mount in self.mounts.known().map_err(failed("cache mounts"))? {
            items.push(Item {
                usage: Usage {
                    id: id_of("mount", &mount.name),
                    parents: Vec::new(),
                    kind: RecordKind::CacheMount,
                    description: format!("cached mount with id {:?}", mount.info.id),
                    in_use: mount.in_use,
                    shared: false,
                    size_bytes: mount.size_bytes,
                    created: mount.info.created,
                    last_used: Some(mount.info.last_used),
                    uses: mount.info.uses,
                },
                owner: Owner::Mount(mount.name),
                depth: 0,
            });
        }
        items.sort_by_key(|item| {
            let used = item.usage.last_used.unwrap_or(item.usage.created);
            (used, std::cmp::Reverse(item.depth))
        });
        Ok(items)
    }

    fn records(&self) -> Vec<Item> {
        let images = self.image_layers();
        let time = |ms| Timestamp::from_millisecond(ms).unwrap_or(Timestamp::UNIX_EPOCH);
        let mut hits = self.cache.all();
        hits.sort_by_key(|hit| hit.record.created_ms);
        // A layer that several records lead to is counted for the oldest.
        let mut counted = HashSet::new();
        let mut items = Vec::new();
        for hit in hits {
            let record = &hit.record;
            let layer = record.layer.as_ref();
            let own = layer.filter(|layer| counted.insert(layer.diff_id.clone()));
            items.push(Item {
                usage: Usage {
                    parents: record.parents.clone(),
                    kind: record.kind,
                    description: record.description.clone(),
                    in_use: self.cache.is_used(&hit.id),
                    shared: layer.is_some_and(|layer| images.contains(&layer.diff_id)),
                    size_bytes: own.map_or(0, |layer| layer.size_bytes),
                    created: time(record.created_ms),
                    last_used: Some(time(record.last_used_ms)),
                    uses: record.uses,
                    id: hit.id,
                },
                owner: Owner::Record,
                depth: record.depth(),
            });
        }
        items
    }
}

/// An id for what has a name of another kind.
fn id_of(kind: &str, name: &str) -> String {
    Digest::of(format!("{kind}\0{name}").as_bytes()).hex()[..ID_DIGITS].to_owned()
}
