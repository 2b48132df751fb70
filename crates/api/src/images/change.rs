//! Images that come, get names and go: `commit`, `tag`, `rmi`, `prune`.

use gantry_api_types::Filters;
use gantry_api_types::container::ContainerConfig;
use gantry_api_types::image::{IdResponse, ImageDeleteItem, ImagesPruneReport};
use gantry_engine::CommitOptions;
use gantry_image::{Image, Prune, RemoveOptions, Removed};
use hyper::StatusCode;

use super::list::labels_match;
use super::repo_tag;
use crate::body::{self, Response};
use crate::call::{Call, blocking, unhurried};
use crate::error::{self, ApiError};
use crate::time;

const SECOND_NS: i64 = 1_000_000_000;

/// `POST /commit`: 201.
pub(crate) async fn commit(call: Call) -> Result<Response, ApiError> {
    let query = &call.query;
    let container = call.api.engine.container(query.text("container"))?;
    let mut options = CommitOptions {
        reference: repo_tag(query.text("repo"), query.text("tag"))?,
        author: query.text("author").to_owned(),
        comment: query.text("comment").to_owned(),
        pause: query.filled("pause").is_none() || query.flag("pause"),
        changes: query.all("changes"),
        config: None,
    };
    let config: Option<ContainerConfig> = call.upload.optional_json(&call.headers).await?;
    options.config = config.filter(|config| *config != ContainerConfig::default());
    let id = unhurried(async move { container.commit(options).await }).await?;
    Ok(body::json(StatusCode::CREATED, &IdResponse { id: id.to_string() }))
}

/// `POST /images/{name}/tag`: 201.
pub(crate) async fn tag(call: Call) -> Result<Response, ApiError> {
    let reference = repo_tag(call.query.text("repo"), call.query.text("tag"))?
        .ok_or_else(|| ApiError::invalid("invalid reference format"))?;
    let image = call.api.images.resolve(call.name())?;
    let images = call.api.images;
    blocking(move || images.tag(&image.id, &reference)).await?;
    Ok(body::status(StatusCode::CREATED))
}

/// `DELETE /images/{name}`: what was removed, in order.
pub(crate) async fn remove(call: Call) -> Result<Response, ApiError> {
    let options =
        RemoveOptions { force: call.query.flag("force"), no_prune: call.query.flag("noprune") };
    let name = call.name().to_owned();
    let (images, engine) = (call.api.images, call.api.engine);
    let removed =
        blocking(move || images.remove(&name, options, &|id| engine.image_users(id))).await?;
    body::ok(&items(removed))
}

/// `POST /images/prune`.
pub(crate) async fn prune(call: Call) -> Result<Response, ApiError> {
    let wanted = PruneFilters::read(call.query.filters()?)?;
    let (images, engine, transfers) = (call.api.images, call.api.engine, call.api.transfers);
    let (removed, bytes) = blocking(move || {
        // What pulls that did not come to their end left is of no image.
        let partial = transfers.prune_partial()?;
        let (removed, bytes) = images.prune(&Prune {
            dangling_only: wanted.dangling_only,
            wanted: &|image| wanted.fit(image),
            users: &|id| engine.image_users(id),
        })?;
        Ok::<_, ApiError>((removed, bytes + partial))
    })
    .await?;
    body::ok(&ImagesPruneReport {
        images_deleted: (!removed.is_empty()).then(|| items(removed)),
        space_reclaimed: bytes,
    })
}

struct PruneFilters {
    filters: Filters,
    dangling_only: bool,
    until_ns: Option<i64>,
}

impl PruneFilters {
    fn read(filters: Filters) -> Result<Self, ApiError> {
        const KEYS: [&str; 4] = ["dangling", "label", "label!", "until"];
        let refused = |refused| error::filter(&refused);
        filters.validate(&KEYS).map_err(refused)?;
        let dangling_only = filters.get_bool("dangling").map_err(refused)?.unwrap_or(true);
        let until_ns = until(&filters)?;
        Ok(Self { filters, dangling_only, until_ns })
    }

    fn fit(&self, image: &Image) -> bool {
        let created_ns = image.created_s().saturating_mul(SECOND_NS);
        self.until_ns.is_none_or(|until| created_ns < until) && labels_match(&self.filters, image)
    }
}

/// The `until` filter, which has at most one value.
pub(crate) fn until(filters: &Filters) -> Result<Option<i64>, ApiError> {
    match filters.get("until")[..] {
        [] => Ok(None),
        [one] => time::parse_moment(one, time::now_ns()).map(Some),
        _ => Err(ApiError::invalid("more than one until filter specified")),
    }
}

fn items(removed: Vec<Removed>) -> Vec<ImageDeleteItem> {
    let item = |removed| match removed {
        Removed::Untagged(untagged) => ImageDeleteItem { untagged, ..Default::default() },
        Removed::Deleted(deleted) => ImageDeleteItem { deleted, ..Default::default() },
    };
    removed.into_iter().map(item).collect()
}
