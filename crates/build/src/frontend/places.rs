//! Places as the client is told them: with the lines around.

use gantry_build_proto::Place;
use gantry_dockerfile::Span;

/// Lines that are shown before and after.
const AROUND: usize = 2;

/// A text by lines.
#[derive(Debug)]
pub(super) struct Text<'t> {
    file: &'t str,
    lines: Vec<&'t str>,
}

impl<'t> Text<'t> {
    /// A file's text.
    pub(super) fn of(file: &'t str, text: &'t str) -> Self {
        Self { file, lines: text.split('\n').collect() }
    }

    /// The file's name.
    pub(super) fn file(&self) -> &'t str {
        self.file
    }

    /// The place of a span.
    pub(super) fn place(&self, span: Span) -> Place {
        let first = span.first_line.clamp(1, self.lines.len());
        let last = span.last_line.clamp(first, self.lines.len());
        let shown_from = first.saturating_sub(AROUND).max(1);
        let shown_to = (last + AROUND).min(self.lines.len());
        let shown = &self.lines[shown_from - 1..shown_to];
        Place {
            file: self.file.to_owned(),
            first,
            last,
            shown_from,
            lines: shown.iter().map(|line| line.trim_end_matches('\r').to_owned()).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lines_around() {
        let text = "a\nb\r\nc\nd\ne\nf\n";
        for (first_line, last_line, want_from, want) in [
            (1, 1, 1, "a b c"),
            (3, 4, 1, "a b c d e f"),
            (4, 4, 2, "b c d e f"),
            (6, 6, 4, "d e f "),
            (9, 9, 5, "e f "),
            (0, 0, 1, "a b c"),
        ] {
            let span = Span { first_line, last_line, start: 0, end: 0 };
            let place = Text::of("Dockerfile", text).place(span);
            assert_eq!((place.shown_from, place.lines.join(" ").as_str()), (want_from, want));
        }
        assert_eq!(Text::of("x", "").place(Span::default()).lines, [""]);
    }
}
