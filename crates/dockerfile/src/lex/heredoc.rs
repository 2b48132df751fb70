//! Heredocs: `<<NAME`, `<<-NAME`, `<<"NAME"`, with or without a number before.

use super::lines::Lines;
use crate::Span;
use crate::ast::Heredoc;
use crate::error::Problem;
use crate::expand::{ExpandError, Names, NoVariables, Rules, expand};

/// The heredocs that a line opens, still without their content.
pub(crate) fn heredocs_of_line(line: &str) -> Result<Vec<Heredoc>, Problem> {
    if !line.contains("<<") {
        return Ok(Vec::new());
    }
    // Words as a shell has them, with quotes and escapes, since whether the delimiter is quoted
    // matters. A line that cannot be read so is the shell's to judge.
    let rules = Rules { raw_quotes: true, raw_escapes: true, keep_unset: true, ..Rules::new('\\') };
    let Ok(words) = expand(line, &rules, &NoVariables, &mut Names::default()) else {
        return Ok(Vec::new());
    };
    let mut heredocs = Vec::new();
    for word in &words.words {
        heredocs.extend(heredoc_of_word(word)?);
    }
    Ok(heredocs)
}

/// The heredoc that a word opens, if it does.
pub(crate) fn heredoc_of_word(word: &str) -> Result<Option<Heredoc>, Problem> {
    let digits = word.len() - word.trim_start_matches(|char: char| char.is_ascii_digit()).len();
    let (descriptor, rest) = word.split_at(digits);
    let Some(rest) = rest.strip_prefix("<<") else { return Ok(None) };
    let (chomp, delimiter) = match rest.strip_prefix('-') {
        Some(delimiter) => (true, delimiter),
        None => (false, rest),
    };
    if delimiter.is_empty() || delimiter.contains('<') {
        return Ok(None);
    }
    let read = |raw_quotes| {
        let rules = Rules { raw_quotes, keep_unset: true, ..Rules::new('\\') };
        expand(delimiter, &rules, &NoVariables, &mut Names::default()).map_err(|problem| {
            Problem::HeredocDelimiter(ExpandError { word: delimiter.to_owned(), problem })
        })
    };
    let Ok([name]) = <[String; 1]>::try_from(read(false)?.words) else { return Ok(None) };
    let raw = read(true)?.text;
    Ok(Some(Heredoc {
        expand: quotes(&name) == quotes(&raw),
        name,
        content: String::new(),
        chomp,
        descriptor: descriptor.parse().unwrap_or_default(),
        span: Span::default(),
    }))
}

fn quotes(text: &str) -> usize {
    text.chars().filter(|char| matches!(char, '\'' | '"')).count()
}

/// Reads the content of a heredoc, and the line that ends it, of which it gives the place. None if
/// the file ends first.
pub(crate) fn read_content(heredoc: &mut Heredoc, lines: &mut Lines<'_>) -> Option<Span> {
    let mut span: Option<Span> = None;
    for line in lines {
        let text = line.text();
        let possible = if heredoc.chomp { text.trim_start_matches('\t') } else { text };
        if possible == heredoc.name {
            // An empty heredoc is where its end is.
            let end = line.span();
            let empty = Span { end: end.start, ..end };
            heredoc.span = span.unwrap_or(empty);
            return Some(end);
        }
        heredoc.content.push_str(line.raw);
        let whole = Span { end: line.start + line.raw.len(), ..line.span() };
        span = Some(span.map_or(whole, |span| span.to(whole)));
    }
    None
}
