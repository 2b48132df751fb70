//! The build cache: what was built before, by what it was built of.

use std::{collections::BTreeMap, sync::Arc};

use gantry_oci::Digest;
use gantry_store::{Store, StoreError};
use jiff::Timestamp;

/// The records of the cache; clones share them.
///
/// It is opened before the images are, since it names layers that their garbage collection must
/// keep: `Images::open` gets [`Cache::keeper`].
#[derive(Clone)]
pub struct Cache {
    store: Store,
}

impl Cache {
    /// Reads the records.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open(store: Store) -> Result<Self, StoreError> {
        Ok(Self { store })
    }

    /// Names the layers that the cache needs.
    #[must_use]
    pub fn keeper(&self) -> Arc<dyn Fn() -> Vec<Digest> + Send + Sync> {
        let _ = &self.store;
        Arc::new(Vec::new)
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// As Docker has them: `until`, `id`, `parent`, `type`, `description`, `inuse`, `shared`,
    /// `private`; a value may begin with `~` for a pattern, names of filters may end in `!`.
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
    /// A filter that is none, or has a wrong value.
    #[error("invalid filter '{0}'")]
    Filter(String),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
