//! Volumes, what Docker does not have: everything of ours is below `/gantry/`.
//!
//! ```text
//! GET  /gantry/volumes/{name}/archive?compression=none|gzip|zstd|xz|bzip2   a tar of its content
//! PUT  /gantry/volumes/{name}/archive?replace=true   fills it from a tar; made if it is missing
//! POST /gantry/volumes/{name}/clone?to=OTHER         another volume with the same content
//! ```

use gantry_archive::Compression;
use gantry_engine::ByteStream;
use gantry_fault::chain;
use gantry_volume::{CreateVolume, VolumeError};
use hyper::StatusCode;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::{document, tell};
use crate::body::{self, Response};
use crate::call::{Call, blocking};
use crate::error::ApiError;
use crate::progress::{Late, stream_worker};

/// `GET /gantry/volumes/{name}/archive`.
pub(crate) async fn backup(call: Call) -> Result<Response, ApiError> {
    let compression = match call.query.text("compression") {
        "" | "none" => Compression::None,
        "gzip" => Compression::Gzip,
        "zstd" => Compression::Zstd,
        "xz" => Compression::Xz,
        "bzip2" => Compression::Bzip2,
        other => {
            return Err(ApiError::invalid(format!("bad parameter: compression={other}")));
        }
    };
    let (volumes, name) = (call.api.engine.volumes().clone(), call.name().to_owned());
    stream_worker("application/x-tar", Late::Abort, move |sink| {
        Ok(volumes.backup(&name, compression, sink)?)
    })
    .await
}

/// `PUT /gantry/volumes/{name}/archive`.
pub(crate) async fn restore(call: Call) -> Result<Response, ApiError> {
    let (name, replace) = (call.name().to_owned(), call.query.flag("replace"));
    let engine = call.api.engine.clone();
    let tar = reader(call.upload.into_stream());
    let restored = blocking(move || {
        let volumes = engine.volumes();
        let created =
            volumes.create(CreateVolume { name: Some(name.clone()), ..CreateVolume::default() })?;
        if created.is_new {
            tell(&engine, "create", &created.volume);
        }
        let done = volumes.restore(&name, replace, tar, &|name| engine.volume_runs(name));
        if done.is_err() && created.is_new {
            // Made for this alone.
            match volumes.remove(&name, true, &|name| engine.volume_users(name)) {
                Ok(_) => tell(&engine, "destroy", &created.volume),
                Err(error) => tracing::warn!(name, error = chain(&error), "taking back a volume"),
            }
        }
        done?;
        Ok::<_, VolumeError>(document(volumes.inspect(&name)?))
    });
    body::ok(&restored.await?)
}

/// `POST /gantry/volumes/{name}/clone`.
pub(crate) async fn duplicate(call: Call) -> Result<Response, ApiError> {
    let source = call.name().to_owned();
    let wanted = call.query.filled("to").map(str::to_owned);
    let wanted = wanted.ok_or_else(|| ApiError::invalid("bad parameter: to cannot be empty"))?;
    let engine = call.api.engine;
    let made = blocking(move || {
        let created = engine.volumes().duplicate(&source, &wanted)?;
        tell(&engine, "create", &created.volume);
        Ok::<_, VolumeError>(document(engine.volumes().inspect(&wanted)?))
    });
    Ok(body::json(StatusCode::CREATED, &made.await?))
}

/// A body for a blocking reader; must be called inside the runtime.
fn reader(body: ByteStream) -> Box<dyn std::io::Read + Send> {
    Box::new(SyncIoBridge::new(StreamReader::new(body)))
}
