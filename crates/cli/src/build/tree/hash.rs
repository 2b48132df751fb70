//! Hashes over listings.

use std::collections::HashMap;
use std::sync::Arc;

use gantry_build_proto::{Entry, EntryKind};
use rustix::fs::Stat;
use sha2::{Digest as _, Sha256};

use super::scan::Scanned;
use super::{Walked, join};

/// Bytes of a digest that are kept: two states of a file that meet in as many are not found by
/// chance.
const KEPT: usize = 16;

/// The beginning of a digest as text.
pub(super) fn hex(digest: &[u8]) -> String {
    let digits = digest.iter().take(KEPT).flat_map(|byte| [byte >> 4, byte & 15]);
    digits.filter_map(|digit| char::from_digit(u32::from(digit), 16)).collect()
}

/// What changes whenever a file's content may have.
pub(super) fn of_file(stat: &Stat) -> String {
    let mut hash = Sha256::new();
    for number in [
        i128::from(stat.st_ino),
        i128::from(stat.st_size),
        i128::from(stat.st_mtime),
        i128::from(stat.st_mtime_nsec),
        i128::from(stat.st_ctime),
        i128::from(stat.st_ctime_nsec),
    ] {
        hash.update(number.to_le_bytes());
    }
    hex(&hash.finalize())
}

/// The hash of a listing: over all that is said of its entries.
pub(super) fn of(entries: &[Entry]) -> String {
    let mut hash = Sha256::new();
    let text = |hash: &mut Sha256, text: &str| {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    };
    for entry in entries {
        let kind: u8 = match entry.kind {
            EntryKind::File => 0,
            EntryKind::Directory => 1,
            EntryKind::Symlink => 2,
        };
        hash.update([kind]);
        hash.update(entry.mode.to_le_bytes());
        hash.update(entry.size_bytes.to_le_bytes());
        hash.update(entry.mtime_ns.to_le_bytes());
        text(&mut hash, &entry.name);
        text(&mut hash, &entry.target);
        text(&mut hash, &entry.hash);
        hash.update(entry.xattrs.len().to_le_bytes());
        for (name, value) in &entry.xattrs {
            text(&mut hash, name);
            text(&mut hash, value);
        }
    }
    hex(&hash.finalize())
}

/// Puts scanned directories into `walked`, each with the hashes of those in it.
pub(super) fn combine(mut scanned: Vec<Scanned>, walked: &mut HashMap<String, Arc<Walked>>) {
    // A directory's path begins those in it, so that going backwards these come first.
    scanned.sort_unstable_by(|a, b| b.path.cmp(&a.path));
    for directory in scanned {
        let Scanned { path, mut entries, only_if_filled, .. } = directory;
        entries.retain_mut(|entry| {
            if entry.kind != EntryKind::Directory {
                return true;
            }
            match walked.get(&join(&path, &entry.name)) {
                Some(inner) => {
                    entry.hash.clone_from(&inner.hash);
                    true
                }
                None => false,
            }
        });
        if entries.is_empty() && only_if_filled {
            continue;
        }
        let hash = of(&entries);
        walked.insert(path, Arc::new(Walked { hash, entries }));
    }
}
