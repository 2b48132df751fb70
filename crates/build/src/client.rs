//! What a build wants of whoever asked for it.

use futures_util::{future::BoxFuture, stream::BoxStream};
use gantry_build_proto::{Listing, Progress};
use gantry_distribution::Credentials;
use tokio::io::{AsyncRead, AsyncWrite};

/// Content that comes in pieces, each of at most a few hundred KiB.
pub type Bytes = BoxStream<'static, Result<Vec<u8>, ClientError>>;
/// An output's way to the client; it is complete once it was shut down.
pub type Output = Box<dyn AsyncWrite + Send + Unpin>;

/// A connection that goes both ways, such as one to an SSH agent.
pub trait Connection: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Connection for T {}

/// Whoever asked for a build. A door implements it; one is made for each build.
///
/// All methods may be called at once from many tasks. A client that is gone answers everything with
/// [`ClientError::Gone`]; the door that notices it drops the future of
/// [`Builder::build`](crate::Builder::build) besides.
pub trait Client: Send + Sync + 'static {
    /// Entries of `directory` of the context with this name; none of them if `known` is the
    /// directory's hash. Names have no slashes at their ends; the top's is empty. A `shallow` listing
    /// says nothing of what is in the directories listed.
    ///
    /// Only contexts of [`ContextSource::Client`](gantry_build_proto::ContextSource) and `OciLayout`
    /// are asked for, and the `context` of a local cache source.
    fn list<'a>(
        &'a self,
        context: &'a str,
        directory: &'a str,
        known: &'a str,
        shallow: bool,
    ) -> BoxFuture<'a, Result<Listing, ClientError>>;

    /// Content of a file of a context. The Dockerfile and the ignore file can be read even if the
    /// ignore file hides them.
    fn read<'a>(
        &'a self,
        context: &'a str,
        path: &'a str,
    ) -> BoxFuture<'a, Result<Bytes, ClientError>>;

    /// All of a [`ContextSource::ClientTar`], which can be had only once.
    ///
    /// [`ContextSource::ClientTar`]: gantry_build_proto::ContextSource::ClientTar
    fn tar<'a>(&'a self, context: &'a str) -> BoxFuture<'a, Result<Bytes, ClientError>>;

    /// A secret's value.
    fn secret<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Vec<u8>, ClientError>>;

    /// A new connection to an SSH agent.
    fn ssh<'a>(&'a self, id: &'a str) -> BoxFuture<'a, Result<Box<dyn Connection>, ClientError>>;

    /// Begins the output with this index in [`BuildRequest::outputs`].
    ///
    /// [`BuildRequest::outputs`]: gantry_build_proto::BuildRequest::outputs
    fn output(&self, index: usize) -> BoxFuture<'_, Result<Output, ClientError>>;

    /// Begins the cache with this index in [`BuildRequest::cache_to`]: a tar.
    ///
    /// [`BuildRequest::cache_to`]: gantry_build_proto::BuildRequest::cache_to
    fn cache_output(&self, index: usize) -> BoxFuture<'_, Result<Output, ClientError>>;

    /// The credentials that the client has for a registry.
    fn credentials(&self, registry: &str) -> Credentials {
        let _ = registry;
        Credentials::Anonymous
    }

    /// Told once, when it is known what will be done: the instructions of the stages that are built
    /// ([`Plan::steps`](crate::plan::Plan::steps)), in the text's order, before any of them is
    /// started.
    fn planned(&self, instructions: &[Instruction]) {
        let _ = instructions;
    }

    /// Tells how the build goes. Must not wait: what a slow client has not read yet is its door's
    /// to keep or to drop.
    fn progress(&self, progress: Progress);
}

/// An instruction of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Instruction {
    /// As written, on one line.
    pub text: String,
    /// The vertex that does its work, by its number in [`Progress`]; none if it only changes the
    /// configuration.
    pub vertex: Option<u32>,
    /// It is a trigger of the base (`ONBUILD`), which no line of the text is.
    pub trigger: bool,
}

/// Why the client did not give something.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ClientError {
    /// It has no such file, secret or agent.
    #[error("{0}: not found")]
    NotFound(String),
    /// It could not, or would not: its words.
    #[error("{0}")]
    Refused(String),
    /// It is gone.
    #[error("the client closed its connection")]
    Gone,
}
