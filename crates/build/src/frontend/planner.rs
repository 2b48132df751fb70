//! From a file and a request to a graph, for one platform after the other.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;
use gantry_build_proto::{BuildRequest, ContextSource};
use gantry_dockerfile::{
    Dockerfile, Scope, Span, Stage,
    check::{self, FromPlatform},
};
use gantry_oci::{Platform, Reference};

use super::{
    args::{self, Platforms},
    error::{At, PlanError},
    findings::Findings,
    foreign::{Contexts, Resolved, Resolver},
    outline::Outline,
    places::Text,
    settings::{self, EPOCH, Settings},
    stages::{Origin, Table},
    state::State,
    vertices::Vertices,
    words::{self, Value},
    work::{self, Finished},
};
use crate::{
    graph::Target,
    plan::{PlannedStep, Sources},
    remote::{Git, Remote},
};

/// Memory that a plan may take.
const PLAN_BYTES_MAX: usize = 64 << 20;

/// All that a plan is made with, and what it has come to.
pub(super) struct Planner<'p> {
    /// Settings of the request.
    pub settings: &'p Settings,
    /// The file, read.
    pub dockerfile: &'p Dockerfile,
    /// Its text.
    pub text: Text<'p>,
    /// The builder.
    pub sources: &'p dyn Sources,
    /// The main context.
    pub main_context: Option<&'p ContextSource>,
    /// The repository that it is, if it is one.
    pub main_git: Option<Git>,
    /// Platform at hand.
    pub target: Platform,
    /// Nobody asked for a platform.
    pub implicit: bool,
    /// Arguments of the whole file.
    pub global: Scope,
    /// The same, for the outline.
    pub outline: Outline,
    /// Time of all that is made, s since 1970.
    pub epoch_s: Option<i64>,
    /// The same, RFC 3339, for history entries.
    pub created: Option<String>,
    /// Roughly what the plan takes in memory so far.
    pub bytes: usize,
    /// The graph.
    pub vertices: Vertices,
    /// What the rules found.
    pub findings: Findings,
    /// The instructions.
    pub steps: Vec<(Span, PlannedStep)>,
}

/// What became of one platform.
pub(super) struct Planned {
    /// The image to make.
    pub target: Target,
    /// What the target and the stages that it needs take, the target first.
    pub outlines: Vec<Outline>,
    /// Number of the target's stage.
    pub stage: usize,
}

impl<'p> Planner<'p> {
    /// Plans for one platform.
    ///
    /// # Errors
    /// What is wrong, with its place.
    pub(super) async fn platform(
        &mut self,
        request: &'p BuildRequest,
        contexts: &Contexts<'p>,
        all_stages: bool,
    ) -> Result<Planned, At> {
        self.read_global_args(request)?;
        let mut table = self.table(contexts)?;
        let target = table.target(&request.target)?;
        table.connect()?;
        let wanted: Vec<usize> =
            if all_stages { (0..table.entries.len()).collect() } else { vec![target] };
        self.look_up(&mut table, &wanted, contexts).await?;
        let mut done: Vec<Option<Finished>> = vec![None; table.entries.len()];
        for number in table.order(&table.reachable(&wanted))? {
            done[number] = Some(work::stage(self, &table, &done, number)?);
        }
        let mut outlines = Vec::new();
        for number in std::iter::once(target).chain(table.reachable(&[target])) {
            outlines.extend(done[number].as_ref().map(|finished| finished.outline.clone()));
        }
        let state = done[target].take().expect("the target is among what is wanted").state;
        let target_image = self.image_of(state, request);
        Ok(Planned { target: target_image, outlines, stage: target })
    }

    fn read_global_args(&mut self, request: &BuildRequest) -> Result<(), At> {
        let last = self.dockerfile.stages.last().and_then(|stage| stage.from.name.as_ref());
        let stage = match request.target.as_str() {
            "" => last.map_or("", |name| &name.name),
            target => target,
        };
        let host = Platform::host();
        let platforms = Platforms { build: &host, target: &self.target };
        let known = args::known(platforms, stage, &self.settings.args);
        let is_reference = |text: &str| text.parse::<Reference>().is_ok();
        let linter = &mut self.findings.linter;
        check::check_default_bases(self.dockerfile, &known, &is_reference, linter);
        self.outline = Outline::default();
        self.global = args::global(self.dockerfile, known, &self.settings.args, &mut self.outline)?;
        // The request's counts more than one of the file.
        self.epoch_s = match self.settings.args.contains_key(EPOCH) {
            true => self.settings.epoch_s,
            false => settings::epoch(self.global.get(EPOCH).map_or("", String::as_str))?,
        };
        self.created = settings::created(self.epoch_s)?;
        Ok(())
    }

    /// Counts what is kept.
    ///
    /// # Errors
    /// When a plan comes to more than anybody means: variables and stages multiply.
    pub(super) fn hold(&mut self, bytes: usize) -> Result<(), At> {
        self.bytes = self.bytes.saturating_add(bytes);
        match self.bytes <= PLAN_BYTES_MAX {
            true => Ok(()),
            false => Err(PlanError::TooLarge(PLAN_BYTES_MAX >> 20).into()),
        }
    }

    /// The stages with their bases and platforms.
    fn table(&mut self, contexts: &Contexts<'_>) -> Result<Table<'p>, At> {
        let mut table = Table::new(self.dockerfile.escape);
        for stage in &self.dockerfile.stages {
            let span = stage.written.span;
            let base = &stage.from.base.text;
            let value = words::word(base, self.dockerfile.escape, &self.global)
                .map_err(|at| at.or_at(span))?;
            if value.text.is_empty() {
                self.check_from(stage, &value, None);
                return Err(PlanError::BlankBase(base.clone()).at(span));
            }
            let mut used = value.names.used.clone();
            let platform = match &stage.from.platform {
                Some(text) => Some(self.stage_platform(&text.text, stage, &value, &mut used)?),
                None => None,
            };
            if platform.is_none() {
                self.check_from(stage, &value, None);
            }
            table.add(stage, &value.text, platform.clone(), used);
            let name = stage.from.name.as_ref().map_or("", |name| name.name.as_str());
            let wanted = platform.as_ref().unwrap_or(&self.target);
            if !name.is_empty() && contexts.find(name, wanted).is_some() {
                table.replace_last(name);
            }
        }
        Ok(table)
    }

    fn check_from(&mut self, stage: &Stage, base: &Value, platform: Option<FromPlatform<'_>>) {
        let linter = &mut self.findings.linter;
        check::check_from(self.dockerfile, stage, &base.names, platform, &self.global, linter);
    }

    fn stage_platform(
        &mut self,
        text: &str,
        stage: &Stage,
        base: &Value,
        used: &mut BTreeSet<String>,
    ) -> Result<Platform, At> {
        let span = stage.written.span;
        let value =
            words::word(text, self.dockerfile.escape, &self.global).map_err(|at| at.or_at(span))?;
        let parsed = value.text.parse::<Platform>();
        let found = parsed.as_ref().ok().cloned().unwrap_or_default();
        let checked = FromPlatform {
            names: &value.names,
            value: &value.text,
            os: &found.os,
            architecture: &found.architecture,
        };
        self.check_from(stage, base, Some(checked));
        let near = || {
            let names = || self.global.keys().map(String::as_str);
            let near = |name: &String| gantry_dockerfile::nearest(name, names());
            value.names.undefined.iter().find_map(near)
        };
        if value.text.is_empty() {
            let error = PlanError::BlankPlatform(text.to_owned());
            return Err(error.at(span).did_you_mean(near()));
        }
        let platform = parsed.map_err(|source| {
            PlanError::Platform { text: text.to_owned(), source }.at(span).did_you_mean(near())
        })?;
        used.extend(value.names.used);
        Ok(platform)
    }

    /// Looks up what the stages need that is no stage, and adds the triggers of their bases; those
    /// can need more.
    async fn look_up(
        &mut self,
        table: &mut Table<'p>,
        wanted: &[usize],
        contexts: &Contexts<'_>,
    ) -> Result<(), At> {
        loop {
            let needed = table.reachable(wanted);
            let unknown = table.unresolved(&needed);
            let resolver = Resolver {
                contexts,
                sources: self.sources,
                target: &self.target,
                implicit: self.implicit,
            };
            let look_ups = unknown.iter().map(|number| {
                let foreign = &table.foreign[*number];
                resolver.resolve(foreign, table)
            });
            let found = try_join_all(look_ups).await?;
            for (number, resolved) in unknown.iter().zip(found) {
                table.foreign[*number].resolved = Some(resolved);
            }
            let triggered = add_triggers(table, &needed)?;
            if unknown.is_empty() && !triggered {
                return Ok(());
            }
        }
    }

    /// The image that a stage becomes.
    fn image_of(&self, state: State, request: &BuildRequest) -> Target {
        let mut config = state.image;
        config.config.get_or_insert_default().labels.extend(request.labels.clone());
        config.created = self.created.clone();
        let target = &self.target;
        if !self.implicit {
            let same = config.os == target.os && config.architecture == target.architecture;
            config.os.clone_from(&target.os);
            config.architecture.clone_from(&target.architecture);
            if !target.variant.is_empty() || !same {
                config.variant.clone_from(&target.variant);
            }
            if !target.os_version.is_empty() || !same {
                config.os_version.clone_from(&target.os_version);
            }
        }
        Target {
            vertex: state.vertex,
            platform: config.platform(),
            config,
            layers_of_history: state.layers,
        }
    }
}

/// Adds the triggers of the bases of stages that have not got them; whether there were any.
fn add_triggers(table: &mut Table<'_>, stages: &BTreeSet<usize>) -> Result<bool, At> {
    let mut any = false;
    for number in stages {
        let entry = &table.entries[*number];
        if entry.triggered || entry.replaced {
            continue;
        }
        let mut triggers = match entry.base {
            Origin::Foreign(foreign) => match &table.foreign[foreign].resolved {
                Some(Resolved::Image(image)) => {
                    image.config.config.as_ref().map(|config| config.on_build.clone())
                }
                _ => None,
            },
            Origin::Scratch | Origin::Stage(_) => None,
        }
        .unwrap_or_default();
        if let Some(base) = table.stage_of(entry.base) {
            triggers.extend(table.triggers_of(base));
        }
        any |= !triggers.is_empty();
        table.trigger(*number, &triggers)?;
    }
    Ok(any)
}

/// The repository that the main context is.
///
/// # Errors
/// When its address is wrong.
pub(super) fn main_git(
    context: Option<&ContextSource>,
    settings: &Settings,
) -> Result<Option<Git>, At> {
    let Some(ContextSource::Git(text)) = context else { return Ok(None) };
    match Remote::parse_context(text).map_err(PlanError::Remote)? {
        Remote::Git(mut git) => {
            if settings.keep_git_directory {
                git.keep_git_directory = Some(true);
            }
            Ok(Some(git))
        }
        Remote::Http(_) | Remote::Local => Err(PlanError::GitContext(text.clone()).into()),
    }
}
