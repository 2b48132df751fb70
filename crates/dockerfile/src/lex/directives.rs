//! Parser directives, which come before everything else in a file.

use super::lines::{Line, Lines};
use crate::Span;
use crate::ast::{Directive, DirectiveName};
use crate::error::Problem;

/// The front end that a file names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Syntax {
    /// Its image: the first word.
    pub image: String,
    /// All that is said.
    pub command_line: String,
    /// Where.
    pub span: Span,
}

/// Reads directives until the first line that is none.
#[derive(Debug, Default)]
pub(crate) struct DirectiveReader {
    done: bool,
    seen: Vec<DirectiveName>,
}

impl DirectiveName {
    /// As it is written.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Syntax => "syntax",
            Self::Escape => "escape",
            Self::Check => "check",
        }
    }

    fn of(name: &str) -> Option<Self> {
        [Self::Syntax, Self::Escape, Self::Check]
            .into_iter()
            .find(|known| known.as_str().eq_ignore_ascii_case(name))
    }
}

impl DirectiveReader {
    /// The directive of a line. `prefix` is what comments begin with.
    pub(crate) fn read(
        &mut self,
        line: &Line<'_>,
        prefix: &str,
    ) -> Result<Option<Directive>, Problem> {
        if self.done || is_shebang(line) {
            return Ok(None);
        }
        let comment = line.text().trim_start().strip_prefix(prefix);
        let Some((name, value)) = comment.and_then(directive_of_comment) else {
            self.done = true;
            return Ok(None);
        };
        if self.seen.contains(&name) {
            return Err(Problem::DuplicateDirective(name.as_str()));
        }
        self.seen.push(name);
        Ok(Some(Directive { name, value: value.to_owned(), span: line.span() }))
    }
}

fn is_shebang(line: &Line<'_>) -> bool {
    line.number == 1 && line.raw.starts_with("#!")
}

/// The directive that a comment is, if it is one.
pub(crate) fn directive_of_comment(comment: &str) -> Option<(DirectiveName, &str)> {
    let (name, value) = comment.split_once('=')?;
    let value = value.trim();
    let name = DirectiveName::of(name.trim())?;
    (!value.is_empty()).then_some((name, value))
}

/// The front end that a file wants, in any of the forms in which files say so: `# syntax=IMAGE`,
/// `// syntax=IMAGE`, or a JSON object with a member `syntax`. A first line that begins with `#!`
/// is passed over.
///
/// The last two are for files in languages of other front ends.
#[must_use]
pub fn detect_syntax(text: &str) -> Option<Syntax> {
    ["#", "//"]
        .into_iter()
        .find_map(|prefix| {
            let mut reader = DirectiveReader::default();
            Lines::new(text)
                .map_while(|line| {
                    let directive = reader.read(&line, prefix).ok()?;
                    (!reader.done).then_some(directive)
                })
                .flatten()
                .find(|directive| directive.name == DirectiveName::Syntax)
                .map(|directive| (directive.value, directive.span))
        })
        .or_else(|| syntax_of_json(text))
        .map(|(command_line, span)| {
            let image = command_line.split(' ').next().unwrap_or_default().to_owned();
            Syntax { image, command_line, span }
        })
}

fn syntax_of_json(text: &str) -> Option<(String, Span)> {
    let first = Lines::new(text).next()?;
    let json = &text[first.start..];
    let json = if is_shebang(&first) { &json[first.raw.len()..] } else { json };
    let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(json).ok()?;
    let syntax = object.get("syntax")?.as_str()?;
    Some((syntax.to_owned(), first.span()))
}
