//! Pull-through: what is not here is fetched from an upstream, kept, and passed on while it comes.
//!
//! A name belongs to the upstream with the longest prefix that fits. What was pushed here counts
//! before what an upstream has; a tag that was fetched is asked for again when it is no longer
//! fresh, and served as it is when the upstream does not answer. A blob is fetched once, however
//! many ask for it, and goes on coming when they leave.

use std::{
    collections::HashMap,
    io,
    os::unix::fs::FileExt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::{Stream, stream};
use gantry_distribution::At;
use gantry_fault::chain;
use gantry_oci::Digest;
use tokio::sync::{mpsc, watch};

use crate::{
    config,
    index::{NewManifest, Reference},
    manifest,
    name::Name,
    registry::Registry,
    uploads::Session,
    upstream::{Incoming, Piece, Upstream, UpstreamError},
};

/// How many pieces are written at once.
const BATCH: usize = 16;
/// How much of a blob that comes is passed on at once, in bytes.
const PIECE_BYTES: u64 = 256 << 10;

/// All upstreams.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    routes: Vec<Route>,
    running: Mutex<HashMap<(Name, Digest), watch::Receiver<Progress>>>,
    /// When tags were found to be as upstream has them.
    fresh: Mutex<HashMap<(Name, String), Instant>>,
}

#[derive(Debug)]
struct Route {
    prefix: String,
    upstream: Arc<Upstream>,
    fresh_for: Duration,
}

/// How far a blob has come.
#[derive(Clone, Debug, Default)]
pub(crate) struct Progress {
    /// The upload that it is written to, and the size in bytes that the upstream told.
    pub(crate) begun: Option<(String, u64)>,
    written_bytes: u64,
    pub(crate) end: Option<End>,
}

/// How a fetch ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// The repository has the blob.
    Whole,
    /// The upstream does not have it.
    Missing,
    /// It could not be fetched; the log says why.
    Broken,
}

/// An upstream that did not help, and nothing is here.
#[derive(Debug)]
pub(crate) struct Unreachable;

impl Mirrors {
    /// The upstreams of a configuration.
    ///
    /// # Errors
    /// When an address is none.
    pub(crate) fn open(configured: &[config::Mirror]) -> Result<Self, UpstreamError> {
        let mut mirrors = Self::default();
        for one in configured {
            mirrors.routes.push(Route {
                prefix: one.prefix.clone(),
                upstream: Arc::new(Upstream::new(one)?),
                fresh_for: one.fresh_for.0,
            });
        }
        mirrors.routes.sort_by_key(|route| std::cmp::Reverse(route.prefix.len()));
        Ok(mirrors)
    }

    /// The upstream of a repository, and the repository's name there.
    fn find<'a>(&'a self, name: &'a Name) -> Option<(&'a Route, &'a str)> {
        self.routes.iter().find_map(|route| {
            let rest = match route.prefix.as_str() {
                "" => Some(name.as_str()),
                prefix => name.as_str().strip_prefix(prefix)?.strip_prefix('/'),
            };
            rest.map(|rest| (route, rest))
        })
    }

    /// Whether a repository has an upstream.
    pub(crate) fn has(&self, name: &Name) -> bool {
        self.find(name).is_some()
    }

    fn is_fresh(&self, name: &Name, tag: &str, most: Duration) -> bool {
        let key = (name.clone(), tag.to_owned());
        lock(&self.fresh).get(&key).is_some_and(|at| at.elapsed() < most)
    }

    fn set_fresh(&self, name: &Name, tag: &str, most: Duration) {
        let mut fresh = lock(&self.fresh);
        fresh.retain(|_, at| at.elapsed() < most);
        fresh.insert((name.clone(), tag.to_owned()), Instant::now());
    }
}

/// Brings a manifest here, if its repository has an upstream that has it.
///
/// # Errors
/// When it is not here and the upstream does not answer.
pub(crate) async fn freshen(
    registry: &Registry,
    name: &Name,
    reference: &Reference,
) -> Result<(), Unreachable> {
    let Some((route, remote)) = registry.mirrors.find(name) else { return Ok(()) };
    let here = registry.index.origin(name, reference);
    let fetched = match (&here, reference) {
        (Some(_), Reference::Digest(_)) => return Ok(()),
        (Some((_, fetched)), Reference::Tag(tag)) => {
            if !*fetched || registry.mirrors.is_fresh(name, tag, route.fresh_for) {
                return Ok(());
            }
            match route.upstream.resolve(remote, tag).await {
                // A tag that upstream has no more stays for those who use it.
                Ok(None) => Ok(()),
                Ok(now) if now == here.as_ref().map(|(digest, _)| digest.clone()) => Ok(()),
                Ok(Some(_)) => fetch(registry, route, name, remote, reference).await,
                Err(error) => Err(chain(&error)),
            }
        }
        (None, _) => fetch(registry, route, name, remote, reference).await,
    };
    match (fetched, reference) {
        (Ok(()), Reference::Tag(tag)) => registry.mirrors.set_fresh(name, tag, route.fresh_for),
        (Ok(()), Reference::Digest(_)) => {}
        (Err(why), _) => {
            tracing::warn!(repository = %name, why, "an upstream does not help");
            if here.is_none() {
                return Err(Unreachable);
            }
        }
    }
    Ok(())
}

/// Fetches a manifest and takes it in; one that is not there is no error.
async fn fetch(
    registry: &Registry,
    route: &Route,
    name: &Name,
    remote: &str,
    reference: &Reference,
) -> Result<(), String> {
    let (at, tags) = match reference {
        Reference::Tag(tag) => (At::Tag(tag.clone()), vec![tag.clone()]),
        Reference::Digest(digest) => (At::Digest(digest.clone()), Vec::new()),
    };
    let fetched = route.upstream.manifest(remote, &at).await.map_err(|error| chain(&error))?;
    let Some(fetched) = fetched else { return Ok(()) };
    let parsed = manifest::parse(&fetched.bytes, &fetched.descriptor.media_type);
    let parsed = parsed.map_err(|error| error.to_string())?;
    let new = NewManifest {
        digest: &fetched.descriptor.digest,
        body: &fetched.bytes,
        parsed: &parsed,
        tags: &tags,
        sparse: true,
        fetched: true,
    };
    registry.index.put_manifest(name, new).await.map_err(|error| chain(&error))
}

/// Follows the fetch of a blob, which begins if nobody asked for it before.
pub(crate) fn follow(
    registry: &Registry,
    name: &Name,
    digest: &Digest,
) -> Option<watch::Receiver<Progress>> {
    let (route, remote) = registry.mirrors.find(name)?;
    let key = (name.clone(), digest.clone());
    let mut running = lock(&registry.mirrors.running);
    if let Some(progress) = running.get(&key) {
        return Some(progress.clone());
    }
    let (told, progress) = watch::channel(Progress::default());
    running.insert(key.clone(), progress.clone());
    let (registry, upstream, remote) =
        (registry.clone(), Arc::clone(&route.upstream), remote.to_owned());
    tokio::spawn(async move {
        let (name, digest) = &key;
        let end = match bring(&registry, &upstream, name, &remote, digest, &told).await {
            Ok(end) => end,
            Err(why) => {
                tracing::warn!(repository = %name, %digest, why, "a blob could not be fetched");
                End::Broken
            }
        };
        registry.metrics.fetched_blobs.add(u64::from(end == End::Whole));
        lock(&registry.mirrors.running).remove(&key);
        told.send_modify(|progress| progress.end = Some(end));
    });
    Some(progress)
}

/// The size in bytes of a blob that an upstream has, without fetching it.
pub(crate) async fn size_of(registry: &Registry, name: &Name, digest: &Digest) -> Option<u64> {
    let (route, remote) = registry.mirrors.find(name)?;
    route.upstream.size_of(remote, digest).await.ok().flatten()
}

async fn bring(
    registry: &Registry,
    upstream: &Upstream,
    name: &Name,
    remote: &str,
    digest: &Digest,
    told: &watch::Sender<Progress>,
) -> Result<End, String> {
    let (index, blobs) = (&registry.index, &*registry.blobs);
    let size_bytes = upstream.size_of(remote, digest).await.map_err(|error| chain(&error))?;
    let Some(size_bytes) = size_bytes else { return Ok(End::Missing) };
    if size_bytes > registry.config.limits.blob_bytes {
        return Err(format!("it has {size_bytes} bytes"));
    }
    let id = registry.uploads.begin(index, blobs, name, digest.algorithm()).await;
    let id = id.map_err(|error| chain(&error))?;
    let session = registry.uploads.take(index, blobs, name, &id).await;
    let mut session = session.map_err(|error| chain(&error))?;
    told.send_modify(|progress| progress.begun = Some((id.clone(), size_bytes)));
    let (incoming, pieces) = Incoming::new();
    let (fetched, written) = tokio::join!(
        upstream.blob(remote, (digest, size_bytes), incoming),
        receive(&mut session, pieces, told),
    );
    // Who cannot write is the cause of it all.
    let done = written.and_then(|()| fetched.map_err(|error| chain(&error)));
    let stored = match done {
        Ok(()) => {
            let prepared = session.prepare(digest).await;
            let _held = index.hold_blob(digest).await;
            let committed = match prepared {
                Ok(()) => session.commit(digest).await,
                failed => failed,
            };
            match committed {
                Ok(()) => index
                    .link(name, digest, size_bytes, Some(&id))
                    .await
                    .map_err(|error| chain(&error)),
                Err(error) => Err(chain(&error)),
            }
        }
        Err(why) => Err(why),
    };
    if stored.is_err() {
        // What cannot be removed now is the collector's.
        let _ = blobs.discard(&id).await;
        let _ = index.end_upload(&id).await;
    }
    registry.uploads.forget(&id);
    stored.map(|()| End::Whole)
}

/// Writes what comes of a blob.
async fn receive(
    session: &mut Session,
    mut pieces: mpsc::Receiver<Piece>,
    told: &watch::Sender<Progress>,
) -> Result<(), String> {
    let mut batch = Vec::with_capacity(BATCH);
    while pieces.recv_many(&mut batch, BATCH).await > 0 {
        let (mut data, mut end) = (Vec::with_capacity(batch.len()), None);
        for piece in batch.drain(..) {
            match piece {
                Piece::Data(bytes) => data.push(bytes),
                Piece::End(asked) => end = Some(asked),
            }
        }
        if !data.is_empty() {
            session.write(data).await.map_err(|error| chain(&error))?;
            let written = session.size_bytes();
            told.send_modify(|progress| progress.written_bytes = written);
        }
        if let Some(asked) = end {
            let digest = session.digest().map_err(|error| chain(&error))?;
            // Whoever asked may have gone.
            let _ = asked.send(digest);
        }
    }
    Ok(())
}

/// The bytes of a blob while it comes. The last one waits until the digest was right, so that
/// nobody takes a wrong blob for a whole one.
pub(crate) fn tail(
    file: std::fs::File,
    size_bytes: u64,
    progress: watch::Receiver<Progress>,
) -> impl Stream<Item = io::Result<Bytes>> + Send {
    let start = (Arc::new(file), progress, 0_u64);
    stream::try_unfold(start, move |(file, mut progress, offset)| async move {
        if offset == size_bytes {
            return Ok(None);
        }
        let gone = |_| io::Error::other("the fetch is gone");
        let seen = progress
            .wait_for(|seen| seen.end.is_some() || seen.written_bytes.min(size_bytes - 1) > offset)
            .await
            .map_err(gone)?
            .clone();
        let visible = match seen.end {
            Some(End::Whole) => size_bytes,
            Some(_) => return Err(io::Error::other("the blob could not be fetched")),
            None => seen.written_bytes.min(size_bytes - 1),
        };
        let length = (visible - offset).min(PIECE_BYTES);
        let reader = Arc::clone(&file);
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; usize::try_from(length).unwrap_or(usize::MAX)];
            reader.read_exact_at(&mut piece, offset).map(|()| Bytes::from(piece))
        });
        let piece = read.await.map_err(io::Error::other)??;
        Ok(Some((piece, (file, progress, offset + length))))
    })
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_counts() {
        let of = |(prefix, url): (&str, &str)| config::Mirror {
            prefix: prefix.to_owned(),
            url: url.to_owned(),
            username: None,
            password: String::new(),
            fresh_for: crate::Span::seconds(0),
        };
        let all = [("", "http://all"), ("hub", "http://hub"), ("hub/deep", "http://deep")];
        let mirrors = Mirrors::open(&all.map(of)).unwrap();
        for (name, prefix, remote) in [
            ("hub/library/x", "hub", "library/x"),
            ("hub/deep/x", "hub/deep", "x"),
            ("hubble/x", "", "hubble/x"),
            ("hub", "", "hub"),
        ] {
            let name = Name::parse(name).unwrap();
            let (route, rest) = mirrors.find(&name).unwrap();
            assert_eq!((route.prefix.as_str(), rest), (prefix, remote), "{name}");
        }
    }
}
