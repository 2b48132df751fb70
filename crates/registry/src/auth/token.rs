//! Tokens: JSON Web Tokens, signed with Ed25519 by a key that only this registry has.

use std::{
    fs,
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};

use crate::clock::now_s;

/// The only header there is: whoever sends another has no token of ours.
const HEADER: &str = r#"{"alg":"EdDSA","typ":"JWT"}"#;
/// How far clocks may differ, in seconds.
const SKEW_S: u64 = 30;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Claims {
    pub(crate) iss: String,
    /// Whom it was given to; empty for nobody in particular.
    pub(crate) sub: String,
    pub(crate) aud: String,
    pub(crate) exp: u64,
    pub(crate) nbf: u64,
    pub(crate) iat: u64,
    pub(crate) jti: String,
    /// What it allows; none in a token that other tokens are got with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) access: Option<Vec<Access>>,
}

/// What a token allows to do to one thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Access {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) name: String,
    pub(crate) actions: Vec<String>,
}

/// Signs and checks tokens.
#[derive(Debug)]
pub(crate) struct Signer {
    key: Ed25519KeyPair,
    issuer: String,
    audience: String,
}

impl Signer {
    /// Reads the key in a file, which is made if it is not there.
    ///
    /// # Errors
    /// When the file cannot be read or written, or holds no key.
    pub(crate) fn open(path: &Path, issuer: &str, audience: &str) -> io::Result<Self> {
        let text = match fs::read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path)?,
            text => text?,
        };
        let key = Ed25519KeyPair::from_pkcs8(&text)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        Ok(Self { key, issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// Makes a token for a user that lives for so many seconds.
    pub(crate) fn sign(&self, user: &str, life_s: u64, access: Option<Vec<Access>>) -> String {
        let now = now_s();
        let mut id = [0_u8; 16];
        // Ids are only for logs: one that is not random harms nobody.
        let _ = getrandom::fill(&mut id);
        let claims = Claims {
            iss: self.issuer.clone(),
            sub: user.to_owned(),
            aud: self.audience.clone(),
            exp: now + life_s,
            nbf: now.saturating_sub(SKEW_S),
            iat: now,
            jti: URL_SAFE_NO_PAD.encode(id),
            access,
        };
        let body = serde_json::to_vec(&claims).unwrap_or_default();
        let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(HEADER), URL_SAFE_NO_PAD.encode(body));
        let signature = URL_SAFE_NO_PAD.encode(self.key.sign(text.as_bytes()));
        format!("{text}.{signature}")
    }

    /// What a token says, if it is one of ours and its time is now.
    pub(crate) fn verify(&self, token: &str) -> Option<Claims> {
        let (text, signature) = token.rsplit_once('.')?;
        let (header, body) = text.split_once('.')?;
        let signature = URL_SAFE_NO_PAD.decode(signature).ok()?;
        let public = UnparsedPublicKey::new(&ED25519, self.key.public_key().as_ref());
        public.verify(text.as_bytes(), &signature).ok()?;
        if URL_SAFE_NO_PAD.decode(header).ok()? != HEADER.as_bytes() {
            return None;
        }
        let claims: Claims = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(body).ok()?).ok()?;
        let (now, ours) = (now_s(), claims.iss == self.issuer && claims.aud == self.audience);
        (ours && claims.nbf <= now + SKEW_S && now < claims.exp).then_some(claims)
    }
}

/// Makes a key and keeps it where only this user reads it.
fn create(path: &Path) -> io::Result<Vec<u8>> {
    let failed = |error| io::Error::other(format!("making a key: {error}"));
    let key = Ed25519KeyPair::generate().map_err(failed)?;
    let text = key.to_pkcs8().map_err(failed)?.as_ref().to_vec();
    let mut file = fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&text)?;
    file.sync_all()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_ours_whole_and_in_time() {
        let directory = tempfile::TempDir::new().unwrap();
        let open = |name: &str, audience: &str| {
            Signer::open(&directory.path().join(name), "here", audience).unwrap()
        };
        let signer = open("key", "registry");
        let access = vec![Access {
            kind: "repository".into(),
            name: "a".into(),
            actions: vec!["pull".into()],
        }];
        let token = signer.sign("ann", 60, Some(access.clone()));
        let claims = signer.verify(&token).unwrap();
        assert_eq!((claims.sub.as_str(), claims.access), ("ann", Some(access)));
        // The key is the same after a restart, another's is not.
        assert!(open("key", "registry").verify(&token).is_some());
        assert!(open("key", "another").verify(&token).is_none());
        assert!(open("other", "registry").verify(&token).is_none());
        assert!(signer.verify(&signer.sign("ann", 0, None)).is_none(), "it is too old");
        let unsigned = URL_SAFE_NO_PAD.encode(r#"{"alg":"none","typ":"JWT"}"#);
        let body = token.split('.').nth(1).unwrap();
        for forged in [
            format!("{unsigned}.{body}."),
            format!("{unsigned}.{body}.{}", token.rsplit('.').next().unwrap()),
            token[..token.len() - 4].to_owned(),
            String::new(),
            "..".to_owned(),
        ] {
            assert!(signer.verify(&forged).is_none(), "{forged}");
        }
    }
}
