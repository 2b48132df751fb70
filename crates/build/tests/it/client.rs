//! A client in memory.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    pin::Pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll},
};

use futures_util::{StreamExt, future::BoxFuture, stream};
use gantry_build::{Bytes, Client, ClientError, Connection, Output};
use gantry_build_proto::{Entry, EntryKind, Listing, Progress};
use gantry_oci::Digest;
use tokio::io::AsyncWrite;

/// A file, or a link if it has a target.
#[derive(Debug, Clone)]
struct File {
    content: Vec<u8>,
    target: String,
    mode: u32,
    /// Changes with every write.
    version: u64,
}

/// A client that has what a test gives it, and remembers what it was asked for.
#[derive(Default)]
pub(crate) struct TestClient {
    files: Mutex<BTreeMap<String, File>>,
    next_version: AtomicU64,
    pub secrets: Mutex<BTreeMap<String, Vec<u8>>>,
    pub tar: Mutex<Vec<u8>>,
    pub outputs: Arc<Mutex<BTreeMap<usize, Vec<u8>>>>,
    pub cache_outputs: Arc<Mutex<BTreeMap<usize, Vec<u8>>>>,
    /// Directories of caches by the context's name: files by path.
    pub directories: Mutex<BTreeMap<String, BTreeMap<String, Vec<u8>>>>,
    pub progress: Mutex<Vec<Progress>>,
    pub lists: Mutex<Vec<String>>,
    pub reads: Mutex<Vec<String>>,
    pub agents: AtomicU64,
    /// Nothing is answered any more.
    pub silent: Mutex<bool>,
}

impl TestClient {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self::default())
    }

    /// With these files.
    pub(crate) fn with(files: &[(&str, &str)]) -> Arc<Self> {
        let client = Self::new();
        for (path, content) in files {
            client.put(path, content);
        }
        client
    }

    pub(crate) fn put(&self, path: &str, content: &str) {
        self.put_mode(path, content, 0o644);
    }

    pub(crate) fn put_mode(&self, path: &str, content: &str, mode: u32) {
        let version = self.next_version.fetch_add(1, Ordering::Relaxed);
        let file = File { content: content.into(), target: String::new(), mode, version };
        self.files.lock().unwrap().insert(path.to_owned(), file);
    }

    pub(crate) fn link(&self, path: &str, target: &str) {
        let version = self.next_version.fetch_add(1, Ordering::Relaxed);
        let file = File { content: Vec::new(), target: target.to_owned(), mode: 0o777, version };
        self.files.lock().unwrap().insert(path.to_owned(), file);
    }

    /// Forgets what it was asked for and told.
    pub(crate) fn forget(&self) {
        self.progress.lock().unwrap().clear();
        self.lists.lock().unwrap().clear();
        self.reads.lock().unwrap().clear();
    }

    fn listing(&self, directory: &str, shallow: bool) -> Listing {
        let files = self.files.lock().unwrap();
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let mut entries: BTreeMap<String, Entry> = BTreeMap::new();
        let mut below: BTreeSet<String> = BTreeSet::new();
        for (path, file) in files.range(prefix.clone()..) {
            let Some(rest) = path.strip_prefix(&prefix) else { break };
            if let Some((name, _)) = rest.split_once('/') {
                below.insert(name.to_owned());
            } else {
                entries.insert(rest.to_owned(), entry(rest, file));
            }
        }
        drop(files);
        for name in below {
            let inner = format!("{prefix}{name}");
            let hash = if shallow { String::new() } else { self.listing(&inner, false).hash };
            let kind = EntryKind::Directory;
            let blank =
                File { content: Vec::new(), target: String::new(), mode: 0o755, version: 0 };
            let directory = Entry { kind, hash, size_bytes: 0, ..entry(&name, &blank) };
            entries.insert(name, directory);
        }
        let entries: Vec<Entry> = entries.into_values().collect();
        let hash = Digest::of(format!("{shallow}{entries:?}").as_bytes()).to_string();
        Listing { hash, entries: Some(entries) }
    }
}

fn entry(name: &str, file: &File) -> Entry {
    let kind = if file.target.is_empty() { EntryKind::File } else { EntryKind::Symlink };
    Entry {
        name: name.to_owned(),
        kind,
        mode: file.mode,
        size_bytes: file.content.len() as u64,
        mtime_ns: 1_000_000_000_000 + i64::try_from(file.version).unwrap(),
        target: file.target.clone(),
        hash: format!("{}-{}", file.version, file.content.len()),
        xattrs: BTreeMap::new(),
    }
}

fn bytes(content: Vec<u8>) -> Bytes {
    let pieces: Vec<_> = content.chunks(64 << 10).map(|piece| Ok(piece.to_vec())).collect();
    stream::iter(pieces).boxed()
}

impl Client for TestClient {
    fn list<'a>(
        &'a self,
        _context: &'a str,
        directory: &'a str,
        known: &'a str,
        shallow: bool,
    ) -> BoxFuture<'a, Result<Listing, ClientError>> {
        Box::pin(async move {
            if *self.silent.lock().unwrap() {
                std::future::pending::<()>().await;
            }
            self.lists.lock().unwrap().push(directory.to_owned());
            let listing = self.listing(directory, shallow);
            if listing.hash == known {
                return Ok(Listing { entries: None, ..listing });
            }
            Ok(listing)
        })
    }

    fn read<'a>(
        &'a self,
        context: &'a str,
        path: &'a str,
    ) -> BoxFuture<'a, Result<Bytes, ClientError>> {
        Box::pin(async move {
            if *self.silent.lock().unwrap() {
                std::future::pending::<()>().await;
            }
            self.reads.lock().unwrap().push(path.to_owned());
            let missing = || ClientError::NotFound(path.to_owned());
            if let Some(directory) = self.directories.lock().unwrap().get(context) {
                return directory.get(path).cloned().map(bytes).ok_or_else(missing);
            }
            let files = self.files.lock().unwrap();
            files.get(path).map(|file| bytes(file.content.clone())).ok_or_else(missing)
        })
    }

    fn tar<'a>(&'a self, _context: &'a str) -> BoxFuture<'a, Result<Bytes, ClientError>> {
        Box::pin(async move { Ok(bytes(self.tar.lock().unwrap().clone())) })
    }

    fn secret<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Vec<u8>, ClientError>> {
        let secret = self.secrets.lock().unwrap().get(id).cloned();
        Box::pin(async move { secret.ok_or_else(|| ClientError::NotFound(id.to_owned())) })
    }

    fn ssh<'a>(&'a self, _id: &'a str) -> BoxFuture<'a, Result<Box<dyn Connection>, ClientError>> {
        Box::pin(async move {
            self.agents.fetch_add(1, Ordering::Relaxed);
            let (near, mut far) = tokio::io::duplex(1024);
            // An agent that greets and repeats.
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut buffer = [0; 64];
                while let Ok(read @ 1..) = far.read(&mut buffer).await {
                    let answer = [b"agent heard: ", &buffer[..read]].concat();
                    if far.write_all(&answer).await.is_err() {
                        break;
                    }
                }
            });
            Ok(Box::new(near) as Box<dyn Connection>)
        })
    }

    fn output(&self, index: usize) -> BoxFuture<'_, Result<Output, ClientError>> {
        let to = Arc::clone(&self.outputs);
        Box::pin(async move { Ok(Box::new(Kept { to, index, data: Vec::new() }) as Output) })
    }

    fn cache_output(&self, index: usize) -> BoxFuture<'_, Result<Output, ClientError>> {
        let to = Arc::clone(&self.cache_outputs);
        Box::pin(async move { Ok(Box::new(Kept { to, index, data: Vec::new() }) as Output) })
    }

    fn progress(&self, progress: Progress) {
        let mut told = self.progress.lock().unwrap();
        let breaks = |vertex: u32| {
            let named = |one: &Progress| matches!(one, Progress::Vertex(one) if one.id == vertex && one.name.contains(BREAKS));
            told.iter().any(named)
        };
        let broken = matches!(&progress, Progress::Completed(done) if breaks(done.vertex));
        told.push(progress);
        drop(told);
        assert!(!broken, "on purpose");
    }
}

/// Part of the name of a vertex that the client panics over when it is told of its end.
pub(crate) const BREAKS: &str = "breaks the client";

/// An output that is there once it was shut down.
struct Kept {
    to: Arc<Mutex<BTreeMap<usize, Vec<u8>>>>,
    index: usize,
    data: Vec<u8>,
}

impl AsyncWrite for Kept {
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.data.extend_from_slice(data);
        Poll::Ready(Ok(data.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let data = std::mem::take(&mut self.data);
        self.to.lock().unwrap().insert(self.index, data);
        Poll::Ready(Ok(()))
    }
}
