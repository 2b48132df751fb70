//! Images in and out as archives: `load`, `save`, `import`.

use std::io::Read;

use gantry_api_types::image::{JsonMessage, ProgressDetail};
use gantry_engine::ByteStream;
use gantry_image::{Import, LoadEvent};
use gantry_oci::Platform;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::inspect::signed;
use super::repo_tag;
use crate::body::Response;
use crate::call::Call;
use crate::error::ApiError;
use crate::progress::{Late, Sink, stream_worker};
use crate::registry;

const JSON: &str = "application/json";
const TAR: &str = "application/x-tar";
/// A layer's progress is told each time this many further bytes are done.
const PROGRESS_STEP_BYTES: u64 = 512 << 10;

/// `GET /images/{name}/get`.
pub(crate) async fn save_one(call: Call) -> Result<Response, ApiError> {
    let names = vec![call.name().to_owned()];
    save(call, names).await
}

/// `GET /images/get`.
pub(crate) async fn save_many(call: Call) -> Result<Response, ApiError> {
    let names: Vec<_> = call.query.all("names").into_iter().filter(|n| !n.is_empty()).collect();
    if names.is_empty() {
        return Err(ApiError::invalid("bad parameter: names cannot be empty"));
    }
    save(call, names).await
}

async fn save(call: Call, names: Vec<String>) -> Result<Response, ApiError> {
    let images = call.api.images;
    let work = move |sink: &mut Sink| Ok(images.save(&names, sink)?);
    stream_worker(TAR, Late::Abort, work).await
}

/// `POST /images/load`.
pub(crate) async fn load(call: Call) -> Result<Response, ApiError> {
    let quiet = call.query.flag_or("quiet", true);
    let images = call.api.images;
    let archive = reader(call.upload.into_stream());
    stream_worker(JSON, Late::Message, move |sink| {
        let mut told = Told::default();
        let loaded = images.load(archive, &mut |event| {
            if !quiet && let Some(message) = told.message(event) {
                // A client that has left does not stop a load.
                let _ = sink.message(&message);
            }
        })?;
        for (id, names) in loaded.images {
            let lines = match names.is_empty() {
                true => vec![format!("Loaded image ID: {id}\n")],
                false => names.iter().map(|name| format!("Loaded image: {name}\n")).collect(),
            };
            for stream in lines {
                let _ = sink.message(&JsonMessage { stream, ..JsonMessage::default() });
            }
        }
        Ok(())
    })
    .await
}

/// What of a load's progress was told.
#[derive(Default)]
struct Told {
    layer: String,
    bytes: u64,
}

impl Told {
    fn message(&mut self, event: LoadEvent) -> Option<JsonMessage> {
        let LoadEvent::Layer { id, current, total } = event else { return None };
        let new = self.layer != id;
        if !new && current < total && current < self.bytes + PROGRESS_STEP_BYTES {
            return None;
        }
        self.bytes = current;
        self.layer.clone_from(&id);
        let detail = ProgressDetail {
            current: signed(current),
            total: signed(total),
            ..ProgressDetail::default()
        };
        Some(JsonMessage {
            status: "Loading layer".to_owned(),
            progress_detail: Some(detail),
            id: short(&id).to_owned(),
            ..JsonMessage::default()
        })
    }
}

/// Twelve digits of a digest.
fn short(id: &str) -> &str {
    let hex = id.rsplit_once(':').map_or(id, |(_, hex)| hex);
    hex.get(..12).unwrap_or(hex)
}

/// `POST /images/create`: imports with `fromSrc`; pulls with `fromImage`.
pub(crate) async fn create(call: Call) -> Result<Response, ApiError> {
    if call.query.filled("fromImage").is_some() {
        return registry::pull::pull(call).await;
    }
    match call.query.text("fromSrc") {
        "" => Err(ApiError::invalid("bad parameter: fromImage or fromSrc must be given")),
        "-" => import(call).await,
        _ => Err(ApiError::not_implemented("importing from a URL")),
    }
}

async fn import(call: Call) -> Result<Response, ApiError> {
    let query = &call.query;
    let platform = query.filled("platform").map(str::parse::<Platform>).transpose();
    let import = Import {
        changes: query.all("changes"),
        message: match query.text("message") {
            "" => "Imported from -".to_owned(),
            message => message.to_owned(),
        },
        reference: repo_tag(query.text("repo"), query.text("tag"))?,
        platform: platform.map_err(|error| ApiError::invalid(error.to_string()))?,
    };
    let images = call.api.images;
    let rootfs = reader(call.upload.into_stream());
    stream_worker(JSON, Late::Message, move |sink| {
        let id = images.import(rootfs, &import)?;
        let _ = sink.message(&JsonMessage { status: id.to_string(), ..JsonMessage::default() });
        Ok(())
    })
    .await
}

/// A body for a blocking reader; must be called inside the runtime.
fn reader(body: ByteStream) -> Box<dyn Read + Send> {
    Box::new(SyncIoBridge::new(StreamReader::new(body)))
}
