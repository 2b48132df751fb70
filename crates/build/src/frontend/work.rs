//! One stage, instruction by instruction.

use gantry_build_proto::ContextSource;
use gantry_dockerfile::{
    Instruction, InstructionKind, Span,
    check::{self, StageCheck},
};
use gantry_oci::Platform;

use super::{
    error::{At, PlanError},
    findings::Findings,
    foreign::{Image, Resolved},
    naming::{Naming, upper},
    outline::Outline,
    planner::Planner,
    stages::{Command, Entry, Origin, Table, total},
    state::{self, State},
    variables::Variables,
    vertices::Shown,
    words,
};
use crate::{
    graph::{ContextTree, Copy, CopyItem, ImageSource, Op, VertexId},
    plan::PlannedStep,
};

/// A stage that is being worked on.
pub(super) struct Work<'w, 'p> {
    /// The whole plan.
    pub planner: &'w mut Planner<'p>,
    /// All stages.
    pub table: &'w Table<'p>,
    /// Those that are done, by number.
    pub done: &'w [Option<Finished>],
    /// This one's number.
    pub number: usize,
    /// What it has come to.
    pub state: State,
    /// Its vertices' names.
    pub naming: Naming,
    /// Its arguments, secrets and agents.
    pub outline: Outline,
    /// Nothing of it is taken from the cache.
    pub fresh: bool,
    /// What the rules know of it.
    pub check: StageCheck,
    /// It has a `CMD` of its own.
    pub has_cmd: bool,
    /// The instruction at hand is a trigger.
    pub trigger: bool,
}

/// A stage that is done.
#[derive(Debug, Clone)]
pub(super) struct Finished {
    /// What it came to.
    pub state: State,
    /// Its arguments, secrets and agents.
    pub outline: Outline,
    /// What the rules know of it.
    pub check: StageCheck,
}

/// Works on a stage whose needs are all done.
///
/// # Errors
/// The first instruction that is wrong, with its place.
pub(super) fn stage<'p>(
    planner: &mut Planner<'p>,
    table: &Table<'p>,
    done: &[Option<Finished>],
    number: usize,
) -> Result<Finished, At> {
    let entry = &table.entries[number];
    let name = entry.stage.from.name.as_ref().map_or("", |name| name.name.as_str());
    let fresh = planner.settings.is_fresh(name);
    let platform = entry.platform.clone().unwrap_or_else(|| planner.target.clone());
    let shown_platform = planner.settings.multi_platform.then(|| platform.clone());
    // The only stage needs no name.
    let shown = if table.entries.len() == 1 { "" } else { &entry.shown };
    let mut naming = Naming::of(shown, total(entry), shown_platform);
    let mut finished = begin(planner, table, done, entry, &platform, &mut naming)?;
    finished.outline.uses(&entry.used);
    let Finished { state, outline, check } = finished;
    let mut work = Work {
        planner,
        table,
        done,
        number,
        state,
        naming,
        outline,
        fresh,
        check,
        has_cmd: false,
        trigger: false,
    };
    let from = work.state.vertex;
    work.step(&entry.stage.written.text, entry.stage.written.span, Some(from), false);
    if !entry.replaced {
        for command in &entry.commands {
            let span = command.instruction.written.span;
            work.instruction(command).map_err(|at| at.or_at(span))?;
        }
    }
    Ok(Finished { state: work.state, outline: work.outline, check: work.check })
}

/// The state that a stage begins with.
fn begin<'p>(
    planner: &mut Planner<'p>,
    table: &Table<'p>,
    done: &[Option<Finished>],
    entry: &Entry<'p>,
    platform: &Platform,
    naming: &mut Naming,
) -> Result<Finished, At> {
    let created = planner.created.clone();
    if let Some(base) = table.stage_of(entry.base).and_then(|number| done[number].as_ref()) {
        planner.hold(base.state.bytes)?;
        return Ok(Finished {
            state: base.state.child(),
            outline: base.outline.clone(),
            check: StageCheck::of_stage(&base.check),
        });
    }
    let nothing = |planner: &mut Planner<'p>, platform: &Platform| {
        let vertex = planner.vertices.scratch();
        State::new(vertex, state::scratch(platform), platform.clone(), created.clone())
    };
    let resolved = match entry.base {
        Origin::Foreign(number) => table.foreign[number].resolved.clone(),
        Origin::Scratch | Origin::Stage(_) => None,
    };
    let mut state = match resolved {
        None | Some(Resolved::Empty | Resolved::Stage(_)) => nothing(planner, platform),
        Some(Resolved::Image(image)) => {
            let platform = planner.platform_of(&image, entry, platform);
            let text = format!("FROM {}", image.name);
            let mut shown = planner.shown(&entry.stage.written.text, entry.stage.written.span);
            shown.name = match &image.context {
                Some(key) => format!("[context {key}] {}", image.name),
                None => naming.next(&text, &Variables::default(), false),
            };
            let vertex = planner.image(&image, shown);
            let mut config = state::inherited(&image.config);
            // Its triggers are among the stage's instructions by now.
            config.config.get_or_insert_default().on_build.clear();
            State::new(vertex, config, platform, created)
        }
        Some(files) => {
            let text = format!("FROM {}", entry.stage.from.base.text);
            let mut shown = planner.shown(&entry.stage.written.text, entry.stage.written.span);
            shown.name = naming.next(&text, &Variables::default(), false);
            let tree = planner.files(&files);
            let vertex = planner.tree_as_base(tree, shown);
            let mut state = nothing(planner, platform);
            state.vertex = vertex;
            state
        }
    };
    let check = StageCheck::of_image(!state.config().shell.is_empty());
    Ok(Finished { state, outline: planner.outline.clone(), check })
}

impl Work<'_, '_> {
    fn instruction(&mut self, command: &Command<'_>) -> Result<(), At> {
        let instruction: &Instruction = &command.instruction;
        self.trigger = command.trigger;
        let before = self.state.vertex;
        let expanded = self.expand(instruction)?;
        if self.planner.findings.is_open() {
            let Findings { linter, ignored } = &mut self.planner.findings;
            self.check.instruction(instruction, &expanded, linter);
            check::check_ignored_sources(instruction, &expanded, ignored, linter);
        }
        let held = self.state.bytes;
        match &expanded {
            InstructionKind::Add(add) => self.add(add, instruction)?,
            InstructionKind::Arg(args) => self.arg(args, instruction)?,
            InstructionKind::Cmd(line) => self.cmd(line),
            InstructionKind::Copy(copy) => self.copy(copy, command)?,
            InstructionKind::Entrypoint(line) => self.entrypoint(line),
            InstructionKind::Env(pairs) => self.env(pairs),
            InstructionKind::Expose(words) => self.expose(words)?,
            InstructionKind::Healthcheck(check) => self.healthcheck(check),
            InstructionKind::Label(pairs) => self.label(pairs),
            InstructionKind::Maintainer(name) => self.maintainer(name),
            InstructionKind::Onbuild(text) => self.state.config().on_build.push(text.clone()),
            InstructionKind::Run(run) => self.run(run, command)?,
            InstructionKind::Shell(shell) => self.shell(shell),
            InstructionKind::Stopsignal(signal) => self.stopsignal(&signal.text)?,
            InstructionKind::User(user) => self.user(&user.text),
            InstructionKind::Volume(words) => self.volume(words)?,
            InstructionKind::Workdir(path) => self.workdir(&path.text, instruction)?,
        }
        self.planner.hold(self.state.bytes - held)?;
        let vertex = (self.state.vertex != before).then_some(self.state.vertex);
        let written = &instruction.written;
        self.step(&written.text, written.span, vertex, command.trigger);
        Ok(())
    }

    /// The instruction with the values of its variables.
    fn expand(&mut self, instruction: &Instruction) -> Result<InstructionKind, At> {
        let escape = self.planner.dockerfile.escape;
        let (kind, names) = words::instruction(&instruction.kind, escape, &self.state.variables)?;
        self.planner.findings.variables(&names, &self.state, &instruction.written);
        Ok(kind)
    }

    fn step(&mut self, instruction: &str, span: Span, vertex: Option<VertexId>, trigger: bool) {
        let place = Some(self.planner.text.place(span));
        let instruction = instruction.to_owned();
        self.planner.steps.push((span, PlannedStep { instruction, vertex, place, trigger }));
    }

    /// What the next vertex of this stage is called: `name` has its variables' values.
    pub(super) fn shown(&mut self, instruction: &Instruction, name: &str) -> Shown {
        let written = &instruction.written;
        let mut shown = self.planner.shown(&written.text, written.span);
        shown.name = self.naming.next(&upper(name), &self.state.variables, self.trigger);
        shown
    }

    /// The vertex that files of a `--from` or a mount are taken of.
    ///
    /// # Errors
    /// When it is a later stage, which only a named context may stand for.
    pub(super) fn source(&mut self, origin: Option<Origin>) -> Result<VertexId, At> {
        let Some(origin) = origin else { return Ok(self.planner.main_context()) };
        if let Origin::Stage(number) = origin
            && number > self.number
        {
            let shown = |number: usize| self.table.entries[number].shown.clone();
            let (from, stage) = (shown(number), shown(self.number));
            return Err(PlanError::LaterStage { from, stage }.into());
        }
        let stage = self.table.stage_of(origin).and_then(|number| self.done[number].as_ref());
        if let Some(finished) = stage {
            return Ok(finished.state.vertex);
        }
        let resolved = match origin {
            Origin::Foreign(number) => self.table.foreign[number].resolved.as_ref(),
            Origin::Scratch | Origin::Stage(_) => None,
        };
        Ok(match resolved {
            None | Some(Resolved::Empty | Resolved::Stage(_)) => self.planner.vertices.scratch(),
            Some(Resolved::Image(image)) => {
                let name = match &image.context {
                    Some(key) => format!("[context {key}] {}", image.name),
                    None => format!("FROM {}", image.name),
                };
                self.planner.image(image, Shown::named(name))
            }
            Some(files) => self.planner.files(files),
        })
    }
}

impl<'p> Planner<'p> {
    /// What a vertex of an instruction is called, but for the name.
    fn shown(&self, instruction: &str, span: Span) -> Shown {
        Shown {
            name: String::new(),
            instruction: instruction.to_owned(),
            place: Some(self.text.place(span)),
        }
    }

    /// Platform that a stage on top of an image runs on. Where nobody asked for one, an image of
    /// another platform that runs here decides.
    fn platform_of(&mut self, image: &Image, entry: &Entry<'_>, wanted: &Platform) -> Platform {
        let own = image.config.platform();
        let known = !own.os.is_empty() && !own.architecture.is_empty();
        if !known || own.matches(wanted) {
            return wanted.clone();
        }
        if self.implicit && entry.platform.is_none() && self.sources.runs(&own) {
            return own;
        }
        let name = &entry.stage.from.base.text;
        let (expected, actual) = (wanted.to_string(), own.to_string());
        let linter = &mut self.findings.linter;
        check::check_base_platform(entry.stage, name, &expected, &actual, linter);
        wanted.clone()
    }

    fn image(&mut self, image: &Image, shown: Shown) -> VertexId {
        if image.config.rootfs.diff_ids.is_empty() {
            return self.vertices.scratch();
        }
        self.vertices.push(Op::Image(ImageSource { id: image.id.clone() }), shown, false)
    }

    /// The files of a context or repository, as a source.
    fn files(&mut self, files: &Resolved) -> VertexId {
        match files {
            Resolved::Files(key) => {
                let shown = Shown::named(format!("[context {key}] load from client"));
                self.vertices.push(Op::Context(ContextTree { name: key.clone() }), shown, false)
            }
            Resolved::Git(key, git) => {
                let shown = Shown::named(format!("[context {key}] {}", git.url));
                self.vertices.push(Op::Git(git.source()), shown, false)
            }
            Resolved::Image(_) | Resolved::Stage(_) | Resolved::Empty => self.vertices.scratch(),
        }
    }

    /// A file system made of a context's files: contexts are no bases themselves.
    fn tree_as_base(&mut self, tree: VertexId, shown: Shown) -> VertexId {
        let copy = Copy {
            base: Some(self.vertices.scratch()),
            items: vec![CopyItem {
                from: tree,
                source: "/".to_owned(),
                pivot: None,
                unpack: false,
                wildcards: false,
                may_be_absent: false,
            }],
            destination: "/".to_owned(),
            owner: None,
            mode: None,
            parents: false,
            exclude: Vec::new(),
            epoch_s: self.epoch_s,
        };
        self.vertices.push(Op::Copy(Box::new(copy)), shown, false)
    }

    /// The build context.
    pub(super) fn main_context(&mut self) -> VertexId {
        match self.main_context {
            None | Some(ContextSource::Empty) => self.vertices.scratch(),
            Some(ContextSource::Git(_)) => match &self.main_git {
                Some(git) => {
                    let shown = Shown::named(format!("[internal] load git source {}", git.url));
                    self.vertices.push(Op::Git(git.source()), shown, false)
                }
                None => self.vertices.scratch(),
            },
            Some(_) => {
                let shown = Shown::named("[internal] load build context");
                self.vertices.push(Op::Context(ContextTree { name: String::new() }), shown, false)
            }
        }
    }
}
