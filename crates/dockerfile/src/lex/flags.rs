//! Flags between an instruction's name and its arguments.

use super::lines::Part;
use crate::ast::Flag;

/// The flags at the beginning, and what follows them.
///
/// Flags begin with `--`, and end at a space that is neither quoted nor escaped; quotes and
/// backslashes are taken away. The word `--` ends them.
pub(crate) fn split_flags<'j>(part: &Part<'j>) -> (Vec<Flag>, Part<'j>) {
    let mut flags = Vec::new();
    let mut rest = *part;
    loop {
        let text = rest.text();
        let start = text.len() - text.trim_start().len();
        rest = rest.after(start);
        if !rest.text().starts_with("--") {
            return (flags, rest);
        }
        let (value, length) = unquoted_word(rest.text());
        let written = rest.slice(0..length);
        rest = rest.after(length);
        if value == "--" {
            return (flags, rest);
        }
        flags.push(flag(&value, &written));
    }
}

fn flag(text: &str, written: &Part<'_>) -> Flag {
    let text = text.strip_prefix("--").unwrap_or(text);
    let (name, value) = match text.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (text, None),
    };
    Flag { name: name.to_owned(), value, span: written.span() }
}

/// The first word without its quotes and backslashes, and how many bytes it is as written.
fn unquoted_word(text: &str) -> (String, usize) {
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.char_indices();
    while let Some((at, char)) = chars.next() {
        match quote {
            None if char.is_whitespace() => return (word, at),
            None if char == '\'' || char == '"' => quote = Some(char),
            Some(open) if char == open => quote = None,
            _ if char == '\\' => word.extend(chars.next().map(|(_, char)| char)),
            _ => word.push(char),
        }
    }
    (word, text.len())
}
