//! Signatures as registries have them, and whether one is what a requirement asks for.

use base64::{Engine, engine::general_purpose::STANDARD};
use gantry_oci::{Digest, Reference};

use crate::{bundle, identity::SignedIdentity, key::PublicKey, payload};

/// One signature, as it was found.
#[derive(Clone, PartialEq, Eq)]
pub enum Signature {
    /// cosign's: a payload of simple signing, and its signature in base64.
    Simple {
        /// The signed bytes.
        payload: Vec<u8>,
        /// Their signature, in base64.
        signature: String,
    },
    /// A sigstore bundle, JSON.
    Bundle(Vec<u8>),
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Simple { payload, .. } => write!(f, "Simple({} bytes)", payload.len()),
            Self::Bundle(bytes) => write!(f, "Bundle({} bytes)", bytes.len()),
        }
    }
}

/// Why a signature does not count.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, thiserror::Error)]
pub enum Rejection {
    /// No key of the requirement made it.
    #[error("it is signed, but by another key")]
    OtherKey,
    /// It could not be read, or is none.
    #[error("a signature cannot be used: {0}")]
    Unusable(String),
    /// It is for something else.
    #[error("a signature is for another image, {0}")]
    OtherDigest(String),
    /// It is for this image under another name.
    #[error("the signature is for another name: {0}")]
    OtherName(String),
    /// It is for this image, whatever its name, and the requirement wants a name.
    #[error("the signature names no image (signedIdentity matchDigest accepts such)")]
    Nameless,
}

/// What was found about an image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The digests by which the image is known: its manifest's, and that of the index that led there.
    pub digests: Vec<Digest>,
    /// Its signatures.
    pub signatures: Vec<Signature>,
    /// Why some that are listed are not among them.
    pub unusable: Vec<String>,
}

/// What a signature must be.
pub(crate) struct Demand<'a> {
    pub(crate) keys: &'a [PublicKey],
    pub(crate) identity: &'a SignedIdentity,
    pub(crate) image: Option<&'a Reference>,
    pub(crate) digests: &'a [Digest],
}

impl Demand<'_> {
    /// Whether a signature is as it must be.
    pub(crate) fn judge(&self, signature: &Signature) -> Result<(), Rejection> {
        match signature {
            Signature::Simple { payload, signature } => {
                let signature = STANDARD
                    .decode(signature)
                    .map_err(|_| Rejection::Unusable("it is not base64".to_owned()))?;
                self.verify(payload, &[signature])?;
                let (digest, name) = payload::read(payload).map_err(Rejection::Unusable)?;
                self.is_about(&digest, Some(&name))
            }
            Signature::Bundle(bytes) => {
                let opened = bundle::open(bytes).map_err(Rejection::Unusable)?;
                self.verify(&opened.signed, &opened.signatures)?;
                let mut worst = Rejection::Unusable("it is about nothing".to_owned());
                for (digest, name) in opened.subjects().map_err(Rejection::Unusable)? {
                    match self.is_about(&digest, name.as_deref()) {
                        Ok(()) => return Ok(()),
                        Err(why) => worst = why,
                    }
                }
                Err(worst)
            }
        }
    }

    fn verify(&self, message: &[u8], signatures: &[Vec<u8>]) -> Result<(), Rejection> {
        let made = |key: &PublicKey| signatures.iter().any(|one| key.verifies(message, one));
        if self.keys.iter().any(made) { Ok(()) } else { Err(Rejection::OtherKey) }
    }

    fn is_about(&self, digest: &Digest, name: Option<&str>) -> Result<(), Rejection> {
        if !self.digests.contains(digest) {
            return Err(Rejection::OtherDigest(digest.to_string()));
        }
        match name {
            _ if self.identity.accepts(self.image, name) => Ok(()),
            Some(name) => Err(Rejection::OtherName(name.to_owned())),
            None => Err(Rejection::Nameless),
        }
    }
}
