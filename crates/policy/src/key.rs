//! Public keys: read from PEM, used to verify.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P384_SHA256_ASN1, ECDSA_P384_SHA384_ASN1, ED25519,
    ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, VerificationAlgorithm,
};
use rustls_pki_types::{SubjectPublicKeyInfoDer, pem::PemObject};

use crate::KeyError;

/// What signatures of images are made with. Of P-384 both hashes are in use: tools before cosign 3
/// take SHA-256 with every curve.
static ALGORITHMS: [&dyn VerificationAlgorithm; 5] = [
    &ECDSA_P256_SHA256_ASN1,
    &ECDSA_P384_SHA256_ASN1,
    &ECDSA_P384_SHA384_ASN1,
    &ED25519,
    &RSA_PKCS1_2048_8192_SHA256,
];

/// A public key: ECDSA P-256 or P-384, Ed25519, or RSA (PKCS #1 v1.5) from 2048 bits on.
pub(crate) struct PublicKey {
    /// One for each algorithm that the key may be used with.
    uses: Vec<ParsedPublicKey>,
}

impl std::fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("PublicKey").field(&self.uses.first()).finish()
    }
}

impl PublicKey {
    /// Reads the one key of a PEM text (`-----BEGIN PUBLIC KEY-----`, X.509 SubjectPublicKeyInfo).
    ///
    /// # Errors
    /// When there is none, or several, or one of another kind.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, KeyError> {
        let mut found = SubjectPublicKeyInfoDer::pem_slice_iter(pem);
        let der = found.next().and_then(Result::ok).ok_or(KeyError::Malformed)?;
        if found.next().is_some() {
            return Err(KeyError::Several);
        }
        let parse = |algorithm: &&'static dyn VerificationAlgorithm| {
            ParsedPublicKey::new(*algorithm, &der).ok()
        };
        let uses: Vec<_> = ALGORITHMS.iter().filter_map(parse).collect();
        if uses.is_empty() { Err(KeyError::Kind) } else { Ok(Self { uses }) }
    }

    /// Whether a signature of a message was made by this key.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        self.uses.iter().any(|key| key.verify_sig(message, signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use base64::{Engine, engine::general_purpose::STANDARD};

    use super::*;

    /// Made by OpenSSL: `ecparam -name secp384r1 -genkey`, and `dgst -sha256 -sign` of `hello`.
    const P384: &str = "-----BEGIN PUBLIC KEY-----\n\
        MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEbx+PWGHdF0hMZVyMn5T9k9mRmmmwxkPn\n\
        p8pJib6Zy6wKwlngbE7z9cyE+SrwuFMSznpW0MLcgC75OiK/ueJOrR78K5FGYLOz\n\
        dgRB8TmIv8uRTrc7IBWucff4fSTubHNw\n\
        -----END PUBLIC KEY-----";
    const HELLO: &str = "MGUCMEKbowup28KAHVyTwlbLs5HXC+opJWZoYg5aI1VnwcLQRsb1mvrr/aL7r2omQ0UPWQ\
        IxAI/1sd/3Gu5gHqo7LJznex9KpxD+F5334F7iqGm+xnY/ay3EH4IkbyR2/9+XIIvVRg==";

    #[test]
    fn sha_256_goes_with_p_384() {
        let key = PublicKey::from_pem(P384.as_bytes()).unwrap();
        let signature = STANDARD.decode(HELLO).unwrap();
        assert!(key.verifies(b"hello", &signature));
        assert!(!key.verifies(b"hallo", &signature));
    }

    #[test]
    fn other_texts_are_no_keys() {
        let private = P384.replace("PUBLIC", "PRIVATE");
        let broken = P384.replace("MHYwEAYH", "MHYwEAYI");
        for (text, want) in [
            ("", KeyError::Malformed),
            ("-----BEGIN PUBLIC KEY-----", KeyError::Malformed),
            (&private, KeyError::Malformed),
            (&broken, KeyError::Kind),
            (&[P384, P384].join("\n"), KeyError::Several),
        ] {
            assert_eq!(PublicKey::from_pem(text.as_bytes()).err(), Some(want), "{text:?}");
        }
    }
}
