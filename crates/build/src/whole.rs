//! A build from its request to its answer.

use std::sync::{Arc, PoisonError};

use gantry_build_proto::{Built, CacheSpec, ContextSource, DockerfileSource, Failure, RequestKind};

use crate::{
    Failed, Instruction,
    build::Build,
    contexts::Context,
    exports, failure,
    graph::{Op, VertexId},
    kept,
    ops::OpError,
    output,
    plan::{Input, Plan},
    resolver::Resolver,
    solve::{Solver, Unsolved},
};

type Outcome<T> = Result<T, Box<Failed>>;

/// Runs a build.
pub(crate) async fn run(mut build: Build) -> Outcome<Built> {
    output::check(&build.request).map_err(|error| failed(failure::of(&error)))?;
    exports::check(&build.request.cache_to).map_err(|error| failed(failure::of(&error)))?;
    if build.request.kind == RequestKind::Build {
        import_caches(&mut build).await;
    }
    let build = Arc::new(build);
    let stop = build.stop.clone();
    tokio::select! {
        outcome = work(&build) => outcome,
        () = stop.cancelled() => Err(failed(failure::cancelled())),
    }
}

async fn work(build: &Arc<Build>) -> Outcome<Built> {
    let (name, text) = dockerfile(build).await?;
    let input = Input { name: &name, text: &text, request: &build.request };
    let resolver = Resolver::new(Arc::clone(build));
    let plan = build.inner.parts.frontend.plan(input, &resolver).await;
    let plan = plan.map_err(|failure| failed(*failure))?;
    for warning in &plan.warnings {
        build.reporter.warning(warning.clone());
    }
    if build.request.kind != RequestKind::Build || plan.targets.is_empty() {
        let (warnings, document) = (plan.warnings, plan.document);
        return Ok(Built { warnings, document, ..Built::default() });
    }
    solve(build, plan).await
}

async fn solve(build: &Arc<Build>, plan: Plan) -> Outcome<Built> {
    let targets: Vec<VertexId> = plan.targets.iter().map(|target| target.vertex).collect();
    let solver = Solver::begin(Arc::clone(build), plan.graph, &targets);
    let solver = match solver {
        Ok(solver) => solver,
        Err(unsolved) => return Err(failed(failure::of(&*unsolved.error))),
    };
    let steps = plan.steps.iter().map(|step| Instruction {
        text: step.instruction.clone(),
        vertex: step.vertex.map(|vertex| solver.number(vertex)),
        trigger: step.trigger,
    });
    build.client.planned(&steps.collect::<Vec<_>>());
    let solved = match solver.solve(&targets).await {
        Ok(solved) => solved,
        Err(unsolved) => return Err(unsolved_failure(build, &solver, &unsolved).await),
    };
    let built = output::export(build, &solver, &plan.targets, &solved).await;
    let mut built = built.map_err(|error| failed(failure::of(&error)))?;
    built.warnings = plan.warnings;
    exports::export(build, &solver, &solved).await.map_err(|error| failed(failure::of(&error)))?;
    settle(build, &solver).await;
    Ok(built)
}

/// Notes what was used; a build that has its result does not fail for this.
async fn settle(build: &Arc<Build>, solver: &Solver) {
    let cache = &build.inner.parts.cache;
    for record in solver.imported() {
        let layers: Vec<_> = record.layers().map(|layer| layer.diff_id.clone()).collect();
        let here = build.lease.lock().unwrap_or_else(PoisonError::into_inner).keep(&layers);
        if here.is_ok()
            && let Err(error) = cache.put((*record).clone()).await
        {
            tracing::warn!(
                error = gantry_fault::chain(&error),
                "could not keep an imported result"
            );
        }
    }
    if let Err(error) = cache.touch(&build.users.ids()).await {
        tracing::warn!(error = gantry_fault::chain(&error), "could not note the cache's use");
    }
}

async fn unsolved_failure(build: &Arc<Build>, solver: &Solver, unsolved: &Unsolved) -> Box<Failed> {
    if build.stop.is_cancelled() {
        return failed(failure::cancelled());
    }
    let vertex = unsolved.vertex.map(|vertex| solver.graph.vertex(vertex));
    let mut failure = failure::of_step(&unsolved.error, vertex);
    let mut image = None;
    if let (OpError::Exit { kept, .. }, Some(vertex)) = (&*unsolved.error, vertex)
        && let Op::Exec(exec) = &vertex.op
    {
        failure.command.clone_from(&exec.args);
        image = kept::keep(build, kept.as_ref(), exec).await;
        failure.kept = image.as_ref().map(kept::Kept::id).unwrap_or_default();
    }
    Box::new(Failed { failure, kept: image })
}

/// The Dockerfile's name and text.
async fn dockerfile(build: &Arc<Build>) -> Outcome<(String, String)> {
    let path = match &build.request.dockerfile {
        DockerfileSource::Text { name, text } => return Ok((name.clone(), text.clone())),
        DockerfileSource::Path(path) if path.is_empty() => "Dockerfile",
        DockerfileSource::Path(path) => path,
    };
    let task = build.reporter.task(&format!("[internal] load build definition from {path}"));
    let read = async {
        if let Some(ContextSource::Http(_)) = build.request.contexts.get("")
            && let Context::Text(text) = build.context("").await?
        {
            return Ok(Some(text.as_bytes().to_vec()));
        }
        build.context_file("", path).await
    };
    let read = task.end(read.await).map_err(|error| failed(failure::of(&*error)))?;
    let missing = || failure::no_dockerfile(path);
    let bytes = read.ok_or_else(|| failed(missing()))?;
    // A text in another encoding is told of where it is parsed.
    Ok((path.to_owned(), String::from_utf8_lossy(&bytes).into_owned()))
}

/// Reads the caches that the request names; one that is of no use is no failure.
async fn import_caches(build: &mut Build) {
    let specs: Vec<CacheSpec> = build.request.cache_from.clone();
    for spec in specs {
        let name = spec.attributes.get("ref").or_else(|| spec.attributes.get("src"));
        let name = name.map(String::as_str).unwrap_or_default();
        let kind = if spec.kind.is_empty() { "registry" } else { &spec.kind };
        let task = build.reporter.task(&format!("importing cache manifest from {kind}:{name}"));
        let mut imports = std::mem::take(&mut build.imports);
        let read = tokio::select! {
            read = imports.read(build, &spec) => read,
            () = build.stop.cancelled() => return,
        };
        build.imports = imports;
        // Told as the task's own error; the build goes on without.
        drop(task.end(read));
    }
}

fn failed(failure: Failure) -> Box<Failed> {
    Box::new(Failed { failure, kept: None })
}
