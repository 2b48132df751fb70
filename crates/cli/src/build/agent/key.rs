//! Private keys: read from files, used to sign.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPairComponents, PublicKeyComponents};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, ECDSA_P521_SHA512_ASN1_SIGNING,
    EcdsaKeyPair, EcdsaSigningAlgorithm, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RsaKeyPair,
};

use super::pem;
use super::wire::{self, Reader, remainder, subtract, trimmed};

/// How the key files of OpenSSH begin (its `PROTOCOL.key`).
const OPENSSH_MAGIC: &[u8] = b"openssh-key-v1\0";
/// DER tags.
const DER_INTEGER: u8 = 2;
const DER_SEQUENCE: u8 = 0x30;
/// Flags of a request to sign.
const RSA_SHA2_256: u32 = 2;
const RSA_SHA2_512: u32 = 4;

/// Why a file is no key that can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyError {
    /// It has no armour, or what is in it is broken.
    Malformed,
    /// It wants a passphrase.
    Encrypted,
    /// Its kind is not supported.
    Kind,
}

impl std::fmt::Display for KeyError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Malformed => "no private key in it",
            Self::Encrypted => "the private key has a passphrase: add it to an agent instead",
            Self::Kind => "the private key is of a kind that is not supported",
        })
    }
}

/// A private key.
#[derive(Debug)]
pub(crate) struct Key {
    /// The public key as SSH writes it.
    pub(super) public: Vec<u8>,
    pub(super) comment: String,
    pair: Pair,
}

#[derive(Debug)]
enum Pair {
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
    Ecdsa(Curve, EcdsaKeyPair),
}

/// A curve of NIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Curve {
    P256,
    P384,
    P521,
}

impl Curve {
    const ALL: [Self; 3] = [Self::P256, Self::P384, Self::P521];

    fn name(self) -> &'static str {
        match self {
            Self::P256 => "nistp256",
            Self::P384 => "nistp384",
            Self::P521 => "nistp521",
        }
    }

    fn bytes(self) -> usize {
        match self {
            Self::P256 => 32,
            Self::P384 => 48,
            Self::P521 => 66,
        }
    }

    fn algorithm(self) -> &'static EcdsaSigningAlgorithm {
        match self {
            Self::P256 => &ECDSA_P256_SHA256_ASN1_SIGNING,
            Self::P384 => &ECDSA_P384_SHA384_ASN1_SIGNING,
            Self::P521 => &ECDSA_P521_SHA512_ASN1_SIGNING,
        }
    }
}

impl Key {
    /// Reads a key file: OpenSSH's form, PKCS#8, PKCS#1 or SEC1, in PEM.
    pub(super) fn parse(text: &[u8]) -> Result<Self, KeyError> {
        let pem = pem::parse(text).ok_or(KeyError::Malformed)?;
        if pem.encrypted || pem.label == "ENCRYPTED PRIVATE KEY" {
            return Err(KeyError::Encrypted);
        }
        let der = pem.bytes.as_slice();
        let pair = match pem.label.as_str() {
            "OPENSSH PRIVATE KEY" => return openssh(der),
            "RSA PRIVATE KEY" => {
                RsaKeyPair::from_der(der).ok().map(|pair| Pair::Rsa(Box::new(pair)))
            }
            "EC PRIVATE KEY" => Curve::ALL.into_iter().find_map(|curve| {
                let pair = EcdsaKeyPair::from_private_key_der(curve.algorithm(), der).ok()?;
                Some(Pair::Ecdsa(curve, pair))
            }),
            "PRIVATE KEY" => pkcs8(der),
            _ => return Err(KeyError::Kind),
        };
        pair.ok_or(KeyError::Malformed).and_then(|pair| Self::of(pair, String::new()))
    }

    fn of(pair: Pair, comment: String) -> Result<Self, KeyError> {
        let mut public = Vec::new();
        match &pair {
            Pair::Ed25519(pair) => {
                wire::string(&mut public, b"ssh-ed25519");
                wire::string(&mut public, pair.public_key().as_ref());
            }
            Pair::Rsa(pair) => {
                let mut list = Reader(pair.public_key().as_ref());
                let mut list = Reader(list.der(DER_SEQUENCE).ok_or(KeyError::Malformed)?);
                let modulus = list.der(DER_INTEGER).ok_or(KeyError::Malformed)?;
                let exponent = list.der(DER_INTEGER).ok_or(KeyError::Malformed)?;
                wire::string(&mut public, b"ssh-rsa");
                wire::mpint(&mut public, exponent);
                wire::mpint(&mut public, modulus);
            }
            Pair::Ecdsa(curve, pair) => {
                let kind = format!("ecdsa-sha2-{}", curve.name());
                wire::string(&mut public, kind.as_bytes());
                wire::string(&mut public, curve.name().as_bytes());
                wire::string(&mut public, pair.public_key().as_ref());
            }
        }
        Ok(Self { public, comment, pair })
    }

    /// A signature as SSH writes it; none in a way that is not supported (RSA with SHA-1).
    pub(super) fn sign(&self, data: &[u8], flags: u32) -> Option<Vec<u8>> {
        let mut signature = Vec::new();
        match &self.pair {
            Pair::Ed25519(pair) => {
                wire::string(&mut signature, b"ssh-ed25519");
                wire::string(&mut signature, pair.sign(data).as_ref());
            }
            Pair::Rsa(pair) => {
                let (name, padding) = match flags {
                    flags if flags & RSA_SHA2_512 != 0 => ("rsa-sha2-512", &RSA_PKCS1_SHA512),
                    flags if flags & RSA_SHA2_256 != 0 => ("rsa-sha2-256", &RSA_PKCS1_SHA256),
                    _ => return None,
                };
                let mut bytes = vec![0; pair.public_modulus_len()];
                pair.sign(padding, &SystemRandom::new(), data, &mut bytes).ok()?;
                wire::string(&mut signature, name.as_bytes());
                wire::string(&mut signature, &bytes);
            }
            Pair::Ecdsa(curve, pair) => {
                let signed = pair.sign(&SystemRandom::new(), data).ok()?;
                let mut numbers = Reader(Reader(signed.as_ref()).der(DER_SEQUENCE)?);
                let (r, s) = (numbers.der(DER_INTEGER)?, numbers.der(DER_INTEGER)?);
                let mut both = Vec::new();
                wire::mpint(&mut both, r);
                wire::mpint(&mut both, s);
                wire::string(&mut signature, format!("ecdsa-sha2-{}", curve.name()).as_bytes());
                wire::string(&mut signature, &both);
            }
        }
        Some(signature)
    }
}

fn pkcs8(der: &[u8]) -> Option<Pair> {
    let ed25519 = || Ed25519KeyPair::from_pkcs8_maybe_unchecked(der).ok().map(Pair::Ed25519);
    let rsa = || RsaKeyPair::from_pkcs8(der).ok().map(|pair| Pair::Rsa(Box::new(pair)));
    let ecdsa = || {
        Curve::ALL.into_iter().find_map(|curve| {
            let pair = EcdsaKeyPair::from_pkcs8(curve.algorithm(), der).ok()?;
            Some(Pair::Ecdsa(curve, pair))
        })
    };
    ed25519().or_else(rsa).or_else(ecdsa)
}

/// The form of OpenSSH: a head, public keys, and the private ones in a block of their own.
fn openssh(bytes: &[u8]) -> Result<Key, KeyError> {
    let bytes = bytes.strip_prefix(OPENSSH_MAGIC).ok_or(KeyError::Malformed)?;
    let mut reader = Reader(bytes);
    let cipher = reader.string().ok_or(KeyError::Malformed)?;
    if cipher != b"none" {
        return Err(KeyError::Encrypted);
    }
    let mut skip = || reader.string().ok_or(KeyError::Malformed);
    skip()?;
    skip()?;
    let count = reader.number().ok_or(KeyError::Malformed)?;
    if count != 1 {
        return Err(KeyError::Kind);
    }
    reader.string().ok_or(KeyError::Malformed)?;
    let mut block = Reader(reader.string().ok_or(KeyError::Malformed)?);
    // Two equal numbers say that a passphrase was right.
    if block.number().ok_or(KeyError::Malformed)? != block.number().ok_or(KeyError::Malformed)? {
        return Err(KeyError::Malformed);
    }
    let kind = block.string().ok_or(KeyError::Malformed)?;
    let pair = match kind {
        b"ssh-ed25519" => openssh_ed25519(&mut block),
        b"ssh-rsa" => openssh_rsa(&mut block),
        kind if kind.starts_with(b"ecdsa-sha2-") => openssh_ecdsa(&mut block),
        _ => return Err(KeyError::Kind),
    };
    let pair = pair.ok_or(KeyError::Malformed)?;
    let comment = block.string().ok_or(KeyError::Malformed)?;
    Key::of(pair, String::from_utf8_lossy(comment).into_owned())
}

fn openssh_ed25519(block: &mut Reader<'_>) -> Option<Pair> {
    let public = block.string()?;
    let seed = block.string()?.get(..32)?;
    Ed25519KeyPair::from_seed_and_public_key(seed, public).ok().map(Pair::Ed25519)
}

fn openssh_ecdsa(block: &mut Reader<'_>) -> Option<Pair> {
    let name = block.string()?;
    let curve = Curve::ALL.into_iter().find(|curve| curve.name().as_bytes() == name)?;
    let public = block.string()?;
    let private = trimmed(block.string()?);
    let zeros = curve.bytes().checked_sub(private.len())?;
    let private: Vec<u8> = std::iter::repeat_n(0, zeros).chain(private.iter().copied()).collect();
    let pair = EcdsaKeyPair::from_private_key_and_public_key(curve.algorithm(), &private, public);
    pair.ok().map(|pair| Pair::Ecdsa(curve, pair))
}

/// OpenSSH leaves two numbers out that can be computed.
fn openssh_rsa(block: &mut Reader<'_>) -> Option<Pair> {
    let mut next = || block.string().map(|bytes| trimmed(bytes).to_vec());
    let (n, e, d) = (next()?, next()?, next()?);
    let (inverse, p, q) = (next()?, next()?, next()?);
    let exponent = |prime: &[u8]| {
        let mut less = prime.to_vec();
        let one: Vec<u8> = std::iter::repeat_n(0, less.len().checked_sub(1)?).chain([1]).collect();
        subtract(&mut less, &one);
        remainder(&d, &less).map(|left| trimmed(&left).to_vec())
    };
    let components = KeyPairComponents {
        public_key: PublicKeyComponents { n, e },
        dP: exponent(&p)?,
        dQ: exponent(&q)?,
        d: d.clone(),
        p,
        q,
        qInv: inverse,
    };
    RsaKeyPair::from_components(&components).ok().map(|pair| Pair::Rsa(Box::new(pair)))
}
