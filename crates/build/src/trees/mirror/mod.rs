//! What clients have sent of their contexts, kept so that only what changed is sent again.
//!
//! ```text
//! mirror/
//!   boot                     the boot ID that all this was written under
//!   files/<xx>/<62 digits>   contents by SHA-256
//!   trees/<hash>/identity    a context: its identity, and when it was last used
//!   trees/<hash>/<hash>      a directory of it: its listing, with what is known of its files
//!   ingest/                  being written
//! ```
//!
//! A content is there before a listing names it. Nothing is brought to disk: after an unclean
//! shutdown the mirror begins anew, since it can be asked for again.

mod listing;
mod view;

use std::{
    collections::HashSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use futures_util::StreamExt;
use gantry_build_proto::{Entry, EntryKind};
use gantry_oci::{Digest, Hasher};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedRwLockReadGuard, RwLock};

use self::listing::Listing;
pub(crate) use self::view::View;
use crate::{Bytes, ClientError};

/// Contents up to this size are hashed in memory before they are written.
const SMALL_MAX: usize = 1 << 20;
/// Digits of the hashes that name contexts and directories.
const NAME_DIGITS: usize = 32;
/// ns in a second.
const NS: i64 = 1_000_000_000;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The mirror; clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Mirror(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    /// Read by builds, written by whoever removes.
    users: Arc<RwLock<()>>,
}

/// Keeps everything in the mirror while it lives.
#[derive(Debug)]
pub(crate) struct Session {
    _guard: OwnedRwLockReadGuard<()>,
}

/// A context that the mirror knows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Known {
    /// Its identity.
    pub identity: String,
    /// When it came first.
    pub created: Timestamp,
    /// When it was last used.
    pub last_used: Timestamp,
    /// How often.
    pub uses: u64,
}

/// A file that goes by a name of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeptFile {
    /// Tells whether it changed where it came from.
    pub tag: String,
    /// Digest of its content.
    pub digest: Digest,
    /// Its length.
    pub size_bytes: u64,
    /// When it was changed, s since 1970.
    pub mtime_s: i64,
}

/// Why the mirror does not take or give something.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MirrorError {
    /// The client.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The disk.
    #[error("{step} {}", path.display())]
    Io {
        /// What was being done.
        step: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The client's listing has a name that no file can have.
    #[error("the client lists {0:?}, which is no file name")]
    Name(String),
}

impl MirrorError {
    fn io(step: &'static str, path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::Io { step, path: path.clone(), source }
    }
}

impl Mirror {
    /// Opens or makes the mirror in `dir`.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let mark = dir.join("boot");
        if fs::read_to_string(&mark).unwrap_or_default() != boot {
            clear(dir)?;
        }
        clear(&dir.join("ingest"))?;
        for sub in ["files", "trees", "ingest"] {
            fs::create_dir_all(dir.join(sub))?;
        }
        fs::write(&mark, boot)?;
        Ok(Self(Arc::new(Inner { dir: dir.to_owned(), users: Arc::default() })))
    }

    /// Keeps everything until the answer is dropped.
    pub(crate) async fn session(&self) -> Session {
        Session { _guard: Arc::clone(&self.0.users).read_owned().await }
    }

    /// Opens a content.
    pub(crate) fn file(&self, digest: &Digest) -> io::Result<fs::File> {
        fs::File::open(self.file_path(digest))
    }

    /// Takes in a content; tells of the bytes of each piece.
    pub(crate) async fn put(
        &self,
        mut content: Bytes,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Digest, MirrorError> {
        let mut held = Vec::new();
        while let Some(piece) = content.next().await {
            let piece = piece?;
            progress(piece.len() as u64);
            held.extend_from_slice(&piece);
            if held.len() > SMALL_MAX {
                return self.put_large(held, content, progress).await;
            }
        }
        let mirror = self.clone();
        let work = move || {
            let digest = Digest::of(&held);
            if !mirror.file_path(&digest).exists() {
                let mut fresh = Fresh::create(&mirror)?;
                fresh.write(&held)?;
                fresh.publish(&mirror, &digest)?;
            }
            Ok(digest)
        };
        crate::blocking(work).await
    }

    async fn put_large(
        &self,
        mut held: Vec<u8>,
        mut content: Bytes,
        progress: &(dyn Fn(u64) + Sync),
    ) -> Result<Digest, MirrorError> {
        let (mut fresh, mut hasher) = (Fresh::create(self)?, Hasher::sha256());
        // A stream that has ended must not be asked again.
        let mut ended = false;
        while !held.is_empty() {
            let work = move || {
                fresh.write(&held)?;
                hasher.update(&held);
                held.clear();
                Ok::<_, MirrorError>((fresh, hasher, held))
            };
            (fresh, hasher, held) = crate::blocking(work).await?;
            while held.len() < SMALL_MAX && !ended {
                match content.next().await {
                    Some(piece) => {
                        let piece = piece?;
                        progress(piece.len() as u64);
                        held.extend_from_slice(&piece);
                    }
                    None => ended = true,
                }
            }
        }
        let digest = hasher.finish();
        fresh.publish(self, &digest)?;
        Ok(digest)
    }

    /// All contexts.
    pub(crate) fn known(&self) -> io::Result<Vec<Known>> {
        let mut known = Vec::new();
        for entry in fs::read_dir(self.0.dir.join("trees"))? {
            let text = fs::read(entry?.path().join("identity")).unwrap_or_default();
            known.extend(serde_json::from_slice::<Known>(&text));
        }
        known.sort_by(|a, b| a.identity.cmp(&b.identity));
        Ok(known)
    }

    /// Notes that a context is used now.
    fn touch(&self, identity: &str) -> io::Result<PathBuf> {
        let dir = self.tree_path(identity);
        fs::create_dir_all(&dir)?;
        let path = dir.join("identity");
        let before: Option<Known> =
            fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let now = Timestamp::now();
        let known = Known {
            identity: identity.to_owned(),
            created: before.as_ref().map_or(now, |known| known.created),
            last_used: now,
            uses: before.map_or(0, |known| known.uses) + 1,
        };
        self.write_small(&path, &serde_json::to_vec(&known)?)?;
        Ok(dir)
    }

    /// A file that goes by a name of its own, such as a URL, if it was kept.
    pub(crate) fn kept_file(&self, identity: &str) -> Option<KeptFile> {
        let listing = Listing::load(&self.tree_path(identity).join(file_name(b"file")))?;
        let item = listing.items.first()?;
        let digest = item.digest.get()?.clone();
        self.file_path(&digest).exists().then_some(KeptFile {
            tag: listing.deep,
            digest,
            size_bytes: item.entry.size_bytes,
            mtime_s: item.entry.mtime_ns / NS,
        })
    }

    /// Keeps a file whose content was put in.
    pub(crate) fn keep_file(&self, identity: &str, file: &KeptFile) -> io::Result<()> {
        let dir = self.touch(identity)?;
        let entry = Entry {
            name: "file".to_owned(),
            kind: EntryKind::File,
            mode: 0o600,
            size_bytes: file.size_bytes,
            mtime_ns: file.mtime_s.saturating_mul(NS),
            target: String::new(),
            hash: file.digest.to_string(),
            xattrs: std::collections::BTreeMap::new(),
        };
        let listing = Listing::new("", true, file.tag.clone(), vec![entry]);
        if let Some(item) = listing.items.first() {
            let _ = item.digest.set(file.digest.clone());
        }
        self.write_small(&dir.join(file_name(b"file")), &serde_json::to_vec(&listing)?)
    }

    /// Bytes of the contents that a context has, those of several contexts counted for each.
    pub(crate) fn size_bytes(&self, identity: &str) -> u64 {
        let mut sizes = HashSet::new();
        self.each_listing(&self.tree_path(identity), &mut |listing| {
            sizes.extend(listing.contents().map(|(digest, size)| (digest.clone(), size)));
        });
        sizes.iter().map(|(_, size)| size).sum()
    }

    /// Forgets contexts and removes contents that none has any more; nothing while a build uses the
    /// mirror. Whether it was done.
    pub(crate) fn remove(&self, identities: &[String]) -> io::Result<bool> {
        let Ok(_alone) = self.0.users.try_write() else { return Ok(false) };
        for identity in identities {
            clear(&self.tree_path(identity))?;
        }
        self.sweep()?;
        Ok(true)
    }

    fn sweep(&self) -> io::Result<()> {
        let mut needed = HashSet::new();
        for entry in fs::read_dir(self.0.dir.join("trees"))? {
            self.each_listing(&entry?.path(), &mut |listing| {
                needed.extend(listing.contents().map(|(digest, _)| digest.hex().to_owned()));
            });
        }
        for shelf in fs::read_dir(self.0.dir.join("files"))? {
            let shelf = shelf?;
            for file in fs::read_dir(shelf.path())? {
                let file = file?;
                let hex = [shelf.file_name(), file.file_name()];
                let hex: String = hex.iter().filter_map(|part| part.to_str()).collect();
                if !needed.contains(&hex) {
                    fs::remove_file(file.path())?;
                }
            }
        }
        Ok(())
    }

    fn each_listing(&self, tree: &Path, visit: &mut dyn FnMut(&Listing)) {
        let Ok(entries) = fs::read_dir(tree) else { return };
        for entry in entries.flatten().filter(|entry| entry.file_name() != "identity") {
            if let Some(listing) = Listing::load(&entry.path()) {
                visit(&listing);
            }
        }
    }

    /// Writes a file so that it is whole or not there.
    fn write_small(&self, path: &Path, data: &[u8]) -> io::Result<()> {
        let fresh = self.fresh_path();
        fs::write(&fresh, data)?;
        fs::rename(&fresh, path)
    }

    fn fresh_path(&self) -> PathBuf {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        self.0.dir.join("ingest").join(format!("{}-{number}", std::process::id()))
    }

    fn file_path(&self, digest: &Digest) -> PathBuf {
        let (shelf, rest) = digest.hex().split_at(2);
        self.0.dir.join("files").join(shelf).join(rest)
    }

    fn tree_path(&self, identity: &str) -> PathBuf {
        self.0.dir.join("trees").join(file_name(identity.as_bytes()))
    }
}

/// A content being written; dropped before it is published it goes away.
struct Fresh {
    path: PathBuf,
    file: fs::File,
}

impl Fresh {
    fn create(mirror: &Mirror) -> Result<Self, MirrorError> {
        let path = mirror.fresh_path();
        let file = fs::File::create_new(&path).map_err(MirrorError::io("creating", &path))?;
        Ok(Self { path, file })
    }

    fn write(&mut self, data: &[u8]) -> Result<(), MirrorError> {
        self.file.write_all(data).map_err(MirrorError::io("writing", &self.path))
    }

    fn publish(self, mirror: &Mirror, digest: &Digest) -> Result<(), MirrorError> {
        let target = mirror.file_path(digest);
        if fs::rename(&self.path, &target).is_ok() {
            return Ok(());
        }
        let shelf = target.parent().unwrap_or(&target);
        fs::create_dir_all(shelf).map_err(MirrorError::io("creating", shelf))?;
        fs::rename(&self.path, &target).map_err(MirrorError::io("publishing", &target))
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        // Once published there is nothing under the path any more.
        let _ = fs::remove_file(&self.path);
    }
}

/// The name of the file that stands for something with a longer name.
fn file_name(text: &[u8]) -> String {
    Digest::of(text).hex()[..NAME_DIGITS].to_owned()
}

fn clear(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
