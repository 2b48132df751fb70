//! Sigstore bundles 0.3: an envelope of DSSE with a statement of in-toto about an image.
//!
//! What a bundle has of certificates and transparency logs is not looked at: a key is asked for.

use base64::{Engine, engine::general_purpose::STANDARD};
use gantry_oci::Digest;
use serde::Deserialize;
use serde_json::Value;

/// The media type of bundles that are read.
pub(crate) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
/// The type of what an envelope holds.
const STATEMENT: &str = "application/vnd.in-toto+json";
/// Types of statements.
const STATEMENTS: [&str; 2] =
    ["https://in-toto.io/Statement/v1", "https://in-toto.io/Statement/v0.1"];
/// What a statement says that signs an image, and nothing else about it.
const SIGNS: &str = "https://sigstore.dev/cosign/sign/v1";
/// Signatures of one envelope, and subjects of one statement, that are looked at.
const MAX: usize = 16;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<Signed>,
}

#[derive(Deserialize)]
struct Signed {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    kind: String,
    subject: Vec<Subject>,
    predicate_type: String,
}

#[derive(Deserialize)]
struct Subject {
    name: Option<String>,
    #[serde(default)]
    digest: serde_json::Map<String, Value>,
}

/// A bundle, taken apart but not believed.
pub(crate) struct Opened {
    /// What is signed: the statement with its type before it.
    pub(crate) signed: Vec<u8>,
    /// Signatures of that; one that is right is enough.
    pub(crate) signatures: Vec<Vec<u8>>,
    statement: Vec<u8>,
}

/// Takes a bundle apart.
pub(crate) fn open(bundle: &[u8]) -> Result<Opened, String> {
    let bundle: Bundle = serde_json::from_slice(bundle).map_err(|error| error.to_string())?;
    if bundle.media_type != MEDIA_TYPE {
        return Err(format!("bundles of type {:?} are not implemented", bundle.media_type));
    }
    let envelope =
        bundle.dsse_envelope.ok_or("bundles without a DSSE envelope are not implemented")?;
    if envelope.payload_type != STATEMENT {
        return Err(format!("it holds {:?}", envelope.payload_type));
    }
    let decode = |text: &str| STANDARD.decode(text).map_err(|_| "it is not base64".to_owned());
    let statement = decode(&envelope.payload)?;
    let signatures = envelope.signatures.iter().take(MAX);
    let signatures = signatures.map(|signed| decode(&signed.sig)).collect::<Result<_, _>>()?;
    Ok(Opened { signed: authenticated(STATEMENT, &statement), signatures, statement })
}

/// What DSSE signs: lengths keep apart what type and body are.
fn authenticated(kind: &str, body: &[u8]) -> Vec<u8> {
    let mut text = format!("DSSEv1 {} {kind} {} ", kind.len(), body.len()).into_bytes();
    text.extend_from_slice(body);
    text
}

impl Opened {
    /// Reads what was signed: digests of manifests, with names where it has some. Only after a
    /// signature was found right.
    pub(crate) fn subjects(&self) -> Result<Vec<(Digest, Option<String>)>, String> {
        let statement: Statement =
            serde_json::from_slice(&self.statement).map_err(|error| error.to_string())?;
        if !STATEMENTS.contains(&statement.kind.as_str()) {
            return Err(format!("it is a {:?}", statement.kind));
        }
        if statement.predicate_type != SIGNS {
            // The same key may state that an image is bad.
            let kind = statement.predicate_type;
            return Err(format!("it states something about the image ({kind}), and signs it not"));
        }
        let mut subjects = Vec::new();
        for subject in statement.subject.into_iter().take(MAX) {
            for (algorithm, hex) in &subject.digest {
                let digest = hex.as_str().and_then(|hex| format!("{algorithm}:{hex}").parse().ok());
                let name = subject.name.clone().filter(|name| !name.is_empty());
                subjects.extend(digest.map(|digest| (digest, name)));
            }
        }
        Ok(subjects)
    }
}
