//! Directories of `RUN --mount=type=cache`, which stay from build to build.
//!
//! ```text
//! caches/<hash>/info       the id that it goes by, and when it was used
//! caches/<hash>/<n>/       a copy: 0 is everybody's, others are made while it is taken
//! caches/trash/            being deleted
//! ```
//!
//! A copy appears by rename when its first content is whole.

use std::{
    collections::{BTreeSet, HashMap, HashSet},
    fs, io,
    os::fd::{AsFd, OwnedFd},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use gantry_oci::Digest;
use jiff::Timestamp;
use rustix::fs::{CWD, Gid, Mode, OFlags, Uid};
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use crate::graph::Sharing;

/// Digits of the hashes that cache mounts are named by.
const NAME_DIGITS: usize = 32;
/// Copies of one that are in use at once.
const COPIES_MAX: u32 = 256;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The cache mounts; clones share them.
#[derive(Debug, Clone)]
pub(crate) struct CacheMounts(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    users: Mutex<HashMap<String, Users>>,
    /// Somebody has ended using one.
    freed: Notify,
}

/// Who uses the copies of one cache mount.
#[derive(Debug, Default)]
struct Users {
    shared: usize,
    locked: bool,
    private: BTreeSet<u32>,
}

/// What is known of a cache mount.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Info {
    pub id: String,
    pub created: Timestamp,
    pub last_used: Timestamp,
    pub uses: u64,
}

/// A cache mount, for lists.
pub(crate) struct Known {
    pub name: String,
    pub info: Info,
    pub in_use: bool,
    pub size_bytes: u64,
}

/// A copy in use; it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    mounts: CacheMounts,
    name: String,
    copy: u32,
    sharing: Sharing,
}

/// How a copy begins.
pub(crate) struct Beginning<'a> {
    /// Permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Puts in its first content.
    pub fill: &'a mut dyn FnMut(&OwnedFd) -> io::Result<()>,
}

impl CacheMounts {
    /// Opens or makes them in `dir`; what was being deleted is.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir.join("trash"))?;
        let mounts = Self(Arc::new(Inner {
            dir: dir.to_owned(),
            users: Mutex::default(),
            freed: Notify::new(),
        }));
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            if entry.file_name() != "trash" {
                // Copies that were not whole.
                for copy in fs::read_dir(entry.path())? {
                    let copy = copy?;
                    if copy.file_name().to_string_lossy().starts_with("new-") {
                        mounts.throw(&copy.path())?;
                    }
                }
            }
        }
        let trash = mounts.0.dir.join("trash");
        let left: Vec<_> = fs::read_dir(&trash)?.flatten().map(|entry| entry.path()).collect();
        left.iter().for_each(|path| delete(path));
        Ok(mounts)
    }

    /// Takes a copy of the cache mount that goes by `key`, when it is free.
    pub(crate) async fn take(&self, key: &str, sharing: Sharing) -> Held {
        let name = Digest::of(key.as_bytes()).hex()[..NAME_DIGITS].to_owned();
        loop {
            let freed = self.0.freed.notified();
            tokio::pin!(freed);
            freed.as_mut().enable();
            if let Some(copy) = self.users().entry(name.clone()).or_default().take(sharing) {
                return Held { mounts: self.clone(), name, copy, sharing };
            }
            freed.await;
        }
    }

    /// All of them. Blocks.
    pub(crate) fn known(&self) -> io::Result<Vec<Known>> {
        let mut known = Vec::new();
        for entry in fs::read_dir(&self.0.dir)? {
            let entry = entry?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            let text = fs::read(entry.path().join("info")).unwrap_or_default();
            let Ok(info) = serde_json::from_slice::<Info>(&text) else { continue };
            let in_use = self.users().get(&name).is_some_and(Users::any);
            let opened = gantry_archive::open_root(&entry.path())?;
            // What a step is writing may vanish while it is counted.
            let size_bytes = gantry_archive::usage(opened.as_fd())
                .map(|usage| usage.size_bytes.saturating_sub(text.len() as u64))
                .unwrap_or_default();
            known.push(Known { name, info, in_use, size_bytes });
        }
        Ok(known)
    }

    /// Removes those that nobody uses; returns which. Blocks.
    pub(crate) fn remove(&self, names: &[String]) -> io::Result<HashSet<String>> {
        let mut gone = HashSet::new();
        for name in names {
            let thrown = {
                let users = self.users();
                if users.get(name).is_some_and(Users::any) {
                    continue;
                }
                self.throw(&self.0.dir.join(name))?
            };
            delete(&thrown);
            gone.insert(name.clone());
        }
        Ok(gone)
    }

    fn throw(&self, path: &Path) -> io::Result<PathBuf> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let target = self.0.dir.join("trash").join(format!("{}-{number}", std::process::id()));
        match fs::rename(path, &target) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(target),
        }
    }

    fn users(&self) -> MutexGuard<'_, HashMap<String, Users>> {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Users {
    /// The copy to use, if one is free.
    fn take(&mut self, sharing: Sharing) -> Option<u32> {
        match sharing {
            Sharing::Shared if !self.locked && !self.private.contains(&0) => {
                self.shared += 1;
                Some(0)
            }
            Sharing::Locked if !self.locked && self.shared == 0 && !self.private.contains(&0) => {
                self.locked = true;
                Some(0)
            }
            Sharing::Private => {
                let first = u32::from(self.locked || self.shared > 0);
                let copy = (first..COPIES_MAX).find(|copy| !self.private.contains(copy))?;
                self.private.insert(copy);
                Some(copy)
            }
            Sharing::Shared | Sharing::Locked => None,
        }
    }

    fn any(&self) -> bool {
        self.locked || self.shared > 0 || !self.private.is_empty()
    }
}

impl Held {
    /// Opens the copy, made if it is not there. Blocks.
    pub(crate) fn open(&self, id: &str, beginning: Beginning<'_>) -> io::Result<OwnedFd> {
        let dir = self.mounts.0.dir.join(&self.name);
        fs::create_dir_all(&dir)?;
        self.note(&dir, id)?;
        let copy = dir.join(self.copy.to_string());
        if !copy.exists() {
            self.make(&dir, &copy, beginning)?;
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Ok(rustix::fs::openat(CWD, &copy, flags, Mode::empty())?)
    }

    fn make(&self, dir: &Path, copy: &Path, beginning: Beginning<'_>) -> io::Result<()> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let fresh = dir.join(format!("new-{}-{number}", std::process::id()));
        fs::create_dir(&fresh)?;
        let opened = gantry_archive::open_root(&fresh)?;
        (beginning.fill)(&opened)?;
        let (uid, gid) = (Uid::from_raw(beginning.uid), Gid::from_raw(beginning.gid));
        rustix::fs::fchown(&opened, Some(uid), Some(gid))?;
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(beginning.mode & 0o7777))?;
        match fs::rename(&fresh, copy) {
            // Another step of the same was faster.
            Err(_) if copy.exists() => {
                let thrown = self.mounts.throw(&fresh)?;
                delete(&thrown);
                Ok(())
            }
            renamed => renamed,
        }
    }

    fn note(&self, dir: &Path, id: &str) -> io::Result<()> {
        let path = dir.join("info");
        let before: Option<Info> =
            fs::read(&path).ok().and_then(|text| serde_json::from_slice(&text).ok());
        let now = Timestamp::now();
        let info = Info {
            id: id.to_owned(),
            created: before.as_ref().map_or(now, |info| info.created),
            last_used: now,
            uses: before.map_or(0, |info| info.uses) + 1,
        };
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let fresh = dir.join(format!("new-{}-{number}", std::process::id()));
        fs::write(&fresh, serde_json::to_vec(&info)?)?;
        fs::rename(&fresh, &path)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        {
            let mut all = self.mounts.users();
            if let Some(users) = all.get_mut(&self.name) {
                match self.sharing {
                    Sharing::Shared => users.shared -= 1,
                    Sharing::Locked => users.locked = false,
                    Sharing::Private => drop(users.private.remove(&self.copy)),
                }
                if !users.any() {
                    all.remove(&self.name);
                }
            }
        }
        self.mounts.0.freed.notify_waiters();
    }
}

/// Deletes what was thrown away; what remains is for the next start.
fn delete(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
    let removed = gantry_archive::open_root(parent)
        .and_then(|parent| gantry_archive::remove_tree(parent.as_fd(), name.as_encoded_bytes()));
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "could not delete a cache mount");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn beginning(fill: &mut dyn FnMut(&OwnedFd) -> io::Result<()>) -> Beginning<'_> {
        let (uid, gid) = (rustix::process::getuid().as_raw(), rustix::process::getgid().as_raw());
        Beginning { mode: 0o750, uid, gid, fill }
    }

    #[tokio::test]
    async fn sharing() {
        let base = tempfile::tempdir().unwrap();
        let mounts = CacheMounts::open(base.path()).unwrap();
        let shared = mounts.take("a", Sharing::Shared).await;
        let again = mounts.take("a", Sharing::Shared).await;
        let private = mounts.take("a", Sharing::Private).await;
        assert_eq!((shared.copy, again.copy, private.copy), (0, 0, 1));
        let waiting = mounts.clone();
        let locked = tokio::spawn(async move { waiting.take("a", Sharing::Locked).await });
        tokio::task::yield_now().await;
        drop(shared);
        tokio::task::yield_now().await;
        assert!(!locked.is_finished(), "another shares it");
        drop(again);
        let locked = locked.await.unwrap();
        assert_eq!(locked.copy, 0);
        assert_eq!(mounts.take("b", Sharing::Locked).await.copy, 0, "another id is another");
    }

    #[tokio::test]
    async fn copies_are_made_once_and_removed_when_free() {
        let base = tempfile::tempdir().unwrap();
        let mounts = CacheMounts::open(base.path()).unwrap();
        let held = mounts.take("key", Sharing::Shared).await;
        let mut filled = 0;
        for _ in 0..2 {
            let mut fill = |dir: &OwnedFd| {
                filled += 1;
                rustix::fs::mkdirat(dir, "inside", Mode::RWXU)?;
                Ok(())
            };
            held.open("id", beginning(&mut fill)).unwrap();
        }
        assert_eq!(filled, 1);
        let known = mounts.known().unwrap();
        assert_eq!((known.len(), known[0].info.uses, known[0].in_use), (1, 2, true));
        let names = [known[0].name.clone()];
        assert!(mounts.remove(&names).unwrap().is_empty(), "it is in use");
        drop(held);
        assert_eq!(mounts.remove(&names).unwrap().len(), 1);
        assert!(mounts.known().unwrap().is_empty());
    }
}
