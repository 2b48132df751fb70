//! How a build goes.
//!
//! A vertex is told with [`Progress::Vertex`] when it is known to be needed, started once, and
//! completed once; logs come between. Times are ns since 1970.

use serde::{Deserialize, Serialize};

use crate::Place;

/// Something happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// A vertex will be worked on.
    Vertex(Vertex),
    /// Its work began.
    Started(Started),
    /// A part of its work (files sent, a layer) has got this far.
    Status {
        /// The vertex.
        vertex: u32,
        /// What, such as `transferring context`.
        name: String,
        /// Units done.
        current: u64,
        /// Units in all; 0 if not known.
        total: u64,
        /// The part is done.
        done: bool,
    },
    /// It printed something.
    Log(Log),
    /// It is done, or failed.
    Completed(Completed),
    /// The rules found something.
    Warning(Warning),
}

/// A step, or something else that takes time (loading a context, exporting).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Vertex {
    /// Its number in this build; the order of numbers is the Dockerfile's.
    pub id: u32,
    /// What is shown, such as `[builder 2/5] RUN make` or `[internal] load build context`.
    pub name: String,
    /// The instruction as written; empty for what is no instruction.
    pub instruction: String,
    /// Numbers of the vertices that it needs.
    pub inputs: Vec<u32>,
    /// Where in the Dockerfile.
    pub place: Option<Place>,
}

/// A vertex's work began.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Started {
    /// The vertex.
    pub vertex: u32,
    /// When.
    pub at_ns: i64,
    /// It is in the cache: nothing is run, and the end follows at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
}

/// A vertex is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// The vertex.
    pub vertex: u32,
    /// When.
    pub at_ns: i64,
    /// Whether the cache had it.
    pub cached: Cached,
    /// What went wrong, if it failed; `cancelled` if another vertex did.
    pub error: Option<String>,
    /// Short id of the result, which the classic builder shows (12 digits); empty without one.
    pub result: String,
    /// Why the cache had it or not, if the request has `explain`.
    pub why: String,
}

/// Whether the cache had a result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cached {
    /// It had.
    Hit,
    /// The work was done.
    Miss,
    /// There is nothing to cache.
    No,
}

/// Bytes that a vertex printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The vertex.
    pub vertex: u32,
    /// Which stream.
    pub stream: Stream,
    /// When.
    pub at_ns: i64,
    /// The bytes, as text; what is not UTF-8 is replaced.
    pub text: String,
}

/// Standard output or error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stream {
    /// Output.
    Out,
    /// Error.
    Err,
}

/// Something that a rule found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Warning {
    /// The rule, such as `StageNameCasing`; empty if it is none.
    pub rule: String,
    /// What the rule is about.
    pub description: String,
    /// Where to read about it.
    pub url: String,
    /// What was found.
    pub message: String,
    /// Where.
    pub place: Option<Place>,
}
