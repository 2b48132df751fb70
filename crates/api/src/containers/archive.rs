//! Files of a container: `cp`, `diff`, `export`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use gantry_api_types::archive::ContainerPathStat;
use gantry_engine::{ArchivePutOptions, FileError};
use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::ApiError;

/// Tells about the path that was asked for.
const PATH_STAT: HeaderName = HeaderName::from_static("x-docker-container-path-stat");

/// `HEAD /containers/{id}/archive`.
pub(crate) async fn stat(call: Call) -> Result<Response, ApiError> {
    let stat = call
        .container()?
        .archive_stat(path(&call)?)
        .await
        .map_err(|error| named(call.name(), error))?;
    with_stat(body::status(StatusCode::OK), &stat)
}

/// `GET /containers/{id}/archive`: a tar.
pub(crate) async fn get(call: Call) -> Result<Response, ApiError> {
    let download = call
        .container()?
        .archive_get(path(&call)?)
        .await
        .map_err(|error| named(call.name(), error))?;
    let tar = body::stream(HeaderValue::from_static("application/x-tar"), download.tar);
    with_stat(tar, &download.stat)
}

/// `PUT /containers/{id}/archive`: extracts a tar of any compression.
pub(crate) async fn put(call: Call) -> Result<Response, ApiError> {
    let options = ArchivePutOptions {
        no_overwrite_dir_non_dir: call.query.flag("noOverwriteDirNonDir"),
        copy_uid_gid: call.query.flag("copyUIDGID"),
    };
    let path = path(&call)?.to_owned();
    let container = call.container()?;
    let name = call.name().to_owned();
    let put = container.archive_put(&path, options, call.upload.into_stream()).await;
    put.map_err(|error| named(&name, error))?;
    Ok(body::status(StatusCode::OK))
}

/// `GET /containers/{id}/changes`: `null` when there are none.
pub(crate) async fn changes(call: Call) -> Result<Response, ApiError> {
    let changes = call.container()?.changes().await?;
    body::ok(&(!changes.is_empty()).then_some(changes))
}

/// `GET /containers/{id}/export`.
pub(crate) async fn export(call: Call) -> Result<Response, ApiError> {
    let tar = call.container()?.export().await?;
    Ok(body::stream(HeaderValue::from_static("application/octet-stream"), tar))
}

/// A missing path is told with the container's name as the client gave it.
fn named(name: &str, error: FileError) -> FileError {
    match error {
        FileError::NoSuchPath { path, .. } => {
            FileError::NoSuchPath { path, container: name.to_owned() }
        }
        error => error,
    }
}

fn path(call: &Call) -> Result<&str, ApiError> {
    let path = call.query.filled("path");
    path.ok_or_else(|| ApiError::invalid("bad parameter: path cannot be empty"))
}

fn with_stat(mut response: Response, stat: &ContainerPathStat) -> Result<Response, ApiError> {
    let failed = |error: &dyn std::error::Error| ApiError::internal(error);
    let json = serde_json::to_vec(stat).map_err(|error| failed(&error))?;
    let value = HeaderValue::try_from(STANDARD.encode(json)).map_err(|error| failed(&error))?;
    response.headers_mut().insert(PATH_STAT, value);
    Ok(response)
}
