//! What can go wrong with registries, in the words that Docker's users know.

use std::{io, path::PathBuf};

use gantry_fault::{Fault, Kind};
use gantry_oci::Digest;
use gantry_web::WireError;

use crate::answer::Answer;

/// An error of the registry client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DistributionError {
    /// A registry's name or URL that cannot be one.
    #[error("invalid registry {text:?}: {why}")]
    Host {
        /// What was given.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A file of certificates or hosts that is wrong or cannot be read.
    #[error("{}: {why}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The machine's certificate authorities cannot be used.
    #[error("system certificates: {0}")]
    Authorities(String),
    /// No host is there that a registry's contents may be asked of.
    #[error("no host of {registry} is configured for {action}")]
    NoHost {
        /// The registry.
        registry: String,
        /// What was to be done.
        action: &'static str,
    },
    /// A request that got no answer, or none that makes sense.
    #[error("{verb} {url:?}")]
    Request {
        /// `Get`, `Head`, ….
        verb: &'static str,
        /// The URL, without its secrets.
        url: String,
        /// Why.
        #[source]
        source: WireError,
    },
    /// A registry that wants a password, and none is known.
    #[error("{verb} {url:?}: no basic auth credentials")]
    NoBasicCredentials {
        /// `Get`, `Head`, ….
        verb: &'static str,
        /// The URL.
        url: String,
    },
    /// A registry that refused.
    #[error("{0}")]
    Answer(Box<Answer>),
    /// A registry that refused because it was asked too often.
    #[error("{0}")]
    RateLimited(Box<Answer>),
    /// A repository that is not there, or not for this user.
    #[error(
        "pull access denied for {name}, repository does not exist or may require 'docker login'"
    )]
    PullDenied {
        /// The repository, as users write it.
        name: String,
        /// What the registry said.
        #[source]
        source: Box<Answer>,
    },
    /// A tag or digest that is not there.
    #[error("manifest for {reference} not found")]
    ManifestUnknown {
        /// The reference, as users write it.
        reference: String,
        /// What the registry said.
        #[source]
        source: Box<Answer>,
    },
    /// A repository that is not there.
    #[error("repository {name} not found")]
    RepositoryUnknown {
        /// The repository, as users write it.
        name: String,
        /// What the registry said.
        #[source]
        source: Box<Answer>,
    },
    /// A login that was refused.
    #[error("login attempt to {url} failed with status: {status}")]
    Login {
        /// What was asked.
        url: String,
        /// `401 Unauthorized`.
        status: String,
    },
    /// A login that the server of tokens refused.
    #[error("{verb} {url:?}")]
    LoginRefused {
        /// `Get`.
        verb: &'static str,
        /// What was asked.
        url: String,
        /// What it said.
        #[source]
        source: Box<Answer>,
    },
    /// A registry whose tokens are made where its credentials must not go.
    #[error(
        "{host} sends for tokens to {realm}: credentials for {host} are not sent there, since {why}"
    )]
    Realm {
        /// The registry.
        host: String,
        /// Where tokens are made.
        realm: String,
        /// Why not.
        why: &'static str,
    },
    /// Data of another digest than promised.
    #[error("{what} from {host}: digest is {actual}, expected {expected}")]
    Digest {
        /// `blob` or `manifest`.
        what: &'static str,
        /// Who sent it.
        host: String,
        /// What was promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// Data of another size than promised.
    #[error("{what} {digest} from {host}: size is {actual}, expected {expected} bytes")]
    Size {
        /// `blob` or `manifest`.
        what: &'static str,
        /// Who sent it.
        host: String,
        /// Which.
        digest: Digest,
        /// What was promised.
        expected: u64,
        /// What came, or was announced: at least that many bytes.
        actual: u64,
    },
    /// A document larger than may be.
    #[error("{verb} {url:?}: answer is larger than {limit} bytes")]
    TooLarge {
        /// `Get`, ….
        verb: &'static str,
        /// The URL.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// A document of another type than it says, or than can be used.
    #[error("manifest {reference} from {host}: media type is {actual:?}, expected {expected:?}")]
    MediaType {
        /// Tag or digest.
        reference: String,
        /// Who sent it.
        host: String,
        /// What it was said to be.
        expected: String,
        /// What it is.
        actual: String,
    },
    /// An answer that does not hold what it must.
    #[error("{verb} {url:?}: {why}")]
    BadAnswer {
        /// `Get`, ….
        verb: &'static str,
        /// The URL.
        url: String,
        /// What is wrong.
        why: String,
    },
    /// A blob could not be kept.
    #[error("keeping blob {digest}")]
    Sink {
        /// Which.
        digest: Digest,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// What was to be pushed could not be read.
    #[error("reading what is pushed to {repository}")]
    Source {
        /// Where it was pushed to.
        repository: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl DistributionError {
    /// Whether the same request may do better later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::Request { source, .. } => source.is_passing(),
            Self::Answer(answer) => answer.is_passing(),
            Self::RateLimited(answer) => answer.retry_after.is_some(),
            _ => false,
        }
    }

    /// Whether a server could not be reached, or did not answer.
    pub(crate) fn is_absence(&self) -> bool {
        matches!(self, Self::Request { source: WireError::Dial { .. } | WireError::Silent(_), .. })
    }

    /// The status of a registry's refusal.
    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Answer(answer) | Self::RateLimited(answer) => Some(answer.status),
            _ => None,
        }
    }
}

impl From<Answer> for DistributionError {
    fn from(answer: Answer) -> Self {
        if answer.is_rate_limit() {
            Self::RateLimited(Box::new(answer))
        } else {
            Self::Answer(Box::new(answer))
        }
    }
}

impl Fault for DistributionError {
    fn kind(&self) -> Kind {
        match self {
            Self::Host { .. } => Kind::InvalidArgument,
            Self::PullDenied { .. }
            | Self::ManifestUnknown { .. }
            | Self::RepositoryUnknown { .. } => Kind::NotFound,
            Self::Login { .. } | Self::LoginRefused { .. } | Self::NoBasicCredentials { .. } => {
                Kind::Unauthorized
            }
            Self::Realm { .. } => Kind::Forbidden,
            Self::Answer(answer) => answer.kind(),
            Self::RateLimited(_) | Self::Request { .. } => Kind::Unavailable,
            Self::Digest { .. }
            | Self::Size { .. }
            | Self::TooLarge { .. }
            | Self::MediaType { .. }
            | Self::BadAnswer { .. } => Kind::DataLoss,
            Self::File { .. }
            | Self::Authorities(_)
            | Self::NoHost { .. }
            | Self::Sink { .. }
            | Self::Source { .. } => Kind::Internal,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::RateLimited(answer) => Some(answer.rate_hint()),
            _ => None,
        }
    }
}
