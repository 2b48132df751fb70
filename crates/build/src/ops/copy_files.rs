//! The files of a copy, written by several threads: most of the time goes into making inodes, which
//! the kernel does in several directories at once.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicUsize, Ordering},
};

use super::{
    OpError,
    upper::{Attributes, Upper},
};
use crate::trees::Tree;

/// Files that are collected before they are written.
pub(super) const COLLECTED: usize = 4096;
/// Files that a thread writes before it takes more.
const SHARE: usize = 64;
/// Most threads.
const THREADS_MAX: usize = 4;

/// A file that is to be written, into a directory that is there.
pub(super) struct Pending {
    pub from: Vec<u8>,
    pub to: Vec<u8>,
    pub attributes: Attributes,
}

/// Writes files, each at another place.
pub(super) fn write(
    tree: &dyn Tree,
    upper: &mut Upper<'_>,
    pending: &[Pending],
) -> Result<(), OpError> {
    let processors = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = processors.min(THREADS_MAX).min(pending.len().div_ceil(SHARE));
    if threads < 2 {
        return pending.iter().try_for_each(|file| one(tree, upper, file));
    }
    let hands = (0..threads).map(|_| upper.hand()).collect::<Result<Vec<_>, _>>()?;
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for mut hand in hands {
            let (next, failed) = (&next, &failed);
            scope.spawn(move || {
                while let Some(share) = take(pending, next) {
                    let written = share.iter().try_for_each(|file| one(tree, &mut hand, file));
                    if let Err(error) = written {
                        // The others have no more to do.
                        next.store(pending.len(), Ordering::Relaxed);
                        let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                        failed.get_or_insert(error);
                    }
                }
            });
        }
    });
    failed.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
}

/// The next files that nobody has taken.
fn take<'a>(pending: &'a [Pending], next: &AtomicUsize) -> Option<&'a [Pending]> {
    let begin = next.fetch_add(SHARE, Ordering::Relaxed);
    let end = pending.len().min(begin.saturating_add(SHARE));
    pending.get(begin..end).filter(|share| !share.is_empty())
}

fn one(tree: &dyn Tree, upper: &mut Upper<'_>, file: &Pending) -> Result<(), OpError> {
    if upper.is_stopped() {
        return Err(OpError::Cancelled);
    }
    let mut content = tree.open(&file.from)?;
    Ok(upper.file(&file.to, &mut content, &file.attributes)?)
}
