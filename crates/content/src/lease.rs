//! Leases: what garbage collection must not take while work is under way.
//!
//! They live in memory, since the work they protect dies with the daemon too.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use gantry_oci::Digest;

#[derive(Clone, Debug, Default)]
pub(crate) struct Leases(Arc<Mutex<HashMap<Digest, usize>>>);

impl Leases {
    pub(crate) fn open(&self) -> Lease {
        Lease { leases: self.clone(), held: HashSet::new() }
    }

    pub(crate) fn held(&self) -> HashSet<Digest> {
        self.counts().keys().cloned().collect()
    }

    fn counts(&self) -> MutexGuard<'_, HashMap<Digest, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps blobs from garbage collection until it is dropped.
#[derive(Debug)]
pub struct Lease {
    leases: Leases,
    held: HashSet<Digest>,
}

impl Lease {
    /// Protects a blob, which may not be here yet.
    pub fn add(&mut self, digest: &Digest) {
        if self.held.insert(digest.clone()) {
            *self.leases.counts().entry(digest.clone()).or_default() += 1;
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut counts = self.leases.counts();
        for digest in &self.held {
            if let Some(count) = counts.get_mut(digest) {
                *count -= 1;
                if *count == 0 {
                    counts.remove(digest);
                }
            }
        }
    }
}
