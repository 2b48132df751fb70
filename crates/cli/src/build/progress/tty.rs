//! The view on a terminal: one line a step with its time, and below running steps what they print.
//!
//! It is drawn over itself, so it never has more lines than the terminal has rows, and each line
//! fits a row. When there are more steps than rows, those that have ended make room first. At the
//! end all is drawn once more, whole, to stay.

use gantry_build_proto::Progress;

use super::steps::{Change, End, Step, Steps};
use super::text::{self, Colors};
use super::{Screen, Title};

/// Bytes of a step's output that are kept for the case that it fails.
const KEPT_BYTES: usize = 8 << 20;
/// Lines of a running step's output that are shown, unless `BUILDKIT_TTY_LOG_LINES` says otherwise.
pub(crate) const LOG_LINES: usize = 6;
/// Narrowest terminal that is drawn for.
const COLUMNS_MIN: usize = 4;

/// The view.
pub(crate) struct Tty {
    title: Title,
    colors: Colors,
    steps: Steps,
    began_ns: i64,
    /// Widths of the lines on the screen: a terminal that became narrower has wrapped them.
    drawn: Vec<usize>,
    log_lines: usize,
}

/// A line of the view before it is coloured.
struct Line {
    text: String,
    kind: Kind,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Plain,
    Done,
    Failed,
    Canceled,
    Log,
}

impl Tty {
    pub(crate) fn new(title: Title, colors: Colors, now_ns: i64) -> Self {
        let setting = std::env::var("BUILDKIT_TTY_LOG_LINES").ok();
        let log_lines = setting.and_then(|text| text.parse().ok()).unwrap_or(LOG_LINES);
        Self {
            title,
            colors,
            steps: Steps::new(usize::MAX, KEPT_BYTES),
            began_ns: now_ns,
            drawn: Vec::new(),
            log_lines,
        }
    }

    pub(crate) fn event(&mut self, event: Progress, now_ns: i64) {
        match self.steps.event(event, now_ns) {
            Change::Lines(vertex, lines) => self.keep(vertex, lines),
            Change::Step(vertex) => {
                let Some(step) = self.steps.all.get_mut(&vertex) else { return };
                if step.failed()
                    && let Some((at, line)) = step.lines.last()
                {
                    let at = at - step.started_ns.unwrap_or(at);
                    self.keep(vertex, vec![(at, line)]);
                }
            }
            Change::Part(..) | Change::Nothing => {}
        }
    }

    fn keep(&mut self, vertex: u32, lines: Vec<(i64, String)>) {
        let Some(step) = self.steps.all.get_mut(&vertex) else { return };
        for (at, line) in lines {
            step.kept.push(format!("{} {}", text::stamp(at), text::safe(&line, false)));
        }
    }

    /// Draws the view over the last one.
    pub(crate) fn draw(&mut self, now_ns: i64, screen: Screen) -> String {
        let columns = screen.columns.max(COLUMNS_MIN);
        // The cursor has a row of its own.
        let rows = screen.rows.saturating_sub(1);
        if rows == 0 {
            return String::new();
        }
        let lines = self.fitting(now_ns, columns, rows);
        self.replace(lines, columns)
    }

    /// Draws all of it for the last time, and the output of steps that failed.
    pub(crate) fn finish(&mut self, now_ns: i64, screen: Screen) -> String {
        let columns = screen.columns.max(COLUMNS_MIN);
        let mut lines = vec![self.head(now_ns, columns, true)];
        for step in self.steps.all.values().filter(|step| step.is_seen()) {
            lines.extend(step_lines(step, now_ns, columns));
        }
        let mut text = self.replace(lines, columns);
        self.drawn.clear();
        for step in self.steps.all.values().filter(|step| step.failed()) {
            text.push_str(&step.kept.block(&step.name, true));
        }
        text
    }

    fn head(&self, now_ns: i64, columns: usize, finished: bool) -> Line {
        let seen: Vec<&Step> = self.steps.all.values().collect();
        let ended = seen.iter().filter(|step| step.ended.is_some()).count();
        let all_well = finished && ended == seen.len() && !seen.iter().any(|step| step.failed());
        let left = format!(
            "[+] Building {} ({ended}/{}){}",
            text::seconds(now_ns - self.began_ns),
            seen.len(),
            if all_well { " FINISHED" } else { "" }
        );
        let kind = if all_well { Kind::Done } else { Kind::Plain };
        Line { text: text::spread(&left, &self.title.short, columns), kind }
    }

    /// The lines that fit so many rows: running steps first, then those that ended last.
    fn fitting(&self, now_ns: i64, columns: usize, rows: usize) -> Vec<Line> {
        let mut lines = vec![self.head(now_ns, columns, false)];
        let seen: Vec<&Step> = self.steps.all.values().filter(|step| step.is_seen()).collect();
        let running = seen.iter().filter(|step| step.is_running()).count();
        let room = rows.saturating_sub(1);
        // Each running step has its own line; what is left is shared by their logs and the others.
        let logs = room.saturating_sub(running) / running.max(1);
        let logs = logs.min(self.log_lines);
        let mut blocks: Vec<(bool, Vec<Line>)> = Vec::new();
        for step in &seen {
            let mut block = step_lines(step, now_ns, columns);
            if step.is_running() {
                block.truncate(1 + logs);
                let left = (logs + 1).saturating_sub(block.len());
                block.extend(log_lines(step, left, columns));
            }
            blocks.push((step.is_running(), block));
        }
        let mut taken: usize = blocks.iter().filter(|(runs, _)| *runs).map(|(_, b)| b.len()).sum();
        for (_, block) in blocks.iter_mut().rev().filter(|(runs, _)| !runs) {
            // Without room for its parts a step is one line, or none.
            let left = room.saturating_sub(taken);
            let fitting = if block.len() <= left { block.len() } else { left.min(1) };
            block.truncate(fitting);
            taken += fitting;
        }
        lines.extend(blocks.into_iter().flat_map(|(_, block)| block));
        lines.truncate(rows);
        lines
    }

    /// Moves to where the last view began, and writes these lines over it.
    fn replace(&mut self, lines: Vec<Line>, columns: usize) -> String {
        let rows: usize = self.drawn.iter().map(|width| width.div_ceil(columns).max(1)).sum();
        let mut text = String::from("\u{1b}[?25l");
        if rows > 0 {
            text.push_str(&format!("\u{1b}[{rows}A\r"));
        }
        self.drawn.clear();
        for line in lines {
            self.drawn.push(text::width(&line.text));
            text.push_str(&self.paint(&line));
            text.push_str("\u{1b}[K\n");
        }
        text.push_str("\u{1b}[J\u{1b}[?25h");
        text
    }

    fn paint(&self, line: &Line) -> String {
        let colors = &self.colors;
        match line.kind {
            Kind::Plain | Kind::Log => line.text.clone(),
            Kind::Done => colors.paint(&colors.run, &line.text),
            Kind::Failed => colors.paint(&colors.error, &line.text),
            Kind::Canceled => colors.paint(&colors.cancel, &line.text),
        }
    }
}

/// A step's own line and those of its parts.
fn step_lines(step: &Step, now_ns: i64, columns: usize) -> Vec<Line> {
    let (word, kind) = match &step.ended {
        None => ("", Kind::Plain),
        Some((_, End::Done)) => ("", Kind::Done),
        Some((_, End::Cached)) => ("CACHED ", Kind::Done),
        Some((_, End::Canceled)) => ("CANCELED ", Kind::Canceled),
        Some((_, End::Failed(_))) => ("ERROR ", Kind::Failed),
    };
    let time = text::seconds(step.span_ns(now_ns));
    let left = format!(" => {word}{}", step.name);
    let mut lines = vec![Line { text: text::spread(&left, &time, columns), kind }];
    for part in &step.parts {
        let until = if part.done || step.ended.is_some() { part.changed_ns } else { now_ns };
        let time = text::seconds(until - part.began_ns);
        let left = format!(" => => {}", part.label());
        let kind = if part.done { Kind::Done } else { Kind::Plain };
        lines.push(Line { text: text::spread(&left, &time, columns), kind });
    }
    if !step.why.is_empty() {
        let left = format!(" => => cache: {}", text::safe(&step.why, false));
        lines.push(Line { text: text::cut(&left, columns), kind });
    }
    lines
}

/// The last lines that a running step printed.
fn log_lines(step: &Step, count: usize, columns: usize) -> Vec<Line> {
    let partial = step.lines.under_way().map(|line| text::safe(line, false));
    let whole = count.saturating_sub(usize::from(partial.is_some()));
    // Kept lines begin with their time.
    let kept = step.kept.tail(whole).map(|line| line.split_once(' ').map_or("", |(_, l)| l));
    let all = kept.map(str::to_owned).chain(partial).take(count);
    all.map(|line| Line { text: text::cut(&format!(" => => # {line}"), columns), kind: Kind::Log })
        .collect()
}
