//! Results of vertices: from the cache, or made.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use futures_util::future::join_all;
use gantry_build_proto::Cached;
use gantry_oci::Digest;

use super::{Files, Keyed, Solved, Solver, explain, key, short, sources, takes};
use crate::{
    build::{chain, ids},
    cache::{
        RecordKind,
        record::{Definition, Layer, Record},
    },
    graph::{Copy, CopyItem, Exec, MountKind, Op, VertexId},
    imports,
    ops::{
        OpError, Shared, copy,
        copy::Selected,
        exec, make_directory,
        step_mounts::{Confidant, Sources},
    },
    produce::{Product, Work},
    reporter::End,
    trees::{any::AnyTree, directory::DirectoryTree},
};

/// A result that the cache had.
struct Known {
    layers: Vec<Layer>,
    record: Option<String>,
}

/// Finds or makes a vertex's result.
pub(super) async fn solve(solver: &Arc<Solver>, id: VertexId) -> Result<Solved, Shared> {
    let keyed = solver.node(id).key.get().await?;
    let vertex = solver.vertex(id);
    match &vertex.op {
        Op::Scratch => {
            solver.complete(id, End { cached: Some(Cached::Hit), ..End::default() });
            return Ok(Solved { layers: Vec::new(), record: None });
        }
        Op::Merge { lower, upper } => return merge(solver, id, *lower, *upper).await,
        _ => {}
    }
    if let Some(layers) = &keyed.layers {
        let end = End { cached: Some(Cached::Hit), result: short(layers), ..End::default() };
        solver.complete(id, end);
        return Ok(Solved { layers: layers.clone(), record: None });
    }
    if let Some((source, commit)) = &keyed.git {
        solver.start(id);
        let (layers, hit) = solver.build.git_layers(source, commit, solver.number(id)).await?;
        let cached = Some(if hit { Cached::Hit } else { Cached::Miss });
        solver.complete(id, End { cached, result: short(&layers), ..End::default() });
        return Ok(Solved { layers, record: None });
    }
    // A tree of files is no base, and who takes files of it has them already.
    if keyed.tree.is_some() {
        return Ok(Solved { layers: Vec::new(), record: None });
    }
    step(solver, id, &keyed).await
}

async fn step(solver: &Arc<Solver>, id: VertexId, keyed: &Arc<Keyed>) -> Result<Solved, Shared> {
    let definition = keyed.definition.clone();
    let definition = definition.ok_or_else(|| Arc::new(OpError::Graph("a step without a key")))?;
    if !keyed.fresh
        && let Some(known) = by_definition(solver, &definition.digest)
    {
        pass_over_inputs(solver, id);
        return Ok(hit(solver, id, known, explain::by_definition()));
    }
    let inputs = inputs(solver, id).await?;
    if let Some(base) = base_of(&solver.vertex(id).op)
        && solver.node(base).key.get().await?.tree.is_some()
    {
        return Err(Arc::new(OpError::Graph("a base is no file system")));
    }
    let no_cache = solver.vertex(id).no_cache;
    let mut missing = Missing { solver, id, keyed, inputs: &inputs, contents: Vec::new() };
    if let Some(known) = missing.by_content(&definition.digest, no_cache).await? {
        return Ok(hit(solver, id, known, explain::by_content()));
    }
    let why = explain::why_not(solver, id, keyed);
    solver.start(id);
    let (product, work) = missing.work(definition).await?;
    let produced = solver.build.produce(product, solver.number(id), work).await?;
    let end =
        End { cached: Some(Cached::Miss), result: short(&produced.layers), why, ..End::default() };
    solver.complete(id, end);
    Ok(Solved { layers: produced.layers, record: Some(produced.record) })
}

/// The layers of one upon those of another.
async fn merge(
    solver: &Arc<Solver>,
    id: VertexId,
    lower: VertexId,
    upper: VertexId,
) -> Result<Solved, Shared> {
    let (lower, upper) = tokio::join!(solver.demand(lower), solver.demand(upper));
    let layers: Vec<Layer> = lower?.layers.iter().chain(&upper?.layers).cloned().collect();
    let cached = Some(Cached::No);
    solver.complete(id, End { cached, result: short(&layers), ..End::default() });
    Ok(Solved { layers, record: None })
}

fn hit(solver: &Solver, id: VertexId, known: Known, why: String) -> Solved {
    if let Some(record) = &known.record {
        solver.build.users.add(record);
    }
    let why = if solver.build.request.explain { why } else { String::new() };
    let result = short(&known.layers);
    solver.complete(id, End { cached: Some(Cached::Hit), result, why, ..End::default() });
    Solved { layers: known.layers, record: known.record }
}

/// Tells at once of what nobody has to look at because it is below a step of the cache: clients
/// that show steps in the text's order wait for it.
fn pass_over_inputs(solver: &Solver, id: VertexId) {
    let mut below = solver.vertex(id).op.inputs();
    while let Some(input) = below.pop() {
        if solver.node(input).told.load(Ordering::Acquire) {
            continue;
        }
        let op = &solver.vertex(input).op;
        match solver.known_layers(input) {
            Some(layers) => solver.tell_passed_over(input, layers),
            None if matches!(op, Op::Merge { .. }) => solver.tell_passed_over(input, Vec::new()),
            // It may yet be worked on, for somebody else.
            None => continue,
        }
        below.extend(op.inputs());
    }
}

fn by_definition(solver: &Solver, key: &Digest) -> Option<Known> {
    let build = &solver.build;
    if let Some(hit) = build.inner.parts.cache.by_definition(key)
        && let Some(layers) = imports::layers_of(&hit.record, key)
        && build.has(&layers)
    {
        return Some(Known { layers, record: Some(hit.id) });
    }
    let record = build.imports.by_definition(key)?;
    let layers = imports::layers_of(&record, key).filter(|layers| build.has(layers))?;
    solver.use_import(record);
    Some(Known { layers, record: None })
}

/// Results of all inputs.
async fn inputs(
    solver: &Arc<Solver>,
    id: VertexId,
) -> Result<HashMap<VertexId, Arc<Solved>>, Shared> {
    let wanted = solver.vertex(id).op.inputs();
    let results = join_all(wanted.iter().map(|input| solver.demand(*input))).await;
    wanted.into_iter().zip(results).map(|(id, result)| Ok((id, result?))).collect()
}

/// A vertex that the cache does not have by its definition.
struct Missing<'a> {
    solver: &'a Arc<Solver>,
    id: VertexId,
    keyed: &'a Arc<Keyed>,
    inputs: &'a HashMap<VertexId, Arc<Solved>>,
    /// Keys by content that were looked for.
    contents: Vec<Digest>,
}

impl Missing<'_> {
    fn op(&self) -> &Op {
        &self.solver.vertex(self.id).op
    }

    fn layers(&self, id: VertexId) -> &[Layer] {
        self.inputs.get(&id).map(|solved| solved.layers.as_slice()).unwrap_or_default()
    }

    fn below(&self) -> Vec<Layer> {
        base_of(self.op()).map(|base| self.layers(base).to_vec()).unwrap_or_default()
    }

    /// Looks for a result of the same inputs: first by their layers, then by the files that are taken
    /// of them.
    async fn by_content(
        &mut self,
        definition: &Digest,
        no_cache: bool,
    ) -> Result<Option<Known>, Shared> {
        let key = self.content_key(&HashMap::new());
        self.contents.extend(key);
        if let Some(known) = self.look(definition, no_cache).await? {
            return Ok(Some(known));
        }
        let files = self.files().await?;
        if files.is_empty() {
            return Ok(None);
        }
        let key = self.content_key(&files);
        self.contents.extend(key);
        self.look(definition, no_cache).await
    }

    fn content_key(&self, files: &HashMap<usize, Digest>) -> Option<Digest> {
        let vertex = |id: VertexId| chain(self.layers(id));
        let digest = |slot: usize| {
            let known = self.keyed.files.get(&slot).map(|files| files.digest.clone());
            known.or_else(|| files.get(&slot).cloned())
        };
        let inputs = key::Inputs { vertex: &vertex, files: &digest };
        key::of(self.op(), &inputs).map(|key| key.digest)
    }

    /// Looks for the newest key.
    async fn look(&self, definition: &Digest, no_cache: bool) -> Result<Option<Known>, Shared> {
        let Some(key) = self.contents.last().filter(|_| !no_cache) else { return Ok(None) };
        let build = &self.solver.build;
        let local = build.inner.parts.cache.by_content(key);
        let record = match &local {
            Some(hit) => Some(Arc::clone(&hit.record)),
            None => build.imports.by_content(key),
        };
        let Some(record) = record else { return Ok(None) };
        let own = record.layer.iter().cloned();
        let own = own.map(|layer| Layer { made_by: Some(definition.clone()), ..layer });
        let layers: Vec<Layer> = self.below().into_iter().chain(own).collect();
        if !build.has(&layers) {
            return Ok(None);
        }
        let Some(hit) = local else {
            self.solver.use_import(record);
            return Ok(Some(Known { layers, record: None }));
        };
        let known = Definition { key: definition.clone(), layers: layers.clone() };
        let added = build.inner.parts.cache.add_keys(&hit.id, known, Some(key.clone())).await;
        added.map_err(|error| Arc::new(OpError::from(error)))?;
        Ok(Some(Known { layers, record: Some(hit.id) }))
    }

    /// Digests of the files that are taken of other vertices' layers; of mounts only where they are
    /// a part, since all of a file system is read for nothing when its layers differ.
    async fn files(&self) -> Result<HashMap<usize, Digest>, Shared> {
        let mut digests = HashMap::new();
        for (slot, from) in takes(self.op()) {
            let whole = match self.op() {
                Op::Exec(exec) => match exec.mounts.get(slot).map(|mount| &mount.kind) {
                    Some(MountKind::Bind { source, writable, .. }) => {
                        *writable || source.trim_matches('/').is_empty()
                    }
                    _ => true,
                },
                _ => false,
            };
            if whole || self.keyed.files.contains_key(&slot) {
                continue;
            }
            digests.insert(slot, self.taken(slot, from).await?.digest);
        }
        Ok(digests)
    }

    /// The files that are taken of a vertex's layers.
    async fn taken(&self, slot: usize, from: VertexId) -> Result<Files, Shared> {
        let layers = self.layers(from);
        self.solver.build.ensure(layers).await?;
        let snapshots = &self.solver.build.inner.parts.snapshots;
        let root = snapshots.mount_layers(&ids(layers)).map_err(|e| Arc::new(OpError::from(e)))?;
        let tree = AnyTree::Here(Arc::new(DirectoryTree::new(root)));
        sources::files_of(self.op(), slot, tree).await
    }

    /// What is to be made, and how.
    async fn work(&self, definition: key::Key) -> Result<(Product, Work), Shared> {
        let vertex = self.solver.vertex(self.id);
        let below = self.below();
        self.solver.build.ensure(&below).await?;
        let work = match &vertex.op {
            Op::Exec(exec) => self.exec(exec, below.clone()).await?,
            Op::Copy(copy) => self.copy(copy, &below).await?,
            Op::MakeDirectory(directory) => {
                let (directory, base) = (directory.clone(), ids(&below));
                let snapshots = self.solver.build.inner.parts.snapshots.clone();
                let work: Work = Box::new(move |parts, lease| {
                    Box::pin(crate::blocking(move || {
                        make_directory::run(&directory, &base, &snapshots, &lease, &parts.stop)
                    }))
                });
                work
            }
            _ => return Err(Arc::new(OpError::Graph("a step of an unknown kind"))),
        };
        let inputs = self.inputs.values();
        let product = Product {
            private: vertex.no_cache || needs_client(&vertex.op),
            definition: definition.digest,
            contents: self.contents.clone(),
            kind: RecordKind::Regular,
            description: description(&vertex.op, &vertex.name),
            instruction: vertex.instruction.clone(),
            parts: definition.parts,
            parents: inputs.filter_map(|solved| solved.record.clone()).collect(),
            below,
        };
        Ok((product, work))
    }

    async fn copy(&self, copy: &Copy, below: &[Layer]) -> Result<Work, Shared> {
        let mut sources = Vec::new();
        for (slot, item) in copy.items.iter().enumerate() {
            sources.push(match self.keyed.files.get(&slot) {
                Some(files) => files.selected.clone(),
                None => self.taken(slot, item.from).await?.selected,
            });
        }
        let (copy, base) = (copy.clone(), ids(below));
        let snapshots = self.solver.build.inner.parts.snapshots.clone();
        Ok(Box::new(move |parts, lease| {
            let stop = parts.stop;
            let job = copy::Job { copy, base, sources, snapshots, lease, stop };
            Box::pin(crate::blocking(move || copy::run(&job)))
        }))
    }

    async fn exec(&self, exec: &Exec, base: Vec<Layer>) -> Result<Work, Shared> {
        let mut sources = Sources::new();
        let mut exec = exec.clone();
        for (slot, from) in takes(self.op()) {
            let layers = match self.keyed.files.get(&slot) {
                Some(files) => {
                    move_source(&mut exec, slot, &files.selected);
                    self.materialise(files).await?
                }
                None => self.layers(from).to_vec(),
            };
            self.solver.build.ensure(&layers).await?;
            sources.insert(slot, ids(&layers));
        }
        let build = &self.solver.build;
        let confidant = needs_client(&Op::Exec(Box::new(exec.clone()))).then(|| Confidant {
            client: Arc::clone(&build.client),
            agents: build.request.ssh.clone(),
        });
        let runner = build.inner.runner.clone();
        let (limits, network) = (build.request.limits.clone(), build.request.network.clone());
        Ok(Box::new(move |parts, lease| {
            Box::pin(async move {
                let job = exec::Job {
                    exec,
                    base,
                    sources,
                    limits,
                    build_network: network,
                    confidant,
                    lease,
                    keep_failed: Arc::clone(&parts.keep_failed),
                };
                runner.run(job, &parts.sink, &parts.stop).await
            })
        }))
    }

    /// Makes layers of a tree's files, to be shown to a step.
    async fn materialise(&self, files: &Files) -> Result<Vec<Layer>, Shared> {
        let mut parts = key::Parts::new("files");
        parts.add("files", files.digest.as_str());
        let key = parts.finish();
        if let Some(known) = by_definition(self.solver, &key.digest) {
            known.record.iter().for_each(|record| self.solver.build.users.add(record));
            return Ok(known.layers);
        }
        let product = Product {
            private: false,
            definition: key.digest.clone(),
            contents: vec![key.digest],
            kind: RecordKind::Internal,
            description: "files of a context, for a mount".to_owned(),
            instruction: String::new(),
            parts: key.parts,
            parents: Vec::new(),
            below: Vec::new(),
        };
        let sources = vec![files.selected.clone()];
        let snapshots = self.solver.build.inner.parts.snapshots.clone();
        let work: Work = Box::new(move |parts, lease| {
            let stop = parts.stop;
            let copy = as_they_are();
            let job = copy::Job { copy, base: Vec::new(), sources, snapshots, lease, stop };
            Box::pin(crate::blocking(move || copy::run(&job)))
        });
        let vertex = self.solver.number(self.id);
        Ok(self.solver.build.produce(product, vertex, work).await?.layers)
    }
}

impl Solver {
    fn use_import(&self, record: Arc<Record>) {
        let mut imported = self.imported.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if !imported.iter().any(|known| Arc::ptr_eq(known, &record)) {
            imported.push(record);
        }
    }
}

/// What a step builds upon.
fn base_of(op: &Op) -> Option<VertexId> {
    match op {
        Op::Exec(exec) => Some(exec.base),
        Op::Copy(copy) => copy.base,
        Op::MakeDirectory(directory) => Some(directory.base),
        _ => None,
    }
}

/// A mount shows what was found, at the place where it was found.
fn move_source(exec: &mut Exec, slot: usize, selected: &Selected) {
    let Some(found) = selected.found.first() else { return };
    let path = String::from_utf8_lossy(&found.path).into_owned();
    if let Some(mount) = exec.mounts.get_mut(slot)
        && let MountKind::Bind { source, .. } | MountKind::Cache { source, .. } = &mut mount.kind
    {
        *source = path;
    }
}

/// A copy that keeps places, owners and modes.
fn as_they_are() -> Copy {
    Copy {
        base: None,
        items: vec![CopyItem {
            from: VertexId(0),
            source: "/".to_owned(),
            pivot: None,
            unpack: false,
            wildcards: false,
            may_be_absent: false,
        }],
        destination: "/".to_owned(),
        owner: None,
        mode: None,
        parents: true,
        exclude: Vec::new(),
        epoch_s: None,
    }
}

/// Whether only the client that asked can have the work done.
fn needs_client(op: &Op) -> bool {
    let secret =
        |kind: &MountKind| matches!(kind, MountKind::Secret { .. } | MountKind::Ssh { .. });
    match op {
        Op::Exec(exec) => exec.mounts.iter().any(|mount| secret(&mount.kind)),
        _ => false,
    }
}

/// What a record came of, as BuildKit says it.
fn description(op: &Op, name: &str) -> String {
    match op {
        Op::Exec(exec) => format!("mount / from exec {}", exec.args.join(" ")),
        _ => name.to_owned(),
    }
}
