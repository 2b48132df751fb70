//! The builder: what the doors speak to.

use std::{
    collections::HashMap,
    io::{self, Read},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use gantry_archive::ArchiveError;
use gantry_build_proto::{BuildRequest, Built, Failure};
use gantry_content::Content;
use gantry_image::{Images, transfer::Transfers};
use gantry_snapshot::Snapshots;
use gantry_store::Store;
use gantry_web::Proxies;
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;

use crate::{
    Client, Taken,
    build::Build,
    cache::{Cache, CacheError, Prune, Pruned, Usage, prune::Holdings},
    executor::Executor,
    kept::{self, Kept},
    mounts::CacheMounts,
    ops::{exec::Runner, git::Fetcher, step_mounts::Workshop},
    plan::Frontend,
    runs::Runs,
    scratch,
    taken::TakenTars,
    trees::mirror::Mirror,
    web::Web,
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
    /// Registries, for images that are not here.
    pub transfers: Transfers,
    /// On the way to files behind URLs.
    pub proxies: Proxies,
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
}

impl Default for Options {
    fn default() -> Self {
        Self { steps_max: 64, cache_bytes_max: 20 << 30 }
    }
}

/// Builds; clones share it.
#[derive(Clone)]
pub struct Builder(Arc<Inner>);

pub(crate) struct Inner {
    pub parts: Parts,
    pub mirror: Mirror,
    pub web: Web,
    pub taken: TakenTars,
    pub fetcher: Fetcher,
    pub runner: Runner,
    pub runs: Runs,
    holdings: Holdings,
    /// Builds under way, by the ids that they were given.
    active: Mutex<HashMap<String, CancellationToken>>,
    collecting: AtomicBool,
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

/// Takes a build off the list, and cancels what is left of it.
struct Active {
    inner: Arc<Inner>,
    id: String,
    stop: CancellationToken,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.stop.cancel();
        self.inner.active().remove(&self.id);
    }
}

impl Builder {
    /// Opens the builder and sweeps away what builds of a killed daemon left.
    ///
    /// # Errors
    /// When its directories cannot be made or read.
    pub fn open(parts: Parts) -> io::Result<Self> {
        let dir = &parts.directory;
        make_private(dir)?;
        scratch::open(&parts.scratch)?;
        let mirror = Mirror::open(&dir.join("mirror"))?;
        let mounts = CacheMounts::open(&dir.join("caches"))?;
        let taken = TakenTars::open(&dir.join("taken"))?;
        let git = dir.join("git");
        empty(&git)?;
        for name in parts.snapshots.containers().map_err(io::Error::other)? {
            if name.starts_with("build-") {
                parts.snapshots.remove(&name).map_err(io::Error::other)?;
            }
        }
        kept::sweep(&parts.store, &parts.images).map_err(io::Error::other)?;
        let workshop = Workshop {
            snapshots: parts.snapshots.clone(),
            mounts: mounts.clone(),
            scratch: parts.scratch.clone(),
        };
        let inner = Inner {
            fetcher: Fetcher { directory: git, snapshots: parts.snapshots.clone() },
            runner: Runner {
                workshop,
                executor: Arc::clone(&parts.executor),
                permits: Arc::new(Semaphore::new(parts.options.steps_max.max(1))),
            },
            runs: Runs::default(),
            holdings: Holdings {
                cache: parts.cache.clone(),
                images: parts.images.clone(),
                mirror: mirror.clone(),
                mounts,
            },
            mirror,
            web: Web::new(parts.proxies.clone()),
            taken,
            active: Mutex::default(),
            collecting: AtomicBool::new(false),
            parts,
        };
        Ok(Self(Arc::new(inner)))
    }

    /// Takes in a tar of any compression, to be used as
    /// [`ContextSource::Taken`](gantry_build_proto::ContextSource::Taken) with the number that the
    /// answer has; it is deleted when the answer is dropped. Blocks.
    ///
    /// # Errors
    /// When it is no tar, leads outside, or cannot be written; nothing is left then.
    pub fn take(&self, tar: Box<dyn Read + Send>) -> Result<Taken, ArchiveError> {
        self.0.taken.take(tar)
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
        let stop = CancellationToken::new();
        self.0.active().insert(id.to_owned(), stop.clone());
        let _active = Active { inner: Arc::clone(&self.0), id: id.to_owned(), stop: stop.clone() };
        let build = Build::new(Arc::clone(&self.0), request, client, stop);
        let outcome = crate::whole::run(build).await;
        self.collect_behind();
        outcome
    }

    /// Cancels the build that was given this id; whether there was one.
    pub fn cancel(&self, id: &str) -> bool {
        let active = self.0.active();
        active.get(id).map(CancellationToken::cancel).is_some()
    }

    /// Removes what nothing uses of the cache.
    ///
    /// # Errors
    /// When a filter is wrong, or something cannot be removed.
    pub async fn prune(&self, prune: &Prune) -> Result<Pruned, CacheError> {
        self.0.holdings.prune(prune).await
    }

    /// All that is in the cache, the least recently used first.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn usage(&self) -> Result<Vec<Usage>, CacheError> {
        let holdings = self.0.holdings.clone();
        crate::blocking(move || holdings.usage()).await
    }

    /// Brings the cache back within its budget, behind the answer and one at a time.
    fn collect_behind(&self) {
        if self.0.collecting.swap(true, Ordering::AcqRel) {
            return;
        }
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            let collected = inner.holdings.collect(inner.parts.options.cache_bytes_max).await;
            inner.collecting.store(false, Ordering::Release);
            match collected {
                Ok(pruned) if pruned.records.is_empty() => {}
                Ok(pruned) => {
                    let (records, bytes) = (pruned.records.len(), pruned.freed_bytes);
                    tracing::info!(records, bytes, "the build cache was over its budget");
                }
                Err(error) => {
                    let error = gantry_fault::chain(&error);
                    tracing::warn!(error, "could not bring the build cache within its budget");
                }
            }
        });
    }
}

impl Inner {
    fn active(&self) -> std::sync::MutexGuard<'_, HashMap<String, CancellationToken>> {
        self.active.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Set-uid files of contexts must be out of reach of the host's users.
fn make_private(dir: &Path) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::create_dir_all(dir)?;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700))
}

fn empty(dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    std::fs::create_dir_all(dir)
}
