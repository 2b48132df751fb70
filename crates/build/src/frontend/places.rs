//! Places as the client is told them: with the lines around.

use gantry_build_proto::Place;
use gantry_dockerfile::Span;

/// Lines that are shown before and after.
const AROUND: usize = 2;

/// The place of a span.
pub(super) fn of(span: Span, file: &str, text: &str) -> Place {
    let lines: Vec<&str> = text.split('\n').collect();
    let first = span.first_line.clamp(1, lines.len());
    let last = span.last_line.clamp(first, lines.len());
    let shown_from = first.saturating_sub(AROUND).max(1);
    let shown_to = (last + AROUND).min(lines.len());
    Place {
        file: file.to_owned(),
        first,
        last,
        shown_from,
        lines: lines[shown_from - 1..shown_to]
            .iter()
            .map(|line| line.trim_end_matches('\r').to_owned())
            .collect(),
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
            let place = of(span, "Dockerfile", text);
            assert_eq!((place.shown_from, place.lines.join(" ").as_str()), (want_from, want));
        }
        assert_eq!(of(Span::default(), "x", "").lines, [""]);
    }
}
