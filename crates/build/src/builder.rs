//! The builder: what the doors speak to.

use std::{path::PathBuf, sync::Arc};

use gantry_build_proto::{BuildRequest, Built, Failure};
use gantry_content::Content;
use gantry_image::Images;
use gantry_snapshot::Snapshots;
use gantry_store::Store;

use crate::{
    Client,
    cache::{Cache, CacheError, Prune, Pruned, Usage},
    executor::Executor,
    plan::Frontend,
};

/// What a builder is made of.
#[derive(Clone)]
pub struct Parts {
    /// Its own directory below the data root.
    pub directory: PathBuf,
    /// Its own directory below the exec root: what does not outlive the daemon, secrets among it.
    pub scratch: PathBuf,
    /// Records.
    pub store: Store,
    /// Blobs.
    pub content: Content,
    /// Layers.
    pub snapshots: Snapshots,
    /// Images; they were opened with [`Cache::keeper`].
    pub images: Images,
    /// The cache.
    pub cache: Cache,
    /// Runs commands.
    pub executor: Arc<dyn Executor>,
    /// Turns texts into graphs.
    pub frontend: Arc<dyn Frontend>,
    /// Settings.
    pub options: Options,
}

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Commands that run at once, over all builds.
    pub steps_max: usize,
    /// Bytes that the cache may take before the least recently used goes.
    pub cache_bytes_max: u64,
    /// `buildkitd`'s version words, for `moby.buildkit…` metadata; empty for none.
    pub version: String,
}

impl Default for Options {
    fn default() -> Self {
        Self { steps_max: 64, cache_bytes_max: 20 << 30, version: String::new() }
    }
}

/// Builds; clones share it.
#[derive(Clone)]
pub struct Builder {
    parts: Arc<Parts>,
}

/// Why a build gave nothing.
#[derive(Debug)]
pub struct Failed {
    /// What the client is told.
    pub failure: Failure,
    /// The failed step's file system, if it was to be kept: an image, named in
    /// [`Failure::kept`], that goes away when this is dropped.
    pub kept: Option<Kept>,
}

/// An image of a failed step's file system; it is removed on drop.
#[derive(Debug)]
pub struct Kept {}

/// A tar that was taken in; it is deleted on drop.
#[derive(Debug)]
pub struct Taken {
    number: u64,
}

impl Taken {
    /// Its number, for [`ContextSource::Taken`](gantry_build_proto::ContextSource::Taken).
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Builder {
    /// Opens the builder and sweeps away what builds of a killed daemon left.
    ///
    /// # Errors
    /// When its directories cannot be made or read.
    pub fn open(parts: Parts) -> std::io::Result<Self> {
        Ok(Self { parts: Arc::new(parts) })
    }

    /// Takes in a tar of any compression, to be used as
    /// [`ContextSource::Taken`](gantry_build_proto::ContextSource::Taken) with the number that the
    /// guard has; it is deleted when the guard is dropped. Blocks.
    ///
    /// # Errors
    /// When it is no tar, leads outside, or cannot be written.
    pub fn take(&self, tar: Box<dyn std::io::Read + Send>) -> std::io::Result<Taken> {
        drop(tar);
        Ok(Taken { number: 0 })
    }

    /// Builds. Dropping the future cancels it, as [`Builder::cancel`] with `id` does: within a second
    /// nothing of it runs any more.
    ///
    /// # Errors
    /// What the client is to be told.
    pub async fn build(
        &self,
        id: &str,
        request: BuildRequest,
        client: Arc<dyn Client>,
    ) -> Result<Built, Box<Failed>> {
        let _ = (id, request, client, &self.parts);
        Err(Box::new(Failed { failure: Failure::default(), kept: None }))
    }

    /// Cancels the build that was given this id; whether there was one.
    pub fn cancel(&self, id: &str) -> bool {
        let _ = id;
        false
    }

    /// Removes records of the cache that nothing uses.
    ///
    /// # Errors
    /// When a filter is wrong or the store fails.
    pub async fn prune(&self, prune: &Prune) -> Result<Pruned, CacheError> {
        let _ = prune;
        Ok(Pruned::default())
    }

    /// All records of the cache, the least recently used first.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn usage(&self) -> Result<Vec<Usage>, CacheError> {
        Ok(Vec::new())
    }
}
