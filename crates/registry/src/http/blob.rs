//! Blobs: get, head, delete.

use futures_util::TryStreamExt;
use gantry_oci::Digest;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, StatusCode,
    body::Frame,
    header::{
        ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG,
        IF_NONE_MATCH, LOCATION, RANGE,
    },
};

use super::{
    Call,
    headers::CONTENT_DIGEST,
    range::{self, Wanted},
    refusal::{Code, Refusal},
    reply::{self, Reply, With},
};
use crate::{
    blobs::{BlobError, Source},
    mirror::{self, End},
    name::Name,
};

/// What digests name never changes.
const FOR_EVER: &str = "max-age=31536000";

/// `GET` and `HEAD /v2/<name>/blobs/<digest>`: 200, 206, 304, 404, 416.
pub(crate) async fn get(call: &Call<'_>, name: &Name, digest: &Digest) -> Result<Reply, Refusal> {
    let index = &call.registry.index;
    let Some(size_bytes) = index.blob(name, digest) else {
        return fetched(call, name, digest).await;
    };
    send(call, name, digest, size_bytes).await
}

/// A blob that is not here, from its repository's upstream, while it comes.
async fn fetched(call: &Call<'_>, name: &Name, digest: &Digest) -> Result<Reply, Refusal> {
    let registry = call.registry;
    let unknown = || Refusal::no_blob(digest);
    let head = |size_bytes: u64| {
        hyper::Response::new(())
            .with(CONTENT_DIGEST, digest.as_str())
            .with(CONTENT_TYPE, "application/octet-stream")
            .with(CONTENT_LENGTH, &size_bytes.to_string())
    };
    if !registry.mirrors.has(name) {
        return Err(unknown());
    }
    if call.head.method == Method::HEAD {
        let size_bytes = mirror::size_of(registry, name, digest).await.ok_or_else(unknown)?;
        return Ok(Reply::Whole(head(size_bytes).map(|()| reply::empty())));
    }
    let mut progress = mirror::follow(registry, name, digest).ok_or_else(unknown)?;
    // A part is sent from the whole.
    let waits = call.header(RANGE).is_some();
    let seen = progress.wait_for(|seen| seen.end.is_some() || (!waits && seen.begun.is_some()));
    let seen = seen.await.map_err(|_| Refusal::upstream())?.clone();
    match (seen.end, seen.begun) {
        (Some(End::Missing), _) => return Err(unknown()),
        (Some(End::Broken), _) => return Err(Refusal::upstream()),
        (None, Some((id, size_bytes))) if size_bytes > 0 => {
            if let Some(file) = registry.blobs.tail(&id) {
                let pieces = mirror::tail(file, size_bytes, progress).map_ok(Frame::data);
                let body = StreamBody::new(pieces).boxed_unsync();
                return Ok(Reply::Whole(head(size_bytes).map(|()| body)));
            }
        }
        _ => {}
    }
    // It is whole by now, or will be.
    let ended = progress.wait_for(|seen| seen.end.is_some()).await;
    ended.map_err(|_| Refusal::upstream())?;
    let size_bytes = registry.index.blob(name, digest).ok_or_else(Refusal::upstream)?;
    send(call, name, digest, size_bytes).await
}

/// A blob that is here.
async fn send(
    call: &Call<'_>,
    name: &Name,
    digest: &Digest,
    size_bytes: u64,
) -> Result<Reply, Refusal> {
    let etag = format!("\"{digest}\"");
    let head = hyper::Response::new(())
        .with(CONTENT_DIGEST, digest.as_str())
        .with(ETAG, &etag)
        .with(CACHE_CONTROL, FOR_EVER)
        .with(ACCEPT_RANGES, "bytes");
    if call.header(IF_NONE_MATCH).is_some_and(|known| known.contains(&etag)) {
        let mut head = head;
        *head.status_mut() = StatusCode::NOT_MODIFIED;
        return Ok(Reply::Whole(head.map(|()| reply::empty())));
    }
    let mut head = head.with(CONTENT_TYPE, "application/octet-stream");
    let (offset_bytes, length_bytes) = match range::wanted(call.header(RANGE), size_bytes) {
        Wanted::All => (0, size_bytes),
        Wanted::Part { offset_bytes, length_bytes } => {
            let last = offset_bytes + length_bytes - 1;
            *head.status_mut() = StatusCode::PARTIAL_CONTENT;
            head = head.with(CONTENT_RANGE, &format!("bytes {offset_bytes}-{last}/{size_bytes}"));
            (offset_bytes, length_bytes)
        }
        Wanted::Outside => {
            let refusal = Refusal::new(Code::RangeInvalid, "the blob has no such range");
            return Err(refusal.header(CONTENT_RANGE, &format!("bytes */{size_bytes}")));
        }
    };
    if call.head.method == Method::GET
        && let Some(address) = call.registry.blobs.address(digest).await?
    {
        // The bucket reads the range of the client's next request itself.
        let away = reply::status(StatusCode::TEMPORARY_REDIRECT).with(LOCATION, &address);
        return Ok(away
            .with(CONTENT_DIGEST, digest.as_str())
            .with(CACHE_CONTROL, "no-store")
            .into());
    }
    let head = head.with(CONTENT_LENGTH, &length_bytes.to_string());
    if call.head.method == Method::HEAD {
        return Ok(Reply::Whole(head.map(|()| reply::empty())));
    }
    let source = match call.registry.blobs.read(digest, offset_bytes, length_bytes).await {
        Err(BlobError::Missing(_)) => {
            tracing::error!(%digest, repository = %name, "the file of a blob is gone");
            return Err(Refusal::no_blob(digest));
        }
        source => source?,
    };
    call.registry.metrics.sent_bytes.add(length_bytes);
    Ok(match source {
        Source::File(range) => Reply::File(head, range),
        Source::Stream(pieces) => {
            Reply::Whole(head.map(|()| StreamBody::new(pieces.map_ok(Frame::data)).boxed_unsync()))
        }
    })
}

/// `DELETE /v2/<name>/blobs/<digest>`: 202, 404, 405.
pub(crate) async fn delete(
    call: &Call<'_>,
    name: &Name,
    digest: &Digest,
) -> Result<Reply, Refusal> {
    let registry = call.registry;
    if !registry.config.delete.enabled {
        return Err(Refusal::new(Code::Unsupported, "this registry deletes nothing"));
    }
    if !registry.index.unlink(name, digest).await? {
        return Err(Refusal::no_blob(digest));
    }
    // Gone for its repository; a file that stays is the collector's to remove.
    if let Err(error) = registry.remove_unlinked(digest).await {
        tracing::warn!(%digest, "{}", gantry_fault::chain(&error));
    }
    Ok(reply::status(StatusCode::ACCEPTED).into())
}
