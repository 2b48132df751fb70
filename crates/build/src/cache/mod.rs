//! The build cache: what was built before, by what it was built of.
//!
//! A record is one step's result: the layer that it added. It is found in two ways. By *definition*:
//! a digest over the step and, through its inputs' definitions, over everything that it depends on
//! down to files' contents; it leads to all layers of the result before any input was looked at. By
//! *content*: a digest over the step and what its inputs turned out to be, so that a step is not
//! repeated when its inputs were made anew and are the same.
//!
//! All records are in memory; the store has them too. A record appears when its layer does and goes
//! before it, so that a killed daemon leaves layers that nobody names, which the next sweeps, and
//! never a record without its layers.

mod filter;
pub(crate) mod prune;
pub(crate) mod record;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gantry_image::Keeper;
use gantry_oci::Digest;
use gantry_store::{Durability, Store, StoreError};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub(crate) use self::filter::Filters;
use self::record::{Definition, Record, fresh_id};

/// Records that fit in the cache; beyond, the least recently used go whatever they take.
const RECORDS_MAX: usize = 20_000;

/// The records of the cache; clones share them.
///
/// It is opened before the images are, since it names layers that their garbage collection must
/// keep: [`Images::open_keeping`](gantry_image::Images::open_keeping) gets [`Cache::keeper`].
#[derive(Clone)]
pub struct Cache(Arc<Inner>);

struct Inner {
    store: Store,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    records: HashMap<String, Arc<Record>>,
    definitions: HashMap<Digest, String>,
    contents: HashMap<Digest, String>,
    /// How many builds use a record.
    users: HashMap<String, usize>,
}

/// A result that was found.
#[derive(Debug, Clone)]
pub(crate) struct Hit {
    /// Its id.
    pub id: String,
    /// The record.
    pub record: Arc<Record>,
}

/// Keeps records from being pruned while a build uses them.
pub(crate) struct Users {
    cache: Cache,
    ids: Mutex<HashSet<String>>,
}

impl Cache {
    /// Reads the records.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store) -> Result<Self, StoreError> {
        let mut state = State::default();
        let mut records = store.list::<Record>()?;
        // The newest of several with the same key counts.
        records.sort_by_key(|(_, record)| record.created_ms);
        for (id, record) in records {
            state.insert(&id, record);
        }
        Ok(Self(Arc::new(Inner { store, state: Mutex::new(state) })))
    }

    /// Names the layers that the cache needs.
    #[must_use]
    pub fn keeper(&self) -> Keeper {
        let cache = self.clone();
        Arc::new(move || {
            let state = cache.state();
            let layers = state.records.values().flat_map(|record| record.layers());
            let layers: HashSet<&Digest> = layers.map(|layer| &layer.diff_id).collect();
            layers.into_iter().cloned().collect()
        })
    }

    /// The result of a definition.
    pub(crate) fn by_definition(&self, key: &Digest) -> Option<Hit> {
        let state = self.state();
        state.hit(state.definitions.get(key)?)
    }

    /// A result of the same contents.
    pub(crate) fn by_content(&self, key: &Digest) -> Option<Hit> {
        let state = self.state();
        state.hit(state.contents.get(key)?)
    }

    /// The newest record of an instruction.
    pub(crate) fn like(&self, instruction: &str, kind: RecordKind) -> Option<Hit> {
        let state = self.state();
        let same = state
            .records
            .iter()
            .filter(|(_, record)| record.instruction == instruction && record.kind == kind);
        let (id, _) = same.max_by_key(|(_, record)| record.last_used_ms)?;
        state.hit(id)
    }

    /// Puts in a result, and returns its id. Its keys lead to it from now on.
    pub(crate) async fn put(&self, record: Record) -> Result<String, StoreError> {
        let id = fresh_id();
        let mut batch = self.0.store.batch();
        batch.put(&id, &record);
        self.0.store.commit_async(batch, Durability::Relaxed).await?;
        self.state().insert(&id, record);
        Ok(id)
    }

    /// Notes further keys of a result.
    pub(crate) async fn add_keys(
        &self,
        id: &str,
        definition: Definition,
        content: Option<Digest>,
    ) -> Result<(), StoreError> {
        let Some(record) = self.state().records.get(id).map(|record| Record::clone(record)) else {
            return Ok(());
        };
        let content = content.filter(|key| !record.contents.contains(key));
        if content.is_none() && record.definitions.contains(&definition) {
            return Ok(());
        }
        let mut record = record;
        record.define(definition);
        content.into_iter().for_each(|key| record.contain(key));
        let mut batch = self.0.store.batch();
        batch.put(id, &record);
        self.0.store.commit_async(batch, Durability::Relaxed).await?;
        if self.state().replace(id, record) {
            return Ok(());
        }
        // It has been pruned meanwhile.
        self.forget(&[id.to_owned()]).await
    }

    /// Notes that a build has used records.
    pub(crate) async fn touch(&self, ids: &HashSet<String>) -> Result<(), StoreError> {
        let mut batch = self.0.store.batch();
        let now = Timestamp::now().as_millisecond();
        {
            let mut state = self.state();
            for id in ids {
                if let Some(record) = state.records.get_mut(id) {
                    let record = Arc::make_mut(record);
                    record.last_used_ms = now;
                    record.uses += 1;
                    batch.put(id, record);
                }
            }
        }
        if batch.is_empty() {
            return Ok(());
        }
        self.0.store.commit_async(batch, Durability::Relaxed).await
    }

    /// Removes records; their layers go with the next sweep unless others have them.
    pub(crate) async fn forget(&self, ids: &[String]) -> Result<(), StoreError> {
        let mut batch = self.0.store.batch();
        for id in ids {
            batch.delete::<Record>(id);
        }
        self.0.store.commit_async(batch, Durability::Relaxed).await?;
        let mut state = self.state();
        ids.iter().for_each(|id| state.remove(id));
        Ok(())
    }

    /// Begins to use records.
    pub(crate) fn users(&self) -> Users {
        Users { cache: self.clone(), ids: Mutex::default() }
    }

    /// All records.
    pub(crate) fn all(&self) -> Vec<Hit> {
        let state = self.state();
        state.records.keys().filter_map(|id| state.hit(id)).collect()
    }

    /// Whether a build uses a record.
    pub(crate) fn is_used(&self, id: &str) -> bool {
        self.state().users.contains_key(id)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn hit(&self, id: &str) -> Option<Hit> {
        let record = self.records.get(id)?;
        Some(Hit { id: id.to_owned(), record: Arc::clone(record) })
    }

    fn insert(&mut self, id: &str, record: Record) {
        for definition in &record.definitions {
            self.definitions.insert(definition.key.clone(), id.to_owned());
        }
        for key in &record.contents {
            self.contents.insert(key.clone(), id.to_owned());
        }
        self.records.insert(id.to_owned(), Arc::new(record));
    }

    /// Puts a record in the place of one that is there; `false` if there is none.
    fn replace(&mut self, id: &str, record: Record) -> bool {
        let there = self.records.contains_key(id);
        if there {
            self.insert(id, record);
        }
        there
    }

    fn remove(&mut self, id: &str) {
        let Some(record) = self.records.remove(id) else { return };
        // A newer record may have taken a key over.
        for definition in &record.definitions {
            if self.definitions.get(&definition.key).is_some_and(|owner| owner == id) {
                self.definitions.remove(&definition.key);
            }
        }
        for key in &record.contents {
            if self.contents.get(key).is_some_and(|owner| owner == id) {
                self.contents.remove(key);
            }
        }
    }
}

impl Users {
    /// Uses a record, to the end of the build.
    pub(crate) fn add(&self, id: &str) {
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.insert(id.to_owned()) {
            *self.cache.state().users.entry(id.to_owned()).or_default() += 1;
        }
    }

    /// What is used.
    pub(crate) fn ids(&self) -> HashSet<String> {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Users {
    fn drop(&mut self) {
        let ids = self.ids();
        let mut state = self.cache.state();
        for id in ids {
            if let Some(count) = state.users.get_mut(&id) {
                *count -= 1;
                if *count == 0 {
                    state.users.remove(&id);
                }
            }
        }
    }
}

/// A record, as `builder du` and `/system/df` show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// Its id, 25 letters and digits.
    pub id: String,
    /// Records that it builds upon.
    pub parents: Vec<String>,
    /// What it is.
    pub kind: RecordKind,
    /// Of what it came, such as `mount / from exec /bin/sh -c make`.
    pub description: String,
    /// A build is using it.
    pub in_use: bool,
    /// An image has its layer too, so that removing it frees nothing.
    pub shared: bool,
    /// Bytes of its own files.
    pub size_bytes: u64,
    /// When it was made.
    pub created: Timestamp,
    /// When it was last used.
    pub last_used: Option<Timestamp>,
    /// How often it was.
    pub uses: u64,
}

/// Kinds of records, in the words of `docker builder prune --filter type=…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RecordKind {
    /// A step's layer.
    Regular,
    /// Files of a context.
    SourceLocal,
    /// A git checkout.
    SourceGit,
    /// `RUN --mount=type=cache`.
    CacheMount,
    /// What only the builder needs.
    Internal,
}

impl RecordKind {
    /// Docker's word.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Regular => "regular",
            Self::SourceLocal => "source.local",
            Self::SourceGit => "source.git.checkout",
            Self::CacheMount => "exec.cachemount",
            Self::Internal => "internal",
        }
    }
}

/// What to prune.
#[derive(Debug, Clone, Default)]
pub struct Prune {
    /// Also what images share and what only the builder needs.
    pub all: bool,
    /// As Docker has them: `until` or `unused-for`, `id`, `parent`, `type`, `description`, `inuse`,
    /// `shared`, `private`. An `id` is found by its beginning; a value that begins with `~` is a
    /// regular expression; a name that ends in `!` picks what does not match.
    pub filters: BTreeMap<String, Vec<String>>,
    /// Bytes to keep; the least recently used goes first. 0 for none.
    pub keep_bytes: u64,
}

/// What was pruned.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// The records.
    pub records: Vec<Usage>,
    /// Bytes that this freed.
    pub freed_bytes: u64,
}

/// Why the cache did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum CacheError {
    /// A filter that there is not.
    #[error("invalid filter '{0}'")]
    Filter(String),
    /// A filter's value that is none.
    #[error("invalid filter '{name}={value}'")]
    Value {
        /// The filter.
        name: String,
        /// Its value.
        value: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Layers could not be removed.
    #[error(transparent)]
    Image(#[from] gantry_image::ImageError),
    /// Files could not be read or removed.
    #[error("pruning {what}")]
    Files {
        /// Of what.
        what: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl gantry_fault::Fault for CacheError {
    fn kind(&self) -> gantry_fault::Kind {
        match self {
            Self::Filter(_) | Self::Value { .. } => gantry_fault::Kind::InvalidArgument,
            Self::Store(error) => error.kind(),
            Self::Image(error) => error.kind(),
            Self::Files { .. } => gantry_fault::Kind::Internal,
        }
    }
}
