//! Dockerfiles: from a parsed file to a graph and the configuration of the image.
//!
//! ```text
//! text ──▶ Dockerfile ──▶ stages (bases, copies of each other) ──▶ what the target needs
//!                           │ images and named contexts are looked up, triggers are added
//!                           ▼
//!          stage by stage, instruction by instruction: a vertex for what works on files,
//!          a change of the configuration for the rest, a history entry for each
//! ```
//!
//! This is the only module that knows Dockerfiles. What it writes into images (history entries,
//! defaults) and what it calls vertices is as BuildKit has it, since people's tools read both.

mod args;
mod copying;
mod documents;
mod error;
mod findings;
mod foreign;
mod go_text;
mod metadata;
mod modes;
mod naming;
mod outline;
mod paths;
mod places;
mod planner;
mod running;
mod settings;
mod stages;
mod state;
mod variables;
mod vertices;
mod words;
mod work;

#[cfg(test)]
mod tests;

pub use error::PlanError;
pub use modes::ModeError;

use futures_util::future::BoxFuture;
use gantry_build_proto::{Failure, RequestKind};
use gantry_dockerfile::{DirectiveName, Dockerfile, Scope};
use gantry_oci::Platform;

use self::{
    error::At, findings::Findings, foreign::Contexts, outline::Outline, places::Text,
    planner::Planner, settings::Settings, vertices::Vertices,
};
use crate::plan::{Frontend, Input, Plan, PlannedStep, Sources};

/// Names of the frontend image that this module stands for.
const OWN_NAMES: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// The frontend of Dockerfiles.
#[derive(Debug, Clone, Copy, Default)]
pub struct DockerfileFrontend;

impl Frontend for DockerfileFrontend {
    fn plan<'a>(
        &'a self,
        input: Input<'a>,
        sources: &'a dyn Sources,
    ) -> BoxFuture<'a, Result<Plan, Box<Failure>>> {
        Box::pin(async move {
            plan(input, sources)
                .await
                .map_err(|at| Box::new(at.failure(&Text::of(input.name, input.text))))
        })
    }
}

async fn plan(input: Input<'_>, sources: &dyn Sources) -> Result<Plan, At> {
    let check = input.request.kind == RequestKind::Check;
    let dockerfile = match gantry_dockerfile::parse(input.text) {
        Ok(dockerfile) => dockerfile,
        Err(error) if check => return Ok(failed_check(input, At::from(error))),
        Err(error) => return Err(error.into()),
    };
    if input.request.kind == RequestKind::Targets {
        let document = Some(documents::targets(&dockerfile, input.text));
        return Ok(Plan { document, ..Plan::default() });
    }
    let settings = Settings::of(input.request)?;
    check_syntax(&dockerfile, &settings)?;
    let findings = Findings::of(&dockerfile, &settings, &input.request.ignore)?;
    let contexts = Contexts::of(&input.request.contexts)?;
    let main_context = input.request.contexts.get("");
    let mut planner = Planner {
        settings: &settings,
        dockerfile: &dockerfile,
        text: Text::of(input.name, input.text),
        sources,
        main_context,
        main_git: planner::main_git(main_context, &settings)?,
        target: Platform::host(),
        implicit: settings.platforms.is_empty(),
        global: Scope::new(),
        outline: Outline::default(),
        epoch_s: None,
        created: None,
        bytes: 0,
        vertices: Vertices::default(),
        findings,
        steps: Vec::new(),
    };
    let planned = every_platform(&mut planner, input, &contexts).await;
    finish(planner, planned, input)
}

/// Plans for each platform that is asked for.
async fn every_platform<'p>(
    planner: &mut Planner<'p>,
    input: Input<'p>,
    contexts: &Contexts<'p>,
) -> Result<Vec<planner::Planned>, At> {
    // A check without a target is of everything.
    let all_stages = input.request.kind == RequestKind::Check && input.request.target.is_empty();
    let platforms = match planner.settings.platforms.as_slice() {
        [] => vec![Platform::host()],
        platforms => platforms.to_vec(),
    };
    let mut planned = Vec::with_capacity(platforms.len());
    for platform in platforms {
        planner.target = platform;
        let steps = std::mem::take(&mut planner.steps);
        planned.push(planner.platform(input.request, contexts, all_stages).await?);
        // The steps are the text's: once is enough.
        if !steps.is_empty() {
            planner.steps = steps;
        }
    }
    Ok(planned)
}

fn finish(
    planner: Planner<'_>,
    planned: Result<Vec<planner::Planned>, At>,
    input: Input<'_>,
) -> Result<Plan, At> {
    let (dockerfile, settings) = (planner.dockerfile, planner.settings);
    let warnings = planner.findings.warnings(dockerfile, settings, &planner.text);
    let (planned, error) = match planned {
        Ok(planned) => (planned, None),
        Err(at) => (Vec::new(), Some(at)),
    };
    if input.request.kind == RequestKind::Check {
        let error = error.map(|at| (at.message(), at.span));
        let document = Some(documents::check(input.name, input.text, &warnings, error));
        return Ok(Plan { warnings, document, ..Plan::default() });
    }
    if let Some(at) = error {
        return Err(at);
    }
    planner.findings.linter.verdict().map_err(PlanError::Rules)?;
    if input.request.kind == RequestKind::Outline {
        let document = planned.first().map(|planned| {
            let stage = &planner.dockerfile.stages[planned.stage];
            let name = stage.from.name.as_ref().map_or("", |name| &name.name);
            let description = documents::describe(&stage.written.comments, name);
            let outlines: Vec<_> = planned.outlines.iter().collect();
            outline::document(&outlines, name, &description, input.text)
        });
        return Ok(Plan { warnings, document, ..Plan::default() });
    }
    let mut steps = planner.steps;
    steps.extend(dockerfile.global_args.iter().map(|args| {
        let (instruction, span) = (args.written.text.clone(), args.written.span);
        let place = Some(planner.text.place(span));
        (span, PlannedStep { instruction, place, ..PlannedStep::default() })
    }));
    steps.sort_by_key(|(span, _)| span.first_line);
    Ok(Plan {
        graph: planner.vertices.graph,
        targets: planned.into_iter().map(|planned| planned.target).collect(),
        steps: steps.into_iter().map(|(_, step)| step).collect(),
        warnings,
        document: None,
    })
}

/// A check of a file that cannot be read finds that.
fn failed_check(input: Input<'_>, at: At) -> Plan {
    let error = Some((at.message(), at.span));
    let document = Some(documents::check(input.name, input.text, &[], error));
    Plan { document, ..Plan::default() }
}

/// Other frontends are programs in images, which do not run here.
fn check_syntax(dockerfile: &Dockerfile, settings: &Settings) -> Result<(), At> {
    let directive = dockerfile.directive(DirectiveName::Syntax);
    let Some(syntax) = settings.syntax.as_deref().or(directive) else { return Ok(()) };
    // What follows the first word is arguments.
    let image = syntax.split_whitespace().next().unwrap_or_default();
    let own = match image.parse::<gantry_oci::Reference>() {
        Ok(reference) => reference.domain() == "docker.io" && OWN_NAMES.contains(&reference.path()),
        Err(_) => false,
    };
    if own {
        return Ok(());
    }
    let span = dockerfile
        .directives
        .iter()
        .find(|directive| directive.name == DirectiveName::Syntax)
        .map(|directive| directive.span)
        .filter(|_| settings.syntax.is_none());
    let hint = "Gantry reads Dockerfiles itself, all that docker/dockerfile:1 knows: name that one, \
                or remove the syntax line";
    let mut at = At::from(PlanError::Syntax(image.to_owned())).hint(hint);
    at.span = span;
    Err(at)
}
