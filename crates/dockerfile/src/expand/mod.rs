//! Variables and quotes in words.
//!
//! A word is read as a shell would: single quotes keep everything, double quotes everything but
//! variables, the escape character keeps what follows it. Variables are `$name` and `${name}`, the
//! latter with `:-` `-` `:+` `+` `:?` `?` (defaults), `#` `##` `%` `%%` (less a prefix or suffix)
//! and `/` `//` (replacement).
//!
//! Source: <https://docs.docker.com/reference/dockerfile/#environment-replacement>.

mod instruction;
mod pattern;
mod word;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use thiserror::Error;

pub(crate) use word::{Expansion, Rules, expand};

use crate::quote::quoted;

/// Values of variables.
pub trait Environment {
    /// The value of a variable, if it is set.
    fn get(&self, name: &str) -> Option<&str>;
}

/// No variable at all.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoVariables;

/// Variables that words named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Names {
    /// Those that were set.
    pub used: BTreeSet<String>,
    /// Those that were not.
    pub undefined: BTreeSet<String>,
}

/// Why a word cannot be expanded.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("failed to process {}: {problem}", quoted(.word))]
pub struct ExpandError {
    /// The word.
    pub word: String,
    /// What is wrong with it.
    pub problem: ExpandProblem,
}

/// What is wrong with a word.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ExpandProblem {
    /// A single quote has no end.
    #[error("unexpected end of statement while looking for matching single-quote")]
    SingleQuote,
    /// A double quote has no end.
    #[error("unexpected end of statement while looking for matching double-quote")]
    DoubleQuote,
    /// `${` has no end.
    #[error("syntax error: missing '}}'")]
    Brace,
    /// `${name/` has no second slash.
    #[error("syntax error: missing '/' in ${{}}")]
    Slash,
    /// `${}` without a name.
    #[error("syntax error: bad substitution")]
    BadSubstitution,
    /// Something after the name that is none of the known forms.
    #[error("unsupported modifier ({0}) in substitution")]
    Modifier(String),
    /// `${name:?message}` of a variable without a value.
    #[error("{name}: {message}")]
    Required {
        /// The variable.
        name: String,
        /// Why it must have one.
        message: String,
    },
    /// A pattern of `#`, `%` or `/` is none.
    #[error("invalid pattern ({pattern}) in substitution: {reason}")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The value is far longer than the word: variables that hold each other several times grow
    /// without bounds.
    #[error("the value is longer than {0} bytes")]
    Length(usize),
    /// Substitutions within substitutions, more than anybody means.
    #[error("substitutions are nested more than {0} deep")]
    Depth(usize),
}

/// Expands words, and keeps which variables they named.
pub struct Expander<'e> {
    escape: char,
    environment: &'e dyn Environment,
    names: Names,
}

impl<'e> Expander<'e> {
    /// One for a file with this escape character.
    #[must_use]
    pub fn new(escape: char, environment: &'e dyn Environment) -> Self {
        Self { escape, environment, names: Names::default() }
    }

    /// One word: spaces that a variable's value has stay in it.
    ///
    /// # Errors
    /// When quotes or substitutions are wrong, or a variable that is required has no value.
    pub fn word(&mut self, word: &str) -> Result<String, ExpandError> {
        Ok(self.expand(word, &Rules::new(self.escape))?.text)
    }

    /// Several words: split at spaces that are not quoted, those in variables' values too.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn words(&mut self, words: &str) -> Result<Vec<String>, ExpandError> {
        Ok(self.expand(words, &Rules::new(self.escape))?.words)
    }

    /// The content of a heredoc: quotes are characters like others, and `\` escapes whatever the
    /// file's escape character is.
    ///
    /// # Errors
    /// As [`Expander::word`].
    pub fn heredoc(&mut self, content: &str) -> Result<String, ExpandError> {
        let rules = Rules { skip_quotes: true, ..Rules::new('\\') };
        Ok(self.expand(content, &rules)?.text)
    }

    /// A text to show: quotes stay, and so do variables that are not set. What is wrong in it
    /// stays as written.
    #[must_use]
    pub fn shown(&self, text: &str) -> String {
        let rules = Rules { raw_quotes: true, keep_unset: true, ..Rules::new(self.escape) };
        let mut names = Names::default();
        match expand(text, &rules, self.environment, &mut names) {
            Ok(expansion) => expansion.text,
            Err(_) => text.to_owned(),
        }
    }

    /// The variables that were named since the last call.
    pub fn take_names(&mut self) -> Names {
        std::mem::take(&mut self.names)
    }

    fn expand(&mut self, word: &str, rules: &Rules) -> Result<Expansion, ExpandError> {
        expand(word, rules, self.environment, &mut self.names)
            .map_err(|problem| ExpandError { word: word.to_owned(), problem })
    }
}

impl std::fmt::Debug for Expander<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The values are left out: they may be secret.
        f.debug_struct("Expander")
            .field("escape", &self.escape)
            .field("names", &self.names)
            .finish_non_exhaustive()
    }
}

impl Environment for NoVariables {
    fn get(&self, _: &str) -> Option<&str> {
        None
    }
}

impl Environment for BTreeMap<String, String> {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

impl<S: std::hash::BuildHasher> Environment for HashMap<String, String, S> {
    fn get(&self, name: &str) -> Option<&str> {
        self.get(name).map(String::as_str)
    }
}

/// `NAME=value` as images have them; the last of several with one name counts.
impl Environment for [String] {
    fn get(&self, name: &str) -> Option<&str> {
        self.iter().rev().find_map(|entry| match entry.split_once('=') {
            Some((key, value)) => (key == name).then_some(value),
            None => (entry == name).then_some(""),
        })
    }
}

impl Environment for Vec<String> {
    fn get(&self, name: &str) -> Option<&str> {
        Environment::get(self.as_slice(), name)
    }
}
