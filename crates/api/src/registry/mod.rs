//! What goes to registries: `pull`, `push`, `/auth`, `/distribution`, `search`.

pub(crate) mod auth;
mod messages;
pub(crate) mod pull;
pub(crate) mod push;
pub(crate) mod search;
mod stream;

use gantry_api_types::image::{Descriptor, DistributionInspect, Platform};
use gantry_oci::Reference;

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::ApiError;
use crate::images::{bad_reference, inspect::signed};

/// `GET /distribution/{name}/json`: what a name points at in its registry.
pub(crate) async fn describe(call: Call) -> Result<Response, ApiError> {
    let name: Reference = call.name().parse().map_err(|error| bad_reference(&error))?;
    let credentials = auth::of_headers(&call.headers);
    let described = call.api.transfers.describe(&name, &credentials).await?;
    let one = described.descriptor;
    let platform = |platform: gantry_oci::Platform| Platform {
        architecture: platform.architecture,
        os: platform.os,
        os_version: platform.os_version,
        os_features: platform.os_features,
        variant: platform.variant,
    };
    body::ok(&DistributionInspect {
        descriptor: Descriptor {
            media_type: one.media_type,
            digest: one.digest.to_string(),
            size: signed(one.size),
            urls: one.urls,
            annotations: one.annotations.into_iter().collect(),
            ..Descriptor::default()
        },
        platforms: described.platforms.into_iter().map(platform).collect(),
    })
}
