//! Patterns of substitutions: `*` is any text, `?` one character, `\` takes either's meaning away.
//!
//! Brackets mean themselves, unlike in file patterns. Neither wildcard matches a newline: so it is
//! with BuildKit, whose results images should share.

use std::fmt::Write as _;

use regex::Regex;

use super::ExpandProblem;

/// Which end of a value is trimmed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Start,
    End,
}

/// How much of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reach {
    Shortest,
    Longest,
}

enum Part {
    Literal(char),
    One,
    Any,
}

/// The value without what the pattern matches at one end of it.
pub(super) fn trim(
    value: &str,
    pattern: &str,
    end: End,
    reach: Reach,
) -> Result<String, ExpandProblem> {
    let wrong = |reason| wrong(pattern, reason);
    let mut parts = parts(pattern).map_err(wrong)?;
    // The shortest match at an end is found by searching from there, so a suffix is the prefix of
    // what is written backwards.
    if end == End::End {
        parts.reverse();
        let backwards: String = value.chars().rev().collect();
        let regex = compile(&parts, reach, "^").map_err(wrong)?;
        return Ok(after(&regex, &backwards).chars().rev().collect());
    }
    let regex = compile(&parts, reach, "^").map_err(wrong)?;
    Ok(after(&regex, value).to_owned())
}

/// How much is replaced, and how long the result may be.
#[derive(Debug, Clone, Copy)]
pub(super) struct Extent {
    /// All matches, not the first alone.
    pub(super) all: bool,
    /// Bytes.
    pub(super) limit: usize,
}

/// The value with the first match, or all, replaced.
pub(super) fn replace(
    value: &str,
    pattern: &str,
    replacement: &str,
    extent: Extent,
) -> Result<String, ExpandProblem> {
    let wrong = |reason| wrong(pattern, reason);
    let parts = parts(pattern).map_err(wrong)?;
    let regex = compile(&parts, Reach::Longest, "").map_err(wrong)?;
    let mut replaced = String::new();
    let mut done = 0;
    let count = if extent.all { usize::MAX } else { 1 };
    for found in regex.find_iter(value).take(count) {
        replaced.push_str(&value[done..found.start()]);
        replaced.push_str(replacement);
        done = found.end();
        if replaced.len() > extent.limit {
            return Err(ExpandProblem::Length(extent.limit));
        }
    }
    replaced.push_str(&value[done..]);
    Ok(replaced)
}

fn wrong(pattern: &str, reason: String) -> ExpandProblem {
    ExpandProblem::Pattern { pattern: pattern.to_owned(), reason }
}

fn after<'v>(regex: &Regex, value: &'v str) -> &'v str {
    regex.find(value).map_or(value, |found| &value[found.end()..])
}

fn parts(pattern: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        parts.push(match char {
            '*' => Part::Any,
            '?' => Part::One,
            // `}` and `/` had to be escaped to be in a substitution at all.
            '\\' => match chars.next() {
                Some(char @ ('*' | '?' | '\\' | '}' | '/')) => Part::Literal(char),
                Some(char) => return Err(format!("invalid escape '\\{char}'")),
                None => return Err("invalid escape '\\'".to_owned()),
            },
            char => Part::Literal(char),
        });
    }
    Ok(parts)
}

fn compile(parts: &[Part], reach: Reach, anchor: &str) -> Result<Regex, String> {
    let mut text = anchor.to_owned();
    for part in parts {
        match part {
            // As a number, no character has a meaning of its own.
            Part::Literal(char) => {
                let _ = write!(text, "\\x{{{:x}}}", u32::from(*char));
            }
            Part::One => text.push('.'),
            Part::Any if reach == Reach::Longest => text.push_str(".*"),
            Part::Any => text.push_str(".*?"),
        }
    }
    Regex::new(&text).map_err(|_| "it is too long".to_owned())
}
