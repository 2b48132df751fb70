//! What can be wrong with a policy, and the answer to an image that it does not let in.

use std::{io, path::PathBuf, sync::Arc};

use gantry_fault::{Fault, Kind};
use gantry_oci::ReferenceError;

/// Why a policy cannot be used.
#[derive(Debug, Clone, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read.
    #[error("cannot read the image policy {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// The file says something that is no policy.
    #[error("the image policy {path} is wrong")]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        #[source]
        source: Arc<Self>,
    },
    /// No JSON, or other keys and values than a policy has.
    #[error("{at}: {why}")]
    Json {
        /// Where, as `transports.docker`.
        at: String,
        /// What is wrong.
        why: String,
    },
    /// A list of requirements with nothing in it.
    #[error(
        "{at}: a list of requirements must not be empty (insecureAcceptAnything requires nothing)"
    )]
    Empty {
        /// Which.
        at: String,
    },
    /// Something that policies may say, and that is not understood here.
    #[error("{at}: {what} is not implemented")]
    NotImplemented {
        /// Where.
        at: String,
        /// What.
        what: String,
    },
    /// A scope that the transport has not.
    #[error("{at}: this transport has no scope but the default, \"\"")]
    Scope {
        /// Which.
        at: String,
    },
    /// None, or several, of the fields that name keys.
    #[error(
        "{at}: exactly one of keyPath, keyPaths, keyData and keyDatas must be there, and not empty"
    )]
    KeySources {
        /// Which requirement.
        at: String,
    },
    /// A path that depends on where the program was started.
    #[error("{at}: the path {path:?} is not absolute")]
    Relative {
        /// Which requirement.
        at: String,
        /// The path.
        path: PathBuf,
    },
    /// A key that cannot be read.
    #[error("{at}: cannot read the key {path}")]
    KeyFile {
        /// Which requirement.
        at: String,
        /// The file.
        path: PathBuf,
        /// The cause.
        #[source]
        source: Arc<io::Error>,
    },
    /// A key that is none.
    #[error("{at}: the key {key} cannot be used")]
    Key {
        /// Which requirement.
        at: String,
        /// Its path, or the field it stands in.
        key: String,
        /// What is wrong.
        #[source]
        source: KeyError,
    },
    /// The name of an image that is none.
    #[error("{at}: {text:?} is no name of an image")]
    Reference {
        /// Which requirement.
        at: String,
        /// The name.
        text: String,
        /// What is wrong.
        #[source]
        source: ReferenceError,
    },
    /// A name without tag or digest where one is needed.
    #[error("{at}: dockerReference {text:?} has neither a tag nor a digest")]
    NameOnly {
        /// Which requirement.
        at: String,
        /// The name.
        text: String,
    },
    /// A prefix that no name has.
    #[error("{at}: prefix {text:?} is not valid: it must be a host or a repository, in full")]
    Prefix {
        /// Which requirement.
        at: String,
        /// The prefix.
        text: String,
    },
}

impl Fault for PolicyError {
    fn kind(&self) -> Kind {
        match self {
            Self::File { source, .. } => source.kind(),
            Self::NotImplemented { .. } => Kind::NotImplemented,
            Self::Read { .. } | Self::KeyFile { .. } => Kind::Internal,
            _ => Kind::InvalidArgument,
        }
    }
}

/// Why a text is no public key that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No PEM of a public key.
    #[error("it has no -----BEGIN PUBLIC KEY-----, or what follows is broken")]
    Malformed,
    /// Several keys in one text.
    #[error("it holds more than one key: name each in keyPaths or keyDatas")]
    Several,
    /// A kind of key that is not known.
    #[error("its kind is not supported: ECDSA P-256 and P-384, Ed25519, RSA from 2048 bits on are")]
    Kind,
    /// No base64.
    #[error("it is not base64")]
    Base64,
}

/// An image that the policy does not let in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("image {image} is denied by the image policy, {rule}: {why}")]
pub struct Denied {
    /// The image as users write it, or what kind of archive it came in.
    pub image: String,
    /// The rule that denies it.
    pub rule: String,
    /// The reason.
    pub why: String,
}

impl Fault for Denied {
    fn kind(&self) -> Kind {
        Kind::Forbidden
    }
}
