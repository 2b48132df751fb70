//! Manifests: get, head, put, delete.

use bytes::{Bytes, BytesMut};
use gantry_oci::{Digest, Hasher};
use http_body_util::BodyExt;
use hyper::{
    Method, StatusCode,
    body::{Body as _, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH, LOCATION},
};

use super::{
    Call, digest,
    headers::{CONTENT_DIGEST, SUBJECT, TAG},
    refusal::{Code, Refusal},
    reply::{self, Reply, With},
};
use crate::{
    index::{NewManifest, Reference, Removal},
    manifest, mirror,
    name::Name,
};

/// Most tags that one push sets by parameters.
const TAGS_MAX: usize = 100;

/// `GET` and `HEAD /v2/<name>/manifests/<reference>`: 200, 304, 404.
pub(crate) async fn get(call: &Call<'_>, name: &Name, reference: &str) -> Result<Reply, Refusal> {
    let index = &call.registry.index;
    let wanted = self::reference(reference)?;
    if call.registry.mirrors.has(name) {
        // Goes on without its client, as all changes do.
        let (registry, name, wanted) = (call.registry.clone(), name.clone(), wanted.clone());
        let fetch = async move { mirror::freshen(&registry, &name, &wanted).await };
        let fetched = tokio::spawn(fetch).await.map_err(|_| Refusal::failed())?;
        fetched.map_err(|_| Refusal::upstream())?;
    }
    let found = index.manifest(name, &wanted).ok_or_else(|| Refusal::no_manifest(reference))?;
    let etag = format!("\"{}\"", found.digest);
    let head = hyper::Response::new(())
        .with(CONTENT_DIGEST, found.digest.as_str())
        .with(ETAG, &etag)
        .with(CONTENT_TYPE, &found.media_type);
    if call.header(IF_NONE_MATCH).is_some_and(|known| known.contains(&etag)) {
        let mut head = head;
        *head.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(Reply::Whole(head.map(|()| reply::empty())));
    }
    let head = head.with(CONTENT_LENGTH, &found.size_bytes.to_string());
    if call.head.method == Method::HEAD {
        return Ok(Reply::Whole(head.map(|()| reply::empty())));
    }
    // It may have been deleted since it was found.
    let body = index.body(name, &found.digest).await?;
    let body = body.ok_or_else(|| Refusal::no_manifest(reference))?;
    Ok(Reply::Whole(head.map(|()| reply::full(StatusCode::OK, body).into_body())))
}

/// `PUT /v2/<name>/manifests/<reference>?tag=`: 201.
pub(crate) async fn put(
    call: &Call<'_>,
    name: &Name,
    reference: &str,
    body: &mut Incoming,
) -> Result<Reply, Refusal> {
    let config = &call.registry.config;
    let reference = self::reference(reference)?;
    let mut tags: Vec<String> = call.query.all("tag").map(str::to_owned).collect();
    if tags.len() > TAGS_MAX {
        let message = format!("at most {TAGS_MAX} tags are set at once");
        return Err(Refusal::new(Code::TagInvalid, message).status(StatusCode::URI_TOO_LONG));
    }
    if let Some(wrong) = tags.iter().find(|tag| !gantry_oci::is_tag(tag)) {
        return Err(Refusal::new(Code::TagInvalid, format!("invalid tag {wrong:?}")));
    }
    let told: Vec<String> = tags.clone();
    let body = collect(body, config.limits.manifest_bytes).await?;
    let digest = match &reference {
        Reference::Digest(digest) => verified(digest, &body)?,
        Reference::Tag(tag) => {
            tags.push(tag.clone());
            Digest::of(&body)
        }
    };
    let parsed = manifest::parse(&body, call.header(CONTENT_TYPE).unwrap_or_default())?;
    let new = NewManifest {
        digest: &digest,
        body: &body,
        parsed: &parsed,
        tags: &tags,
        sparse: config.sparse,
        fetched: false,
    };
    call.registry.index.put_manifest(name, new).await?;
    let mut response = reply::status(StatusCode::CREATED)
        .with(LOCATION, &format!("/v2/{name}/manifests/{digest}"))
        .with(CONTENT_DIGEST, digest.as_str())
        .with(CONTENT_LENGTH, "0");
    if let Some(subject) = &parsed.subject {
        response = response.with(SUBJECT, subject.as_str());
    }
    Ok(told.iter().fold(response, |response, tag| response.with(TAG, tag)).into())
}

/// `DELETE /v2/<name>/manifests/<reference>`: 202; a tag goes alone, a digest with all its tags.
pub(crate) async fn delete(
    call: &Call<'_>,
    name: &Name,
    reference: &str,
) -> Result<Reply, Refusal> {
    if !call.registry.config.delete.enabled {
        return Err(Refusal::new(Code::Unsupported, "this registry deletes nothing"));
    }
    let removed = call.registry.index.remove(name, &self::reference(reference)?).await?;
    match removed {
        Removal::Gone(digest) => {
            let response = reply::status(StatusCode::ACCEPTED);
            Ok(response.with(CONTENT_DIGEST, digest.as_str()).into())
        }
        Removal::Missing => Err(Refusal::no_manifest(reference)),
        Removal::Protected(tag) => {
            Err(Refusal::new(Code::Denied, format!("tag {tag} is protected")))
        }
    }
}

/// A digest if it has a colon, else a tag.
fn reference(text: &str) -> Result<Reference, Refusal> {
    if text.contains(':') {
        return digest(text).map(Reference::Digest);
    }
    match gantry_oci::is_tag(text) {
        true => Ok(Reference::Tag(text.to_owned())),
        false => Err(Refusal::new(Code::TagInvalid, format!("invalid tag {text:?}"))),
    }
}

fn verified(digest: &Digest, body: &[u8]) -> Result<Digest, Refusal> {
    let mut hasher = Hasher::new(digest.algorithm());
    hasher.update(body);
    let actual = hasher.finish();
    match actual == *digest {
        true => Ok(actual),
        false => {
            let message = format!("the manifest has digest {actual}, not {digest}");
            Err(Refusal::new(Code::DigestInvalid, message))
        }
    }
}

/// Reads a whole manifest.
async fn collect(body: &mut Incoming, limit_bytes: usize) -> Result<Bytes, Refusal> {
    let too_large = || {
        let message = format!("a manifest has at most {limit_bytes} bytes");
        Refusal::new(Code::SizeInvalid, message).status(StatusCode::PAYLOAD_TOO_LARGE)
    };
    if body.size_hint().lower() > limit_bytes as u64 {
        return Err(too_large());
    }
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Refusal::new(Code::ManifestInvalid, format!("reading the manifest: {error}"))
        })?;
        if let Ok(data) = frame.into_data() {
            if all.len() + data.len() > limit_bytes {
                return Err(too_large());
            }
            all.extend_from_slice(&data);
        }
    }
    Ok(all.freeze())
}
