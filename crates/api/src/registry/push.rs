//! `POST /images/{name}/push`.

use gantry_image::transfer::Push;
use gantry_oci::{Platform, Reference};
use serde::Deserialize;

use super::{auth, stream};
use crate::body::Response;
use crate::call::Call;
use crate::error::ApiError;
use crate::images::bad_reference;

/// A platform as this request has it: JSON, not the short form.
#[derive(Deserialize)]
struct Wanted {
    #[serde(default)]
    os: String,
    #[serde(default)]
    architecture: String,
    #[serde(default)]
    variant: String,
}

/// Pushes an image: 200 and lines of JSON.
pub(crate) async fn push(call: Call) -> Result<Response, ApiError> {
    let mut reference: Reference = call.name().parse().map_err(|error| bad_reference(&error))?;
    if let Some(tag) = call.query.filled("tag") {
        reference = reference.with_tag(tag).map_err(|error| bad_reference(&error))?;
    }
    let platform = match call.query.filled("platform") {
        Some(text) => Some(platform(text)?),
        None => None,
    };
    let credentials = auth::of_headers(&call.headers);
    let push = Push { reference, platform, compression: None, credentials };
    let transfers = call.api.transfers;
    stream::answer(|events| async move { transfers.push(&push, &events).await.map(drop) }).await
}

fn platform(text: &str) -> Result<Platform, ApiError> {
    let wanted: Wanted = serde_json::from_str(text)
        .map_err(|error| ApiError::invalid(format!("failed to parse platform: {error}")))?;
    if wanted.os.is_empty() || wanted.architecture.is_empty() {
        return Err(ApiError::invalid("both OS and Architecture must be provided"));
    }
    let Wanted { os, architecture, variant } = wanted;
    Ok(Platform { os, architecture, variant, ..Platform::default() })
}
