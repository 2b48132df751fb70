//! Lines of the text, and instructions that were joined of several.

use std::ops::Range;

use crate::Span;

/// One line as it is in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line<'t> {
    /// Its number, from 1.
    pub(crate) number: usize,
    /// Its first byte.
    pub(crate) start: usize,
    /// With its end.
    pub(crate) raw: &'t str,
}

/// The lines of a text, one after the other.
#[derive(Debug, Clone)]
pub(crate) struct Lines<'t> {
    text: &'t str,
    at: usize,
    number: usize,
}

impl<'t> Lines<'t> {
    /// The lines of a text. A byte order mark at its beginning is not one of its characters.
    pub(crate) fn new(text: &'t str) -> Self {
        let at = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
        Self { text, at, number: 0 }
    }
}

impl<'t> Iterator for Lines<'t> {
    type Item = Line<'t>;

    fn next(&mut self) -> Option<Line<'t>> {
        let rest = &self.text[self.at..];
        if rest.is_empty() {
            return None;
        }
        let raw = rest.split_inclusive('\n').next().unwrap_or(rest);
        self.number += 1;
        let line = Line { number: self.number, start: self.at, raw };
        self.at += raw.len();
        Some(line)
    }
}

impl<'t> Line<'t> {
    /// Without its end, be it of Unix or Windows.
    pub(crate) fn text(&self) -> &'t str {
        self.raw.trim_end_matches(['\r', '\n'])
    }

    /// Where it is, without its end.
    pub(crate) fn span(&self) -> Span {
        Span {
            first_line: self.number,
            last_line: self.number,
            start: self.start,
            end: self.start + self.text().len(),
        }
    }

    /// Whether it is a comment.
    pub(crate) fn is_comment(&self) -> bool {
        self.text().trim_start().starts_with('#')
    }

    /// Whether there is nothing in it.
    pub(crate) fn is_blank(&self) -> bool {
        self.text().trim().is_empty()
    }
}

/// An instruction on one line, which knows where each of its bytes came from.
#[derive(Debug, Default)]
pub(crate) struct Joined {
    text: String,
    pieces: Vec<Piece>,
}

/// A part that came from one line.
#[derive(Debug, Clone, Copy)]
struct Piece {
    /// Byte in the joined text.
    at: usize,
    /// Byte in the file.
    start: usize,
    /// Line in the file.
    line: usize,
}

impl Joined {
    /// Adds a part of a line, which begins at a byte of the file.
    pub(crate) fn push(&mut self, part: &str, start: usize, line: usize) {
        self.pieces.push(Piece { at: self.text.len(), start, line });
        self.text.push_str(part);
    }

    /// All of it.
    pub(crate) fn part(&self) -> Part<'_> {
        Part { joined: self, range: (0, self.text.len()) }
    }

    fn piece_of(&self, at: usize) -> Piece {
        let after = self.pieces.partition_point(|piece| piece.at <= at);
        let first = Piece { at: 0, start: 0, line: 1 };
        after.checked_sub(1).map_or(first, |index| self.pieces[index])
    }

    fn span(&self, range: Range<usize>) -> Span {
        let first = self.piece_of(range.start);
        let last = self.piece_of(range.end.saturating_sub(1).max(range.start));
        Span {
            first_line: first.line,
            last_line: last.line,
            start: first.start + (range.start - first.at),
            end: last.start + (range.end - last.at),
        }
    }
}

/// A part of an instruction.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Part<'j> {
    joined: &'j Joined,
    range: (usize, usize),
}

impl<'j> Part<'j> {
    /// Its text.
    pub(crate) fn text(&self) -> &'j str {
        &self.joined.text[self.range.0..self.range.1]
    }

    /// Where it is in the file.
    pub(crate) fn span(&self) -> Span {
        self.joined.span(self.range.0..self.range.1)
    }

    /// A part of this part, by its bytes.
    pub(crate) fn slice(&self, range: Range<usize>) -> Self {
        let start = self.range.0 + range.start;
        let end = (self.range.0 + range.end).min(self.range.1);
        Self { joined: self.joined, range: (start.min(end), end) }
    }

    /// What comes after so many of its bytes.
    pub(crate) fn after(&self, bytes: usize) -> Self {
        self.slice(bytes..self.text().len())
    }

    /// Without spaces around it.
    pub(crate) fn trim(&self) -> Self {
        let text = self.text();
        let start = text.len() - text.trim_start().len();
        self.slice(start..start + text.trim().len())
    }
}
