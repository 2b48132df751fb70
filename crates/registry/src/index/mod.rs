//! What is there: repositories, their manifests, tags and blobs, and uploads under way.
//!
//! All of it but the bodies of manifests is in memory, so that asking reads no disk. A change holds
//! its repository's lock, is checked, written to the ledger if blobs are in a bucket, committed, and
//! published, in this order. Whoever adds or removes a blob's file holds the blob's lock, and
//! takes it before any repository's.

mod change;
mod collect;
mod overview;
mod query;
mod records;
mod restore;
mod state;

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    path::Path,
    sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard},
};

use gantry_oci::Digest;
use gantry_store::{Store, StoreError};
use tokio::sync::{Mutex, MutexGuard};

pub(crate) use change::{ChangeError, LinkError, NewManifest, OverQuota, PutError, Removal};
pub(crate) use overview::Detail;
pub(crate) use records::{TagRecord, UploadRecord};
pub(crate) use restore::OpenError;

use crate::{blobs::Blobs, bucket::Ledger, cache::Cache, name::Name, rules::Rules};
use records::{LinkRecord, ManifestRecord};
use state::State;

/// How many locks repositories, and blobs, share among them.
const LOCKS: usize = 128;

/// What a manifest is asked for by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Reference {
    Tag(String),
    Digest(Digest),
}

/// The index.
#[derive(Debug)]
pub(crate) struct Index {
    store: Store,
    /// Where manifests and tags are a second time, and first.
    ledger: Option<Ledger>,
    state: RwLock<State>,
    bodies: Cache,
    rules: Rules,
    repository_locks: Vec<Mutex<()>>,
    blob_locks: Vec<Mutex<()>>,
}

impl Index {
    /// Reads the index from a database, which is made if it is not there: of what a bucket has, if
    /// there is one.
    ///
    /// # Errors
    /// When it cannot be read, another process has it open, or it is of other blobs.
    pub(crate) async fn open(
        path: &Path,
        cache_bytes: usize,
        rules: Rules,
        ledger: Option<Ledger>,
        blobs: &dyn Blobs,
    ) -> Result<Self, OpenError> {
        let store = Store::open(path)?;
        match &ledger {
            None => restore::is_local(&store)?,
            Some(ledger) => restore::settle(&store, ledger, blobs).await?,
        }
        let state = load(&store)?;
        let locks = || (0..LOCKS).map(|_| Mutex::new(())).collect();
        Ok(Self {
            store,
            ledger,
            state: RwLock::new(state),
            bodies: Cache::new(cache_bytes),
            rules,
            repository_locks: locks(),
            blob_locks: locks(),
        })
    }

    /// Keeps a blob's file from being added or removed by others.
    pub(crate) async fn hold_blob(&self, digest: &Digest) -> MutexGuard<'_, ()> {
        self.blob_locks[slot(digest)].lock().await
    }

    async fn hold_repository(&self, name: &Name) -> MutexGuard<'_, ()> {
        self.repository_locks[slot(name)].lock().await
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

fn slot(key: &impl Hash) -> usize {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    usize::try_from(hasher.finish() % LOCKS as u64).unwrap_or(0)
}

fn load(store: &Store) -> Result<State, StoreError> {
    let mut state = State::default();
    for (key, record) in store.list::<LinkRecord>()? {
        if let Some((name, digest)) = records::split_digest_key(&key) {
            state.link(&name, &digest, record.size_bytes);
        }
    }
    for (key, record) in store.list::<ManifestRecord>()? {
        if let Some((name, digest)) = records::split_digest_key(&key) {
            state.put_manifest(&name, &digest, record);
        }
    }
    for (key, record) in store.list::<TagRecord>()? {
        if let Some((name, tag)) = records::split_tag_key(&key) {
            state.put_tag(&name, tag, &record);
        }
    }
    state.uploads = store.list::<UploadRecord>()?.into_iter().collect();
    Ok(state)
}
