//! What a manifest is and refers to. Its bytes are kept as they came; this is a view of them.

use std::collections::BTreeMap;

use gantry_oci::{Digest, image::media};
use serde::{Deserialize, Serialize};

/// Prefixes of layers that may stay where they came from.
const FOREIGN: [&str; 2] = [
    "application/vnd.oci.image.layer.nondistributable.",
    "application/vnd.docker.image.rootfs.foreign.",
];
/// Docker's first manifests, which nothing is refused for more politely.
const SCHEMA1: &str = "application/vnd.docker.distribution.manifest.v1+";

/// What one refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) digest: Digest,
    pub(crate) size_bytes: u64,
}

/// A manifest or an index, as far as a registry looks into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Parsed {
    pub(crate) media_type: String,
    /// Blobs that have to be there.
    pub(crate) blobs: Vec<Target>,
    /// Manifests that have to be there.
    pub(crate) manifests: Vec<Target>,
    pub(crate) subject: Option<Digest>,
}

/// Why bytes are no manifest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ManifestError {
    #[error("the manifest is not valid JSON: {0}")]
    Json(String),
    #[error("media type {0:?} is not supported")]
    Unsupported(String),
    #[error("the manifest says that it is {inner:?}, the request says {outer:?}")]
    TypesDiffer { inner: String, outer: String },
    #[error("schemaVersion must be 2")]
    Version,
    #[error("a manifest has no {0:?}")]
    Foreign(&'static str),
    #[error("the manifest lacks {0:?}")]
    Lacks(&'static str),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct View {
    #[serde(default)]
    schema_version: Option<u32>,
    #[serde(default)]
    media_type: Option<String>,
    #[serde(default)]
    config: Option<Pointer>,
    #[serde(default)]
    layers: Option<Vec<Pointer>>,
    #[serde(default)]
    manifests: Option<Vec<Pointer>>,
    #[serde(default)]
    subject: Option<Pointer>,
    #[serde(default)]
    artifact_type: Option<String>,
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Pointer {
    #[serde(default)]
    media_type: String,
    digest: Digest,
    size: u64,
    #[serde(default)]
    urls: Option<Vec<String>>,
}

impl Pointer {
    fn target(self) -> Target {
        Target { digest: self.digest, size_bytes: self.size }
    }

    /// Whether it need not be in a registry.
    fn is_foreign(&self) -> bool {
        let elsewhere = self.urls.as_ref().is_some_and(|urls| !urls.is_empty());
        elsewhere && FOREIGN.iter().any(|prefix| self.media_type.starts_with(prefix))
    }
}

/// Reads a manifest that was sent as `content_type`; empty if that was not told.
///
/// A document that is a manifest and an index at once is neither: two clients would take it for two
/// different things.
///
/// # Errors
/// When it is no manifest, or another than was told.
pub(crate) fn parse(body: &[u8], content_type: &str) -> Result<Parsed, ManifestError> {
    let view: View =
        serde_json::from_slice(body).map_err(|error| ManifestError::Json(error.to_string()))?;
    let outer = content_type.split(';').next().unwrap_or_default().trim();
    let media_type = media_type(&view, outer)?;
    if view.schema_version != Some(2) {
        return Err(ManifestError::Version);
    }
    let subject = view.subject.map(|subject| subject.digest);
    if media::is_index(&media_type) {
        if view.layers.is_some() || view.config.is_some() {
            return Err(ManifestError::Foreign("layers"));
        }
        let manifests = view.manifests.ok_or(ManifestError::Lacks("manifests"))?;
        let manifests = manifests.into_iter().map(Pointer::target).collect();
        return Ok(Parsed { media_type, blobs: Vec::new(), manifests, subject });
    }
    if view.manifests.is_some() {
        return Err(ManifestError::Foreign("manifests"));
    }
    let config = view.config.ok_or(ManifestError::Lacks("config"))?;
    let layers = view.layers.ok_or(ManifestError::Lacks("layers"))?;
    let kept = layers.into_iter().filter(|layer| !layer.is_foreign());
    let blobs = std::iter::once(config).chain(kept).map(Pointer::target).collect();
    Ok(Parsed { media_type, blobs, manifests: Vec::new(), subject })
}

/// The type that both the document and the request agree on.
fn media_type(view: &View, outer: &str) -> Result<String, ManifestError> {
    let known = |text: &str| media::is_index(text) || media::is_manifest(text);
    let inner = view.media_type.as_deref().unwrap_or_default();
    if outer.starts_with(SCHEMA1)
        || (!outer.is_empty() && !known(outer) && !outer.ends_with("/json"))
    {
        return Err(ManifestError::Unsupported(outer.to_owned()));
    }
    match (known(outer), inner.is_empty()) {
        (true, false) if inner != outer => {
            Err(ManifestError::TypesDiffer { inner: inner.to_owned(), outer: outer.to_owned() })
        }
        (true, _) => Ok(outer.to_owned()),
        (false, false) if known(inner) => Ok(inner.to_owned()),
        (false, false) => Err(ManifestError::Unsupported(inner.to_owned())),
        // OCI documents may leave their type out; their shape tells.
        (false, true) if view.manifests.is_some() => Ok(media::INDEX.to_owned()),
        (false, true) => Ok(media::MANIFEST.to_owned()),
    }
}

/// How a manifest is listed as the referrer of another.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Referrer {
    pub(crate) media_type: String,
    pub(crate) digest: Digest,
    pub(crate) size: usize,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(crate) artifact_type: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) annotations: BTreeMap<String, String>,
}

/// Describes a manifest to those who ask for referrers; none if it is damaged.
///
/// Its artifact type is its own, or else its configuration's type.
pub(crate) fn referrer(body: &[u8], digest: &Digest, media_type: &str) -> Option<Referrer> {
    let view: View = serde_json::from_slice(body).ok()?;
    let own = view.artifact_type.filter(|kind| !kind.is_empty());
    let artifact_type = own.or_else(|| view.config.map(|config| config.media_type));
    Some(Referrer {
        media_type: media_type.to_owned(),
        digest: digest.clone(),
        size: body.len(),
        artifact_type: artifact_type.unwrap_or_default(),
        annotations: view.annotations.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(media_type: &str, data: &[u8], rest: &str) -> String {
        let (digest, size) = (Digest::of(data), data.len());
        format!(r#"{{"mediaType":"{media_type}","digest":"{digest}","size":{size}{rest}}}"#)
    }

    #[test]
    fn manifests_tell_what_they_need() {
        let config = pointer(media::CONFIG, b"c", "");
        let layer = pointer(media::LAYER_GZIP, b"l", "");
        let foreign = pointer(
            "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
            b"f",
            r#","urls":["https://elsewhere.invalid/f"]"#,
        );
        let subject = pointer(media::MANIFEST, b"s", "");
        let text = format!(
            r#"{{"schemaVersion":2,"config":{config},"layers":[{layer},{foreign}],"subject":{subject}}}"#
        );
        let parsed = parse(text.as_bytes(), media::MANIFEST).unwrap();
        let blobs: Vec<Digest> = parsed.blobs.into_iter().map(|target| target.digest).collect();
        assert_eq!(blobs, [Digest::of(b"c"), Digest::of(b"l")]);
        assert_eq!(parsed.subject, Some(Digest::of(b"s")));
        let index = format!(r#"{{"schemaVersion":2,"manifests":[{subject}]}}"#);
        let parsed = parse(index.as_bytes(), "").unwrap();
        assert_eq!(parsed.media_type, media::INDEX);
        assert_eq!(parsed.manifests, [Target { digest: Digest::of(b"s"), size_bytes: 1 }]);
    }

    #[test]
    fn what_is_no_manifest_is_refused() {
        let config = pointer(media::CONFIG, b"c", "");
        let both = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[],"manifests":[]}}"#);
        let typed = format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[]}}"#,
            media::MANIFEST
        );
        let first = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        for (text, content_type, want) in [
            ("{}", media::MANIFEST, ManifestError::Version),
            (r#"{"schemaVersion":1}"#, media::INDEX, ManifestError::Version),
            (r#"{"schemaVersion":2}"#, media::MANIFEST, ManifestError::Lacks("config")),
            (r#"{"schemaVersion":2}"#, media::INDEX, ManifestError::Lacks("manifests")),
            (&both, media::MANIFEST, ManifestError::Foreign("manifests")),
            (&both, media::INDEX, ManifestError::Foreign("layers")),
            ("{}", first, ManifestError::Unsupported(first.into())),
            ("{}", "text/plain", ManifestError::Unsupported("text/plain".into())),
            (
                &typed,
                media::DOCKER_MANIFEST,
                ManifestError::TypesDiffer {
                    inner: media::MANIFEST.into(),
                    outer: media::DOCKER_MANIFEST.into(),
                },
            ),
        ] {
            assert_eq!(parse(text.as_bytes(), content_type), Err(want), "{content_type} {text}");
        }
        assert!(matches!(parse(b"no", media::INDEX), Err(ManifestError::Json(_))));
    }
}
