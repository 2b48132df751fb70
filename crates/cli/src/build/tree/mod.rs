//! A directory as a context: listed and read on demand, for as long as the build asks.
//!
//! What is listed once stays listed so: all of a build sees one state of the directory's names and
//! metadata, however long it takes. Hashes go over what is below a directory, so to list one means
//! to walk all below it; several threads do, since most of the time goes into waiting for the
//! kernel.
//!
//! Paths are resolved beneath the directory's descriptor, and no symbolic link is followed on the
//! way: links are listed as links, and whoever asks follows them by their targets.

mod hash;
mod read;
mod scan;
#[cfg(test)]
mod tests;
mod walk;

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_build_proto::{Entry, EntryKind, Listing};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;
use sha2::{Digest as _, Sha256};

use super::hidden::{Hidden, Sight};

pub(crate) use read::whole;

/// A directory that is offered as a context.
pub(crate) struct Tree {
    root: OwnedFd,
    hidden: Hidden,
    /// Directories that have been walked, by their path.
    walked: Mutex<HashMap<String, Arc<Walked>>>,
    /// What could not be offered, to be told.
    left_out: Mutex<Vec<String>>,
}

/// A directory with the hashes of all below it.
#[derive(Debug, PartialEq, Eq)]
struct Walked {
    hash: String,
    entries: Vec<Entry>,
}

impl Tree {
    /// Opens a directory; what `hidden` says does not exist in it.
    pub(crate) fn open(path: &Path, hidden: Hidden) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, path, flags, Mode::empty())?;
        let (walked, left_out) = (Mutex::default(), Mutex::default());
        Ok(Self { root, hidden, walked, left_out })
    }

    /// Lists a directory.
    ///
    /// # Errors
    /// When it is hidden or not there, when a name in it is not UTF-8, or when something below it
    /// cannot be looked at.
    pub(crate) fn list(
        &self,
        directory: &str,
        known: &str,
        shallow: bool,
    ) -> Result<Listing, String> {
        let directory = clean(directory)?;
        if shallow {
            let (hash, entries) = self.shallow(directory)?;
            let entries = (hash != known).then_some(entries);
            return Ok(Listing { hash, entries });
        }
        let walked = self.walked(directory)?;
        let entries = (walked.hash != known).then(|| walked.entries.clone());
        Ok(Listing { hash: walked.hash.clone(), entries })
    }

    /// What was left out since the last call: a sentence each.
    pub(crate) fn left_out(&self) -> Vec<String> {
        std::mem::take(&mut *self.left_out.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A directory with all below it; the lock is held so that nothing is walked twice.
    fn walked(&self, directory: &str) -> Result<Arc<Walked>, String> {
        let mut walked = self.walked.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = walked.get(directory) {
            return Ok(Arc::clone(known));
        }
        if !self.is_offered(directory) {
            return Err(missing(directory));
        }
        let scanned = walk::walk(self, directory, &walked)?;
        hash::combine(scanned, &mut walked);
        match walked.get(directory) {
            Some(walked) => Ok(Arc::clone(walked)),
            // It is hidden, and so is everything in it.
            None => Err(missing(directory)),
        }
    }

    /// A directory's own entries and the hash over them.
    fn shallow(&self, directory: &str) -> Result<(String, Vec<Entry>), String> {
        let known = {
            let walked = self.walked.lock().unwrap_or_else(PoisonError::into_inner);
            walked.get(directory).map(|walked| walked.entries.clone())
        };
        let mut entries = match known {
            Some(entries) => entries,
            None if self.is_offered(directory) => self.own_entries(directory)?,
            None => return Err(missing(directory)),
        };
        for entry in entries.iter_mut().filter(|entry| entry.kind == EntryKind::Directory) {
            entry.hash.clear();
        }
        Ok((hash::of(&entries), entries))
    }

    fn own_entries(&self, directory: &str) -> Result<Vec<Entry>, String> {
        let scan::Scanned { mut entries, half_hidden, .. } =
            scan::scan(self, directory, &mut scan::Buffers::new())?;
        // Of a hidden directory only what is shown again is offered: maybe nothing is.
        entries.retain(|entry| {
            !half_hidden.contains(&entry.name) || self.walked(&join(directory, &entry.name)).is_ok()
        });
        Ok(entries)
    }

    /// Whether a directory may have anything to offer.
    fn is_offered(&self, directory: &str) -> bool {
        self.hidden.sight(directory) != Sight::Hidden
    }

    fn open_beneath(&self, path: &str, flags: OFlags) -> Result<OwnedFd, Errno> {
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let path = if path.is_empty() { "." } else { path };
        openat2(&self.root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve)
    }

    fn leave_out(&self, what: &str, path: &str) {
        let mut left_out = self.left_out.lock().unwrap_or_else(PoisonError::into_inner);
        left_out.push(format!("{what} {path} is left out of the context"));
    }
}

/// A path without slashes at its ends and without any way up.
fn clean(path: &str) -> Result<&str, String> {
    let path = path.trim_matches('/');
    let bad = |part: &str| matches!(part, "" | "." | "..");
    match !path.is_empty() && path.split('/').any(bad) {
        true => Err(format!("{path}: not a path below the context")),
        false => Ok(path),
    }
}

fn join(directory: &str, name: &str) -> String {
    match directory {
        "" => name.to_owned(),
        _ => format!("{directory}/{name}"),
    }
}

fn missing(path: &str) -> String {
    format!("{path}: not found")
}

/// What went wrong with a path, in the kernel's words.
fn failed(what: &str, path: &str, errno: Errno) -> String {
    let path = if path.is_empty() { "." } else { path };
    match errno {
        Errno::NOENT => missing(path),
        Errno::LOOP => format!("{path}: a symbolic link is on the way to it"),
        errno => format!("{what} {path}: {}", crate::container::reason(&errno.into())),
    }
}

/// What a daemon knows a directory of this machine by: the same for the same directory, and told
/// to nobody in clear.
pub(crate) fn identity(path: &Path) -> String {
    let machine = std::fs::read("/etc/machine-id").unwrap_or_default();
    let host = rustix::system::uname();
    let path = std::fs::canonicalize(path).unwrap_or_else(|_| PathBuf::from(path));
    let user = rustix::process::geteuid().as_raw().to_string();
    let mut hash = Sha256::new();
    for part in [
        machine.as_slice(),
        host.nodename().to_bytes(),
        user.as_bytes(),
        AsRef::<OsStr>::as_ref(&path).as_encoded_bytes(),
    ] {
        hash.update(part.len().to_le_bytes());
        hash.update(part);
    }
    hash::hex(&hash.finalize())
}
