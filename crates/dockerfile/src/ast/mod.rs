//! What a Dockerfile says.
//!
//! ```text
//! Dockerfile ── directives
//!            ├─ global_args (ARG before the first FROM)
//!            └─ stages ── From
//!                      └─ instructions ── Written (words, place, comments)
//!                                      └─ InstructionKind: Add, Arg, Cmd, ... with typed flags
//! ```
//!
//! Words are kept as written, with their quotes and variables; `expand` gives the same types with
//! the values.

mod files;
mod metadata;
mod mount;
mod run;

pub use files::{Add, Copy, InlineFile, Sources};
pub use metadata::{Arg, Healthcheck, Pair, PairForm, Pairs, Probe, Word};
pub use mount::{Mount, MountType, Sharing};
pub use run::{CommandLine, Device, Network, Run, Script, Security};

use crate::Span;

/// A whole Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dockerfile {
    /// What escapes and continues lines: `\` or, by directive, a backtick.
    pub escape: char,
    /// Parser directives, in order.
    pub directives: Vec<Directive>,
    /// `ARG` before the first `FROM`.
    pub global_args: Vec<GlobalArgs>,
    /// The stages, in order; at least one.
    pub stages: Vec<Stage>,
    /// The last line of each instruction that has empty lines within, which only old files have.
    pub empty_continuations: Vec<Span>,
}

/// A parser directive: `# name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Which.
    pub name: DirectiveName,
    /// Its value, without spaces around it.
    pub value: String,
    /// Where.
    pub span: Span,
}

/// Parser directives that there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DirectiveName {
    /// `syntax`: the image of the front end that is to read this file.
    Syntax,
    /// `escape`: the escape character.
    Escape,
    /// `check`: which rules are on.
    Check,
}

/// How an instruction was written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Written {
    /// Its name as written, such as `RUN` or `run`.
    pub keyword: String,
    /// The instruction on one line: continuations joined, comments within dropped, flags kept;
    /// without the contents of heredocs. This is what progress and history show.
    pub text: String,
    /// Where it is, with its continuations and heredocs.
    pub span: Span,
    /// Where its first line (with continuations) is, without heredocs.
    pub head: Span,
    /// The comments on the lines directly above, without `#`. An empty line in between, or a
    /// comment that is empty, parts a comment from its instruction.
    pub comments: Vec<String>,
    /// Flags as written, in order.
    pub flags: Vec<Flag>,
    /// Arguments are in JSON (exec form).
    pub json: bool,
}

/// A flag of an instruction as written: `--name=value`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: String,
    /// Its value; none without `=`.
    pub value: Option<String>,
    /// Where.
    pub span: Span,
}

/// `ARG` before the first `FROM`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GlobalArgs {
    /// How it was written.
    pub written: Written,
    /// The arguments.
    pub args: Vec<Arg>,
}

/// `FROM` and what follows until the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stage {
    /// How `FROM` was written.
    pub written: Written,
    /// What it says.
    pub from: From,
    /// The instructions, in order.
    pub instructions: Vec<Instruction>,
}

/// `FROM [--platform=P] base [AS name]`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct From {
    /// Image, earlier stage, named context or `scratch`.
    pub base: Word,
    /// `--platform`.
    pub platform: Option<Word>,
    /// The stage's name.
    pub name: Option<StageName>,
}

/// `AS name`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StageName {
    /// In lower case: names are compared so.
    pub name: String,
    /// As written.
    pub written: Word,
    /// `AS` or `as`, as written.
    pub keyword: String,
}

/// An instruction of a stage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Instruction {
    /// How it was written.
    pub written: Written,
    /// What it says.
    pub kind: InstructionKind,
}

/// What an instruction says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InstructionKind {
    /// `ADD`
    Add(Add),
    /// `ARG`
    Arg(Vec<Arg>),
    /// `CMD`
    Cmd(CommandLine),
    /// `COPY`
    Copy(Copy),
    /// `ENTRYPOINT`
    Entrypoint(CommandLine),
    /// `ENV`
    Env(Pairs),
    /// `EXPOSE`: words such as `80`, `80/tcp`, `7000-8000/udp`.
    Expose(Vec<Word>),
    /// `HEALTHCHECK`
    Healthcheck(Healthcheck),
    /// `LABEL`
    Label(Pairs),
    /// `MAINTAINER`
    Maintainer(String),
    /// `ONBUILD`: the text of the instruction, which [`crate::parse_trigger`] reads.
    Onbuild(String),
    /// `RUN`
    Run(Run),
    /// `SHELL`
    Shell(Vec<String>),
    /// `STOPSIGNAL`
    Stopsignal(Word),
    /// `USER`
    User(Word),
    /// `VOLUME`
    Volume(Vec<Word>),
    /// `WORKDIR`
    Workdir(Word),
}

/// A heredoc.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Heredoc {
    /// Its delimiter, without quotes.
    pub name: String,
    /// The lines up to the delimiter, as written.
    pub content: String,
    /// Variables in it are expanded: its delimiter was not quoted.
    pub expand: bool,
    /// Leading tabs are to be taken away (`<<-`).
    pub chomp: bool,
    /// Number before `<<`: 0 if there is none.
    pub descriptor: u32,
    /// Its lines, without the delimiter's.
    pub span: Span,
}

impl InstructionKind {
    /// The instruction's name in upper case.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Add(_) => "ADD",
            Self::Arg(_) => "ARG",
            Self::Cmd(_) => "CMD",
            Self::Copy(_) => "COPY",
            Self::Entrypoint(_) => "ENTRYPOINT",
            Self::Env(_) => "ENV",
            Self::Expose(_) => "EXPOSE",
            Self::Healthcheck(_) => "HEALTHCHECK",
            Self::Label(_) => "LABEL",
            Self::Maintainer(_) => "MAINTAINER",
            Self::Onbuild(_) => "ONBUILD",
            Self::Run(_) => "RUN",
            Self::Shell(_) => "SHELL",
            Self::Stopsignal(_) => "STOPSIGNAL",
            Self::User(_) => "USER",
            Self::Volume(_) => "VOLUME",
            Self::Workdir(_) => "WORKDIR",
        }
    }
}

impl Heredoc {
    /// The content as it is used: without leading tabs if the heredoc asks for that.
    #[must_use]
    pub fn text(&self) -> String {
        if !self.chomp {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

impl Dockerfile {
    /// The number of the stage with this name, in any case; the last one of several.
    #[must_use]
    pub fn stage_named(&self, name: &str) -> Option<usize> {
        self.stages.iter().rposition(|stage| stage.is_named(name))
    }

    /// The value of a directive, if the file has it.
    #[must_use]
    pub fn directive(&self, name: DirectiveName) -> Option<&str> {
        self.directives.iter().find(|has| has.name == name).map(|has| has.value.as_str())
    }
}

impl Stage {
    /// Whether it has this name, in any case.
    #[must_use]
    pub fn is_named(&self, name: &str) -> bool {
        self.from.name.as_ref().is_some_and(|has| has.name == name.to_lowercase())
    }
}
