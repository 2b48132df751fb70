//! Places in a Dockerfile's text.

/// A part of the text: whole lines, and the bytes in them.
///
/// An instruction that is continued on further lines, or that has heredocs, spans all of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Span {
    /// First line, from 1.
    pub first_line: usize,
    /// Last line; the same as the first if there is but one.
    pub last_line: usize,
    /// Byte in the text where it begins.
    pub start: usize,
    /// Byte after its last.
    pub end: usize,
}

impl Span {
    /// The beginning of a text.
    pub(crate) const START: Self = Self { first_line: 1, last_line: 1, start: 0, end: 0 };

    /// The text that it stands for, as written; empty if it is a span of another text.
    #[must_use]
    pub fn of<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.start..self.end).unwrap_or_default()
    }

    /// The smallest span over both.
    #[must_use]
    pub fn to(self, other: Self) -> Self {
        Self {
            first_line: self.first_line.min(other.first_line),
            last_line: self.last_line.max(other.last_line),
            start: self.start.min(other.start),
            end: self.end.max(other.end),
        }
    }
}
