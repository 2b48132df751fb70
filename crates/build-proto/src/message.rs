//! Messages of a build's connection.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{BuildRequest, Listing, Progress, Warning};

/// What the client says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromClient {
    /// First of all: what to build.
    Build(Box<BuildRequest>),
    /// Answers [`Ask::List`]; the frame has the ask's number.
    Listing(Listing),
    /// Any ask cannot be answered: why. Words that end in `not found`, `no such file` or `no such
    /// directory` say that there is nothing of that name.
    Refused(String),
    /// Ends the build; so does closing the connection.
    Cancel,
}

/// What the daemon says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FromDaemon {
    /// It wants something; the frame has the ask's number, which the answer has too.
    Ask(Ask),
    /// How the build goes.
    Progress(Progress),
    /// A stream begins, of the number of its frame, with an output's bytes: which of
    /// [`BuildRequest::outputs`], counted from 0. Of [`OutputKind::Local`] it is a tar without
    /// compression, which the client unpacks.
    ///
    /// [`OutputKind::Local`]: crate::OutputKind::Local
    Output(usize),
    /// As [`FromDaemon::Output`], of [`BuildRequest::cache_to`]: a tar that the client unpacks.
    CacheOutput(usize),
    /// It is built; nothing follows.
    Done(Box<Built>),
    /// It is not; nothing follows.
    Failed(Box<Failure>),
}

/// What the daemon wants of the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Entries of a directory of a context, answered by [`FromClient::Listing`], or, if that is too
    /// long for a frame, by data frames and an end that make up the [`Listing`]'s JSON.
    List {
        /// The context's name.
        context: String,
        /// The directory, without slashes at its ends; empty for the top.
        directory: String,
        /// The hash that the daemon knows; empty when none.
        known: String,
        /// Only this directory's own entries count: directories in it have no hash, and nothing
        /// below them is looked at. The listing's hash is then one over these entries alone.
        #[serde(default)]
        shallow: bool,
    },
    /// A file's content, answered by data frames and an end.
    Read {
        /// The context's name.
        context: String,
        /// The file.
        path: String,
    },
    /// All of a [`ContextSource::ClientTar`], as it came to the client and only once: answered by
    /// data frames and an end.
    ///
    /// [`ContextSource::ClientTar`]: crate::ContextSource::ClientTar
    Tar(String),
    /// A secret's value, answered by data frames and an end.
    Secret(String),
    /// A connection to an SSH agent: data frames go both ways until either side ends.
    Ssh(String),
}

/// A build's result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Built {
    /// The image's id (`sha256:…`), empty if none was made.
    pub image: String,
    /// Digest of its manifest, empty if none was made.
    pub manifest: String,
    /// Names that it has got.
    pub names: Vec<String>,
    /// What the rules found.
    pub warnings: Vec<Warning>,
    /// The answer to another request than a build: a document of its own (outline, targets).
    pub document: Option<serde_json::Value>,
    /// What `--metadata-file` gets.
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// Why there is no result.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Failure {
    /// What went wrong, in BuildKit's words where it has any.
    pub message: String,
    /// What it is, for those who have other words for it.
    pub cause: Cause,
    /// Where in the Dockerfile.
    pub place: Option<Place>,
    /// What to do about it.
    pub hint: String,
    /// Exit code of the step that failed; 0 if it was something else.
    pub exit_code: i32,
    /// Image of the failed step's file system, if it was to be kept: start a shell in it.
    pub kept: String,
    /// Command line of the failed step.
    pub command: Vec<String>,
    /// The last lines that it printed.
    pub last_output: String,
    /// The build was cancelled.
    pub cancelled: bool,
}

/// Failures that not everybody has the same words for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// None of these.
    #[default]
    Other,
    /// There is no Dockerfile at this path.
    NoDockerfile(String),
    /// The Dockerfile at this path has no instructions.
    EmptyDockerfile(String),
    /// What is to be copied is not at this path of its source.
    NoSource(String),
    /// A step's command could not be started: why.
    NotStarted(String),
}

/// Lines of a Dockerfile.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Place {
    /// The Dockerfile's name.
    pub file: String,
    /// First line, from 1.
    pub first: usize,
    /// Last line.
    pub last: usize,
    /// Lines to show, from two before `first` to two after `last`, with the number of the first
    /// shown.
    pub shown_from: usize,
    /// Their text. A file that ends with a newline has an empty line behind it.
    pub lines: Vec<String>,
}
