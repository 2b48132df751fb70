//! `GET /images/{name}/json` and `history`.

use gantry_api_types::container::ContainerConfig;
use gantry_api_types::image::{HistoryItem, ImageConfig, ImageInspect, ImageMetadata, RootFs};
use gantry_image::Image;
use serde::Deserialize;

use crate::body::{self, Response};
use crate::call::{Call, blocking};
use crate::error::ApiError;
use crate::shape;

/// `GET /images/{name}/json`.
pub(crate) async fn inspect(call: Call) -> Result<Response, ApiError> {
    let image = call.api.images.resolve(call.name())?;
    body::ok(&shape::image_inspect(document(&image)?, call.version))
}

/// `GET /images/{name}/history`.
pub(crate) async fn history(call: Call) -> Result<Response, ApiError> {
    let image = call.api.images.resolve(call.name())?;
    let images = call.api.images;
    let entries = blocking(move || Ok::<_, ApiError>(images.history(&image))).await?;
    let item = |entry: gantry_image::HistoryEntry| HistoryItem {
        comment: entry.comment,
        created: entry.created_s,
        created_by: entry.created_by,
        id: entry.id,
        size: signed(entry.size_bytes),
        tags: (!entry.tags.is_empty()).then_some(entry.tags),
    };
    body::ok(&entries.into_iter().map(item).collect::<Vec<_>>())
}

/// What of an image's configuration document is told as it stands there.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RawConfig {
    config: Option<ImageConfig>,
    container: Option<String>,
    container_config: Option<ContainerConfig>,
    docker_version: Option<String>,
}

/// The document of the newest version, with everything that older ones have too.
fn document(image: &Image) -> Result<ImageInspect, ApiError> {
    let raw: RawConfig =
        serde_json::from_slice(&image.raw_config).map_err(|error| ApiError::internal(&error))?;
    let config = &image.config;
    let size = signed(image.size_bytes());
    let digests = |digests: &[gantry_oci::Digest]| {
        digests.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    Ok(ImageInspect {
        id: image.id.to_string(),
        repo_tags: familiar(&image.names),
        repo_digests: familiar(&image.repo_digests),
        parent: Some(image.parent.as_ref().map(ToString::to_string).unwrap_or_default()),
        comment: config.comment.clone(),
        created: config.created.clone().unwrap_or_default(),
        container: raw.container,
        container_config: raw.container_config,
        docker_version: raw.docker_version,
        author: config.author.clone(),
        config: raw.config,
        architecture: config.architecture.clone(),
        variant: config.variant.clone(),
        os: config.os.clone(),
        os_version: config.os_version.clone(),
        size,
        root_fs: RootFs { kind: "layers".to_owned(), layers: digests(&image.lowers()) },
        metadata: ImageMetadata {
            last_tag_time: image
                .last_tagged
                .clone()
                .unwrap_or_else(|| gantry_api_types::ZERO_TIME.to_owned()),
        },
        ..ImageInspect::default()
    })
}

/// Names as users write them.
pub(crate) fn familiar(names: &[gantry_oci::Reference]) -> Vec<String> {
    names.iter().map(gantry_oci::Reference::familiar).collect()
}

/// Bytes as the API counts them.
pub(crate) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
