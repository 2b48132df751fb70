//! Walking everything below a directory, with several threads.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};

use gantry_build_proto::EntryKind;

use super::scan::{Buffers, Scanned, scan};
use super::{Tree, Walked, join};
use crate::build::hidden::Sight;

/// Most threads that walk: more only wait for one another.
const THREADS_MAX: usize = 8;

/// What is still to be looked at.
#[derive(Default)]
struct Queue {
    /// Directories, and whether each is one that is hidden itself.
    directories: Vec<(String, bool)>,
    /// Threads that are at one, and may find more.
    busy: usize,
    failed: Option<String>,
}

/// The threads' common ground.
struct Walk<'a> {
    tree: &'a Tree,
    known: &'a HashMap<String, Arc<Walked>>,
    queue: Mutex<Queue>,
    changed: Condvar,
}

/// Looks at a directory and all below it, but for what is `known`.
pub(super) fn walk(
    tree: &Tree,
    top: &str,
    known: &HashMap<String, Arc<Walked>>,
) -> Result<Vec<Scanned>, String> {
    let hidden = tree.hidden.sight(top) == Sight::Maybe;
    let queue = Queue { directories: vec![(top.to_owned(), hidden)], ..Queue::default() };
    let walk = Walk { tree, known, queue: Mutex::new(queue), changed: Condvar::new() };
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(THREADS_MAX);
    let scanned = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(|| walk.work())).collect();
        let mut all = walk.work();
        for other in others {
            // A thread that panicked has lost what it found; its panic goes on here.
            all.extend(other.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        }
        all
    });
    let queue = walk.queue.into_inner().unwrap_or_else(PoisonError::into_inner);
    match queue.failed {
        Some(why) => Err(why),
        None => Ok(scanned),
    }
}

impl Walk<'_> {
    /// Takes directories until none is left and nobody can find more.
    fn work(&self) -> Vec<Scanned> {
        let (mut all, mut found) = (Vec::new(), Vec::new());
        let mut buffers = Buffers::new();
        let mut busy = false;
        while let Some((path, only_if_filled)) = self.next(&mut found, busy) {
            busy = true;
            match scan(self.tree, &path, &mut buffers) {
                Ok(mut scanned) => {
                    scanned.only_if_filled = only_if_filled;
                    self.directories(&scanned, &mut found);
                    all.push(scanned);
                }
                Err(why) => self.fail(why),
            }
        }
        all
    }

    /// Directories in a directory that are not known.
    fn directories(&self, scanned: &Scanned, found: &mut Vec<(String, bool)>) {
        for entry in scanned.entries.iter().filter(|e| e.kind == EntryKind::Directory) {
            let path = join(&scanned.path, &entry.name);
            if !self.known.contains_key(&path) {
                found.push((path, scanned.half_hidden.contains(&entry.name)));
            }
        }
    }

    /// Hands over what was found at the last directory, and takes the next.
    fn next(&self, found: &mut Vec<(String, bool)>, was_busy: bool) -> Option<(String, bool)> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.busy -= usize::from(was_busy);
        queue.directories.append(found);
        loop {
            if queue.failed.is_some() {
                return None;
            }
            if let Some(next) = queue.directories.pop() {
                queue.busy += 1;
                if !queue.directories.is_empty() {
                    self.changed.notify_one();
                }
                return Some(next);
            }
            if queue.busy == 0 {
                self.changed.notify_all();
                return None;
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn fail(&self, why: String) {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.failed.get_or_insert(why);
        self.changed.notify_all();
    }
}
