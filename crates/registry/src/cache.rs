//! The bodies of manifests that were asked for lately.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bytes::Bytes;

/// Bytes by key, up to a size; what was not asked for the longest goes first.
#[derive(Debug)]
pub(crate) struct Cache {
    limit_bytes: usize,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    entries: HashMap<String, (Bytes, u64)>,
    /// Keys by when they were asked for.
    order: BTreeMap<u64, String>,
    tick: u64,
    size_bytes: usize,
}

impl Cache {
    pub(crate) fn new(limit_bytes: usize) -> Self {
        Self { limit_bytes, inner: Mutex::default() }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Bytes> {
        let mut inner = self.inner();
        let inner = &mut *inner;
        let (body, asked) = inner.entries.get_mut(key)?;
        let name = inner.order.remove(asked).unwrap_or_else(|| key.to_owned());
        inner.tick += 1;
        *asked = inner.tick;
        inner.order.insert(inner.tick, name);
        Some(body.clone())
    }

    pub(crate) fn put(&self, key: &str, body: Bytes) {
        let mut inner = self.inner();
        inner.remove(key);
        inner.tick += 1;
        let tick = inner.tick;
        inner.size_bytes += body.len() + key.len();
        inner.order.insert(tick, key.to_owned());
        inner.entries.insert(key.to_owned(), (body, tick));
        while inner.size_bytes > self.limit_bytes
            && let Some((_, oldest)) = inner.order.first_key_value()
        {
            let oldest = oldest.clone();
            inner.remove(&oldest);
        }
    }

    pub(crate) fn remove(&self, key: &str) {
        self.inner().remove(key);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn remove(&mut self, key: &str) {
        if let Some((body, tick)) = self.entries.remove(key) {
            self.order.remove(&tick);
            self.size_bytes -= body.len() + key.len();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_first() {
        let cache = Cache::new(12);
        for key in ["a", "b", "c"] {
            cache.put(key, Bytes::from_static(b"123"));
        }
        assert!(cache.get("a").is_some());
        cache.put("d", Bytes::from_static(b"123"));
        let there: Vec<bool> = ["a", "b", "c", "d"].map(|key| cache.get(key).is_some()).into();
        assert_eq!(there, [true, false, true, true]);
        cache.put("e", Bytes::from_static(b"longer than the cache"));
        assert!(cache.get("e").is_none());
        assert_eq!(cache.inner().size_bytes, 0);
    }
}
