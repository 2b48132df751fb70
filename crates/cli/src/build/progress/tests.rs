//! Recorded builds, shown in every mode.

use gantry_build_proto::{Cached, Completed, Log, Progress, Started, Stream, Vertex};
use serde::Deserialize;

use super::text::width;
use super::{Colors, Display, Mode, Screen, Title};

/// When the recorded builds begin: 2026-01-02T03:04:05Z.
const BEGIN_NS: i64 = 1_767_323_045_000_000_000;
/// Nanoseconds in a millisecond.
const MS: i64 = 1_000_000;

/// One line of a recording: an event, or just a moment.
#[derive(Deserialize)]
struct Moment {
    at_ms: i64,
    event: Option<serde_json::Value>,
}

impl Moment {
    /// The event; its time, if it has one, is the moment's.
    fn event(&self) -> Option<Progress> {
        let at = BEGIN_NS + self.at_ms * MS;
        let event = serde_json::from_value(self.event.clone()?).expect("event");
        Some(match event {
            Progress::Started(started) => Progress::Started(Started { at_ns: at, ..started }),
            Progress::Log(log) => Progress::Log(Log { at_ns: at, ..log }),
            Progress::Completed(done) => Progress::Completed(Completed { at_ns: at, ..done }),
            other => other,
        })
    }
}

fn recording(text: &str) -> Vec<Moment> {
    text.lines().map(|line| serde_json::from_str(line).expect("moment")).collect()
}

/// Shows a recording with a tick every tenth of a second.
fn play(moments: &[Moment], mode: Mode, screen: Screen, mut seen: impl FnMut(i64, &str)) {
    let title = Title { sentence: "building here".into(), short: "here".into() };
    let mut display = Display::new(mode, title, Colors::none(), BEGIN_NS);
    let (mut next, mut now) = (0, 0);
    for moment in moments {
        while next < moment.at_ms {
            seen(next, &display.tick(BEGIN_NS + next * MS, screen));
            next += 100;
        }
        now = moment.at_ms;
        if let Some(event) = moment.event() {
            seen(now, &display.event(event, BEGIN_NS + now * MS));
        }
    }
    seen(now, &display.finish(BEGIN_NS + now * MS, screen));
}

fn whole(moments: &[Moment], mode: Mode) -> String {
    let mut all = String::new();
    play(moments, mode, Screen { rows: 24, columns: 80 }, |_, text| all.push_str(text));
    all
}

/// As much of a terminal as the view uses.
struct Terminal {
    screen: Screen,
    lines: Vec<String>,
    row: usize,
}

impl Terminal {
    fn new(screen: Screen) -> Self {
        Self { screen, lines: vec![String::new()], row: 0 }
    }

    fn print(&mut self, text: &str) {
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            if let Some(sequence) = rest.strip_prefix("\u{1b}[") {
                let end = sequence.find(|c: char| c.is_ascii_alphabetic()).expect("final byte");
                let (parameter, last) = (&sequence[..end], &sequence[end..=end]);
                match last {
                    "A" => {
                        let up: usize = parameter.parse().expect("number");
                        let top = self.lines.len().saturating_sub(self.screen.rows);
                        assert!(self.row >= up + top, "moved above the screen");
                        self.row -= up;
                    }
                    "K" => {}
                    "J" => self.lines.truncate(self.row + 1),
                    "h" | "l" => {}
                    other => panic!("unknown sequence {parameter}{other}"),
                }
                rest = &sequence[end + 1..];
                continue;
            }
            rest = &rest[char.len_utf8()..];
            match char {
                '\n' => {
                    self.row += 1;
                    if self.row == self.lines.len() {
                        self.lines.push(String::new());
                    }
                }
                '\r' => {}
                char => self.put(char),
            }
        }
    }

    /// Lines are written from their beginning, so the first character clears the old line.
    fn put(&mut self, char: char) {
        if self.lines.len() == self.row {
            self.lines.push(String::new());
        }
        self.lines[self.row].push(char);
    }

    fn shown(&self) -> String {
        let lines = self.lines.iter().map(|line| line.trim_end());
        lines.collect::<Vec<_>>().join("\n")
    }
}

/// What the terminal shows at some moments, and at the end.
fn screens(moments: &[Moment], screen: Screen, at: &[i64]) -> String {
    let mut terminal = Terminal::new(screen);
    let mut all = String::new();
    play(moments, Mode::Tty, screen, |now, text| {
        if text.starts_with("\u{1b}[?25l\u{1b}[") {
            // A new view begins where the old one did.
            let up = text.trim_start_matches("\u{1b}[?25l\u{1b}[");
            let up: usize = up[..up.find('A').expect("up")].parse().expect("number");
            terminal.print(&format!("\u{1b}[{up}A"));
            let row = terminal.row;
            terminal.lines.truncate(row);
            terminal.lines.push(String::new());
            let end = text.find('\r').expect("return");
            terminal.print(&text[end..]);
        } else {
            terminal.print(text);
        }
        for line in &terminal.lines {
            assert!(width(line) <= screen.columns || text.contains("------"), "{line:?}");
        }
        if at.contains(&now) && !text.is_empty() {
            let visible = terminal.lines.len();
            assert!(visible <= screen.rows, "{visible} lines on {} rows", screen.rows);
            all.push_str(&format!("== {now} ms\n{}\n", terminal.shown()));
        }
    });
    all + &format!("== end\n{}\n", terminal.shown())
}

fn check(name: &str, got: &str, want: &str) {
    if std::env::var_os("GOLDEN").is_some() {
        let path = format!("{}/tests/golden/build/{name}", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(path, got).expect("written");
        return;
    }
    assert_eq!(got, want, "{name}");
}

const GOOD: &str = include_str!("../../../tests/golden/build/good.jsonl");
const BAD: &str = include_str!("../../../tests/golden/build/bad.jsonl");

#[test]
fn plain_output_is_as_recorded() {
    let good = whole(&recording(GOOD), Mode::Plain);
    check("good.plain", &good, include_str!("../../../tests/golden/build/good.plain"));
    let bad = whole(&recording(BAD), Mode::Plain);
    check("bad.plain", &bad, include_str!("../../../tests/golden/build/bad.plain"));
}

#[test]
fn raw_output_is_as_recorded() {
    let raw = whole(&recording(BAD), Mode::RawJson);
    check("bad.rawjson", &raw, include_str!("../../../tests/golden/build/bad.rawjson"));
    for line in raw.lines() {
        let _: serde_json::Value = serde_json::from_str(line).expect("JSON");
    }
}

#[test]
fn the_view_fits_every_terminal() {
    let good = recording(GOOD);
    let wide = screens(&good, Screen { rows: 24, columns: 80 }, &[300, 1500, 3000]);
    check("good.tty", &wide, include_str!("../../../tests/golden/build/good.tty"));
    let small = screens(&good, Screen { rows: 7, columns: 30 }, &[300, 1500, 3000]);
    check("good.small.tty", &small, include_str!("../../../tests/golden/build/good.small.tty"));
    let bad = screens(&recording(BAD), Screen { rows: 24, columns: 60 }, &[900]);
    check("bad.tty", &bad, include_str!("../../../tests/golden/build/bad.tty"));
    for (rows, columns) in [(1, 1), (2, 5), (3, 12), (100, 500)] {
        screens(&good, Screen { rows, columns: columns.max(4) }, &[]);
    }
}

#[test]
fn nothing_is_shown_quietly() {
    assert_eq!(whole(&recording(BAD), Mode::Quiet), "");
}

fn step(events: &mut Vec<Moment>, at_ms: i64, event: &Progress) {
    let event = Some(serde_json::to_value(event).expect("JSON"));
    events.push(Moment { at_ms, event });
}

/// A step that prints very much and then fails.
fn long() -> Vec<Moment> {
    let mut all = Vec::new();
    let vertex = Vertex { id: 1, name: "[2/2] RUN seq 50000".into(), ..Vertex::default() };
    step(&mut all, 0, &Progress::Vertex(vertex));
    step(&mut all, 0, &Progress::Started(Started { vertex: 1, at_ns: 0, cached: false }));
    for line in 1..=50_000 {
        let text = format!("line {line} of what this step has to say\n");
        let log = Log { vertex: 1, stream: Stream::Out, at_ns: 0, text };
        step(&mut all, i64::from(line) / 50, &Progress::Log(log));
    }
    let error = Some("process \"/bin/sh -c seq 50000\" did not complete successfully".into());
    let (result, why) = (String::new(), String::new());
    let done = Completed { vertex: 1, at_ns: 0, cached: Cached::Miss, error, result, why };
    step(&mut all, 1001, &Progress::Completed(done));
    all
}

#[test]
fn long_logs_are_shown_whole_and_in_time() {
    let events = long();
    let begin = std::time::Instant::now();
    let plain = whole(&events, Mode::Plain);
    assert_eq!(plain.matches("line 50000 of").count(), 2, "once, and below the error");
    assert_eq!(plain.lines().filter(|line| line.starts_with("#1 ")).count(), 50_002);
    let mut drawn = 0;
    let mut last = String::new();
    play(&events, Mode::Tty, Screen { rows: 30, columns: 80 }, |_, text| {
        drawn += usize::from(!text.is_empty());
        last = text.to_owned();
    });
    assert!(drawn < 30, "drawn {drawn} times in a second");
    // The output of the step that failed stays, from its beginning.
    assert!(last.contains("0.000 line 1 of"), "{}", &last[..500]);
    assert!(last.contains("1.000 line 50000 of"));
    assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
}
