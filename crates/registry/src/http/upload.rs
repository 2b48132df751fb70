//! Uploads: begin, mount, status, chunk, finish, cancel.

use gantry_oci::{Algorithm, Digest};
use hyper::{
    StatusCode,
    body::{Body as _, Incoming},
    header::{CONTENT_LENGTH, CONTENT_RANGE, LOCATION, RANGE},
};

use super::{
    Call, digest,
    headers::{CHUNK_MIN_LENGTH, CONTENT_DIGEST, UPLOAD_ID},
    range,
    refusal::{Code, Refusal},
    reply::{self, Reply, Response, With},
};
use crate::{
    auth::Action,
    name::Name,
    uploads::{Session, UploadError},
};

/// `POST /v2/<name>/blobs/uploads/`: 201 for a mount or a whole blob, 202 for an upload.
pub(crate) async fn begin(
    call: &Call<'_>,
    name: &Name,
    body: &mut Incoming,
) -> Result<Reply, Refusal> {
    let registry = call.registry;
    if let Some(wanted) = call.query.get("mount")
        && let Some(mounted) = mount(call, name, &digest(wanted)?).await?
    {
        return Ok(mounted.into());
    }
    registry.index.check_quota(name, 1)?;
    let promised = call.query.get("digest").map(digest).transpose()?;
    let algorithm = match (&promised, call.query.get("digest-algorithm")) {
        (Some(digest), _) => digest.algorithm(),
        (None, None | Some("sha256")) => Algorithm::Sha256,
        (None, Some("sha512")) => Algorithm::Sha512,
        (None, Some(other)) => {
            let message = format!("digest algorithm {other:?} is not supported");
            return Err(Refusal::new(Code::DigestInvalid, message));
        }
    };
    let id = registry.uploads.begin(&registry.index, &*registry.blobs, name, algorithm).await?;
    // A promise without data is how some clients begin an upload in parts.
    if let Some(digest) = promised
        && (!body.is_end_stream() || digest == Digest::of(b""))
    {
        let session = take(call, name, &id).await?;
        return store(call, name, session, &digest, body).await.map(Into::into);
    }
    let mut response = progress(StatusCode::ACCEPTED, name, &id, 0);
    if registry.config.limits.chunk_min_bytes > 0 {
        let least = registry.config.limits.chunk_min_bytes.to_string();
        response = response.with(CHUNK_MIN_LENGTH, &least);
    }
    Ok(response.into())
}

/// Takes a blob from another repository, or from any if none is named; none if that fails.
async fn mount(call: &Call<'_>, name: &Name, digest: &Digest) -> Result<Option<Response>, Refusal> {
    let index = &call.registry.index;
    // To have a blob is to read it: only from where the caller may read.
    let readable =
        |name: &Name| call.registry.gate.allows(&call.caller, name.as_str(), Action::Pull);
    let from = match call.query.get("from") {
        Some(from) => Name::parse(from).filter(readable),
        None => index.holder(digest, &readable),
    };
    let Some(from) = from else { return Ok(None) };
    let mounted = index.mount(&from, name, digest).await?;
    Ok(mounted.then(|| created(name, digest)))
}

/// `GET /v2/<name>/blobs/uploads/<id>`: 204, with what has come.
pub(crate) async fn status(call: &Call<'_>, name: &Name, id: &str) -> Result<Reply, Refusal> {
    let session = take(call, name, id).await?;
    Ok(progress(StatusCode::NO_CONTENT, name, id, session.size_bytes()).into())
}

/// `PATCH /v2/<name>/blobs/uploads/<id>`: 202; 416 for a chunk that is not the next one.
pub(crate) async fn chunk(
    call: &Call<'_>,
    name: &Name,
    id: &str,
    body: &mut Incoming,
) -> Result<Reply, Refusal> {
    let mut session = take(call, name, id).await?;
    receive(call, name, &mut session, body).await?;
    Ok(progress(StatusCode::ACCEPTED, name, id, session.size_bytes()).into())
}

/// `PUT /v2/<name>/blobs/uploads/<id>?digest=`: 201.
pub(crate) async fn finish(
    call: &Call<'_>,
    name: &Name,
    id: &str,
    body: &mut Incoming,
) -> Result<Reply, Refusal> {
    let text = call.query.get("digest").unwrap_or_default();
    let digest = digest(text)?;
    let session = take(call, name, id).await?;
    store(call, name, session, &digest, body).await.map(Into::into)
}

/// `DELETE /v2/<name>/blobs/uploads/<id>`: 204.
pub(crate) async fn cancel(call: &Call<'_>, name: &Name, id: &str) -> Result<Reply, Refusal> {
    let session = take(call, name, id).await?;
    drop_upload(call, &session.id).await?;
    Ok(reply::status(StatusCode::NO_CONTENT).into())
}

async fn take(call: &Call<'_>, name: &Name, id: &str) -> Result<Session, UploadError> {
    let registry = call.registry;
    registry.uploads.take(&registry.index, &*registry.blobs, name, id).await
}

/// Takes in the last of an upload's data, checks it, and gives the blob to the repository.
async fn store(
    call: &Call<'_>,
    name: &Name,
    mut session: Session,
    digest: &Digest,
    body: &mut Incoming,
) -> Result<Response, Refusal> {
    let registry = call.registry;
    receive(call, name, &mut session, body).await?;
    let size_bytes = session.size_bytes();
    let mut stored = session.prepare(digest).await;
    let _held = registry.index.hold_blob(digest).await;
    if stored.is_ok() {
        stored = session.commit(digest).await;
    }
    if let Err(error) = stored {
        if !error.is_passing() {
            drop_upload(call, &session.id).await?;
        }
        return Err(error.into());
    }
    let linked = registry.index.link(name, digest, size_bytes, Some(&session.id)).await;
    if let Err(error) = linked {
        // The file is the collector's; the upload is over either way.
        drop_upload(call, &session.id).await?;
        return Err(error.into());
    }
    registry.uploads.forget(&session.id);
    Ok(created(name, digest))
}

/// Ends an upload that the caller holds.
async fn drop_upload(call: &Call<'_>, id: &str) -> Result<(), Refusal> {
    let registry = call.registry;
    registry.blobs.discard(id).await?;
    registry.index.end_upload(id).await?;
    registry.uploads.forget(id);
    Ok(())
}

/// Takes in a body, which has to begin where the upload ends, and to be as long as it says.
async fn receive(
    call: &Call<'_>,
    name: &Name,
    session: &mut Session,
    body: &mut Incoming,
) -> Result<(), Refusal> {
    let before = session.size_bytes();
    let told = match call.header(CONTENT_RANGE) {
        None => None,
        Some(text) => Some(range::chunk(text).ok_or_else(|| {
            Refusal::new(Code::BlobUploadInvalid, format!("invalid Content-Range {text:?}"))
                .status(StatusCode::RANGE_NOT_SATISFIABLE)
        })?),
    };
    if let Some((from, to)) = told {
        if from != before {
            let message = format!("the upload has {before} bytes, the chunk begins at {from}");
            return Err(Refusal::new(Code::RangeInvalid, message)
                .header(LOCATION, &location(name, &session.id))
                .header(RANGE, &range_of(before))
                .header(UPLOAD_ID, &session.id));
        }
        let length = call.header(CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok());
        if length.is_some_and(|length| length != to - from + 1) {
            let message = "Content-Range and Content-Length differ";
            return Err(Refusal::new(Code::SizeInvalid, message));
        }
    }
    let received = session.receive(body, call.registry.config.limits.blob_bytes).await;
    call.registry.metrics.received_bytes.add(session.size_bytes() - before);
    if matches!(&received, Err(UploadError::Blob(error)) if error.is_full()) {
        // Else what came of it would keep the disk full, for all others too.
        drop_upload(call, &session.id).await?;
    }
    Ok(received?)
}

fn location(name: &Name, id: &str) -> String {
    format!("/v2/{name}/blobs/uploads/{id}")
}

/// `Range` of an upload: its ends are in it, so nothing and one byte look the same.
fn range_of(size_bytes: u64) -> String {
    format!("0-{}", size_bytes.saturating_sub(1))
}

fn progress(status: StatusCode, name: &Name, id: &str, size_bytes: u64) -> Response {
    let response = reply::status(status)
        .with(LOCATION, &location(name, id))
        .with(RANGE, &range_of(size_bytes))
        .with(UPLOAD_ID, id);
    match status {
        StatusCode::NO_CONTENT => response,
        _ => response.with(CONTENT_LENGTH, "0"),
    }
}

fn created(name: &Name, digest: &Digest) -> Response {
    reply::status(StatusCode::CREATED)
        .with(LOCATION, &format!("/v2/{name}/blobs/{digest}"))
        .with(CONTENT_DIGEST, digest.as_str())
        .with(CONTENT_LENGTH, "0")
}
