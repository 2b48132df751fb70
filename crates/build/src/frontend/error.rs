//! Why a Dockerfile cannot be built, with the place.

use gantry_build_proto::{Cause, Failure};
use gantry_dockerfile::{PortError, Problem, Span, check};
use gantry_oci::{DigestError, PlatformError, ReferenceError, signal::SignalError};

use super::{modes::ModeError, places::Text};
use crate::{plan::SourceError, remote::RemoteError};

/// An error and where it is.
#[derive(Debug)]
pub(super) struct At {
    /// What is wrong.
    pub error: Box<PlanError>,
    /// Where; none if it is nowhere in the file.
    pub span: Option<Span>,
    /// What may have been meant.
    pub near: Option<String>,
    /// What to do about it; empty if the message says it all.
    pub hint: String,
}

/// What is wrong, in BuildKit's words.
#[derive(Debug, thiserror::Error)]
pub enum PlanError {
    /// The text is no Dockerfile.
    #[error(transparent)]
    Parse(gantry_dockerfile::ParseError),
    /// A variable with `?` is not set, or a word is not closed.
    #[error(transparent)]
    Expand(gantry_dockerfile::ExpandError),
    /// Another frontend is asked for.
    #[error("frontend image {0} cannot be run")]
    Syntax(String),
    /// The rules' options are wrong.
    #[error("failed to parse check options")]
    CheckOptions(#[source] check::CheckOptionError),
    /// The ignore file's patterns are wrong.
    #[error("failed to read dockerignore patterns")]
    Ignore(#[source] gantry_dockerfile::IgnoreError),
    /// A mount is wrong.
    #[error(transparent)]
    Mount(gantry_dockerfile::MountError),
    /// The rules found something, and that is to be an error.
    #[error(transparent)]
    Rules(check::Violations),
    /// A platform of the request is none.
    #[error(transparent)]
    RequestPlatform(PlatformError),
    /// Several platforms, but the result is to be one.
    #[error("conflicting config: returning multiple target platforms is not allowed")]
    OnePlatform,
    /// `BUILDKIT_MULTI_PLATFORM` is no truth value.
    #[error("invalid boolean value for multi-platform: {0}")]
    MultiPlatform(String),
    /// `SOURCE_DATE_EPOCH` is no number.
    #[error("invalid SOURCE_DATE_EPOCH: {0}")]
    Epoch(String),
    /// `FROM` of nothing.
    #[error("base name ({0}) should not be blank")]
    BlankBase(String),
    /// `--platform` of nothing.
    #[error("empty platform value from expression {0}")]
    BlankPlatform(String),
    /// `--platform` is none.
    #[error("failed to parse platform {text}")]
    Platform {
        /// As written.
        text: String,
        /// What is wrong.
        source: PlatformError,
    },
    /// There is no such stage.
    #[error("target stage {0:?} could not be found")]
    Target(String),
    /// There is no stage with this number.
    #[error("invalid stage index {0}")]
    StageNumber(i64),
    /// `--from` with a variable.
    #[error(
        "variable expansion is not supported for --from, define a new stage with FROM using ARG \
         from global scope as a workaround"
    )]
    FromVariable,
    /// A copy of what comes later.
    #[error(
        "cannot copy from stage {from:?}, it needs to be defined before current stage {stage:?}"
    )]
    LaterStage {
        /// The later one.
        from: String,
        /// This one.
        stage: String,
    },
    /// Stages need each other.
    #[error("circular dependency detected on stage: {0}")]
    Circular(String),
    /// An image's name is none.
    #[error("failed to parse stage name {name:?}")]
    BaseName {
        /// The name.
        name: String,
        /// What is wrong.
        source: ReferenceError,
    },
    /// An image or context cannot be had.
    #[error("{name}")]
    Source {
        /// As written.
        name: String,
        /// Why.
        source: SourceError,
    },
    /// A named context's name is none.
    #[error("invalid context name {name}")]
    ContextName {
        /// The name.
        name: String,
        /// What is wrong.
        source: ReferenceError,
    },
    /// An address of a git repository is wrong.
    #[error(transparent)]
    Remote(RemoteError),
    /// A context's address names no repository.
    #[error("invalid git context {0}")]
    GitContext(String),
    /// `EXPOSE` of no port.
    #[error(transparent)]
    Port(PortError),
    /// `--chmod` of no mode.
    #[error(transparent)]
    Mode(ModeError),
    /// `STOPSIGNAL` of no signal.
    #[error(transparent)]
    Signal(SignalError),
    /// `VOLUME` of nothing.
    #[error("VOLUME specified can not be an empty string")]
    BlankVolume,
    /// `WORKDIR` of nothing.
    #[error("normalizing workdir: cannot normalize nothing")]
    BlankDirectory,
    /// `COPY` of a git repository.
    #[error("source can't be a git ref for COPY")]
    CopyGit,
    /// `COPY` of a URL.
    #[error("source can't be a URL for COPY")]
    CopyUrl,
    /// `--checksum` of several things.
    #[error("checksum can't be specified for multiple sources")]
    ChecksumOfMany,
    /// `--checksum` of a file of the context.
    #[error("checksum requires HTTP(S) or Git sources")]
    ChecksumOfLocal,
    /// `--checksum` is no digest.
    #[error(transparent)]
    ChecksumDigest(DigestError),
    /// `--checksum` and the address differ.
    #[error("checksum mismatch {flag:?} != {address:?}")]
    Checksums {
        /// The flag's.
        flag: String,
        /// The address's.
        address: String,
    },
    /// `--keep-git-dir` and the address differ.
    #[error("inconsistent keep-git-dir configuration")]
    KeepGit,
    /// A mount over everything.
    #[error("invalid mount target {0:?}")]
    MountTarget(String),
    /// A secret without a name.
    #[error("one of source, target required")]
    SecretName,
    /// `source` of an agent.
    #[error("ssh does not support source")]
    SshSource,
    /// The build does not allow what a step asks for.
    #[error("{0} is not allowed")]
    NotAllowed(&'static str),
    /// Programs of this platform do not run here.
    #[error("cannot run {0} programs on this machine")]
    NotRunnable(String),
    /// It would come to more than the daemon keeps of one.
    #[error("the Dockerfile comes to more than {0} MiB of image configuration and commands")]
    TooLarge(usize),
    /// `RUN --device`.
    #[error("device {0} cannot be given to a build: Gantry has no CDI devices for builds")]
    Device(String),
}

impl PlanError {
    /// With a place.
    pub(super) fn at(self, span: Span) -> At {
        At::from(self).or_at(span)
    }

    /// What to do about it; empty where the message says it all.
    fn hint(&self) -> String {
        match self {
            Self::BlankBase(_) => {
                "an argument of FROM is declared before the first FROM, with a default or a \
                 --build-arg"
            }
            Self::LaterStage { .. } => "move the stage that is copied from above this one",
            Self::Circular(_) => "a stage cannot need itself, nor a stage that needs it",
            Self::CopyGit | Self::CopyUrl => "ADD takes addresses, COPY does not",
            Self::ChecksumOfLocal => "files of the context need no checksum: remove the flag",
            Self::Port(_) => "EXPOSE PORT[-PORT][/tcp|/udp|/sctp]",
            Self::Signal(_) => "a signal's name, such as SIGTERM, or its number",
            Self::Epoch(_) => "seconds since 1970, such as the output of date +%s",
            Self::MountTarget(_) => "say where to mount it: target=/path",
            _ => "",
        }
        .to_owned()
    }
}

impl From<PlanError> for At {
    fn from(error: PlanError) -> Self {
        Self { error: Box::new(error), span: None, near: None, hint: String::new() }
    }
}

impl From<gantry_dockerfile::ParseError> for At {
    fn from(error: gantry_dockerfile::ParseError) -> Self {
        let (span, hint) = (error.span, gantry_fault::Fault::hint(&error));
        PlanError::Parse(error).at(span).hint(hint.unwrap_or_default())
    }
}

impl At {
    /// With a hint.
    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// With a name that may have been meant.
    pub(super) fn did_you_mean(mut self, name: Option<String>) -> Self {
        self.near = name;
        self
    }

    /// What went wrong, with its causes and what may have been meant.
    pub(super) fn message(&self) -> String {
        let near = gantry_dockerfile::did_you_mean(self.near.as_deref());
        let text = format!("{}{near}", gantry_fault::chain(&*self.error));
        match (&*self.error, self.span) {
            // A flag of the text's, read late for the variables in it.
            (PlanError::Mount(_), Some(span)) => {
                format!("dockerfile parse error on line {}: {text}", span.first_line)
            }
            _ => text,
        }
    }

    /// With a place, unless it has one.
    pub(super) fn or_at(mut self, span: Span) -> Self {
        self.span.get_or_insert(span);
        self
    }

    /// For the client.
    pub(super) fn failure(self, text: &Text<'_>) -> Failure {
        Failure {
            message: self.message(),
            cause: match &*self.error {
                PlanError::Parse(error) if *error.problem == Problem::NoInstructions => {
                    Cause::EmptyDockerfile(text.file().to_owned())
                }
                _ => Cause::Other,
            },
            place: self.span.map(|span| text.place(span)),
            hint: if self.hint.is_empty() { self.error.hint() } else { self.hint },
            cancelled: matches!(
                *self.error,
                PlanError::Source { source: SourceError::Cancelled, .. }
            ),
            ..Failure::default()
        }
    }
}
