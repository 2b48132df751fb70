//! Other registries that images are fetched from when they are not here.
//!
//! What is above the trait knows no HTTP. The client here does what a cache needs and no more:
//! whoever has a better one gives the server that.

mod address;
mod connect;
mod http;

use std::{fmt, io};

use bytes::Bytes;
use futures_util::{future::BoxFuture, stream::BoxStream};
use gantry_oci::Digest;

pub use http::HttpUpstream;

/// A registry that images are fetched from.
pub trait Upstream: fmt::Debug + Send + Sync {
    /// A manifest of a repository by tag or digest; none if it is not there.
    fn manifest<'a>(
        &'a self,
        repository: &'a str,
        reference: &'a str,
    ) -> BoxFuture<'a, Result<Option<FetchedManifest>, UpstreamError>>;

    /// The digest that a tag names now; none if it is not there.
    fn resolve<'a>(
        &'a self,
        repository: &'a str,
        tag: &'a str,
    ) -> BoxFuture<'a, Result<Option<Digest>, UpstreamError>>;

    /// The bytes of a blob from `offset_bytes` on; none if it is not there.
    fn blob<'a>(
        &'a self,
        repository: &'a str,
        digest: &'a Digest,
        offset_bytes: u64,
    ) -> BoxFuture<'a, Result<Option<FetchedBlob>, UpstreamError>>;
}

/// A manifest as it came; nobody has checked its digest.
#[derive(Clone, Debug)]
pub struct FetchedManifest {
    /// What the upstream says it is.
    pub media_type: String,
    /// All of it.
    pub body: Bytes,
}

/// A blob on its way.
pub struct FetchedBlob {
    /// Size of the whole blob, whatever part comes.
    pub size_bytes: u64,
    /// The bytes asked for.
    pub pieces: BoxStream<'static, io::Result<Bytes>>,
}

/// Why an upstream does not give what it may have.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The address is none.
    #[error("{0:?} is no http or https URL")]
    Address(String),
    /// It cannot be reached, or ends in the middle.
    #[error("asking {url}")]
    Io {
        /// What was asked for.
        url: String,
        /// The cause.
        #[source]
        source: io::Error,
    },
    /// It does not speak HTTP.
    #[error("asking {url}")]
    Protocol {
        /// What was asked for.
        url: String,
        /// The cause.
        #[source]
        source: hyper::Error,
    },
    /// It says no.
    #[error("{url} answers {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// Its answer.
        status: u16,
    },
    /// It says what makes no sense.
    #[error("{url}: {what}")]
    Answer {
        /// What was asked for.
        url: String,
        /// What is wrong.
        what: &'static str,
    },
}
