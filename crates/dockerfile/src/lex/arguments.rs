//! Arguments of an instruction, in the form that it has.

use super::flags::split_flags;
use super::lines::Part;
use super::words::{first_word, plain_words, quoted_words, word};
use crate::ast::{CommandLine, Pair, PairForm, Pairs, Word};
use crate::error::Problem;

/// Names of instructions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Keyword {
    Add,
    Arg,
    Cmd,
    Copy,
    Entrypoint,
    Env,
    Expose,
    From,
    Healthcheck,
    Label,
    Maintainer,
    Onbuild,
    Run,
    Shell,
    Stopsignal,
    User,
    Volume,
    Workdir,
}

/// What follows an instruction's name and flags.
#[derive(Debug)]
pub(crate) enum Arguments {
    /// Nothing.
    None,
    /// Words.
    Words(Vec<Word>),
    /// A JSON array of strings, and the array as written.
    Json(Vec<String>, Word),
    /// All as one.
    Text(Word),
    /// Names and values.
    Pairs(Pairs),
    /// What `HEALTHCHECK` is to be, and a command.
    Healthcheck { kind: Word, command: Option<CommandLine> },
    /// Another instruction.
    Trigger { name: Word, keyword: Option<Keyword>, json: bool },
}

impl Keyword {
    /// All, in order.
    pub(crate) const ALL: [Self; 18] = [
        Self::Add,
        Self::Arg,
        Self::Cmd,
        Self::Copy,
        Self::Entrypoint,
        Self::Env,
        Self::Expose,
        Self::From,
        Self::Healthcheck,
        Self::Label,
        Self::Maintainer,
        Self::Onbuild,
        Self::Run,
        Self::Shell,
        Self::Stopsignal,
        Self::User,
        Self::Volume,
        Self::Workdir,
    ];

    /// The instruction of this name, in any case.
    pub(crate) fn of(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.name().eq_ignore_ascii_case(name))
    }

    /// Its name in upper case.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Add => "ADD",
            Self::Arg => "ARG",
            Self::Cmd => "CMD",
            Self::Copy => "COPY",
            Self::Entrypoint => "ENTRYPOINT",
            Self::Env => "ENV",
            Self::Expose => "EXPOSE",
            Self::From => "FROM",
            Self::Healthcheck => "HEALTHCHECK",
            Self::Label => "LABEL",
            Self::Maintainer => "MAINTAINER",
            Self::Onbuild => "ONBUILD",
            Self::Run => "RUN",
            Self::Shell => "SHELL",
            Self::Stopsignal => "STOPSIGNAL",
            Self::User => "USER",
            Self::Volume => "VOLUME",
            Self::Workdir => "WORKDIR",
        }
    }
}

impl Arguments {
    /// Whether they are in JSON.
    pub(crate) fn is_json(&self) -> bool {
        match self {
            Self::Json(..) => true,
            Self::Healthcheck { command, .. } => matches!(command, Some(CommandLine::Exec(_))),
            _ => false,
        }
    }
}

/// Reads arguments, without spaces around them, in the form that the instruction has them. Those
/// of unknown instructions are not looked at.
pub(crate) fn read(
    keyword: Option<Keyword>,
    part: &Part<'_>,
    escape: char,
) -> Result<Arguments, Problem> {
    let Some(keyword) = keyword.filter(|_| !part.text().is_empty()) else {
        return Ok(Arguments::None);
    };
    match keyword {
        Keyword::Add | Keyword::Copy | Keyword::Volume => Ok(match json(part)? {
            Some(strings) => Arguments::Json(strings, word(part)),
            None => Arguments::Words(plain_words(part)),
        }),
        Keyword::Run | Keyword::Cmd | Keyword::Entrypoint | Keyword::Shell => {
            Ok(match json(part)? {
                Some(strings) => Arguments::Json(strings, word(part)),
                None => Arguments::Text(word(part)),
            })
        }
        Keyword::Expose | Keyword::From => Ok(Arguments::Words(plain_words(part))),
        Keyword::Arg => Ok(Arguments::Words(quoted_words(part, escape))),
        Keyword::Env | Keyword::Label => pairs(keyword, part, escape),
        Keyword::Maintainer | Keyword::Stopsignal | Keyword::User | Keyword::Workdir => {
            Ok(Arguments::Text(word(part)))
        }
        Keyword::Healthcheck => healthcheck(part),
        Keyword::Onbuild => trigger(part, escape),
    }
}

/// The strings of a JSON array; none if it is no JSON array.
fn json(part: &Part<'_>) -> Result<Option<Vec<String>>, Problem> {
    if !part.text().starts_with('[') {
        return Ok(None);
    }
    let Ok(values) = serde_json::from_str::<Vec<serde_json::Value>>(part.text()) else {
        return Ok(None);
    };
    let strings = values.into_iter().map(|value| match value {
        serde_json::Value::String(string) => Ok(string),
        _ => Err(Problem::NotStrings),
    });
    strings.collect::<Result<_, _>>().map(Some)
}

/// `NAME=value ...`, or the older `NAME value`: whichever of `=` and a space comes first decides.
fn pairs(keyword: Keyword, part: &Part<'_>, escape: char) -> Result<Arguments, Problem> {
    let words = quoted_words(part, escape);
    let Some(first) = words.first() else { return Ok(Arguments::None) };
    if !first.text.contains('=') {
        let (key, value) = first_word(part);
        let value = value.ok_or(Problem::TwoArguments(keyword.name()))?;
        let pair =
            Pair { key: key.text().to_owned(), value: value.text().to_owned(), span: part.span() };
        return Ok(Arguments::Pairs(Pairs { pairs: vec![pair], form: PairForm::Space }));
    }
    let pairs = words.into_iter().map(|word| match word.text.split_once('=') {
        Some((key, value)) => {
            Ok(Pair { key: key.to_owned(), value: value.to_owned(), span: word.span })
        }
        None => Err(Problem::NoEquals(word.text)),
    });
    let pairs = pairs.collect::<Result<_, _>>()?;
    Ok(Arguments::Pairs(Pairs { pairs, form: PairForm::Equals }))
}

fn healthcheck(part: &Part<'_>) -> Result<Arguments, Problem> {
    let text = part.text();
    let end = text.find(char::is_whitespace).unwrap_or(text.len());
    let kind = word(&part.slice(0..end));
    let rest = part.after(end).trim();
    let command = match json(&rest)? {
        _ if rest.text().is_empty() => None,
        Some(strings) => Some(CommandLine::Exec(strings)),
        None => Some(CommandLine::Shell(rest.text().to_owned())),
    };
    Ok(Arguments::Healthcheck { kind, command })
}

/// The instruction that `ONBUILD` keeps. What is wrong with its arguments' form is wrong now
/// already; what is wrong with their meaning is so when it is run.
fn trigger(part: &Part<'_>, escape: char) -> Result<Arguments, Problem> {
    let (name, rest) = first_word(part);
    let keyword = Keyword::of(name.text());
    let rest = rest.map(|rest| split_flags(&rest).1.trim());
    let json = match (keyword, rest) {
        // No trigger may be an `ONBUILD`, so there is no depth to go to.
        (Some(Keyword::Onbuild), _) | (_, None) => false,
        (keyword, Some(rest)) => read(keyword, &rest, escape)?.is_json(),
    };
    Ok(Arguments::Trigger { name: word(&name), keyword, json })
}
