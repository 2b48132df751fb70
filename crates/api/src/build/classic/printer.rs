//! The classic builder's words for how a build goes, in the Dockerfile's order.
//!
//! Steps are worked on in parallel; what is printed is of one step at a time, and what the others
//! print meanwhile waits until it is their turn.
//!
//! ```text
//! Step 2/3 : RUN make
//!  ---> Running in 4ee47a7f5b0e       unless the cache had it: " ---> Using cache"
//! ...                                 what it prints
//! Removing intermediate container 4ee47a7f5b0e
//!  ---> 93f3a14b5ea1
//! ```
//!
//! Triggers of a base are part of its step, between the line and the id. Steps that only change
//! the configuration are no work of ours; they read as they do in Docker, which makes a container
//! for each that it has not seen before.
//!
//! Docker has an image of each step. There is none here, but the ids are what they would be: those
//! of equal steps upon equal ones are equal, and all others differ.

use std::collections::{BTreeMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use gantry_api_types::build::BuildResult;
use gantry_api_types::image::{ErrorDetail, JsonMessage};
use gantry_build::Instruction;
use gantry_build_proto::{Built, Cached, Completed, Failure, Log, Progress, Stream};
use gantry_oci::Digest;

use super::words;

/// Bytes of steps that wait for their turn to be printed.
const WAITING_BYTES: usize = 8 << 20;
/// Configurations that are known to have been seen.
const SEEN: usize = 16 << 10;
/// Digits of a short id.
const SHORT: usize = 12;

/// Configurations that were built before, by the ids that were shown for them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<HashSet<String>>>);

impl Seen {
    /// Notes an id; whether it was there.
    fn note(&self, id: &str) -> bool {
        let mut seen = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= SEEN {
            seen.clear();
        }
        !seen.insert(id.to_owned())
    }

    /// Forgets all of them, as the cache does.
    pub(in crate::build) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

/// What is printed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Style {
    /// Tell that steps' containers are removed.
    pub(super) remove: bool,
    /// Also of one that fails.
    pub(super) force_remove: bool,
    /// The image's id goes out as data for programs, too.
    pub(super) aux: bool,
    /// Nothing is taken from the cache.
    pub(super) no_cache: bool,
    /// Labels that the request gives the image.
    pub(super) labels: BTreeMap<String, String>,
}

/// A vertex, as far as is known.
#[derive(Debug, Default)]
struct Work {
    started: bool,
    /// Printed, but not yet its turn.
    waiting: VecDeque<Log>,
    completed: Option<Completed>,
}

/// What kind of step it is, for what is printed around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    From,
    /// `ARG` before the first `FROM`, which changes nothing.
    GlobalArg,
    Copy,
    /// All that Docker makes a container for.
    Other,
}

/// Turns progress into messages.
#[derive(Debug)]
pub(super) struct Printer {
    style: Style,
    seen: Seen,
    instructions: Vec<Instruction>,
    work: BTreeMap<u32, Work>,
    waiting_bytes: usize,
    /// The instruction whose turn it is, and how much of it was printed.
    turn: usize,
    announced: bool,
    running: bool,
    settled: bool,
    /// The id that was shown last.
    id: String,
    /// What the container of the step that runs is called.
    container: String,
    /// The first stage has begun.
    begun: bool,
    /// The name of the stage at hand, and the last ids of those before, by their names.
    stage: String,
    stages: BTreeMap<String, String>,
    /// Something of the build itself is being worked on: its text was understood.
    pub(super) understood: bool,
    out: Vec<JsonMessage>,
}

impl Printer {
    /// A printer that has printed nothing.
    pub(super) fn new(style: Style, seen: Seen) -> Self {
        Self {
            style,
            seen,
            instructions: Vec::new(),
            work: BTreeMap::new(),
            waiting_bytes: 0,
            turn: 0,
            announced: false,
            running: false,
            settled: false,
            id: String::new(),
            container: String::new(),
            begun: false,
            stage: String::new(),
            stages: BTreeMap::new(),
            understood: false,
            out: Vec::new(),
        }
    }

    /// What was printed since the last call.
    pub(super) fn take(&mut self) -> Vec<JsonMessage> {
        std::mem::take(&mut self.out)
    }

    /// It is known what will be done. What the request labels the image with are steps, too.
    pub(super) fn planned(&mut self, instructions: &[Instruction]) {
        self.understood = true;
        let labels = self.style.labels.iter().map(|(name, value)| Instruction {
            text: format!("LABEL {name}={value}"),
            vertex: None,
            trigger: false,
        });
        self.instructions = instructions.iter().cloned().chain(labels).collect();
        self.advance();
    }

    /// Something happened.
    pub(super) fn progress(&mut self, progress: Progress) {
        match progress {
            Progress::Vertex(vertex) => {
                self.understood |= vertex.name.starts_with("[internal] load metadata for ");
            }
            Progress::Started(started) => {
                self.work.entry(started.vertex).or_default().started = !started.cached;
            }
            Progress::Log(log) => return self.log(log),
            Progress::Completed(completed) => {
                let work = self.work.entry(completed.vertex).or_default();
                work.completed = Some(completed);
            }
            Progress::Status { .. } | Progress::Warning(_) => return,
        }
        self.advance();
    }

    /// It is built.
    pub(super) fn built(&mut self, built: &Built) {
        // What was not told of is done all the same.
        while self.turn + 1 < self.instructions.len() {
            self.announce();
            self.finish_step();
        }
        let id = short(&built.image).to_owned();
        if self.turn < self.instructions.len() {
            self.announce();
            self.settle();
            self.end_step(&id);
        }
        if self.style.aux && !built.image.is_empty() {
            let aux = serde_json::to_value(BuildResult { id: built.image.clone() }).ok();
            self.out.push(JsonMessage { aux, ..JsonMessage::default() });
        }
        for warning in built.warnings.iter().filter(|warning| warning.rule.is_empty()) {
            self.say(format!("[Warning] {}\n", warning.message));
        }
        self.say(format!("Successfully built {id}\n"));
        for name in &built.names {
            self.say(format!("Successfully tagged {name}\n"));
        }
    }

    /// It is not built.
    pub(super) fn failed(&mut self, failure: &Failure) {
        let left = self.instructions.get(self.turn..).unwrap_or_default();
        let mut step = "";
        if let Some(ahead) = left.iter().position(|one| self.has_failed(one)) {
            if ahead > 0 {
                // Another stage was quicker to fail than this one to get there.
                (self.turn, self.announced, self.running) = (self.turn + ahead, false, false);
            }
            self.announce();
            self.run();
            self.print_waiting();
            if self.running && self.style.force_remove {
                self.removed();
            }
            step = &self.instructions[self.turn].text;
        }
        let message = words::late(failure, step);
        let detail = ErrorDetail { code: failure.exit_code.into(), message: message.clone() };
        let error_detail = Some(detail);
        self.out.push(JsonMessage { error_detail, error: message, ..JsonMessage::default() });
    }

    fn has_failed(&self, instruction: &Instruction) -> bool {
        let work = instruction.vertex.and_then(|vertex| self.work.get(&vertex));
        let error = work.and_then(|work| work.completed.as_ref()?.error.as_deref());
        error.is_some_and(|error| error != CANCELLED)
    }

    /// Prints as far as it is known.
    fn advance(&mut self) {
        while let Some(instruction) = self.instructions.get(self.turn) {
            let vertex = instruction.vertex;
            self.announce();
            if let Some(vertex) = vertex {
                let Some(work) = self.work.get(&vertex) else { return };
                let done = work.completed.as_ref().is_some_and(|done| done.error.is_none());
                if work.started && !done {
                    self.run();
                    self.print_waiting();
                }
                if !done {
                    return;
                }
            }
            // The last one's id is the image's, which is told with the end.
            if self.turn + 1 == self.instructions.len() {
                return self.settle();
            }
            self.finish_step();
        }
    }

    fn announce(&mut self) {
        if std::mem::replace(&mut self.announced, true) {
            return;
        }
        if self.instructions[self.turn].trigger {
            return self.announce_triggers();
        }
        let text = self.instructions[self.turn].text.clone();
        let steps = |part: &[Instruction]| part.iter().filter(|one| !one.trigger).count();
        let (number, all) = (steps(&self.instructions[..=self.turn]), steps(&self.instructions));
        self.say(format!("Step {number}/{all} : {text}"));
        self.say("\n".to_owned());
    }

    /// Tells of a base's triggers, before the first.
    fn announce_triggers(&mut self) {
        if self.turn.checked_sub(1).is_some_and(|last| self.instructions[last].trigger) {
            return;
        }
        let triggers = self.instructions[self.turn..].iter().take_while(|one| one.trigger);
        let count = triggers.count();
        self.say(format!("# Executing {count} build trigger"));
        if count > 1 {
            self.say("s".to_owned());
        }
        self.say("\n".to_owned());
    }

    /// Tells that the step runs, once.
    fn run(&mut self) {
        if self.running || self.kind() != Kind::Other {
            return;
        }
        self.running = true;
        self.container = self.new_container();
        self.say(format!(" ---> Running in {}\n", self.container));
    }

    fn removed(&mut self) {
        self.say(format!("Removing intermediate container {}\n", self.container));
    }

    /// Prints what is to be said of a step that is done, all but its id; once.
    fn settle(&mut self) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        let vertex = self.instructions[self.turn].vertex;
        let work = vertex.and_then(|vertex| self.work.get(&vertex));
        let completed = work.and_then(|work| work.completed.as_ref());
        let hit = completed.map_or(Cached::No, |done| done.cached);
        let result = completed.map_or("", |done| short(&done.result)).to_owned();
        let next = match self.kind() {
            Kind::GlobalArg => return,
            Kind::From => self.begin_stage(result),
            Kind::Copy | Kind::Other => self.new_id(&result),
        };
        let seen = self.seen.note(&next);
        let cached = match hit {
            Cached::Hit => true,
            Cached::Miss => false,
            Cached::No => seen && !self.style.no_cache,
        };
        self.id = next;
        if self.kind() == Kind::From {
            return;
        }
        if cached && !self.running {
            return self.say(" ---> Using cache\n".to_owned());
        }
        self.run();
        self.print_waiting();
        if self.running && self.style.remove {
            self.removed();
        }
    }

    fn finish_step(&mut self) {
        self.settle();
        let id = self.id.clone();
        self.end_step(&id);
    }

    fn end_step(&mut self, id: &str) {
        let is_global = self.kind() == Kind::GlobalArg;
        self.turn += 1;
        if !self.stage.is_empty() {
            self.stages.insert(self.stage.clone(), id.to_owned());
        }
        // Triggers that follow belong to the step.
        if !is_global && !self.instructions.get(self.turn).is_some_and(|next| next.trigger) {
            self.say(format!(" ---> {id}\n"));
        }
        (self.announced, self.running, self.settled) = (false, false, false);
    }

    fn log(&mut self, log: Log) {
        let current = self.instructions.get(self.turn).and_then(|one| one.vertex);
        if current == Some(log.vertex) && self.announced {
            self.run();
            return self.print(&log);
        }
        if self.waiting_bytes < WAITING_BYTES {
            self.waiting_bytes += log.text.len();
            self.work.entry(log.vertex).or_default().waiting.push_back(log);
        }
    }

    fn print_waiting(&mut self) {
        let vertex = self.instructions[self.turn].vertex;
        let Some(work) = vertex.and_then(|vertex| self.work.get_mut(&vertex)) else { return };
        for log in std::mem::take(&mut work.waiting) {
            self.waiting_bytes -= log.text.len();
            self.print(&log);
        }
    }

    fn print(&mut self, log: &Log) {
        self.say(match log.stream {
            Stream::Out => log.text.clone(),
            // Red, as Docker's client has no other way to tell it.
            Stream::Err => format!("\u{1b}[91m{}\u{1b}[0m", log.text),
        });
    }

    fn say(&mut self, stream: String) {
        self.out.push(JsonMessage { stream, ..JsonMessage::default() });
    }

    fn kind(&self) -> Kind {
        let text = &self.instructions[self.turn].text;
        let word = text.split_ascii_whitespace().next().unwrap_or_default();
        match word.to_ascii_uppercase().as_str() {
            "FROM" => Kind::From,
            "ARG" if !self.begun => Kind::GlobalArg,
            "COPY" | "ADD" => Kind::Copy,
            _ => Kind::Other,
        }
    }

    /// The id that a stage begins with: its base's.
    fn begin_stage(&mut self, result: String) -> String {
        let text = &self.instructions[self.turn].text;
        let mut words =
            text.split_ascii_whitespace().skip(1).filter(|word| !word.starts_with("--"));
        let base = words.next().unwrap_or_default().to_lowercase();
        self.begun = true;
        self.stage = words.nth(1).unwrap_or_default().to_lowercase();
        match self.stages.get(&base) {
            Some(id) => id.clone(),
            // There is nothing at all in it, and so no id.
            None if base == "scratch" => String::new(),
            None if result.is_empty() => self.new_id(&result),
            None => result,
        }
    }

    /// The id of what a step comes to upon those before.
    fn new_id(&self, result: &str) -> String {
        let text = format!("{}\n{}\n{result}", self.id, self.instructions[self.turn].text);
        Digest::of(text.as_bytes()).hex()[..SHORT].to_owned()
    }

    /// What the step's container would be called.
    fn new_container(&self) -> String {
        let text = format!("{}\n{}\n{}", self.id, self.turn, self.instructions[self.turn].text);
        Digest::of(text.as_bytes()).hex()[..SHORT].to_owned()
    }
}

/// The words of a vertex that ended because another failed.
const CANCELLED: &str = "context canceled";

/// The first digits of an id.
fn short(id: &str) -> &str {
    let hex = id.rsplit_once(':').map_or(id, |(_, hex)| hex);
    hex.get(..SHORT).unwrap_or(hex)
}

#[cfg(test)]
mod tests;
