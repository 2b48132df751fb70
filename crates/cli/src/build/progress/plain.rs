//! Plain output: lines with the number of their step, as BuildKit writes them.
//!
//! One step is in view at a time. What others print meanwhile waits until that one has ended, or
//! until it has waited for some seconds, so that the output of steps that run side by side can be
//! read.

use std::collections::BTreeMap;

use gantry_build_proto::Progress;

use super::Title;
use super::steps::{Change, End, Part, Step, Steps};
use super::text;

/// Lines of a failed step that are repeated at the end.
const KEPT_LINES: usize = 10;
/// Bytes of them.
const KEPT_BYTES: usize = 256 << 10;
/// Longest time that a step's output waits for another step, and that a line waits for its end.
const WAIT_NS: i64 = 5_000_000_000;
/// Lines that may wait.
const WAITING_MAX: usize = 1000;
/// A part is told again when so many percent of it are done since, or after [`WAIT_NS`].
const PART_PERCENT: u64 = 5;
/// Shortest time of a part that is told.
const PART_NS: i64 = 10_000_000;

/// The output so far.
pub(crate) struct Plain {
    title: Title,
    steps: Steps,
    shown: BTreeMap<u32, Shown>,
    /// The step in view.
    current: Option<u32>,
    /// Numbers given: steps are counted as they come into view.
    numbers: usize,
    begun: bool,
}

/// What has been written of a step.
#[derive(Debug, Default)]
struct Shown {
    number: Option<usize>,
    waiting: Vec<String>,
    waiting_since_ns: i64,
    parts: BTreeMap<usize, PartShown>,
    ended: bool,
}

/// What has been written of a part.
#[derive(Debug, Clone, Copy)]
struct PartShown {
    current: u64,
    at_ns: i64,
    done: bool,
}

impl Plain {
    pub(crate) fn new(title: Title) -> Self {
        let steps = Steps::new(KEPT_LINES, KEPT_BYTES);
        Self { title, steps, shown: BTreeMap::new(), current: None, numbers: 0, begun: false }
    }

    pub(crate) fn event(&mut self, event: Progress, now_ns: i64) -> String {
        match self.steps.event(event, now_ns) {
            Change::Lines(vertex, lines) => {
                self.print(vertex, lines, now_ns);
                String::new()
            }
            Change::Step(vertex) => {
                let Some(step) = self.steps.all.get_mut(&vertex) else { return String::new() };
                if step.ended.is_none() {
                    return String::new();
                }
                let last = step.lines.last().map(|(at, line)| (at - since(step), line));
                self.print(vertex, last.into_iter().collect(), now_ns);
                self.flush(now_ns)
            }
            Change::Part(..) | Change::Nothing => String::new(),
        }
    }

    pub(crate) fn tick(&mut self, now_ns: i64) -> String {
        let overdue: Vec<_> = self
            .steps
            .all
            .iter_mut()
            .filter_map(|(vertex, step)| {
                let (at, line) = step.lines.overdue(now_ns - WAIT_NS)?;
                Some((*vertex, (at - since(step), line)))
            })
            .collect();
        for (vertex, line) in overdue {
            self.print(vertex, vec![line], now_ns);
        }
        self.flush(now_ns)
    }

    pub(crate) fn finish(&mut self, now_ns: i64) -> String {
        let mut text = self.flush(now_ns);
        if let Some(number) = self.current.and_then(|vertex| self.shown.get(&vertex)?.number) {
            // The build broke off in the middle of a step.
            text.push_str(&format!("#{number} ...\n"));
        }
        for step in self.steps.all.values().filter(|step| step.failed()) {
            text.push_str(&step.kept.block(&step.name, false));
        }
        text
    }

    /// Puts lines behind those that wait.
    fn print(&mut self, vertex: u32, lines: Vec<(i64, String)>, now_ns: i64) {
        let shown = self.shown.entry(vertex).or_default();
        for (at, line) in lines {
            if shown.waiting.is_empty() {
                shown.waiting_since_ns = now_ns;
            }
            let line = format!("{} {}", text::stamp(at), text::safe(&line, true));
            if let Some(step) = self.steps.all.get_mut(&vertex) {
                step.kept.push(line.clone());
            }
            shown.waiting.push(line);
        }
    }

    /// Writes what is due.
    fn flush(&mut self, now_ns: i64) -> String {
        let mut text = String::new();
        for vertex in self.ended() {
            self.show(vertex, now_ns, &mut text);
        }
        match self.current {
            Some(current) => self.show(current, now_ns, &mut text),
            None => {
                if let Some(vertex) = self.busiest() {
                    self.show(vertex, now_ns, &mut text);
                }
            }
        }
        let overdue = |shown: &Shown| {
            shown.waiting.len() > WAITING_MAX || shown.waiting_since_ns < now_ns - WAIT_NS
        };
        let hidden: Vec<u32> = self
            .shown
            .iter()
            .filter(|(_, shown)| !shown.waiting.is_empty() && overdue(shown))
            .map(|(vertex, _)| *vertex)
            .collect();
        for vertex in hidden {
            self.show(vertex, now_ns, &mut text);
        }
        text
    }

    /// Steps that have ended and were not told of: the one in view, then the others as they ended.
    fn ended(&self) -> Vec<u32> {
        let told = |vertex: &u32| self.shown.get(vertex).is_some_and(|shown| shown.ended);
        let mut ended: Vec<(bool, i64, u32)> = self
            .steps
            .all
            .iter()
            .filter(|(vertex, step)| step.started_ns.is_some() && !told(vertex))
            .filter_map(|(vertex, step)| {
                let (at, _) = step.ended.as_ref()?;
                Some((self.current != Some(*vertex), *at, *vertex))
            })
            .collect();
        ended.sort_unstable();
        ended.into_iter().map(|(.., vertex)| vertex).collect()
    }

    /// The running step that has most to say; the first of them if none has.
    fn busiest(&self) -> Option<u32> {
        let waiting = |vertex: &u32| self.shown.get(vertex).map_or(0, |s| s.waiting.len());
        let running = self.steps.all.iter().filter(|(_, step)| step.is_running());
        running
            .map(|(vertex, _)| *vertex)
            .max_by_key(|vertex| (waiting(vertex), std::cmp::Reverse(*vertex)))
    }

    /// Brings a step into view, with all that waits, and its end if it has ended.
    fn show(&mut self, vertex: u32, now_ns: i64, text: &mut String) {
        let Some(step) = self.steps.all.get(&vertex) else { return };
        let old = self.current.and_then(|old| self.shown.get(&old)?.number);
        let shown = self.shown.entry(vertex).or_default();
        let number = *shown.number.get_or_insert_with(|| {
            self.numbers += 1;
            self.numbers
        });
        if self.current != Some(vertex) {
            if let Some(old) = old {
                text.push_str(&format!("#{old} ...\n"));
            }
            match (self.begun, self.title.sentence.as_str()) {
                (true, _) => text.push('\n'),
                (false, "") => {}
                (false, title) => text.push_str(&format!("#0 {title}\n\n")),
            }
            self.begun = true;
            text.push_str(&format!("#{number} {}\n", step.name));
        }
        let parts = step.parts.iter().enumerate();
        for line in parts.filter_map(|(index, part)| shown.part(index, part, now_ns)) {
            text.push_str(&format!("#{number} {line}\n"));
        }
        for line in shown.waiting.drain(..) {
            text.push_str(&format!("#{number} {line}\n"));
        }
        match &step.ended {
            Some((_, end)) => {
                if !step.why.is_empty() {
                    let why = text::safe(&step.why, false);
                    text.push_str(&format!("#{number} cache: {why}\n"));
                }
                text.push_str(&format!("#{number} {}\n", end_line(step, end)));
                shown.ended = true;
                self.current = None;
            }
            None => self.current = Some(vertex),
        }
    }
}

impl Shown {
    /// The line that a part is due, if it is.
    fn part(&mut self, index: usize, part: &Part, now_ns: i64) -> Option<String> {
        if let Some(last) = self.parts.get(&index) {
            let percent = part.current.saturating_sub(last.current).saturating_mul(100);
            let moved = part.total > 0 && percent / part.total >= PART_PERCENT;
            let late = part.changed_ns - last.at_ns >= WAIT_NS && part.current != last.current;
            if last.done || !(part.done || moved || late) {
                return None;
            }
        }
        let seen = PartShown { current: part.current, at_ns: now_ns, done: part.done };
        self.parts.insert(index, seen);
        let mut line = part.label();
        if part.span_ns() > PART_NS {
            line.push_str(&format!(" {}", text::seconds(part.span_ns())));
        }
        if part.done {
            line.push_str(" done");
        }
        Some(line)
    }
}

fn since(step: &Step) -> i64 {
    step.started_ns.unwrap_or_default()
}

fn end_line(step: &Step, end: &End) -> String {
    match end {
        End::Done => format!("DONE {}", text::seconds(step.span_ns(0))),
        End::Cached => "CACHED".into(),
        End::Canceled => "CANCELED".into(),
        End::Failed(error) => format!("ERROR: {}", text::safe(error, false)),
    }
}
