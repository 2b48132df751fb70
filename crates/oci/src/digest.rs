//! Content digests (`sha256:…`, `sha512:…`) and chain IDs.
//!
//! Source: OCI image specification, `descriptor.md` ("Digests") and `config.md` ("Layer ChainID").

use std::{fmt, io, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256, Sha512};

/// A registered digest algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// SHA-256: 64 hex digits; the one in common use.
    Sha256,
    /// SHA-512: 128 hex digits.
    Sha512,
}

impl Algorithm {
    /// The name before the colon.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Sha256 => "sha256",
            Self::Sha512 => "sha512",
        }
    }

    fn hex_len(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha512 => 128,
        }
    }
}

/// A verified-to-be-well-formed digest; its text form is canonical.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    algorithm: Algorithm,
    text: String,
}

/// Why a text is no digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// Not `algorithm:hex`, or not lower-case hex of the right length.
    #[error("invalid checksum digest format")]
    Format,
    /// An algorithm that is not registered.
    #[error("unsupported digest algorithm")]
    Unsupported,
    /// Data that does not hash to what was promised.
    #[error("digest mismatch: expected {expected}, got {actual}")]
    Mismatch {
        /// What was promised.
        expected: Digest,
        /// What the data hashes to.
        actual: Digest,
    },
}

impl Digest {
    /// Hashes `data` with SHA-256.
    #[must_use]
    pub fn of(data: &[u8]) -> Self {
        let mut hasher = Hasher::sha256();
        hasher.update(data);
        hasher.finish()
    }

    /// Builds a SHA-256 digest from its 64 lower-case hex digits.
    ///
    /// # Errors
    /// [`DigestError::Format`] when `hex` is anything else.
    pub fn from_hex(hex: &str) -> Result<Self, DigestError> {
        format!("sha256:{hex}").parse()
    }

    /// The algorithm.
    #[must_use]
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// The part after the colon.
    #[must_use]
    pub fn hex(&self) -> &str {
        &self.text[self.algorithm.name().len() + 1..]
    }

    /// The first twelve hex digits, as `docker ps` and `docker images` print ids.
    #[must_use]
    pub fn short(&self) -> &str {
        &self.hex()[..12]
    }

    /// The whole text, `sha256:…`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Checks that `data` hashes to this digest.
    ///
    /// # Errors
    /// [`DigestError::Mismatch`] when it does not.
    pub fn verify(&self, data: &[u8]) -> Result<(), DigestError> {
        let mut hasher = Hasher::new(self.algorithm);
        hasher.update(data);
        let actual = hasher.finish();
        if actual == *self {
            Ok(())
        } else {
            Err(DigestError::Mismatch { expected: self.clone(), actual })
        }
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (name, hex) = text.split_once(':').ok_or(DigestError::Format)?;
        let algorithm = match name {
            "sha256" => Algorithm::Sha256,
            "sha512" => Algorithm::Sha512,
            _ => return Err(DigestError::Unsupported),
        };
        let well_formed = hex.len() == algorithm.hex_len()
            && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if well_formed {
            Ok(Self { algorithm, text: text.to_owned() })
        } else {
            Err(DigestError::Format)
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = DigestError;

    fn try_from(text: String) -> Result<Self, DigestError> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[derive(Clone)]
enum State {
    Sha256(Sha256),
    Sha512(Sha512),
}

/// A streaming hasher; as an [`io::Write`] it takes everything and never fails.
#[derive(Clone)]
pub struct Hasher(State);

impl Hasher {
    /// A hasher of the given algorithm.
    #[must_use]
    pub fn new(algorithm: Algorithm) -> Self {
        Self(match algorithm {
            Algorithm::Sha256 => State::Sha256(Sha256::new()),
            Algorithm::Sha512 => State::Sha512(Sha512::new()),
        })
    }

    /// A SHA-256 hasher.
    #[must_use]
    pub fn sha256() -> Self {
        Self::new(Algorithm::Sha256)
    }

    /// Takes in more data.
    pub fn update(&mut self, data: &[u8]) {
        match &mut self.0 {
            State::Sha256(state) => state.update(data),
            State::Sha512(state) => state.update(data),
        }
    }

    /// The digest of all data so far.
    #[must_use]
    pub fn finish(self) -> Digest {
        let (algorithm, hex) = match self.0 {
            State::Sha256(state) => (Algorithm::Sha256, hex(&state.finalize())),
            State::Sha512(state) => (Algorithm::Sha512, hex(&state.finalize())),
        };
        Digest { algorithm, text: format!("{}:{hex}", algorithm.name()) }
    }
}

impl io::Write for Hasher {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Hasher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hasher")
    }
}

/// The chain ID of a stack of layers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ChainId(pub Digest);

impl ChainId {
    /// Computes the chain ID of `diff_ids`, bottom first; no layers have none.
    #[must_use]
    pub fn of(diff_ids: &[Digest]) -> Option<Self> {
        let (first, rest) = diff_ids.split_first()?;
        let fold = |chain: Digest, diff: &Digest| Digest::of(format!("{chain} {diff}").as_bytes());
        Some(Self(rest.iter().fold(first.clone(), fold)))
    }
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        text.push(char::from(DIGITS[usize::from(byte >> 4)]));
        text.push(char::from(DIGITS[usize::from(byte & 15)]));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn parses_only_canonical_forms() {
        let upper = EMPTY.to_uppercase();
        for (text, want) in [
            (EMPTY, Ok(())),
            ("", Err(DigestError::Format)),
            ("sha256:", Err(DigestError::Format)),
            ("sha256:abc", Err(DigestError::Format)),
            ("md5:d41d8cd98f00b204e9800998ecf8427e", Err(DigestError::Unsupported)),
            (upper.as_str(), Err(DigestError::Unsupported)),
            (
                "sha256:../../../../../../../../../../../../../../../../../../../etc/passwd",
                Err(DigestError::Format),
            ),
        ] {
            assert_eq!(text.parse::<Digest>().map(drop), want, "{text}");
        }
    }

    #[test]
    fn hashes_and_verifies() {
        let digest = Digest::of(b"");
        assert_eq!(digest.as_str(), EMPTY);
        assert_eq!(digest.short(), "e3b0c44298fc");
        assert!(digest.verify(b"").is_ok());
        assert!(digest.verify(b"x").is_err());
        let mut long = Hasher::new(Algorithm::Sha512);
        long.update(b"abc");
        let long = long.finish();
        assert!(long.as_str().starts_with("sha512:ddaf35a193617aba"));
        assert!(long.verify(b"abc").is_ok());
    }

    #[test]
    fn chain_of_one_is_its_diff() {
        let (a, b) = (Digest::of(b"a"), Digest::of(b"b"));
        assert_eq!(ChainId::of(&[]), None);
        assert_eq!(ChainId::of(std::slice::from_ref(&a)), Some(ChainId(a.clone())));
        let want = Digest::of(format!("{a} {b}").as_bytes());
        assert_eq!(ChainId::of(&[a, b]), Some(ChainId(want)));
    }
}
