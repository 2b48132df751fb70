//! Runs a graph: what the targets need and nothing else, each vertex once, all at once that can be.
//!
//! ```text
//! key      of every vertex that is needed: its definition, down to files' contents    one task each
//! result   of the targets, and of a vertex's inputs once the cache does not have it   one task each
//!            by definition ─▶ hit: no input is looked at
//!            inputs' results, then by content ─▶ hit
//!            run
//! ```

pub(crate) mod check;
mod explain;
pub(crate) mod key;
mod slot;
mod sources;
mod vertex;
mod watch;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use futures_util::future::{BoxFuture, join_all};
use gantry_build_proto::{Cached, Vertex as Told};
use gantry_oci::Digest;
use tokio::{sync::Notify, task::JoinSet};

use self::{slot::Slot, watch::Watch};
use crate::{
    build::{Build, chain},
    cache::record::{Layer, Part, Record},
    graph::{GitSource, Graph, Op, Vertex, VertexId},
    ops::{OpError, Shared, copy::Selected},
    reporter::End,
    trees::any::AnyTree,
};

/// Digits of the ids that the classic builder shows.
const SHORT_DIGITS: usize = 12;

/// A graph being solved.
pub(crate) struct Solver {
    pub build: Arc<Build>,
    pub graph: Arc<Graph>,
    /// Number in the progress of the graph's first vertex.
    base: u32,
    /// What is needed, by vertex.
    nodes: Vec<Node>,
    tasks: Mutex<JoinSet<()>>,
    /// The first failure, and whose it is.
    failure: Mutex<Option<(VertexId, Shared)>>,
    /// There is one.
    failed: Notify,
    /// Records of imported caches that were used.
    imported: Mutex<Vec<Arc<Record>>>,
}

#[derive(Default)]
struct Node {
    needed: bool,
    key: Slot<Result<Arc<Keyed>, Shared>>,
    result: Slot<Result<Arc<Solved>, Shared>>,
    /// Its result was asked for.
    demanded: AtomicBool,
    /// It has been told to be done.
    told: AtomicBool,
    /// It has been told to have begun.
    started: AtomicBool,
    /// Of a tree: those that take files of it and have not yet.
    takers: AtomicUsize,
}

/// What is known of a vertex before its inputs are.
pub(crate) struct Keyed {
    /// Its key by definition; none of a tree of files.
    pub definition: Option<key::Key>,
    /// Something that it depends on is not to be taken from the cache.
    pub fresh: bool,
    /// The files, if it is a tree of them.
    pub tree: Option<AnyTree>,
    /// What it takes of trees, by the place of the item or mount.
    pub files: HashMap<usize, Files>,
    /// The layers, if it is an image.
    pub layers: Option<Vec<Layer>>,
    /// The commit, if it is a repository.
    pub git: Option<(Arc<GitSource>, String)>,
}

/// Files that a vertex takes of a tree.
#[derive(Clone)]
pub(crate) struct Files {
    pub digest: Digest,
    pub selected: Selected,
}

/// A vertex's result.
#[derive(Debug, Clone)]
pub(crate) struct Solved {
    /// All its layers, bottom first.
    pub layers: Vec<Layer>,
    /// Its record in the cache.
    pub record: Option<String>,
}

/// Why a graph has no result.
#[derive(Debug, Clone)]
pub(crate) struct Unsolved {
    /// The vertex that failed; none if the graph is wrong.
    pub vertex: Option<VertexId>,
    pub error: Shared,
}

impl Solver {
    /// Checks a graph, and tells the client of what is needed of it.
    pub(crate) fn begin(
        build: Arc<Build>,
        graph: Graph,
        targets: &[VertexId],
    ) -> Result<Arc<Self>, Unsolved> {
        let wrong = |error| Unsolved { vertex: None, error: Arc::new(error) };
        check::graph(&graph, targets, &build.request).map_err(wrong)?;
        let mut nodes: Vec<Node> = graph.vertices.iter().map(|_| Node::default()).collect();
        let mut todo = targets.to_vec();
        while let Some(id) = todo.pop() {
            let node = &mut nodes[index(id)];
            if !node.needed {
                node.needed = true;
                todo.extend(graph.vertex(id).op.inputs());
            }
        }
        let count = u32::try_from(graph.vertices.len()).unwrap_or(u32::MAX);
        let base = build.reporter.reserve(count);
        let solver = Arc::new(Self {
            build,
            graph: Arc::new(graph),
            base,
            nodes,
            tasks: Mutex::default(),
            failure: Mutex::default(),
            failed: Notify::new(),
            imported: Mutex::default(),
        });
        solver.count_takers();
        Ok(solver)
    }

    /// The number in the progress of a vertex.
    pub(crate) fn number(&self, id: VertexId) -> u32 {
        self.base + id.0
    }

    /// Solves the targets.
    pub(crate) async fn solve(
        self: &Arc<Self>,
        targets: &[VertexId],
    ) -> Result<Vec<Arc<Solved>>, Unsolved> {
        self.tell_vertices();
        self.spawn_keys();
        let results = join_all(targets.iter().map(|target| self.demand(*target)));
        let outcome = tokio::select! {
            results = results => results.into_iter().collect::<Result<Vec<_>, _>>(),
            () = self.failed.notified() => Err(Arc::new(OpError::Cancelled)),
            () = self.build.stop.cancelled() => Err(Arc::new(OpError::Cancelled)),
        };
        match outcome {
            Ok(solved) => {
                self.tell_skipped();
                Ok(solved)
            }
            Err(error) => {
                self.tasks.lock().unwrap_or_else(PoisonError::into_inner).abort_all();
                self.tell_cancelled();
                let failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner).take();
                let (vertex, error) =
                    failure.map_or((None, error), |(vertex, error)| (Some(vertex), error));
                Err(Unsolved { vertex, error })
            }
        }
    }

    /// The definition that a vertex was solved by.
    pub(crate) fn definition(&self, id: VertexId) -> Option<Digest> {
        let keyed = self.node(id).key.now()?.ok()?;
        Some(keyed.definition.as_ref()?.digest.clone())
    }

    /// The records of everything that was needed: those of the cache, and those that were imported.
    pub(crate) fn records(&self) -> Vec<Record> {
        let cache = &self.build.inner.parts.cache;
        let mut records = Vec::new();
        let mut seen = HashSet::new();
        for id in self.needed() {
            let Some(definition) = self.definition(id) else { continue };
            let found = cache.by_definition(&definition).map(|hit| hit.record);
            let found = found.or_else(|| self.build.imports.by_definition(&definition));
            if let Some(record) = found
                && seen.insert(definition.clone())
            {
                let mut record = Record::clone(&record);
                record.definitions.retain(|known| known.key == definition);
                records.push(record);
            }
        }
        records
    }

    /// Records of imported caches that were used.
    pub(crate) fn imported(&self) -> Vec<Arc<Record>> {
        self.imported.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn needed(&self) -> impl Iterator<Item = VertexId> + '_ {
        let ids = (0..).map(VertexId).zip(&self.nodes);
        ids.filter(|(_, node)| node.needed).map(|(id, _)| id)
    }

    fn node(&self, id: VertexId) -> &Node {
        &self.nodes[index(id)]
    }

    fn vertex(&self, id: VertexId) -> &Vertex {
        self.graph.vertex(id)
    }

    /// A vertex's result, which somebody begins to work on if nobody has.
    fn demand(self: &Arc<Self>, id: VertexId) -> BoxFuture<'_, Result<Arc<Solved>, Shared>> {
        let node = self.node(id);
        if !node.demanded.swap(true, Ordering::AcqRel) {
            let solver = Arc::clone(self);
            self.spawn(id, async move {
                let outcome = vertex::solve(&solver, id).await.map(Arc::new);
                solver.finish(id, &outcome);
                solver.node(id).result.set(outcome);
            });
        }
        Box::pin(node.result.get())
    }

    fn spawn_keys(self: &Arc<Self>) {
        let ids: Vec<VertexId> = self.needed().collect();
        for id in ids {
            let solver = Arc::clone(self);
            self.spawn(id, async move {
                let outcome = sources::key(&solver, id).await.map(Arc::new);
                if let Err(error) = &outcome {
                    solver.fail(id, error);
                }
                solver.node(id).key.set(outcome);
            });
        }
    }

    /// Notes that work on a vertex broke off. The client is not told here: it may be what broke.
    fn broke_off(&self, id: VertexId) {
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = Some((id, Arc::new(OpError::BrokeOff)));
        }
        drop(failure);
        self.failed.notify_one();
    }

    /// Works on something of a vertex until it is done or the build is cancelled.
    fn spawn(self: &Arc<Self>, id: VertexId, work: impl Future<Output = ()> + Send + 'static) {
        let stop = self.build.stop.clone();
        let watch = Watch { solver: Arc::clone(self), id };
        self.tasks.lock().unwrap_or_else(PoisonError::into_inner).spawn(async move {
            let _watch = watch;
            tokio::select! {
                () = work => {}
                () = stop.cancelled() => {}
            }
        });
    }

    /// Notes a failure, unless it only follows from another.
    fn fail(&self, id: VertexId, error: &Shared) {
        if error.is_cancelled() {
            return;
        }
        let mut failure = self.failure.lock().unwrap_or_else(PoisonError::into_inner);
        if failure.is_none() {
            *failure = Some((id, Arc::clone(error)));
            drop(failure);
            let error = Some(gantry_fault::chain(&**error));
            self.complete(id, End { error, ..End::default() });
            self.failed.notify_one();
        }
    }

    fn finish(&self, id: VertexId, outcome: &Result<Arc<Solved>, Shared>) {
        if let Err(error) = outcome {
            self.fail(id, error);
        }
    }

    fn tell_vertices(&self) {
        for id in self.needed() {
            let vertex = self.vertex(id);
            let inputs = vertex.op.inputs().into_iter().map(|input| self.number(input));
            self.build.reporter.vertex(Told {
                id: self.number(id),
                name: vertex.name.clone(),
                instruction: vertex.instruction.clone(),
                inputs: inputs.collect(),
                place: vertex.place.clone(),
            });
        }
    }

    /// A vertex's work begins.
    fn start(&self, id: VertexId) {
        self.tell_started(id, false);
    }

    fn tell_started(&self, id: VertexId, cached: bool) {
        if !self.node(id).started.swap(true, Ordering::AcqRel) {
            self.build.reporter.started(self.number(id), cached);
        }
    }

    /// A vertex is done; told once.
    fn complete(&self, id: VertexId, end: End) {
        if !self.node(id).told.swap(true, Ordering::AcqRel) {
            self.tell_started(id, end.cached == Some(Cached::Hit));
            self.build.reporter.completed(self.number(id), end);
        }
    }

    /// What was not looked at because something above it was in the cache is as good as cached.
    fn tell_skipped(&self) {
        let cache = &self.build.inner.parts.cache;
        for id in self.needed() {
            if let Some(definition) = self.definition(id)
                && let Some(hit) = cache.by_definition(&definition)
            {
                self.build.users.add(&hit.id);
            }
            self.tell_passed_over(id, self.known_layers(id).unwrap_or_default());
        }
    }

    /// Tells that a vertex was not looked at, as something above it was in the cache.
    fn tell_passed_over(&self, id: VertexId, layers: Vec<Layer>) {
        let result = if layers.is_empty() { String::new() } else { short(&layers) };
        let why = if self.build.request.explain { explain::passed_over() } else { String::new() };
        self.complete(id, End { cached: Some(Cached::Hit), result, why, ..End::default() });
    }

    /// A vertex's layers, as far as they are known without working on it.
    fn known_layers(&self, id: VertexId) -> Option<Vec<Layer>> {
        let keyed = self.node(id).key.now()?.ok()?;
        if keyed.layers.is_some() {
            return keyed.layers.clone();
        }
        let definition = &keyed.definition.as_ref()?.digest;
        let record = self.build.inner.parts.cache.by_definition(definition).map(|hit| hit.record);
        let record = record.or_else(|| self.build.imports.by_definition(definition))?;
        crate::imports::layers_of(&record, definition)
    }

    fn tell_cancelled(&self) {
        for id in self.needed() {
            let node = self.node(id);
            if node.started.load(Ordering::Acquire) {
                let error = Some("context canceled".to_owned());
                self.complete(id, End { error, ..End::default() });
            }
        }
    }

    /// Counts who takes files of each tree, so that it is told to be done when all have.
    fn count_takers(&self) {
        for id in self.needed() {
            for (_, from) in takes(&self.vertex(id).op) {
                self.node(from).takers.fetch_add(1, Ordering::Relaxed);
            }
        }
    }
}

impl Op {
    /// The vertices that it needs.
    pub(crate) fn inputs(&self) -> Vec<VertexId> {
        let mut inputs = Vec::new();
        match self {
            Self::Scratch
            | Self::Image(_)
            | Self::Context(_)
            | Self::Git(_)
            | Self::Http(_)
            | Self::Inline(_) => {}
            Self::Exec(exec) => inputs.push(exec.base),
            Self::Copy(copy) => inputs.extend(copy.base),
            Self::MakeDirectory(directory) => inputs.push(directory.base),
            Self::Merge { lower, upper } => inputs.extend([*lower, *upper]),
        }
        inputs.extend(takes(self).into_iter().map(|(_, from)| from));
        inputs.dedup();
        inputs
    }
}

/// Whose files an operation takes, by the place of the item or mount.
pub(crate) fn takes(op: &Op) -> Vec<(usize, VertexId)> {
    use crate::graph::MountKind;
    match op {
        Op::Copy(copy) => copy.items.iter().map(|item| item.from).enumerate().collect(),
        Op::Exec(exec) => {
            let from = |(slot, mount): (usize, &crate::graph::Mount)| match &mount.kind {
                MountKind::Bind { from, .. } => Some((slot, *from)),
                MountKind::Cache { from, .. } => from.map(|from| (slot, from)),
                MountKind::Tmpfs { .. } | MountKind::Secret { .. } | MountKind::Ssh { .. } => None,
            };
            exec.mounts.iter().enumerate().filter_map(from).collect()
        }
        _ => Vec::new(),
    }
}

/// What the classic builder shows of a result.
fn short(layers: &[Layer]) -> String {
    short_id(&chain(layers))
}

fn short_id(id: &str) -> String {
    let hex = id.rsplit(':').next().unwrap_or_default();
    hex.get(..SHORT_DIGITS).unwrap_or_default().to_owned()
}

/// A vertex's place in the graph.
fn index(id: VertexId) -> usize {
    usize::try_from(id.0).expect("numbers are indices")
}

/// The parts of a vertex's key; none if it has no key.
fn parts(keyed: &Keyed) -> &[Part] {
    keyed.definition.as_ref().map_or(&[], |key| &key.parts)
}
