//! Keys of vertices: what they are defined by, down to the contents of the files that they take.

use std::{
    collections::HashMap,
    sync::{Arc, atomic::Ordering},
};

use gantry_build_proto::Cached;
use gantry_oci::Digest;

use super::{Files, Keyed, Solver, key, takes};
use crate::{
    build::{chain, layers_of},
    contexts::Context,
    graph::{Copy, Exec, MountKind, Op, VertexId},
    ops::{OpError, Shared, copy::Selected, http},
    reporter::End,
    trees::{
        TreeError,
        any::AnyTree,
        inline::InlineTree,
        pattern::Excludes,
        select::{self, Found, Source},
    },
};

impl Keyed {
    fn of_tree(tree: AnyTree) -> Self {
        Self {
            definition: None,
            fresh: false,
            tree: Some(tree),
            files: HashMap::new(),
            layers: None,
            git: None,
        }
    }

    fn of_key(definition: key::Key, fresh: bool) -> Self {
        Self {
            definition: Some(definition),
            fresh,
            tree: None,
            files: HashMap::new(),
            layers: None,
            git: None,
        }
    }
}

/// Finds a vertex's key.
pub(super) async fn key(solver: &Arc<Solver>, id: VertexId) -> Result<Keyed, Shared> {
    let vertex = solver.vertex(id);
    match &vertex.op {
        Op::Context(context) => of_context(solver, id, &context.name).await,
        Op::Inline(files) => {
            let mut tree = InlineTree::default();
            for file in files {
                tree.add(
                    file.name.trim_start_matches('/').as_bytes(),
                    file.content.as_bytes(),
                    file.mode,
                );
            }
            solver.complete(id, End { cached: Some(Cached::No), ..End::default() });
            Ok(Keyed::of_tree(AnyTree::Here(Arc::new(tree))))
        }
        Op::Http(source) => {
            solver.start(id);
            let counter = solver.build.reporter.counter(solver.number(id), "downloading");
            let (web, mirror) = (&solver.build.inner.web, &solver.build.inner.mirror);
            let progress = |bytes| counter.add(bytes);
            let fetched = tokio::select! {
                fetched = http::fetch(web, mirror, source, &progress) => fetched?,
                () = solver.build.stop.cancelled() => return Err(Arc::new(OpError::Cancelled)),
            };
            counter.done();
            solver.complete(id, End { cached: Some(Cached::No), ..End::default() });
            Ok(Keyed::of_tree(AnyTree::Here(Arc::new(fetched))))
        }
        Op::Git(source) => {
            let confidant = solver.build.confidant();
            let stop = &solver.build.stop;
            let commit = solver.build.inner.fetcher.commit(source, Some(&confidant), stop).await?;
            let definition = key::of_git(source, &commit);
            let mut keyed = Keyed::of_key(definition, vertex.no_cache);
            keyed.git = Some((Arc::new(source.clone()), commit));
            Ok(keyed)
        }
        Op::Image(image) => {
            let keyed = of_image(solver, &image.id)?;
            let result = super::short_id(&image.id);
            solver.complete(id, End { cached: Some(Cached::Hit), result, ..End::default() });
            Ok(keyed)
        }
        op => of_step(solver, id, op).await,
    }
}

async fn of_context(solver: &Arc<Solver>, id: VertexId, name: &str) -> Result<Keyed, Shared> {
    match solver.build.context(name).await? {
        Context::Tree(tree) => {
            let counter =
                Arc::new(solver.build.reporter.counter(solver.number(id), "transferring context"));
            solver.build.transfer(name).tell(Arc::clone(&counter));
            Ok(Keyed::of_tree(tree))
        }
        Context::Image(id) => of_image(solver, id.as_str()),
        Context::Git(source, commit) => {
            let mut keyed = Keyed::of_key(key::of_git(&source, &commit), false);
            keyed.git = Some((source, commit));
            Ok(keyed)
        }
        Context::Text(_) => Err(Arc::new(OpError::NotATree(name.to_owned()))),
    }
}

fn of_image(solver: &Solver, id: &str) -> Result<Keyed, Shared> {
    let layers = layers_of(&*solver.build.image(id)?);
    let mut keyed = Keyed::of_key(key::of_layers(&chain(&layers)), false);
    keyed.layers = Some(layers);
    Ok(keyed)
}

async fn of_step(solver: &Arc<Solver>, id: VertexId, op: &Op) -> Result<Keyed, Shared> {
    let mut inputs: HashMap<VertexId, Arc<Keyed>> = HashMap::new();
    for input in op.inputs() {
        inputs.insert(input, solver.node(input).key.get().await?);
    }
    let mut files = HashMap::new();
    for (slot, from) in takes(op) {
        if let Some(tree) = inputs.get(&from).and_then(|keyed| keyed.tree.clone()) {
            solver.start(from);
            let taken = files_of(op, slot, tree).await?;
            files.insert(slot, taken);
        }
        taken(solver, from);
    }
    let vertex_key = |id: VertexId| {
        let keyed = inputs.get(&id).and_then(|keyed| keyed.definition.as_ref());
        keyed.map(|key| key.digest.to_string()).unwrap_or_default()
    };
    let digest = |slot: usize| files.get(&slot).map(|files: &Files| files.digest.clone());
    let definition = key::of(op, &key::Inputs { vertex: &vertex_key, files: &digest })
        .ok_or_else(|| Arc::new(OpError::Graph("a step without a key")))?;
    let fresh = solver.vertex(id).no_cache || inputs.values().any(|keyed| keyed.fresh);
    Ok(Keyed { files, ..Keyed::of_key(definition, fresh) })
}

/// One less takes files of a tree; with the last one it is done.
fn taken(solver: &Solver, from: VertexId) {
    let node = solver.node(from);
    if node.takers.fetch_sub(1, Ordering::AcqRel) != 1 {
        return;
    }
    if let Some(Ok(keyed)) = node.key.now()
        && keyed.tree.is_some()
    {
        if let Op::Context(context) = &solver.vertex(from).op {
            solver.build.transfer(&context.name).done();
        }
        solver.complete(from, End { cached: Some(Cached::No), ..End::default() });
    }
}

/// The files that an item of a copy or a mount takes of a tree.
pub(super) async fn files_of(op: &Op, slot: usize, tree: AnyTree) -> Result<Files, Shared> {
    let wanted = wanted(op, slot).ok_or_else(|| Arc::new(OpError::Graph("no such source")))?;
    let excludes =
        Excludes::parse(&wanted.exclude).map_err(|p| Arc::new(TreeError::Pattern(p).into()))?;
    let unpack = wanted.unpack;
    let question = move |tree: &dyn crate::trees::Tree| -> Result<(Digest, Vec<Found>), TreeError> {
        let mut source = wanted.source();
        // A mount's links are followed before: what it shows is at one place.
        let path;
        if wanted.mount {
            path = String::from_utf8_lossy(&crate::trees::resolve(tree, source.path.as_bytes())?.0)
                .into_owned();
            source.path = &path;
        }
        let found = select::select(tree, source)?;
        let digest = key::of_files(tree, &found, &excludes)?;
        Ok((digest, found))
    };
    let answer = tree.ask(question).await.map_err(|error| Arc::new(OpError::from(error)))?;
    let (digest, found) = answer.map_err(|error| Arc::new(OpError::from(error)))?;
    Ok(Files { digest, selected: Selected { tree: tree.tree(), found, unpack } })
}

/// A source as an operation names it.
struct WantedFiles {
    path: String,
    pivot: Option<String>,
    wildcards: bool,
    parents: bool,
    may_be_absent: bool,
    unpack: bool,
    mount: bool,
    exclude: Vec<String>,
}

impl WantedFiles {
    fn source(&self) -> Source<'_> {
        Source {
            path: &self.path,
            wildcards: self.wildcards,
            parents: self.parents,
            pivot: self.pivot.as_deref(),
            may_be_absent: self.may_be_absent,
        }
    }
}

fn wanted(op: &Op, slot: usize) -> Option<WantedFiles> {
    match op {
        Op::Copy(copy) => of_item(copy, slot),
        Op::Exec(exec) => of_mount(exec, slot),
        _ => None,
    }
}

fn of_item(copy: &Copy, slot: usize) -> Option<WantedFiles> {
    let item = copy.items.get(slot)?;
    Some(WantedFiles {
        path: item.source.clone(),
        pivot: item.pivot.clone(),
        wildcards: item.wildcards,
        parents: copy.parents,
        may_be_absent: item.may_be_absent,
        unpack: item.unpack,
        mount: false,
        exclude: copy.exclude.clone(),
    })
}

/// What a mount shows keeps its place and its directories.
fn of_mount(exec: &Exec, slot: usize) -> Option<WantedFiles> {
    let path = match &exec.mounts.get(slot)?.kind {
        MountKind::Bind { source, .. } => source.clone(),
        MountKind::Cache { source, .. } => source.clone(),
        _ => return None,
    };
    Some(WantedFiles {
        path,
        pivot: None,
        wildcards: false,
        parents: true,
        may_be_absent: false,
        unpack: false,
        mount: true,
        exclude: Vec::new(),
    })
}
