//! Telling the client how its build goes.

use std::sync::{
    Arc,
    atomic::{AtomicU32, AtomicU64, Ordering},
};

use gantry_build_proto::{Cached, Completed, Log, Progress, Started, Stream, Vertex, Warning};
use jiff::Timestamp;

use crate::Client;

/// Bytes between two words about how much was sent.
const STATUS_BYTES: u64 = 256 << 10;

/// Where a build's progress goes; clones share it.
#[derive(Clone)]
pub(crate) struct Reporter {
    client: Arc<dyn Client>,
    next: Arc<AtomicU32>,
}

/// How a vertex ended.
#[derive(Debug, Default)]
pub(crate) struct End {
    pub cached: Option<Cached>,
    pub error: Option<String>,
    pub result: String,
    pub why: String,
}

/// Something that is being done, told as a vertex of its own.
pub(crate) struct Task {
    reporter: Reporter,
    id: u32,
    ended: bool,
}

/// Counts bytes and tells of them now and then.
pub(crate) struct Counter {
    reporter: Reporter,
    vertex: u32,
    name: String,
    total: AtomicU64,
    told: AtomicU64,
}

impl Reporter {
    pub(crate) fn new(client: Arc<dyn Client>) -> Self {
        Self { client, next: Arc::default() }
    }

    /// Numbers for `count` vertices, in a row.
    pub(crate) fn reserve(&self, count: u32) -> u32 {
        self.next.fetch_add(count, Ordering::Relaxed)
    }

    /// Begins something that is no vertex of the graph.
    pub(crate) fn task(&self, name: &str) -> Task {
        let id = self.reserve(1);
        self.vertex(Vertex { id, name: name.to_owned(), ..Vertex::default() });
        self.started(id, false);
        Task { reporter: self.clone(), id, ended: false }
    }

    pub(crate) fn vertex(&self, vertex: Vertex) {
        self.client.progress(Progress::Vertex(vertex));
    }

    pub(crate) fn started(&self, vertex: u32, cached: bool) {
        self.client.progress(Progress::Started(Started { vertex, at_ns: now(), cached }));
    }

    pub(crate) fn log(&self, vertex: u32, stream: Stream, text: &str) {
        let text = text.to_owned();
        self.client.progress(Progress::Log(Log { vertex, stream, at_ns: now(), text }));
    }

    pub(crate) fn status(&self, vertex: u32, name: &str, current: u64, done: bool) {
        let name = name.to_owned();
        self.client.progress(Progress::Status { vertex, name, current, total: 0, done });
    }

    /// How far a part of a vertex's work is, where it is known how much there is.
    pub(crate) fn progress(&self, vertex: u32, name: &str, current: u64, total: u64, done: bool) {
        let name = name.to_owned();
        self.client.progress(Progress::Status { vertex, name, current, total, done });
    }

    pub(crate) fn completed(&self, vertex: u32, end: End) {
        self.client.progress(Progress::Completed(Completed {
            vertex,
            at_ns: now(),
            cached: end.cached.unwrap_or(Cached::No),
            error: end.error,
            result: end.result,
            why: end.why,
        }));
    }

    pub(crate) fn warning(&self, warning: Warning) {
        self.client.progress(Progress::Warning(warning));
    }

    /// Counts bytes of a vertex's.
    pub(crate) fn counter(&self, vertex: u32, name: &str) -> Counter {
        Counter {
            reporter: self.clone(),
            vertex,
            name: name.to_owned(),
            total: AtomicU64::new(0),
            told: AtomicU64::new(0),
        }
    }
}

impl Task {
    /// Its number.
    pub(crate) fn id(&self) -> u32 {
        self.id
    }

    /// Ends it well or not, and passes the outcome on.
    pub(crate) fn end<T, E: std::error::Error>(mut self, outcome: Result<T, E>) -> Result<T, E> {
        self.ended = true;
        let error = outcome.as_ref().err().map(|error| gantry_fault::chain(error));
        self.reporter.completed(self.id, End { error, ..End::default() });
        outcome
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        if !self.ended {
            let error = Some("context canceled".to_owned());
            self.reporter.completed(self.id, End { error, ..End::default() });
        }
    }
}

impl Counter {
    /// Counts some more.
    pub(crate) fn add(&self, bytes: u64) {
        let total = self.total.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if total - self.told.load(Ordering::Relaxed) >= STATUS_BYTES {
            self.told.store(total, Ordering::Relaxed);
            self.reporter.status(self.vertex, &self.name, total, false);
        }
    }

    /// Tells of all, if there was anything.
    pub(crate) fn done(&self) {
        let total = self.total.load(Ordering::Relaxed);
        if total == 0 {
            return;
        }
        self.reporter.status(self.vertex, &self.name, total, true);
    }
}

fn now() -> i64 {
    i64::try_from(Timestamp::now().as_nanosecond()).unwrap_or(i64::MAX)
}
