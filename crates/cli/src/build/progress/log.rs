//! What a step prints, cut into lines.

use std::collections::VecDeque;

use super::text;

/// Longest line that is kept; the rest of it is a line of its own.
const LINE_BYTES_MAX: usize = 64 << 10;

/// Makes lines of pieces that come as they come.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    partial: String,
    /// When the piece came that began the partial line.
    since_ns: i64,
}

impl Lines {
    /// Takes a piece; gives the lines that it completes, each with the time of its beginning.
    pub(crate) fn take(&mut self, piece: &str, at_ns: i64) -> Vec<(i64, String)> {
        let mut lines = Vec::new();
        for part in piece.split_inclusive('\n') {
            if self.partial.is_empty() {
                self.since_ns = at_ns;
            }
            match part.strip_suffix('\n') {
                Some(end) => {
                    self.partial.push_str(end);
                    lines.push(self.flush());
                }
                None => self.partial.push_str(part),
            }
            if self.partial.len() > LINE_BYTES_MAX {
                lines.push(self.flush());
            }
        }
        lines
    }

    /// The line that has not ended, if there is one that is older than `before_ns`.
    pub(crate) fn overdue(&mut self, before_ns: i64) -> Option<(i64, String)> {
        (!self.partial.is_empty() && self.since_ns < before_ns).then(|| self.flush())
    }

    /// The line that never ended.
    pub(crate) fn last(&mut self) -> Option<(i64, String)> {
        (!self.partial.is_empty()).then(|| self.flush())
    }

    /// The line under way, as it looks now.
    pub(crate) fn under_way(&self) -> Option<&str> {
        (!self.partial.is_empty()).then(|| text::last_state(&self.partial))
    }

    fn flush(&mut self) -> (i64, String) {
        let line = text::last_state(&self.partial).to_owned();
        self.partial.clear();
        (self.since_ns, line)
    }
}

/// The last lines of a step's output, for when it fails.
#[derive(Debug)]
pub(crate) struct Kept {
    lines: VecDeque<String>,
    bytes: usize,
    lines_max: usize,
    bytes_max: usize,
    left_out: usize,
}

impl Kept {
    /// Keeps at most so many lines and bytes.
    pub(crate) fn new(lines_max: usize, bytes_max: usize) -> Self {
        Self { lines: VecDeque::new(), bytes: 0, lines_max, bytes_max, left_out: 0 }
    }

    pub(crate) fn push(&mut self, line: String) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.lines.len() > self.lines_max || self.bytes > self.bytes_max {
            let Some(first) = self.lines.pop_front() else { return };
            self.bytes -= first.len();
            self.left_out += 1;
        }
    }

    /// The last `count` lines.
    pub(crate) fn tail(&self, count: usize) -> impl Iterator<Item = &str> {
        let skipped = self.lines.len().saturating_sub(count);
        self.lines.iter().skip(skipped).map(String::as_str)
    }

    /// Forgets all: the step went well.
    pub(crate) fn clear(&mut self) {
        self.lines = VecDeque::new();
        self.bytes = 0;
    }

    /// The block that stands below a build that failed in the step `name`.
    pub(crate) fn block(&self, name: &str, tell_left_out: bool) -> String {
        let mut block = format!("------\n > {}:\n", text::safe(name, false));
        if tell_left_out && self.left_out > 0 {
            block.push_str(&format!("({} lines before these are left out)\n", self.left_out));
        }
        for line in &self.lines {
            block.push_str(line);
            block.push('\n');
        }
        block.push_str("------\n");
        block
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together() {
        let mut lines = Lines::default();
        assert_eq!(lines.take("a\nb", 1), [(1, "a".to_owned())]);
        assert_eq!(lines.under_way(), Some("b"));
        assert_eq!(lines.overdue(1), None);
        assert_eq!(lines.take("c\n\nd\r50%\r", 2), [(1, "bc".into()), (2, String::new())]);
        assert_eq!(lines.under_way(), Some("50%"));
        assert_eq!(lines.overdue(3), Some((2, "50%".into())));
        assert_eq!(lines.last(), None);
        let long = lines.take(&"x".repeat(LINE_BYTES_MAX + 5), 4);
        assert_eq!(long.len(), 1);
    }

    #[test]
    fn the_end_of_long_output_is_kept() {
        let mut kept = Kept::new(3, 10);
        for line in ["one", "two", "three", "four"] {
            kept.push(line.into());
        }
        assert_eq!(kept.tail(5).collect::<Vec<_>>(), ["three", "four"]);
        assert_eq!(
            kept.block("[2/2] RUN x", true),
            "------\n > [2/2] RUN x:\n(2 lines before these are left out)\nthree\nfour\n------\n"
        );
    }
}
