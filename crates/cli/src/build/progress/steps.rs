//! What is known of a build's steps; both text modes draw from it.

use std::collections::BTreeMap;

use gantry_build_proto::{Cached, Completed, Progress};

use super::log::{Kept, Lines};

/// Clocks that differ by less are taken to agree: messages take some time, too.
const SKEW_MIN_NS: i64 = 1_000_000_000;

/// A part of a step: a transfer, a layer that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) current: u64,
    pub(crate) total: u64,
    pub(crate) done: bool,
    pub(crate) began_ns: i64,
    pub(crate) changed_ns: i64,
}

impl Part {
    /// As it is shown, without its time.
    pub(crate) fn label(&self) -> String {
        let colon = if self.name.starts_with("transferring ") { ":" } else { "" };
        let name = super::text::safe(&self.name, false);
        // What is done need not be measured against the whole.
        let total = if self.done && self.current == self.total { 0 } else { self.total };
        format!("{name}{colon}{}", super::text::amount(self.current, total))
    }

    pub(crate) fn span_ns(&self) -> i64 {
        self.changed_ns - self.began_ns
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    Done,
    Cached,
    Canceled,
    Failed(String),
}

/// A step.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) name: String,
    pub(crate) started_ns: Option<i64>,
    pub(crate) ended: Option<(i64, End)>,
    /// Why the cache had it or not.
    pub(crate) why: String,
    pub(crate) parts: Vec<Part>,
    pub(crate) lines: Lines,
    pub(crate) kept: Kept,
}

impl Step {
    pub(crate) fn is_running(&self) -> bool {
        self.started_ns.is_some() && self.ended.is_none()
    }

    pub(crate) fn is_seen(&self) -> bool {
        self.started_ns.is_some() || self.ended.is_some()
    }

    pub(crate) fn failed(&self) -> bool {
        matches!(self.ended, Some((_, End::Failed(_))))
    }

    /// Time that it has taken until now.
    pub(crate) fn span_ns(&self, now_ns: i64) -> i64 {
        let until = self.ended.as_ref().map_or(now_ns, |(at, _)| *at);
        self.started_ns.map_or(0, |started| (until - started).max(0))
    }
}

/// What an event changed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// Nothing that is shown.
    Nothing,
    /// The step began or ended.
    Step(u32),
    /// A part of it, by its index.
    Part(u32, usize),
    /// It printed lines, each with its time in the step.
    Lines(u32, Vec<(i64, String)>),
}

/// All steps, by number.
#[derive(Debug)]
pub(crate) struct Steps {
    pub(crate) all: BTreeMap<u32, Step>,
    lines_max: usize,
    bytes_max: usize,
    /// How far the daemon's clock is behind this one, once it has told a time.
    skew_ns: Option<i64>,
}

impl Steps {
    /// None yet; of each one's output so many lines and bytes will be kept.
    pub(crate) fn new(lines_max: usize, bytes_max: usize) -> Self {
        Self { all: BTreeMap::new(), lines_max, bytes_max, skew_ns: None }
    }

    /// A time of the daemon's by this machine's clock; two clocks that agree are left alone.
    fn here(&mut self, at_ns: i64, now_ns: i64) -> i64 {
        let skew = *self.skew_ns.get_or_insert_with(|| {
            let skew = now_ns.saturating_sub(at_ns);
            if skew.abs() > SKEW_MIN_NS { skew } else { 0 }
        });
        at_ns.saturating_add(skew)
    }

    fn step(&mut self, vertex: u32) -> &mut Step {
        let (lines_max, bytes_max) = (self.lines_max, self.bytes_max);
        self.all.entry(vertex).or_insert_with(|| Step {
            name: String::new(),
            started_ns: None,
            ended: None,
            why: String::new(),
            parts: Vec::new(),
            lines: Lines::default(),
            kept: Kept::new(lines_max, bytes_max),
        })
    }

    /// Takes an event.
    pub(crate) fn event(&mut self, event: Progress, now_ns: i64) -> Change {
        match event {
            Progress::Vertex(vertex) => {
                self.step(vertex.id).name = one_line(&vertex.name);
                Change::Nothing
            }
            Progress::Started(started) => {
                let at = self.here(started.at_ns, now_ns);
                self.step(started.vertex).started_ns = Some(at);
                Change::Step(started.vertex)
            }
            Progress::Status { vertex, name, current, total, done } => {
                let part =
                    Part { name, current, total, done, began_ns: now_ns, changed_ns: now_ns };
                Change::Part(vertex, self.part(vertex, part))
            }
            Progress::Log(log) => {
                let at = self.here(log.at_ns, now_ns);
                let step = self.step(log.vertex);
                let lines = step.lines.take(&log.text, at);
                let started = step.started_ns.unwrap_or(at);
                let lines: Vec<_> =
                    lines.into_iter().map(|(at, line)| (at - started, line)).collect();
                Change::Lines(log.vertex, lines)
            }
            Progress::Completed(completed) => {
                let vertex = completed.vertex;
                self.complete(completed, now_ns);
                Change::Step(vertex)
            }
            Progress::Warning(_) => Change::Nothing,
        }
    }

    /// Adds a part or changes it; gives its index.
    fn part(&mut self, vertex: u32, part: Part) -> usize {
        let parts = &mut self.step(vertex).parts;
        match parts.iter_mut().position(|known| known.name == part.name) {
            Some(index) => {
                let began_ns = parts[index].began_ns;
                parts[index] = Part { began_ns, ..part };
                index
            }
            None => {
                parts.push(part);
                parts.len() - 1
            }
        }
    }

    fn complete(&mut self, completed: Completed, now_ns: i64) {
        let at = self.here(completed.at_ns, now_ns);
        let step = self.step(completed.vertex);
        let end = match (completed.error, completed.cached) {
            (Some(error), _) if is_cancel(&error) => End::Canceled,
            (Some(error), _) => End::Failed(error),
            (None, Cached::Hit) => End::Cached,
            (None, _) => End::Done,
        };
        step.ended = Some((at, end));
        step.why = completed.why;
        if !step.failed() {
            step.kept.clear();
        }
    }
}

/// Whether an error says that something else made this step end.
fn is_cancel(error: &str) -> bool {
    error.ends_with("context canceled") || error == "cancelled" || error == "canceled"
}

/// Names of heredocs have several lines.
fn one_line(name: &str) -> String {
    super::text::safe(&name.replace(['\n', '\r'], " "), false)
}

#[cfg(test)]
mod tests {
    use gantry_build_proto::Started;

    use super::*;

    #[test]
    fn times_are_those_of_this_clock() {
        let hour = 3600 * SKEW_MIN_NS;
        for (theirs, ours, want) in
            [(10, 20, (10, 5)), (hour, 2 * hour, (2 * hour, 5)), (2 * hour, hour, (hour, 5))]
        {
            let mut steps = Steps::new(1, 1);
            steps.event(
                Progress::Started(Started { vertex: 1, at_ns: theirs, cached: false }),
                ours,
            );
            steps.event(
                Progress::Started(Started { vertex: 2, at_ns: theirs + 5, cached: false }),
                ours + 9,
            );
            let started = |vertex| steps.all[&vertex].started_ns.expect("started");
            assert_eq!((started(1), started(2) - started(1)), want, "{theirs} here {ours}");
        }
    }
}
