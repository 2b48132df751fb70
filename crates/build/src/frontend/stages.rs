//! The stages of a file: what each builds upon, what it copies of others, which are needed.
//!
//! What a stage needs is another stage, nothing, or something foreign: an image or a named
//! context, which is looked up once its stage turns out to be needed.

use std::{
    borrow::Cow,
    collections::{BTreeSet, HashMap},
};

use gantry_dockerfile::{Dockerfile, Instruction, InstructionKind, Span, Stage};
use gantry_oci::Platform;

use super::{
    error::{At, PlanError},
    foreign::{Foreign, Resolved},
    words,
};

/// The base that is nothing.
pub(super) const SCRATCH: &str = "scratch";

/// Where files come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nowhere.
    Scratch,
    /// The stage with this number.
    Stage(usize),
    /// An image or context, by its number in [`Table::foreign`].
    Foreign(usize),
}

/// A stage.
#[derive(Debug)]
pub(super) struct Entry<'d> {
    /// As written.
    pub stage: &'d Stage,
    /// What it builds upon; a named context with the stage's name replaces the stage.
    pub base: Origin,
    /// It is replaced.
    pub replaced: bool,
    /// `--platform`.
    pub platform: Option<Platform>,
    /// What it is called in names of vertices and in errors.
    pub shown: String,
    /// Its instructions, triggers first.
    pub commands: Vec<Command<'d>>,
    /// Its base's triggers are among them.
    pub triggered: bool,
    /// Arguments that its `FROM` uses.
    pub used: BTreeSet<String>,
}

/// An instruction.
#[derive(Debug, Clone)]
pub(super) struct Command<'d> {
    /// As written.
    pub instruction: Cow<'d, Instruction>,
    /// It is a trigger of the base.
    pub trigger: bool,
    /// Of `COPY --from`, or of each mount in order: where the files come from, if it says so.
    pub from: Vec<Option<Origin>>,
}

/// All stages.
#[derive(Debug, Default)]
pub(super) struct Table<'d> {
    /// In order.
    pub entries: Vec<Entry<'d>>,
    /// What they need that is no stage.
    pub foreign: Vec<Foreign>,
    escape: char,
    by_name: HashMap<String, usize>,
    foreign_by_name: HashMap<(String, Option<Platform>), usize>,
}

impl<'d> Table<'d> {
    /// The stages of a file with this escape character: none yet.
    pub(super) fn new(escape: char) -> Self {
        Self { escape, ..Self::default() }
    }

    /// Adds a stage whose base is given by name.
    pub(super) fn add(
        &mut self,
        stage: &'d Stage,
        base_name: &str,
        platform: Option<Platform>,
        used: BTreeSet<String>,
    ) {
        let base = match self.named(base_name) {
            Some(number) => Origin::Stage(number),
            None if base_name == SCRATCH => Origin::Scratch,
            None => self.foreign(base_name, platform.clone(), stage.written.span),
        };
        let number = self.entries.len();
        let name = stage.from.name.as_ref().map(|name| name.name.clone());
        if let Some(name) = &name {
            self.by_name.insert(name.clone(), number);
        }
        self.entries.push(Entry {
            stage,
            base,
            replaced: false,
            platform,
            shown: name.unwrap_or_else(|| format!("stage-{number}")),
            commands: Vec::new(),
            triggered: false,
            used,
        });
    }

    /// Puts the named context of this name in the place of the stage that was added last.
    pub(super) fn replace_last(&mut self, name: &str) {
        let Some(entry) = self.entries.last() else { return };
        let (platform, span) = (entry.platform.clone(), entry.stage.written.span);
        let base = self.foreign(name, platform, span);
        if let Some(entry) = self.entries.last_mut() {
            entry.base = base;
            entry.replaced = true;
        }
    }

    /// Something foreign by name.
    pub(super) fn foreign(&mut self, name: &str, platform: Option<Platform>, span: Span) -> Origin {
        let key = (name.to_owned(), platform.clone());
        let number = *self.foreign_by_name.entry(key).or_insert_with(|| {
            self.foreign.push(Foreign { name: name.to_owned(), platform, span, resolved: None });
            self.foreign.len() - 1
        });
        Origin::Foreign(number)
    }

    /// Finds out where the files of every stage's instructions come from.
    ///
    /// # Errors
    /// When a stage does not exist, or stages need each other.
    pub(super) fn connect(&mut self) -> Result<(), At> {
        for number in 0..self.entries.len() {
            let stage = self.entries[number].stage;
            let mut commands = Vec::with_capacity(stage.instructions.len());
            for instruction in &stage.instructions {
                commands.push(self.command(Cow::Borrowed(instruction), false)?);
            }
            self.entries[number].commands = commands;
        }
        self.order(&(0..self.entries.len()).collect()).map(drop)
    }

    /// Puts triggers of a stage's base before its instructions.
    ///
    /// # Errors
    /// When one is no instruction, or needs a stage that does not exist.
    pub(super) fn trigger(&mut self, number: usize, triggers: &[String]) -> Result<(), At> {
        let stage = self.entries[number].stage;
        let span = stage.written.span;
        let mut commands = Vec::with_capacity(triggers.len());
        for text in triggers {
            let mut instruction = gantry_dockerfile::parse_trigger(text)
                .map_err(|error| PlanError::Parse(error).at(span))?;
            // What goes wrong in it goes wrong because of this FROM.
            instruction.written.span = span;
            commands.push(self.command(Cow::Owned(instruction), true)?);
        }
        let entry = &mut self.entries[number];
        commands.append(&mut entry.commands);
        entry.commands = commands;
        entry.triggered = true;
        Ok(())
    }

    fn command(
        &mut self,
        instruction: Cow<'d, Instruction>,
        trigger: bool,
    ) -> Result<Command<'d>, At> {
        let span = instruction.written.span;
        let from = match &instruction.kind {
            InstructionKind::Copy(copy) => match &copy.from {
                Some(from) => vec![Some(self.source_of_copy(&from.text, span)?)],
                None => Vec::new(),
            },
            InstructionKind::Run(run) => {
                let sources = words::mount_sources(run, self.escape);
                let source = |name: &String| match name.as_str() {
                    "" => None,
                    name => Some(self.source(name, span)),
                };
                sources.iter().map(source).collect()
            }
            _ => Vec::new(),
        };
        Ok(Command { instruction, trigger, from })
    }

    fn source_of_copy(&mut self, name: &str, span: Span) -> Result<Origin, At> {
        if name.contains('$') {
            return Err(PlanError::FromVariable.at(span));
        }
        match name.parse::<i64>() {
            Ok(number) => usize::try_from(number)
                .ok()
                .filter(|number| *number < self.entries.len())
                .map(Origin::Stage)
                .ok_or_else(|| PlanError::StageNumber(number).at(span)),
            Err(_) => Ok(self.source(name, span)),
        }
    }

    fn source(&mut self, name: &str, span: Span) -> Origin {
        match self.named(name) {
            Some(number) => Origin::Stage(number),
            None if name == SCRATCH => Origin::Scratch,
            None => self.foreign(name, None, span),
        }
    }

    /// The stage with this name, in any case; the last one of several.
    pub(super) fn named(&self, name: &str) -> Option<usize> {
        self.by_name.get(&name.to_lowercase()).copied()
    }

    /// The stage that is to be built: by name or number, the last one if nothing is said.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn target(&self, name: &str) -> Result<usize, At> {
        if name.is_empty() {
            return Ok(self.entries.len().saturating_sub(1));
        }
        let by_number = || name.parse().ok().filter(|number| *number < self.entries.len());
        self.named(name).or_else(by_number).ok_or_else(|| {
            let names = self.entries.iter().map(|entry| entry.shown.as_str());
            let near = gantry_dockerfile::nearest(name, names);
            At::from(PlanError::Target(name.to_owned())).did_you_mean(near)
        })
    }

    /// What a stage needs, with the place that says so.
    fn needs(&self, number: usize) -> impl Iterator<Item = (Origin, Span)> {
        let entry = &self.entries[number];
        let base = (entry.base, entry.stage.written.span);
        // A stage that a context replaces does nothing of its own.
        let commands = if entry.replaced { &[] } else { entry.commands.as_slice() };
        let sources = commands.iter().flat_map(|command| {
            let span = command.instruction.written.span;
            command.from.iter().flatten().map(move |origin| (*origin, span))
        });
        std::iter::once(base).chain(sources)
    }

    /// The stage behind an origin, also if it stands for it as a named context.
    pub(super) fn stage_of(&self, origin: Origin) -> Option<usize> {
        match origin {
            Origin::Scratch => None,
            Origin::Stage(number) => Some(number),
            Origin::Foreign(number) => match self.foreign[number].resolved {
                Some(Resolved::Stage(number)) => Some(number),
                _ => None,
            },
        }
    }

    /// The stages that these need, themselves included.
    pub(super) fn reachable(&self, from: &[usize]) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut open = from.to_vec();
        while let Some(number) = open.pop() {
            if found.insert(number) {
                open.extend(self.needs(number).filter_map(|(origin, _)| self.stage_of(origin)));
            }
        }
        found
    }

    /// The foreign things that some stages need and that are not looked up yet.
    pub(super) fn unresolved(&self, stages: &BTreeSet<usize>) -> Vec<usize> {
        let needed: BTreeSet<usize> = stages
            .iter()
            .flat_map(|number| self.needs(*number))
            .filter_map(|(origin, _)| match origin {
                Origin::Foreign(number) => Some(number),
                Origin::Scratch | Origin::Stage(_) => None,
            })
            .collect();
        needed.into_iter().filter(|number| self.foreign[*number].resolved.is_none()).collect()
    }

    /// These stages so that each comes after those that it needs, and else in the file's order.
    ///
    /// # Errors
    /// When stages need each other.
    pub(super) fn order(&self, stages: &BTreeSet<usize>) -> Result<Vec<usize>, At> {
        let mut order = Vec::with_capacity(stages.len());
        let mut done = vec![false; self.entries.len()];
        let mut on_the_way = vec![false; self.entries.len()];
        for first in stages {
            // Not by recursion: a file can have many thousands of stages.
            let mut way = vec![(*first, self.stages_needed(*first))];
            while let Some((number, needs)) = way.last_mut() {
                let number = *number;
                if done[number] {
                    way.pop();
                    continue;
                }
                on_the_way[number] = true;
                let Some((needed, span)) = needs.pop() else {
                    on_the_way[number] = false;
                    done[number] = true;
                    order.push(number);
                    way.pop();
                    continue;
                };
                if on_the_way[needed] {
                    let shown = self.entries[needed].shown.clone();
                    return Err(PlanError::Circular(shown).at(span));
                }
                if !done[needed] {
                    way.push((needed, self.stages_needed(needed)));
                }
            }
        }
        Ok(order)
    }

    fn stages_needed(&self, number: usize) -> Vec<(usize, Span)> {
        let stage = |(origin, span)| self.stage_of(origin).map(|number| (number, span));
        self.needs(number).filter_map(stage).collect()
    }

    /// The instructions of a stage that its children run: the texts of its `ONBUILD`.
    pub(super) fn triggers_of(&self, number: usize) -> Vec<String> {
        let text = |command: &Command<'_>| match &command.instruction.kind {
            InstructionKind::Onbuild(text) => Some(text.clone()),
            _ => None,
        };
        self.entries[number].commands.iter().filter_map(text).collect()
    }
}

/// How many vertices a stage shows: its base, unless that is a stage or nothing, and each
/// instruction that works on files.
pub(super) fn total(entry: &Entry<'_>) -> usize {
    let base = usize::from(matches!(entry.base, Origin::Foreign(_)));
    let works = |command: &&Command<'_>| {
        matches!(
            command.instruction.kind,
            InstructionKind::Add(_)
                | InstructionKind::Copy(_)
                | InstructionKind::Run(_)
                | InstructionKind::Workdir(_)
        )
    };
    base + entry.commands.iter().filter(works).count()
}

/// Whether any `ARG` of the file declares a name.
pub(super) fn declares(dockerfile: &Dockerfile, name: &str) -> bool {
    let local = |instruction: &Instruction| match &instruction.kind {
        InstructionKind::Arg(args) => args.iter().any(|arg| arg.name == name),
        _ => false,
    };
    dockerfile.global_args.iter().flat_map(|global| &global.args).any(|arg| arg.name == name)
        || dockerfile.stages.iter().flat_map(|stage| &stage.instructions).any(local)
}
