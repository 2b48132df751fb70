//! Online garbage collection: what nothing needs goes, while all else goes on.
//!
//! A run retires what rules say is too old, takes blobs from repositories whose manifests do not
//! need them, ends uploads that nobody goes on with, and removes files that no repository has. What
//! a client was told lately (it pushed a blob, or asked whether one is there) is leased to it: for the
//! grace period it stays, needed or not. Leases are in memory; a registry that starts takes
//! everything as leased from then on.

use std::{collections::HashSet, time::Duration};

use gantry_fault::chain;
use gantry_store::StoreError;
use tokio_util::sync::CancellationToken;

use crate::{
    blobs::BlobError,
    clock::now_s,
    index::ChangeError,
    registry::{EndError, Registry},
};

/// Why a run ended early.
#[derive(Debug, thiserror::Error)]
enum CollectError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Change(#[from] ChangeError),
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    End(#[from] EndError),
}

/// What a run removed.
#[derive(Debug, Default)]
struct Collected {
    retired: usize,
    unlinked: usize,
    uploads: usize,
    blobs: u64,
    bytes: u64,
}

/// Collects from time to time until told to end.
pub(crate) async fn run(registry: Registry, shutdown: CancellationToken) {
    let every = registry.config.collect.every.0.max(Duration::from_millis(100));
    loop {
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(every) => {}
        }
        match collect(&registry).await {
            Ok(done) => {
                registry.metrics.collections.add(1);
                registry.metrics.collected_blobs.add(done.blobs);
                registry.metrics.collected_bytes.add(done.bytes);
                registry.metrics.retired_tags.add(done.retired as u64);
                let Collected { retired, unlinked, uploads, blobs, bytes } = done;
                if retired + unlinked + uploads > 0 || blobs > 0 {
                    tracing::info!(retired, unlinked, uploads, blobs, bytes, "collected garbage");
                }
            }
            Err(error) => tracing::error!("garbage collection: {}", chain(&error)),
        }
    }
}

async fn collect(registry: &Registry) -> Result<Collected, CollectError> {
    let (config, index, now) = (&registry.config, &registry.index, now_s());
    let idle_since_s = now.saturating_sub(config.collect.grace.as_s());
    let mut done = Collected::default();
    for name in index.names() {
        for rule in config.retention.iter().filter(|rule| rule.repository.fits(name.as_str())) {
            done.retired += index.retire(&name, rule, now, idle_since_s).await?;
        }
        done.unlinked += index.sweep(&name, idle_since_s).await?.len();
    }
    done.uploads = end_uploads(registry, now).await?;
    for (digest, size_bytes) in registry.blobs.list().await? {
        if index.is_unlinked(&digest) && registry.remove_unlinked(&digest).await? {
            done.blobs += 1;
            done.bytes += size_bytes;
        }
    }
    Ok(done)
}

/// Ends uploads that nobody goes on with, and removes what is left of those that are not known.
async fn end_uploads(registry: &Registry, now: u64) -> Result<usize, CollectError> {
    let idle_since_s = now.saturating_sub(registry.config.collect.uploads_after.as_s());
    // Files first: the record of an upload is there before its file is, and goes after it.
    let files = registry.blobs.uploads().await?;
    let known = registry.index.uploads();
    let ids: HashSet<&str> = known.iter().map(String::as_str).collect();
    let orphans = files.iter().filter(|id| !ids.contains(id.as_str()));
    for id in orphans {
        registry.blobs.discard(id).await?;
    }
    let mut ended = 0;
    for id in known {
        ended += usize::from(registry.end_upload(&id, idle_since_s).await?);
    }
    Ok(ended)
}
