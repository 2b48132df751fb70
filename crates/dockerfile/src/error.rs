//! Why a text is no Dockerfile.

use gantry_fault::{Fault, Kind};
use thiserror::Error;

use crate::Span;
use crate::duration::DurationError;
use crate::quote::quoted;

/// Why a text is no Dockerfile, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub problem: Box<Problem>,
    /// Where: the instruction, or the part of it that is wrong.
    pub span: Span,
    /// Line that the message names: the instruction's first.
    pub line: usize,
}

/// What is wrong with a Dockerfile, in BuildKit's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Problem {
    /// There is nothing in it.
    #[error("file with no instructions")]
    NoInstructions,
    /// There is no `FROM`.
    #[error("dockerfile contains no stages to build")]
    NoStages,
    /// Something other than `ARG` comes before the first `FROM`.
    #[error("no build stage in current context")]
    NoStageYet,
    /// A parser directive is there twice.
    #[error("only one {0} parser directive can be used")]
    DuplicateDirective(&'static str),
    /// The escape character is not one of the two.
    #[error("invalid escape token '{0}' does not match ` or \\")]
    EscapeToken(String),
    /// A heredoc has no end.
    #[error("unterminated heredoc")]
    UnterminatedHeredoc,
    /// The delimiter of a heredoc has a quote without end.
    #[error(transparent)]
    HeredocDelimiter(crate::ExpandError),
    /// A heredoc stands where a path must.
    #[error("{0} cannot accept a heredoc as a destination")]
    HeredocDestination(&'static str),
    /// There is no such instruction.
    #[error("unknown instruction: {name}{}", did_you_mean(.hint.as_deref()))]
    UnknownInstruction {
        /// As written.
        name: String,
        /// What it may have been.
        hint: Option<String>,
    },
    /// The instruction has no such flag.
    #[error("unknown flag: --{name}{}", did_you_mean(.hint.as_deref()))]
    UnknownFlag {
        /// As written.
        name: String,
        /// What it may have been.
        hint: Option<String>,
    },
    /// A flag is there twice.
    #[error("duplicate flag specified: --{0}")]
    DuplicateFlag(String),
    /// A flag has no value.
    #[error("missing a value on flag: --{0}")]
    FlagWithoutValue(String),
    /// A flag is neither true nor false.
    #[error("expecting boolean value for flag --{name}, not: {value}")]
    FlagNotBoolean {
        /// The flag.
        name: String,
        /// Its value.
        value: String,
    },
    /// An instruction has no argument.
    #[error("{0} requires at least one argument")]
    AtLeastOneArgument(&'static str),
    /// An instruction has no argument, or several.
    #[error("{0} requires exactly one argument")]
    ExactlyOneArgument(&'static str),
    /// `COPY` or `ADD` of one argument.
    #[error(
        "{0} requires at least two arguments, but only one was provided. \
         Destination could not be determined"
    )]
    NoDestination(&'static str),
    /// `FROM` of two arguments, or more than three, or without `AS`.
    #[error("FROM requires either one or three arguments")]
    FromArguments,
    /// A name that no stage may have.
    #[error(
        "invalid name for build stage: {}, name can't start with a number or contain symbols",
        quoted(.0)
    )]
    StageName(String),
    /// A name without a value.
    #[error("{0} must have two arguments")]
    TwoArguments(&'static str),
    /// A word without `=` among others.
    #[error("Syntax error - can't find = in {}. Must be of the form: name=value", quoted(.0))]
    NoEquals(String),
    /// A value without a name.
    #[error("{0} names can not be blank")]
    BlankName(&'static str),
    /// A JSON array of other things than strings.
    #[error("when using JSON array syntax, arrays must be comprised of strings only")]
    NotStrings,
    /// Arguments must be JSON.
    #[error("{0} requires the arguments to be in JSON form")]
    NotJson(&'static str),
    /// A volume without a path.
    #[error("VOLUME specified can not be an empty string")]
    EmptyVolume,
    /// `ONBUILD ONBUILD`.
    #[error("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed")]
    OnbuildChain,
    /// `ONBUILD FROM` or `ONBUILD MAINTAINER`.
    #[error("{0} isn't allowed as an ONBUILD trigger")]
    OnbuildTrigger(String),
    /// A trigger of several instructions.
    #[error("onbuild trigger should be a single expression")]
    OnbuildSeveral,
    /// `HEALTHCHECK NONE` and more.
    #[error("HEALTHCHECK NONE takes no arguments")]
    HealthcheckNone,
    /// `HEALTHCHECK CMD` and nothing.
    #[error("Missing command after HEALTHCHECK CMD")]
    HealthcheckCommand,
    /// `HEALTHCHECK` of neither.
    #[error("Unknown type {} in HEALTHCHECK (try CMD)", quoted(.0))]
    HealthcheckType(String),
    /// A flag's value is no duration.
    #[error(transparent)]
    Duration(DurationError),
    /// A duration is too short.
    #[error("Interval {} cannot be less than 1ms", quoted(.0))]
    ShortInterval(&'static str),
    /// `--retries` is no number, or too large.
    #[error("strconv.ParseInt: parsing {}: {reason}", quoted(.value))]
    Retries {
        /// Its value.
        value: String,
        /// Which of the two.
        reason: &'static str,
    },
    /// `--retries` is below 0.
    #[error("--retries cannot be negative ({0})")]
    NegativeRetries(i64),
    /// `--network` is none of the three.
    #[error("invalid network mode {}{}", quoted(.value), did_you_mean(.hint.as_deref()))]
    Network {
        /// Its value.
        value: String,
        /// What it may have been.
        hint: Option<String>,
    },
    /// `--security` is neither of the two.
    #[error("security {} is not valid{}", quoted(.value), did_you_mean(.hint.as_deref()))]
    Security {
        /// Its value.
        value: String,
        /// What it may have been.
        hint: Option<String>,
    },
    /// `--mount` or `--device` is wrong.
    #[error(transparent)]
    Fields(crate::MountError),
}

/// ` (did you mean X?)`, or nothing.
#[must_use]
pub fn did_you_mean(hint: Option<&str>) -> String {
    hint.map(|hint| format!(" (did you mean {hint}?)")).unwrap_or_default()
}

impl Problem {
    pub(crate) fn at(self, span: Span) -> ParseError {
        ParseError { line: span.first_line, problem: Box::new(self), span }
    }
}

impl std::fmt::Display for ParseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self.problem {
            // They are about the whole file.
            Problem::NoInstructions | Problem::NoStages => write!(f, "{}", self.problem),
            _ => write!(f, "dockerfile parse error on line {}: {}", self.line, self.problem),
        }
    }
}

impl std::error::Error for ParseError {}

impl Fault for ParseError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        let hint = match &*self.problem {
            Problem::NoStageYet => "only ARG may come before the first FROM",
            Problem::NoStages => "a Dockerfile needs a FROM; FROM scratch begins with nothing",
            Problem::FromArguments => "FROM [--platform=PLATFORM] IMAGE [AS NAME]",
            Problem::NotStrings | Problem::NotJson(_) => {
                r#"write the arguments as ["program", "argument"], in double quotes"#
            }
            Problem::UnterminatedHeredoc => {
                "its delimiter must stand alone on a line, without spaces before or after it"
            }
            _ => return None,
        };
        Some(hint.to_owned())
    }
}
