//! What the machine says over its serial port.
//!
//! ```text
//! BOOTED
//! START name
//! | a line of the test's output, if it failed
//! PASS name seconds        or        FAIL name seconds
//! DONE
//! ```
//!
//! A test's output always stands behind a bar, so that it cannot pass for a verdict. Anything else
//! is the firmware's or the kernel's, and is shown when the machine did not finish.

use std::collections::VecDeque;

/// How many lines of firmware and kernel are kept.
const KEPT_LINES: usize = 100;

/// What one line was.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Saw {
    /// The machine's init runs.
    Boot,
    /// A test ended, or said something: print this.
    Verdict(String),
    /// Nothing to print.
    Other,
}

/// What the tests said so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    /// Names that have no verdict yet.
    missing: Vec<String>,
    running: Option<String>,
    passed: usize,
    failed: usize,
    finished: bool,
    other: VecDeque<String>,
}

impl Report {
    /// A report that wants a verdict on each of these.
    pub(crate) fn expecting(names: impl IntoIterator<Item = String>) -> Self {
        Self { missing: names.into_iter().collect(), ..Self::default() }
    }

    /// Takes in a line.
    pub(crate) fn read(&mut self, line: &str) -> Saw {
        // A serial port's lines end in CR LF, and a program may have left a line unfinished.
        let line = line.trim_end();
        let words: Vec<&str> = line.split(' ').collect();
        match words[..] {
            ["BOOTED"] => return Saw::Boot,
            ["DONE"] => self.finished = true,
            ["START", name] => self.running = Some(name.to_owned()),
            [verdict @ ("PASS" | "FAIL"), name, seconds] => {
                return self.verdict(verdict == "PASS", name, seconds);
            }
            ["|", ..] => return Saw::Verdict(format!("    {}", line[1..].trim_start())),
            _ => {
                if self.other.len() == KEPT_LINES {
                    self.other.pop_front();
                }
                self.other.push_back(line.to_owned());
            }
        }
        Saw::Other
    }

    /// Tests that passed.
    pub(crate) fn passed(&self) -> usize {
        self.passed
    }

    /// Tests that failed, or of which nothing was heard.
    pub(crate) fn failed(&self) -> usize {
        self.failed + self.missing.len()
    }

    /// Whether the machine finished and all tests passed.
    pub(crate) fn is_good(&self) -> bool {
        self.finished && self.failed() == 0
    }

    /// What to print at the end: tests without a verdict, and the console when it broke off.
    pub(crate) fn complaints(&self) -> Vec<String> {
        let mut lines = Vec::new();
        if !self.finished {
            lines.push("vm: did not finish; its console's last lines:".to_owned());
            lines.extend(self.other.iter().map(|line| format!("    {line}")));
        }
        lines.extend(self.missing.iter().map(|name| {
            let how =
                if self.running.as_ref() == Some(name) { "did not end" } else { "did not run" };
            format!("FAIL {name}: {how}")
        }));
        lines
    }

    fn verdict(&mut self, passed: bool, name: &str, seconds: &str) -> Saw {
        let Some(place) = self.missing.iter().position(|missing| missing == name) else {
            return Saw::Verdict(format!("vm: a verdict on {name}, which nobody asked for"));
        };
        self.missing.remove(place);
        self.running = None;
        *(if passed { &mut self.passed } else { &mut self.failed }) += 1;
        let word = if passed { "PASS" } else { "FAIL" };
        Saw::Verdict(format!("{word} {name} ({seconds} s)"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(lines: &[&str]) -> Report {
        let mut report = Report::expecting(["a/x", "b/y"].map(str::to_owned));
        for line in lines {
            let _ = report.read(line);
        }
        report
    }

    #[test]
    fn only_a_whole_run_is_good() {
        for (lines, passed, failed, good) in [
            (&["BOOTED", "PASS a/x 1", "PASS b/y 2", "DONE"][..], 2, 0, true),
            (&["PASS a/x 1", "FAIL b/y 2", "DONE"], 1, 1, false),
            (&["PASS a/x 1", "PASS b/y 2"], 2, 0, false),
            (&["PASS a/x 1", "DONE"], 1, 1, false),
            (&["PASS a/x 1", "| PASS b/y 2", "DONE"], 1, 1, false),
            (&["PASS a/x 1", "PASS a/x 1", "DONE"], 1, 1, false),
            (&["PASS a/x 1\r", "PASS b/y 1\r", "DONE\r"], 2, 0, true),
            (&[], 0, 2, false),
        ] {
            let report = report(lines);
            assert_eq!(
                (report.passed(), report.failed(), report.is_good()),
                (passed, failed, good),
                "{lines:?}"
            );
        }
    }

    #[test]
    fn a_machine_that_broke_off_says_where() {
        let report = report(&["PASS a/x 1", "START b/y", "Kernel panic - not syncing"]);
        let want = [
            "vm: did not finish; its console's last lines:",
            "    Kernel panic - not syncing",
            "FAIL b/y: did not end",
        ];
        assert_eq!(report.complaints(), want);
    }

    #[test]
    fn lines_are_shown_as_they_come() {
        let mut report = report(&[]);
        for (line, want) in [
            ("BOOTED", Saw::Boot),
            ("START a/x", Saw::Other),
            ("| got 3, want 4", Saw::Verdict("    got 3, want 4".to_owned())),
            ("FAIL a/x 2", Saw::Verdict("FAIL a/x (2 s)".to_owned())),
            ("SeaBIOS", Saw::Other),
        ] {
            assert_eq!(report.read(line), want, "{line}");
        }
    }
}
