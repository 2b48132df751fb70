//! Tars that the daemon has taken in as contexts.
//!
//! Each is extracted into a directory of its own, beneath its descriptor; what a killed daemon left is
//! deleted at the next start.

use std::{
    collections::HashMap,
    fs,
    io::{self, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use gantry_archive::{ArchiveError, ExtractOptions, decompress, extract, open_root, remove_tree};

use crate::trees::{Tree, directory::DirectoryTree};

/// The tars that were taken in; clones share them.
#[derive(Clone)]
pub(crate) struct TakenTars(Arc<Inner>);

struct Inner {
    dir: PathBuf,
    next: AtomicU64,
    here: Mutex<HashMap<u64, PathBuf>>,
}

/// A tar that was taken in; it is deleted on drop.
pub struct Taken {
    tars: TakenTars,
    number: u64,
}

impl std::fmt::Debug for Taken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Taken").field(&self.number).finish()
    }
}

impl Taken {
    /// Its number, for [`ContextSource::Taken`](gantry_build_proto::ContextSource::Taken).
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        let mut here = self.tars.0.here.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(path) = here.remove(&self.number) else { return };
        drop(here);
        // Large trees take their time, and nobody waits for it.
        let work = move || delete(&path);
        if std::thread::Builder::new().name("taken".into()).spawn(work).is_err() {
            tracing::warn!("a context's files are deleted at the next start");
        }
    }
}

impl TakenTars {
    /// Opens the directory, which is emptied.
    pub(crate) fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        for entry in fs::read_dir(dir)? {
            delete(&entry?.path());
        }
        let (next, here) = (AtomicU64::new(1), Mutex::default());
        Ok(Self(Arc::new(Inner { dir: dir.to_owned(), next, here })))
    }

    /// Takes in a tar of any compression. Blocks.
    pub(crate) fn take(&self, tar: Box<dyn Read + Send>) -> Result<Taken, ArchiveError> {
        let number = self.0.next.fetch_add(1, Ordering::Relaxed);
        let path = self.0.dir.join(number.to_string());
        let failed = |source| ArchiveError::Path { path: path.display().to_string(), source };
        fs::create_dir(&path).map_err(failed)?;
        self.0.here.lock().unwrap_or_else(PoisonError::into_inner).insert(number, path.clone());
        let taken = Taken { tars: self.clone(), number };
        let top = open_root(&path).map_err(failed)?;
        let (mut tar, _) = decompress(tar)?;
        extract(&mut tar, top.as_fd(), &ExtractOptions::plain())?;
        Ok(taken)
    }

    /// The files of a tar; none if it was not taken in, or is deleted.
    pub(crate) fn tree(&self, number: u64) -> Option<Arc<dyn Tree>> {
        let here = self.0.here.lock().unwrap_or_else(PoisonError::into_inner);
        let top = open_root(here.get(&number)?).ok()?;
        Some(Arc::new(DirectoryTree::of_root(top)))
    }
}

fn delete(path: &Path) {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else { return };
    let removed =
        open_root(parent).and_then(|parent| remove_tree(parent.as_fd(), name.as_encoded_bytes()));
    if let Err(error) = removed {
        tracing::warn!(path = %path.display(), %error, "could not delete a context");
    }
}
