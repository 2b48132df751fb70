//! Figures, in the text form that Prometheus reads.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// Upper ends of the classes of durations, in seconds.
const CLASSES_S: [f64; 10] = [0.001, 0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0];

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<(&'static str, &'static str, u16), u64>>,
    durations: Mutex<BTreeMap<&'static str, Durations>>,
    pub(crate) sent_bytes: Counter,
    pub(crate) received_bytes: Counter,
    pub(crate) collections: Counter,
    pub(crate) collected_blobs: Counter,
    pub(crate) collected_bytes: Counter,
    pub(crate) retired_tags: Counter,
    pub(crate) fetched_blobs: Counter,
}

/// A number that only grows.
#[derive(Debug, Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[derive(Debug, Default)]
struct Durations {
    classes: [u64; CLASSES_S.len()],
    count: u64,
    sum_s: f64,
}

/// What there is now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stock {
    pub(crate) repositories: usize,
    pub(crate) manifests: usize,
    pub(crate) tags: usize,
    pub(crate) blobs: usize,
    pub(crate) blob_bytes: u64,
    pub(crate) uploads: usize,
}

impl Metrics {
    /// Counts a request that was answered.
    pub(crate) fn request(
        &self,
        route: &'static str,
        method: &'static str,
        status: u16,
        took: Duration,
    ) {
        *lock(&self.requests).entry((route, method, status)).or_default() += 1;
        let mut durations = lock(&self.durations);
        let durations = durations.entry(route).or_default();
        let took_s = took.as_secs_f64();
        for (class, most) in durations.classes.iter_mut().zip(CLASSES_S) {
            *class += u64::from(took_s <= most);
        }
        durations.count += 1;
        durations.sum_s += took_s;
    }

    /// All figures.
    pub(crate) fn text(&self, stock: Stock) -> String {
        let mut text = String::new();
        let requests = "gantry_registry_requests_total";
        head(&mut text, requests, "counter", "Requests that were answered");
        for ((route, method, status), count) in &*lock(&self.requests) {
            let labels = format!("route=\"{route}\",method=\"{method}\",status=\"{status}\"");
            let _ = writeln!(text, "{requests}{{{labels}}} {count}");
        }
        self.durations(&mut text);
        for (name, about, counter) in [
            ("sent_bytes_total", "Bytes of blobs that were sent", &self.sent_bytes),
            ("received_bytes_total", "Bytes of blobs that came", &self.received_bytes),
            ("collections_total", "Garbage collections", &self.collections),
            ("collected_blobs_total", "Blobs that were collected", &self.collected_blobs),
            ("collected_bytes_total", "Their bytes", &self.collected_bytes),
            ("retired_tags_total", "Tags that grew too old", &self.retired_tags),
            ("fetched_blobs_total", "Blobs fetched from upstreams", &self.fetched_blobs),
        ] {
            single(&mut text, name, "counter", about, counter.get());
        }
        for (name, about, value) in [
            ("repositories", "Repositories", stock.repositories as u64),
            ("manifests", "Manifests", stock.manifests as u64),
            ("tags", "Tags", stock.tags as u64),
            ("blobs", "Blobs, each counted once", stock.blobs as u64),
            ("blob_bytes", "Their bytes", stock.blob_bytes),
            ("uploads", "Uploads under way", stock.uploads as u64),
        ] {
            single(&mut text, name, "gauge", about, value);
        }
        text
    }

    fn durations(&self, text: &mut String) {
        let name = "gantry_registry_request_duration_seconds";
        head(text, name, "histogram", "Time until the head of an answer was ready");
        for (route, durations) in &*lock(&self.durations) {
            for (count, most) in durations.classes.iter().zip(CLASSES_S) {
                let _ = writeln!(text, "{name}_bucket{{route=\"{route}\",le=\"{most}\"}} {count}");
            }
            let (count, sum_s) = (durations.count, durations.sum_s);
            let _ = writeln!(text, "{name}_bucket{{route=\"{route}\",le=\"+Inf\"}} {count}");
            let _ = writeln!(text, "{name}_sum{{route=\"{route}\"}} {sum_s}");
            let _ = writeln!(text, "{name}_count{{route=\"{route}\"}} {count}");
        }
    }
}

fn head(text: &mut String, name: &str, kind: &str, about: &str) {
    let _ = writeln!(text, "# HELP {name} {about}\n# TYPE {name} {kind}");
}

fn single(text: &mut String, name: &str, kind: &str, about: &str, value: u64) {
    let name = format!("gantry_registry_{name}");
    head(text, &name, kind, about);
    let _ = writeln!(text, "{name} {value}");
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
