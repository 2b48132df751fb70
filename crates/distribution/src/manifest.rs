//! Manifests and indexes: what a tag means, and their bytes as they are.

use bytes::Bytes;
use futures_util::FutureExt;
use gantry_oci::{Descriptor, Digest, image::media};
use hyper::{
    HeaderMap, Method,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE},
};
use serde::Deserialize;

use crate::{
    At, DistributionError, Repository,
    hosts::Action,
    server::{Call, Server},
};

/// What a registry tells a document's digest by.
pub(crate) const DIGEST: &str = "docker-content-digest";
/// What is asked for, best first.
const ACCEPTED: [&str; 4] =
    [media::INDEX, media::MANIFEST, media::DOCKER_INDEX, media::DOCKER_MANIFEST];
/// How the media types of Docker's schema 1 begin.
const SCHEMA_1: &str = "application/vnd.docker.distribution.manifest.v1";

/// A manifest or index as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// Its media type, digest and size.
    pub descriptor: Descriptor,
    /// Its bytes, never written anew.
    pub bytes: Bytes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sketch {
    #[serde(default)]
    media_type: String,
    schema_version: u32,
    #[serde(default)]
    manifests: Option<serde::de::IgnoredAny>,
}

impl Repository {
    /// What a tag or digest means: media type, digest and size, without fetching it.
    ///
    /// # Errors
    /// [`DistributionError::ManifestUnknown`], [`DistributionError::PullDenied`] and all that can
    /// be wrong on the way.
    pub async fn resolve<'s>(&'s self, at: &'s At) -> Result<Descriptor, DistributionError> {
        let found = self.first(action(at), |server| self.resolve_at(server, at).boxed()).await;
        found.map_err(|error| self.explain(at, error))
    }

    /// The manifest or index of a tag or digest; digest and media type are checked.
    ///
    /// # Errors
    /// As [`Repository::resolve`], and [`DistributionError::Digest`],
    /// [`DistributionError::MediaType`], [`DistributionError::TooLarge`] for what is not right.
    pub async fn manifest<'s>(&'s self, at: &'s At) -> Result<Document, DistributionError> {
        let found = self.first(action(at), |server| self.fetch(server, at).boxed()).await;
        found.map_err(|error| self.explain(at, error))
    }

    async fn resolve_at(&self, server: &Server, at: &At) -> Result<Descriptor, DistributionError> {
        let call = self.manifest_call(server, Method::HEAD, at).await?;
        match server.expect(call).await {
            Ok(reply) => {
                if let Some(descriptor) = announced(&reply.headers, at) {
                    return Ok(descriptor);
                }
            }
            // An answer to HEAD has no words: GET tells what is wrong, or that only HEAD is.
            Err(error) if error.status().is_some() || error.is_passing() => {}
            Err(error) => return Err(error),
        }
        Ok(self.fetch(server, at).await?.descriptor)
    }

    pub(crate) async fn fetch(
        &self,
        server: &Server,
        at: &At,
    ) -> Result<Document, DistributionError> {
        let call = self.manifest_call(server, Method::GET, at).await?;
        let (headers, bytes) = server.document(&call, server.limits().manifest_bytes).await?;
        self.check(server, at, &headers, bytes)
    }

    async fn manifest_call(
        &self,
        server: &Server,
        method: Method,
        at: &At,
    ) -> Result<Call, DistributionError> {
        let path = self.path(server, &format!("manifests/{}", at.text()));
        let call = Call::new(method, server.address(&path).await?, &self.scopes(server, &["pull"]));
        call.with(ACCEPT, &ACCEPTED.join(", "))
    }

    fn check(
        &self,
        server: &Server,
        at: &At,
        headers: &HeaderMap,
        bytes: Bytes,
    ) -> Result<Document, DistributionError> {
        let said = headers.get(DIGEST).and_then(|value| value.to_str().ok());
        let said: Option<Digest> = said.and_then(|text| text.parse().ok());
        // What was asked for counts; what the server says as well, if nothing was.
        let expected = at.digest().or(said.as_ref());
        let digest = expected.cloned().unwrap_or_else(|| Digest::of(&bytes));
        if let Err(gantry_oci::DigestError::Mismatch { expected, actual }) = digest.verify(&bytes) {
            let host = server.name();
            return Err(DistributionError::Digest { what: "manifest", host, expected, actual });
        }
        let media_type = self.media_type(server, at, headers, &bytes)?;
        let descriptor = Descriptor::new(&media_type, digest, bytes.len() as u64);
        Ok(Document { descriptor, bytes })
    }

    fn media_type(
        &self,
        server: &Server,
        at: &At,
        headers: &HeaderMap,
        bytes: &[u8],
    ) -> Result<String, DistributionError> {
        let wrong = |expected: &str, actual: &str| DistributionError::MediaType {
            reference: self.reference(at),
            host: server.name(),
            expected: expected.to_owned(),
            actual: actual.to_owned(),
        };
        let header = content_type(headers);
        if header.starts_with(SCHEMA_1) {
            return Err(wrong(media::DOCKER_MANIFEST, &header));
        }
        let Ok(sketch) = serde_json::from_slice::<Sketch>(bytes) else {
            return Err(wrong("a manifest", if header.is_empty() { "unknown" } else { &header }));
        };
        if sketch.schema_version == 1 {
            return Err(wrong(media::DOCKER_MANIFEST, &format!("{SCHEMA_1}+json")));
        }
        // Some registries know of JSON alone.
        let general = ["", "application/json", "text/plain", "application/octet-stream"];
        match (general.contains(&header.as_str()), sketch.media_type.is_empty()) {
            (false, false) if header != sketch.media_type => {
                Err(wrong(&header, &sketch.media_type))
            }
            (false, _) => Ok(header),
            (true, false) => Ok(sketch.media_type),
            (true, true) if sketch.manifests.is_some() => Ok(media::INDEX.to_owned()),
            (true, true) => Ok(media::MANIFEST.to_owned()),
        }
    }

    /// The reference of something here, as users write it.
    pub(crate) fn reference(&self, at: &At) -> String {
        match at {
            At::Digest(digest) => self.name().with_digest(digest.clone()).familiar(),
            At::Tag(tag) => format!("{}:{tag}", self.name().familiar_name()),
        }
    }

    /// A refusal in the words of a pull.
    pub(crate) fn explain(&self, at: &At, error: DistributionError) -> DistributionError {
        let DistributionError::Answer(source) = error else { return error };
        let name = self.name().familiar_name();
        match (source.code(), source.status) {
            ("DENIED", _) => DistributionError::PullDenied { name, source },
            ("NAME_UNKNOWN", _) => DistributionError::RepositoryUnknown { name, source },
            ("MANIFEST_UNKNOWN", _) | (_, 404) => {
                DistributionError::ManifestUnknown { reference: self.reference(at), source }
            }
            _ => DistributionError::Answer(source),
        }
    }
}

fn action(at: &At) -> Action {
    match at {
        At::Tag(_) => Action::Resolve,
        At::Digest(_) => Action::Pull,
    }
}

/// The media type of an answer, without parameters.
pub(crate) fn content_type(headers: &HeaderMap) -> String {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// What the head of an answer says of the document, if it says all.
fn announced(headers: &HeaderMap, at: &At) -> Option<Descriptor> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    let digest: Digest = text(DIGEST)?.parse().ok()?;
    if at.digest().is_some_and(|wanted| *wanted != digest) {
        return None;
    }
    let size = text(CONTENT_LENGTH.as_str())?.parse().ok()?;
    let media_type = content_type(headers);
    let known = media::is_index(&media_type) || media::is_manifest(&media_type);
    known.then(|| Descriptor::new(&media_type, digest, size))
}
