//! Words, pairs, arguments and health checks.

use super::CommandLine;
use crate::Span;

/// A word and where it was written.
///
/// Two are equal wherever they were written.
#[derive(Debug, Clone, Default)]
pub struct Word {
    /// As written, or its value once expanded.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// `ENV` and `LABEL`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pairs {
    /// Names and values in order; at least one.
    pub pairs: Vec<Pair>,
    /// How they were written.
    pub form: PairForm,
}

/// How pairs are written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PairForm {
    /// `NAME=value ...`
    #[default]
    Equals,
    /// `NAME value`: one pair; the value is the rest of the line.
    Space,
}

/// A name and its value.
///
/// Two are equal wherever they were written.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// Its name.
    pub key: String,
    /// Its value.
    pub value: String,
    /// Where.
    pub span: Span,
}

/// One `name[=default]` of `ARG`.
///
/// Two are equal wherever they were written.
#[derive(Debug, Clone, Default)]
pub struct Arg {
    /// Its name.
    pub name: String,
    /// Its default.
    pub default: Option<String>,
    /// What a comment directly above says of it: `# name what it is for`.
    pub description: String,
    /// Where.
    pub span: Span,
}

/// `HEALTHCHECK`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Healthcheck {
    /// None, not even the base image's.
    None,
    /// A command that is run again and again.
    Cmd(Box<Probe>),
}

/// A health check; what is 0 is not said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Probe {
    /// What is run.
    pub command: CommandLine,
    /// Time between two runs, ns.
    pub interval_ns: i64,
    /// Time that a run may take, ns.
    pub timeout_ns: i64,
    /// Time after the start in which failures do not count, ns.
    pub start_period_ns: i64,
    /// Time between two runs in that time, ns.
    pub start_interval_ns: i64,
    /// Failures in a row that make the container unhealthy.
    pub retries: u32,
}

impl PartialEq for Word {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for Word {}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        (&self.key, &self.value) == (&other.key, &other.value)
    }
}

impl Eq for Pair {}

impl PartialEq for Arg {
    fn eq(&self, other: &Self) -> bool {
        let own = (&self.name, &self.default, &self.description);
        own == (&other.name, &other.default, &other.description)
    }
}

impl Eq for Arg {}

impl Word {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}
