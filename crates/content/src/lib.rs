//! Blobs by digest: ingest, verify, leases, garbage collection.
//!
//! ```text
//! content/
//!   blobs/sha256/<hex>     whole, verified, read-only
//!   ingest/<name>          partial; a named one is resumed, an anonymous one dies with its writer
//!   unsynced/sha256-<hex>  not known to be on disk; holds the boot ID it was written under
//! ```
//!
//! A blob appears by rename once its digest is right. Bringing it to disk is [`Content::sync`]'s
//! work, so that loading an image does not wait for the disk for every layer: after a power cut the
//! blobs that were not synced are hashed again when the store is opened, and damaged ones dropped.

#![forbid(unsafe_code)]

mod error;
mod lease;
mod writer;

use std::{
    collections::HashSet,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use gantry_oci::{Algorithm, Digest, Hasher};

use crate::lease::Leases;
pub use crate::{
    error::ContentError,
    lease::Lease,
    writer::{Follower, Tail, Writer},
};

/// Partial blobs that nobody has written to for this long are dropped when the store is opened.
const PARTIAL_KEPT: Duration = Duration::from_secs(14 * 24 * 3600);

/// The blobs; clones share it.
#[derive(Clone, Debug)]
pub struct Content(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    leases: Leases,
    /// Serialises publishing and removing blobs against garbage collection.
    publish: Mutex<()>,
    boot_id: String,
}

/// What garbage collection found, or removed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// The blobs.
    pub digests: Vec<Digest>,
    /// Their size together.
    pub size_bytes: u64,
}

impl Content {
    /// Opens or makes the blobs in `dir`.
    ///
    /// # Errors
    /// When the directories cannot be made or read.
    pub fn open(dir: &Path) -> Result<Self, ContentError> {
        for sub in ["blobs/sha256", "blobs/sha512", "ingest", "unsynced"] {
            let path = dir.join(sub);
            fs::create_dir_all(&path)
                .map_err(|source| ContentError::io("creating", &path, source))?;
        }
        let boot_id = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
        let content = Self(Arc::new(Inner {
            dir: dir.to_owned(),
            leases: Leases::default(),
            publish: Mutex::new(()),
            boot_id: boot_id.trim().to_owned(),
        }));
        content.drop_leftovers()?;
        content.verify_unsynced()?;
        Ok(content)
    }

    /// Starts a blob that nobody will resume.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn ingest(&self) -> Result<Writer, ContentError> {
        Writer::anonymous(self.clone())
    }

    /// Starts or resumes the partial blob `name`, a word of letters, digits, `-`, `_` and `.`.
    ///
    /// [`Writer::offset`] tells how much is there already.
    ///
    /// # Errors
    /// When the name is wrong, or the file cannot be used.
    pub fn resume(&self, name: &str) -> Result<Writer, ContentError> {
        Writer::resume(self.clone(), name)
    }

    /// Removes the partial blobs that nobody is writing; tells how many bytes they had.
    ///
    /// # Errors
    /// When they cannot be listed or removed.
    pub fn drop_partials(&self) -> Result<u64, ContentError> {
        let mut bytes = 0;
        for (name, entry) in read_dir(&self.0.dir.join("ingest"))? {
            if name.starts_with(writer::ANONYMOUS) {
                continue;
            }
            // Whoever writes it holds its lock.
            let Ok(writer) = self.resume(&name) else { continue };
            bytes += writer.offset();
            remove_file(&entry.path())?;
        }
        Ok(bytes)
    }

    /// Puts a small blob in at once and returns its digest.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, data: &[u8]) -> Result<Digest, ContentError> {
        let digest = Digest::of(data);
        self.put_as(&digest, data)?;
        Ok(digest)
    }

    /// Puts a small blob of a known digest in at once.
    ///
    /// # Errors
    /// When it has another digest, or cannot be written.
    pub fn put_as(&self, digest: &Digest, data: &[u8]) -> Result<(), ContentError> {
        if !self.contains(digest) {
            let mut writer = self.ingest()?;
            io::Write::write_all(&mut writer, data)
                .map_err(|source| ContentError::io("writing", &self.0.dir, source))?;
            writer.commit(Some(digest), None)?;
        }
        Ok(())
    }

    /// Whether a blob is here.
    #[must_use]
    pub fn contains(&self, digest: &Digest) -> bool {
        self.path(digest).exists()
    }

    /// Opens a blob and tells its size.
    ///
    /// # Errors
    /// [`ContentError::NotFound`] when it is not here.
    pub fn get(&self, digest: &Digest) -> Result<(File, u64), ContentError> {
        let path = self.path(digest);
        let file = File::open(&path).map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => ContentError::NotFound(digest.clone()),
            _ => ContentError::io("opening", &path, source),
        })?;
        let size =
            file.metadata().map_err(|source| ContentError::io("reading", &path, source))?.len();
        Ok((file, size))
    }

    /// Reads a whole blob of at most `limit_bytes`.
    ///
    /// # Errors
    /// When it is not here, larger, or cannot be read.
    pub fn read(&self, digest: &Digest, limit_bytes: u64) -> Result<Vec<u8>, ContentError> {
        let (mut file, size) = self.get(digest)?;
        if size > limit_bytes {
            return Err(ContentError::TooLarge {
                digest: digest.clone(),
                size,
                limit: limit_bytes,
            });
        }
        let mut data = Vec::new();
        io::Read::read_to_end(&mut file, &mut data)
            .map_err(|source| ContentError::io("reading", &self.path(digest), source))?;
        Ok(data)
    }

    /// The size of a blob that is here.
    #[must_use]
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        fs::metadata(self.path(digest)).ok().map(|meta| meta.len())
    }

    /// All blobs with their sizes.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<(Digest, u64)>, ContentError> {
        let mut found = Vec::new();
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            let dir = self.0.dir.join("blobs").join(algorithm.name());
            for (name, entry) in read_dir(&dir)? {
                let Ok(digest) = format!("{}:{name}", algorithm.name()).parse() else { continue };
                // One that vanishes meanwhile was removed: no error.
                if let Ok(meta) = entry.metadata() {
                    found.push((digest, meta.len()));
                }
            }
        }
        Ok(found)
    }

    /// Removes a blob; one that is not here is no error.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub fn remove(&self, digest: &Digest) -> Result<(), ContentError> {
        remove_file(&self.path(digest))?;
        remove_file(&self.unsynced_path(digest))
    }

    /// Protects blobs from garbage collection while it lives.
    #[must_use]
    pub fn lease(&self) -> Lease {
        self.0.leases.open()
    }

    /// The digests that leases hold.
    #[must_use]
    pub fn leased(&self) -> HashSet<Digest> {
        self.0.leases.held()
    }

    /// Removes all blobs that are neither in `roots` nor leased; with `dry_run` only tells.
    ///
    /// # Errors
    /// When blobs cannot be listed or removed.
    pub fn collect(
        &self,
        roots: &HashSet<Digest>,
        dry_run: bool,
    ) -> Result<Collected, ContentError> {
        let _publish = self.publish();
        let leased = self.0.leases.held();
        let mut collected = Collected::default();
        for (digest, size) in self.list()? {
            if roots.contains(&digest) || leased.contains(&digest) {
                continue;
            }
            if !dry_run {
                self.remove(&digest)?;
            }
            collected.size_bytes += size;
            collected.digests.push(digest);
        }
        Ok(collected)
    }

    /// Brings every blob to disk.
    ///
    /// # Errors
    /// When the file system cannot be synced.
    pub fn sync(&self) -> Result<(), ContentError> {
        let dir = self.0.dir.join("unsynced");
        let pending: Vec<String> = read_dir(&dir)?.into_iter().map(|(name, _)| name).collect();
        if pending.is_empty() {
            return Ok(());
        }
        let handle =
            File::open(&dir).map_err(|source| ContentError::io("opening", &dir, source))?;
        rustix::fs::syncfs(&handle)
            .map_err(|errno| ContentError::io("syncing", &dir, errno.into()))?;
        pending.iter().try_for_each(|name| remove_file(&dir.join(name)))
    }

    /// The file of a blob.
    #[must_use]
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.0.dir.join("blobs").join(digest.algorithm().name()).join(digest.hex())
    }

    fn unsynced_path(&self, digest: &Digest) -> PathBuf {
        self.0.dir.join("unsynced").join(format!("{}-{}", digest.algorithm().name(), digest.hex()))
    }

    fn publish(&self) -> MutexGuard<'_, ()> {
        self.0.publish.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Removes what anonymous writers of a dead daemon left, and what nobody came back for.
    fn drop_leftovers(&self) -> Result<(), ContentError> {
        let old = SystemTime::now().checked_sub(PARTIAL_KEPT);
        for (name, entry) in read_dir(&self.0.dir.join("ingest"))? {
            let written = entry.metadata().and_then(|meta| meta.modified()).ok();
            if name.starts_with(writer::ANONYMOUS) || (written.is_some() && written < old) {
                remove_file(&entry.path())?;
            }
        }
        Ok(())
    }

    /// Hashes again the blobs that a power cut may have damaged.
    fn verify_unsynced(&self) -> Result<(), ContentError> {
        for (name, entry) in read_dir(&self.0.dir.join("unsynced"))? {
            if fs::read_to_string(entry.path()).is_ok_and(|boot| boot == self.0.boot_id) {
                continue;
            }
            if let Ok(digest) = name.replacen('-', ":", 1).parse::<Digest>()
                && self.contains(&digest)
                && !self.is_whole(&digest)?
            {
                tracing::warn!(%digest, "blob was damaged by an unclean shutdown, removed");
                remove_file(&self.path(&digest))?;
            }
            remove_file(&entry.path())?;
        }
        Ok(())
    }

    fn is_whole(&self, digest: &Digest) -> Result<bool, ContentError> {
        let (mut file, _) = self.get(digest)?;
        let mut hasher = Hasher::new(digest.algorithm());
        io::copy(&mut file, &mut hasher)
            .map_err(|source| ContentError::io("reading", &self.path(digest), source))?;
        Ok(hasher.finish() == *digest)
    }
}

fn read_dir(dir: &Path) -> Result<Vec<(String, fs::DirEntry)>, ContentError> {
    let failed = |source| ContentError::io("listing", dir, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry));
        }
    }
    Ok(found)
}

fn remove_file(path: &Path) -> Result<(), ContentError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(ContentError::io("removing", path, source))
        }
        _ => Ok(()),
    }
}
