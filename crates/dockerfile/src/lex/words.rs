//! Arguments as words.

use super::lines::Part;
use crate::ast::Word;

/// What parts words: not the newline, which no instruction has, nor spaces beyond ASCII.
const SPACES: [char; 5] = ['\t', '\u{b}', '\u{c}', '\r', ' '];

/// The word at the beginning and what follows after spaces.
pub(crate) fn first_word<'j>(part: &Part<'j>) -> (Part<'j>, Option<Part<'j>>) {
    let text = part.text();
    let Some(end) = text.find(SPACES) else { return (*part, None) };
    let gap = text[end..].len() - text[end..].trim_start_matches(SPACES).len();
    (part.slice(0..end), Some(part.after(end + gap)))
}

/// Words between spaces; quotes mean nothing.
pub(crate) fn plain_words(part: &Part<'_>) -> Vec<Word> {
    let text = part.text();
    let mut words = Vec::new();
    let mut at = 0;
    for piece in text.split(SPACES) {
        if !piece.is_empty() {
            words.push(word(&part.slice(at..at + piece.len())));
        }
        at += piece.len() + 1;
    }
    words
}

/// Words between spaces that are neither quoted nor escaped; quotes and escapes are kept.
pub(crate) fn quoted_words(part: &Part<'_>, escape: char) -> Vec<Word> {
    let text = part.text();
    let mut words = Vec::new();
    let mut start = None;
    let mut end = text.len();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        if quote.is_none() && char.is_whitespace() {
            words.extend(start.take().map(|start| word(&part.slice(start..at))));
            continue;
        }
        start = start.or(Some(at));
        if char == escape && quote != Some('\'') {
            // At the very end it escapes nothing, and is dropped.
            end = if chars.next().is_none() { at } else { end };
            continue;
        }
        match quote {
            Some(open) if char == open => quote = None,
            None if char == '\'' || char == '"' => quote = Some(char),
            _ => {}
        }
    }
    let last = start.filter(|start| *start < end);
    words.extend(last.map(|start| word(&part.slice(start..end))));
    words
}

/// The part as a word.
pub(crate) fn word(part: &Part<'_>) -> Word {
    Word { text: part.text().to_owned(), span: part.span() }
}
