//! Text to instructions with their arguments, whose meaning is not yet looked at.
//!
//! ```text
//! text --lines--> Line --join continuations--> Joined --keyword, flags, arguments--> Lexed
//!                  └─ directives                        └─ heredocs, from the lines that follow
//! ```

mod arguments;
mod directives;
mod flags;
mod heredoc;
mod lines;
mod words;

pub use directives::{Syntax, detect_syntax};

pub(crate) use arguments::{Arguments, Keyword};
pub(crate) use directives::directive_of_comment;
pub(crate) use heredoc::heredoc_of_word;

use directives::DirectiveReader;
use lines::{Joined, Line, Lines, Part};

use crate::Span;
use crate::ast::{Directive, DirectiveName, Heredoc, Written};
use crate::error::{ParseError, Problem};

/// A file, instruction by instruction.
#[derive(Debug)]
pub(crate) struct LexedFile {
    pub(crate) escape: char,
    pub(crate) directives: Vec<Directive>,
    pub(crate) instructions: Vec<Lexed>,
    pub(crate) empty_continuations: Vec<Span>,
}

/// An instruction.
#[derive(Debug)]
pub(crate) struct Lexed {
    /// How it was written.
    pub(crate) written: Written,
    /// Which it is; none if there is no such.
    pub(crate) keyword: Option<Keyword>,
    /// Its arguments.
    pub(crate) arguments: Arguments,
    /// Spaces at its end, which a trigger keeps.
    pub(crate) trailing: String,
    /// Its heredocs.
    pub(crate) heredocs: Vec<Heredoc>,
}

/// Splits a file into its instructions.
pub(crate) fn lex(text: &str) -> Result<LexedFile, ParseError> {
    let mut lexer = Lexer {
        lines: Lines::new(text),
        reader: DirectiveReader::default(),
        comments: Vec::new(),
        file: LexedFile {
            escape: '\\',
            directives: Vec::new(),
            instructions: Vec::new(),
            empty_continuations: Vec::new(),
        },
    };
    while let Some(line) = lexer.lines.next() {
        lexer.line(&line)?;
    }
    if lexer.file.instructions.is_empty() {
        return Err(Problem::NoInstructions.at(Span::START));
    }
    Ok(lexer.file)
}

struct Lexer<'t> {
    lines: Lines<'t>,
    reader: DirectiveReader,
    comments: Vec<String>,
    file: LexedFile,
}

impl Lexer<'_> {
    fn line(&mut self, line: &Line<'_>) -> Result<(), ParseError> {
        let directive = self.reader.read(line, "#").map_err(|problem| problem.at(line.span()))?;
        if let Some(directive) = directive {
            return self.directive(directive);
        }
        if line.is_blank() {
            self.comments.clear();
            return Ok(());
        }
        if line.is_comment() {
            let comment = line.text().trim_start()[1..].trim();
            if comment.is_empty() {
                self.comments.clear();
            } else {
                self.comments.push(comment.to_owned());
            }
            return Ok(());
        }
        self.instruction(line)
    }

    fn directive(&mut self, directive: Directive) -> Result<(), ParseError> {
        if directive.name == DirectiveName::Escape {
            self.file.escape = match directive.value.as_str() {
                "\\" => '\\',
                "`" => '`',
                other => return Err(Problem::EscapeToken(other.to_owned()).at(directive.span)),
            };
        }
        self.file.directives.push(directive);
        Ok(())
    }

    fn instruction(&mut self, first: &Line<'_>) -> Result<(), ParseError> {
        let (joined, head) = self.join(first);
        let comments = std::mem::take(&mut self.comments);
        let mut lexed = split(&joined.part(), self.file.escape, comments, head)?;
        if takes_heredocs(&lexed) {
            self.heredocs(&mut lexed)?;
        }
        self.file.instructions.push(lexed);
        Ok(())
    }

    /// Joins a line with those that continue it.
    fn join(&mut self, first: &Line<'_>) -> (Joined, Span) {
        let escape = self.file.escape;
        let mut joined = Joined::default();
        let text = first.text();
        let indent = text.len() - text.trim_start().len();
        let (part, mut continued) = without_continuation(&text[indent..], escape);
        joined.push(part, first.start + indent, first.number);
        let mut head = Span { start: first.start + indent, ..first.span() };
        let mut last = head;
        let mut has_empty_line = false;
        while continued {
            let Some(line) = self.lines.next() else { break };
            last = line.span();
            head = head.to(last);
            if line.is_comment() {
                continue;
            }
            if line.is_blank() {
                has_empty_line = true;
                continue;
            }
            let (part, more) = without_continuation(line.text(), escape);
            joined.push(part, line.start, line.number);
            continued = more;
        }
        if has_empty_line {
            self.file.empty_continuations.push(last);
        }
        (joined, head)
    }

    fn heredocs(&mut self, lexed: &mut Lexed) -> Result<(), ParseError> {
        let head = lexed.written.head;
        let heredocs = heredoc::heredocs_of_line(&lexed.written.text);
        for mut heredoc in heredocs.map_err(|problem| problem.at(head))? {
            let end = heredoc::read_content(&mut heredoc, &mut self.lines)
                .ok_or_else(|| Problem::UnterminatedHeredoc.at(head))?;
            lexed.written.span = lexed.written.span.to(end);
            lexed.heredocs.push(heredoc);
        }
        Ok(())
    }
}

/// The line without the escape character at its end that continues it. Two of them at the end are
/// an escaped one.
fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    let Some(before) = line.trim_end_matches([' ', '\t']).strip_suffix(escape) else {
        return (line, false);
    };
    if before.ends_with(escape) { (line, false) } else { (before, true) }
}

fn split(
    part: &Part<'_>,
    escape: char,
    comments: Vec<String>,
    head: Span,
) -> Result<Lexed, ParseError> {
    let (name, rest) = words::first_word(&part.trim());
    let (flags, rest) = match rest {
        Some(rest) => flags::split_flags(&rest),
        None => (Vec::new(), part.after(part.text().len())),
    };
    let keyword = Keyword::of(name.text());
    let arguments =
        arguments::read(keyword, &rest.trim(), escape).map_err(|problem| problem.at(head))?;
    let text = part.text();
    Ok(Lexed {
        trailing: text[text.trim_end().len()..].to_owned(),
        written: Written {
            keyword: name.text().to_owned(),
            text: text.trim().to_owned(),
            span: head,
            head,
            comments,
            flags,
            json: arguments.is_json(),
        },
        keyword,
        arguments,
        heredocs: Vec::new(),
    })
}

fn takes_heredocs(lexed: &Lexed) -> bool {
    let (keyword, json) = match (&lexed.keyword, &lexed.arguments) {
        (Some(Keyword::Onbuild), Arguments::Trigger { keyword, json, .. }) => (*keyword, *json),
        (keyword, _) => (*keyword, lexed.written.json),
    };
    !json && matches!(keyword, Some(Keyword::Add | Keyword::Copy | Keyword::Run))
}
