//! A context as one build sees it: listed once, from then on the same to the build's end.
//!
//! The tree's questions are answered from what is here. What is not is noted; [`View::fetch`] gets
//! all that was noted from the client, and the question is asked again.

use std::{
    collections::{BTreeSet, HashMap},
    fs::File,
    io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::Ordering},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use futures_util::{
    StreamExt,
    future::BoxFuture,
    stream::{self, FuturesUnordered},
};
use gantry_build_proto::{Entry, EntryKind};
use gantry_oci::Digest;

use super::{
    Mirror, MirrorError, Session,
    listing::{Item, Listing},
};
use crate::{
    Client,
    trees::{Kind, Node, Tree, TreeError, Xattrs, join, shown, split},
};

/// Files asked for at once.
const READS_MAX: usize = 64;
/// Directories asked for at once.
const LISTS_MAX: usize = 16;

/// A context of a client's.
pub(crate) struct View {
    mirror: Mirror,
    client: Arc<dyn Client>,
    context: String,
    /// Where its listings are kept.
    dir: PathBuf,
    state: Mutex<State>,
    /// Is told of the bytes that are sent.
    progress: Box<dyn Fn(u64) + Send + Sync>,
    _session: Session,
}

#[derive(Default)]
struct State {
    listings: HashMap<String, Arc<Listing>>,
    wanted: Wanted,
}

/// What was asked for and is not here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Wanted {
    deep: BTreeSet<String>,
    shallow: BTreeSet<String>,
    files: BTreeSet<String>,
}

impl View {
    /// Begins with a context; nothing is asked of the client yet.
    pub(crate) async fn begin(
        mirror: &Mirror,
        client: Arc<dyn Client>,
        context: &str,
        identity: &str,
        progress: Box<dyn Fn(u64) + Send + Sync>,
    ) -> Result<Self, MirrorError> {
        let session = mirror.session().await;
        let dir = mirror.touch(identity).map_err(MirrorError::io("noting", &mirror.0.dir))?;
        Ok(Self {
            mirror: mirror.clone(),
            client,
            context: context.to_owned(),
            dir,
            state: Mutex::default(),
            progress,
            _session: session,
        })
    }

    /// Asks `question` until everything is here that it needs.
    pub(crate) async fn ask<T: Send + 'static>(
        self: &Arc<Self>,
        question: impl Fn(&dyn Tree) -> Result<T, TreeError> + Send + Sync + 'static,
    ) -> Result<Result<T, TreeError>, MirrorError> {
        let question = Arc::new(question);
        loop {
            let (view, asked) = (Arc::clone(self), Arc::clone(&question));
            let answer = crate::blocking(move || asked(&*view)).await;
            match answer {
                Err(TreeError::Absent) => self.fetch().await?,
                answer => {
                    self.save().await?;
                    return Ok(answer);
                }
            }
        }
    }

    /// Gets everything that was asked for and is not here.
    async fn fetch(&self) -> Result<(), MirrorError> {
        let wanted = std::mem::take(&mut self.state().wanted);
        let shallow = wanted.shallow.iter().filter(|path| !wanted.deep.contains(*path));
        let lists: Vec<BoxFuture<'_, _>> = wanted
            .deep
            .iter()
            .map(|path| self.list(path.clone(), true))
            .chain(shallow.map(|path| self.list(path.clone(), false)))
            .collect();
        let mut waiting = lists.into_iter();
        let mut running = FuturesUnordered::new();
        let mut further: Vec<String> = Vec::new();
        loop {
            while running.len() < LISTS_MAX {
                let next =
                    waiting.next().or_else(|| further.pop().map(|path| self.list(path, true)));
                let Some(next) = next else { break };
                running.push(next);
            }
            let Some(below) = running.next().await else { break };
            further.extend(below?);
        }
        let reads: Vec<BoxFuture<'_, _>> =
            wanted.files.into_iter().map(|path| self.read(path)).collect();
        let mut reads = stream::iter(reads).buffer_unordered(READS_MAX);
        while let Some(read) = reads.next().await {
            read?;
        }
        Ok(())
    }

    /// Lists a directory; returns those in it that are to be listed too.
    fn list(&self, path: String, deep: bool) -> BoxFuture<'_, Result<Vec<String>, MirrorError>> {
        Box::pin(async move {
            let before = Listing::load(&self.listing_path(&path, deep));
            let before = before.filter(|before| before.path == path);
            let hash = |listing: &Listing| {
                if deep { listing.deep.clone() } else { listing.shallow.clone() }
            };
            let known = before.as_ref().map(hash).unwrap_or_default();
            let answer = self.client.list(&self.context, &path, &known, !deep).await?;
            let listing = match (answer.entries, before) {
                (None, Some(before)) if answer.hash == known => before,
                (entries, before) => {
                    let entries = entries.unwrap_or_default();
                    check_names(&entries)?;
                    let listing = Listing::new(&path, deep, answer.hash, entries);
                    before.iter().for_each(|before| listing.learn(before));
                    listing
                }
            };
            let mut below = Vec::new();
            if deep {
                for item in &listing.items {
                    let inner = path_of(&path, &item.entry.name);
                    if item.entry.kind == EntryKind::Directory && !self.is_known(&inner, item) {
                        below.push(inner);
                    }
                }
            }
            self.state().listings.insert(path, Arc::new(listing));
            Ok(below)
        })
    }

    /// Gets a file's content.
    fn read(&self, path: String) -> BoxFuture<'_, Result<(), MirrorError>> {
        Box::pin(async move {
            let content = self.client.read(&self.context, &path).await?;
            let digest = self.mirror.put(content, &*self.progress).await?;
            let (above, name) = path.rsplit_once('/').unwrap_or(("", &path));
            let listing = self.state().listings.get(above).cloned();
            if let Some(listing) = listing
                && let Some(item) = listing.item(name.as_bytes())
            {
                let _ = item.digest.set(digest);
                listing.change();
            }
            Ok(())
        })
    }

    /// Writes what was learnt.
    async fn save(&self) -> Result<(), MirrorError> {
        let changed: Vec<Arc<Listing>> = self
            .state()
            .listings
            .values()
            .filter(|listing| listing.changed.swap(false, Ordering::Relaxed))
            .cloned()
            .collect();
        if changed.is_empty() {
            return Ok(());
        }
        let (mirror, dir) = (self.mirror.clone(), self.dir.clone());
        let write = move || {
            changed.iter().try_for_each(|listing| {
                let path = dir.join(listing_name(&listing.path, !listing.deep.is_empty()));
                let text = serde_json::to_vec(&**listing).map_err(io::Error::other);
                text.and_then(|text| mirror.write_small(&path, &text))
                    .map_err(MirrorError::io("writing", &path))
            })
        };
        crate::blocking(write).await
    }

    /// Whether what was known of a directory still holds: then it need not be listed.
    fn is_known(&self, path: &str, item: &Item) -> bool {
        let Some(listing) = Listing::load(&self.listing_path(path, true)) else { return false };
        let holds =
            listing.path == path && listing.deep == item.entry.hash && !listing.deep.is_empty();
        if holds {
            self.state().listings.insert(path.to_owned(), Arc::new(listing));
        }
        holds
    }

    /// The listing of a directory.
    fn directory(&self, path: &[u8]) -> Result<Arc<Listing>, TreeError> {
        let text = std::str::from_utf8(path).map_err(|_| TreeError::not_found(path))?;
        if let Some(listing) = self.state().listings.get(text) {
            return Ok(Arc::clone(listing));
        }
        if path.is_empty() {
            self.state().wanted.shallow.insert(String::new());
            return Err(TreeError::Absent);
        }
        let (above, name) = split(path);
        let above = self.directory(above)?;
        let item = above.item(name).ok_or_else(|| TreeError::not_found(path))?;
        if item.entry.kind != EntryKind::Directory {
            return Err(TreeError::NotADirectory { path: shown(path) });
        }
        if above.deep.is_empty() {
            self.state().wanted.shallow.insert(text.to_owned());
            return Err(TreeError::Absent);
        }
        if !self.is_known(text, item) {
            self.state().wanted.deep.insert(text.to_owned());
            return Err(TreeError::Absent);
        }
        self.state().listings.get(text).cloned().ok_or(TreeError::Absent)
    }

    /// What is known of a file's content.
    fn file(&self, path: &[u8]) -> Result<Digest, TreeError> {
        let (above, name) = split(path);
        let above = self.directory(above)?;
        match above.item(name) {
            Some(item) if item.entry.kind == EntryKind::File => match item.digest.get() {
                Some(digest) => Ok(digest.clone()),
                None => Err(self.want_file(path)),
            },
            _ => Err(TreeError::not_found(path)),
        }
    }

    fn want_file(&self, path: &[u8]) -> TreeError {
        match std::str::from_utf8(path) {
            Ok(path) => {
                self.state().wanted.files.insert(path.to_owned());
                TreeError::Absent
            }
            Err(_) => TreeError::not_found(path),
        }
    }

    fn listing_path(&self, path: &str, deep: bool) -> PathBuf {
        self.dir.join(listing_name(path, deep))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Tree for View {
    fn node(&self, path: &[u8]) -> Result<Option<Node>, TreeError> {
        if path.is_empty() {
            return Ok(Some(Node::top()));
        }
        let (above, name) = split(path);
        match self.directory(above) {
            Ok(listing) => Ok(listing.item(name).map(|item| node_of(&item.entry))),
            Err(TreeError::NotFound { .. } | TreeError::NotADirectory { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn list(&self, directory: &[u8]) -> Result<Vec<(Vec<u8>, Node)>, TreeError> {
        let listing = self.directory(directory)?;
        let named = |item: &Item| (item.entry.name.as_bytes().to_vec(), node_of(&item.entry));
        Ok(listing.items.iter().map(named).collect())
    }

    fn open(&self, path: &[u8]) -> Result<File, TreeError> {
        let digest = self.file(path)?;
        match self.mirror.file(&digest) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(self.want_file(path)),
            opened => opened.map_err(TreeError::io("opening", path)),
        }
    }

    fn xattrs(&self, path: &[u8]) -> Result<Xattrs, TreeError> {
        if path.is_empty() {
            return Ok(Vec::new());
        }
        let (above, name) = split(path);
        let listing = self.directory(above)?;
        let item = listing.item(name).ok_or_else(|| TreeError::not_found(path))?;
        // Values that are no base64 are left out: the client is not one of ours then.
        let value = |(name, value): (&String, &String)| {
            Some((name.as_bytes().to_vec(), STANDARD.decode(value).ok()?))
        };
        Ok(item.entry.xattrs.iter().filter_map(value).collect())
    }

    fn content(&self, path: &[u8]) -> Result<Digest, TreeError> {
        self.file(path)
    }

    fn expect_all(&self, directory: &[u8]) -> Result<(), TreeError> {
        let text = std::str::from_utf8(directory).map_err(|_| TreeError::not_found(directory))?;
        let mut state = self.state();
        if state.listings.get(text).is_some_and(|listing| !listing.deep.is_empty()) {
            return Ok(());
        }
        state.wanted.deep.insert(text.to_owned());
        Err(TreeError::Absent)
    }

    fn known_digest(&self, directory: &[u8]) -> Option<Digest> {
        let listing = self.directory(directory).ok()?;
        if listing.deep.is_empty() {
            return None;
        }
        listing.digest.get().cloned()
    }

    fn keep_digest(&self, directory: &[u8], digest: &Digest) {
        if let Ok(listing) = self.directory(directory)
            && !listing.deep.is_empty()
            && listing.digest.set(digest.clone()).is_ok()
        {
            listing.change();
        }
    }
}

fn node_of(entry: &Entry) -> Node {
    let kind = match entry.kind {
        EntryKind::File => Kind::File,
        EntryKind::Directory => Kind::Directory,
        EntryKind::Symlink => Kind::Symlink,
    };
    let nanos = entry.mtime_ns.rem_euclid(1_000_000_000);
    Node {
        kind,
        mode: entry.mode & 0o7777,
        mtime: (entry.mtime_ns.div_euclid(1_000_000_000), u32::try_from(nanos).unwrap_or_default()),
        link: entry.target.as_bytes().to_vec(),
        ..Node::top()
    }
}

fn path_of(directory: &str, name: &str) -> String {
    String::from_utf8_lossy(&join(directory.as_bytes(), name.as_bytes())).into_owned()
}

fn listing_name(path: &str, deep: bool) -> String {
    super::file_name(format!("{path}\0{deep}").as_bytes())
}

fn check_names(entries: &[Entry]) -> Result<(), MirrorError> {
    let bad = |name: &str| {
        matches!(name, "" | "." | "..") || name.len() > 255 || name.contains(['/', '\0'])
    };
    match entries.iter().find(|entry| bad(&entry.name)) {
        Some(entry) => Err(MirrorError::Name(entry.name.clone())),
        None => Ok(()),
    }
}
