//! A build: one connection, over which the daemon tells how it goes and asks for what it needs.
//!
//! ```text
//! connection -> reader -+-> events (bounded) -> BuildSession::next
//!                       +-> asks -> a few threads that call the BuildHost -+
//!                       +-> outputs: a thread and a bounded queue each     |
//!                       +-> agents: two tasks each <-> their sockets ------+
//! connection <- writer <-- queue (bounded) <-------------------------------+
//! ```
//!
//! The reader waits for whoever takes events and outputs, but never for the writer: else both ends
//! of a connection could wait for each other.

mod agents;
mod asks;
mod frames;
mod outputs;
mod session;
#[cfg(test)]
mod tests;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::sync::Arc;

use gantry_build_proto::{BuildRequest, Built, Failure, Listing, Progress};

use crate::hijack::Upgrade;
use crate::{Client, ClientError, Query};

pub use session::BuildSession;

/// Protocol that a build's connection is upgraded to.
const PROTOCOL: &str = "gantry-build";

/// What a build wants of the one who asked for it.
///
/// Calls may block: each is made on a thread that has nothing else to do, several at once. What
/// they refuse is told to the daemon in their words.
pub trait BuildHost: Send + Sync + 'static {
    /// Lists a directory of a context; without entries if its hash is `known`. A `shallow` listing
    /// says nothing of what is in the directories listed.
    ///
    /// # Errors
    /// When there is no such directory, or it cannot be offered.
    fn list(
        &self,
        context: &str,
        directory: &str,
        known: &str,
        shallow: bool,
    ) -> Result<Listing, String>;

    /// Writes a file of a context; each write becomes a frame.
    ///
    /// # Errors
    /// When it cannot be read, or changes meanwhile.
    fn read(&self, context: &str, path: &str, sink: &mut dyn Write) -> Result<(), String>;

    /// The stream that a context is.
    ///
    /// # Errors
    /// When that context is none.
    fn tar(&self, context: &str) -> Result<Box<dyn Read + Send>, String>;

    /// A secret's value.
    ///
    /// # Errors
    /// When there is no such secret, or it cannot be read.
    fn secret(&self, id: &str) -> Result<Vec<u8>, String>;

    /// A connection to an SSH agent.
    ///
    /// # Errors
    /// When there is no such agent, or it does not answer.
    fn agent(&self, id: &str) -> Result<UnixStream, String>;

    /// Takes an output to its end.
    ///
    /// # Errors
    /// When it cannot be read or written: the build fails then.
    fn output(&self, which: Destination, content: &mut dyn Read) -> Result<(), String>;
}

/// Which output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Destination {
    /// Of the request's outputs, counted from 0.
    Output(usize),
    /// Of the request's caches to put results into, counted from 0.
    Cache(usize),
}

/// What happened in a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BuildEvent {
    /// It goes on.
    Progress(Progress),
    /// It is built, and all outputs are written; nothing follows.
    Done(Box<Built>),
    /// It is not; nothing follows.
    Failed(Box<Failure>),
}

impl Client {
    /// Begins a build; `host` answers what the daemon asks. Dropping the session ends the build.
    /// `auths` are credentials of registries, as `X-Registry-Config` has them.
    ///
    /// # Errors
    /// [`ClientError::Daemon`] with the daemon's words, or what broke on the way.
    pub async fn start_build(
        &self,
        request: BuildRequest,
        host: Arc<dyn BuildHost>,
        auths: Option<&str>,
    ) -> Result<BuildSession, ClientError> {
        let headers: Vec<_> = auths.map(|auths| ("X-Registry-Config", auths)).into_iter().collect();
        let upgrade = Upgrade { protocol: PROTOCOL, headers: &headers };
        let streams = self.upgrade("/gantry/build", &Query::new(), &upgrade, &[]).await?;
        session::start(streams.reader, streams.writer, request, host)
    }
}
