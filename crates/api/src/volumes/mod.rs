//! `/volumes`.

pub(crate) mod own;

use std::collections::BTreeMap;

use gantry_api_types::Filters;
use gantry_api_types::volume::{
    Volume as VolumeBody, VolumeCreateBody, VolumeList, VolumesPruneReport,
};
use gantry_engine::Engine;
use gantry_engine::events::EventKind;
use gantry_volume::{CreateVolume, Shown, Volume, VolumeError};
use hyper::StatusCode;

use crate::body::{self, Response};
use crate::call::{Call, blocking};
use crate::error::{self, ApiError};

/// `GET /volumes`.
pub(crate) async fn list(call: Call) -> Result<Response, ApiError> {
    let filters = call.query.filters()?;
    let refused = |refused| error::filter(&refused);
    filters.validate(&["dangling", "driver", "label", "name"]).map_err(refused)?;
    let dangling = filters.get_bool("dangling").map_err(refused)?;
    let engine = call.api.engine;
    let volumes = engine.volumes().clone();
    // Plugins are asked, and may take their time.
    let (shown, warnings) = blocking(move || Ok::<_, VolumeError>(volumes.shown())).await?;
    let fits = |shown: &Shown| {
        let volume = &shown.volume;
        filters.substring_match("name", &volume.name)
            && filters.exact_match("driver", &volume.driver)
            && filters.match_nullable_labels("label", &volume.labels)
            && dangling.is_none_or(|want| want == engine.volume_users(&volume.name).is_empty())
    };
    // A list does not tell what a driver knows of one volume.
    let row = |shown| VolumeBody { status: BTreeMap::new(), ..document(shown) };
    let volumes = shown.into_iter().filter(fits).map(row).collect();
    let warnings = (!warnings.is_empty()).then_some(warnings);
    body::ok(&VolumeList { volumes, warnings })
}

/// `POST /volumes/create`: 201, also for a volume that exists.
pub(crate) async fn create(call: Call) -> Result<Response, ApiError> {
    let engine = call.api.engine.clone();
    let body: VolumeCreateBody = call.json().await?;
    if body.cluster_volume_spec.is_some() {
        return Err(ApiError::not_implemented("cluster volumes"));
    }
    let created = blocking(move || {
        let created = engine.volumes().create(CreateVolume {
            name: (!body.name.is_empty()).then_some(body.name),
            driver: body.driver,
            labels: body.labels,
            options: body.driver_opts,
            anonymous: false,
        })?;
        if created.is_new {
            tell(&engine, "create", &created.volume);
        }
        Ok::<_, VolumeError>(document(engine.volumes().inspect(&created.volume.name)?))
    })
    .await?;
    Ok(body::json(StatusCode::CREATED, &created))
}

/// `GET /volumes/{name}`.
pub(crate) async fn inspect(call: Call) -> Result<Response, ApiError> {
    let (volumes, name) = (call.api.engine.volumes().clone(), call.name().to_owned());
    let shown = blocking(move || volumes.inspect(&name)).await?;
    body::ok(&document(shown))
}

/// `DELETE /volumes/{name}`: 204, 409 in use.
pub(crate) async fn remove(call: Call) -> Result<Response, ApiError> {
    let force = call.query.flag("force");
    let name = call.name().to_owned();
    let engine = call.api.engine;
    blocking(move || {
        let removed = engine.volumes().remove(&name, force, &|name| engine.volume_users(name))?;
        if let Some(volume) = removed {
            tell(&engine, "destroy", &volume);
        }
        Ok::<_, VolumeError>(())
    })
    .await?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

/// `POST /volumes/prune`: anonymous volumes alone from 1.42, unless `all` is asked for.
pub(crate) async fn prune(call: Call) -> Result<Response, ApiError> {
    let filters = call.query.filters()?;
    let refused = |refused| error::filter(&refused);
    filters.validate(&["all", "label", "label!"]).map_err(refused)?;
    let all = !call.version.at_least(42) || filters.get_bool("all").map_err(refused)? == Some(true);
    let engine = call.api.engine;
    let (names, bytes) = blocking(move || {
        let wanted =
            |volume: &Volume| (all || volume.anonymous) && labels_match(&filters, &volume.labels);
        let in_use = |name: &str| !engine.volume_users(name).is_empty();
        let pruned = engine.volumes().prune(&wanted, &in_use)?;
        for name in &pruned.0 {
            let driver = gantry_volume::LOCAL.to_owned();
            tell(&engine, "destroy", &Volume { name: name.clone(), driver, ..Volume::default() });
        }
        let reclaimed = BTreeMap::from([("reclaimed".to_owned(), pruned.1.to_string())]);
        engine.events().publish(EventKind::Volume, "prune", "", reclaimed);
        Ok::<_, VolumeError>(pruned)
    })
    .await?;
    body::ok(&VolumesPruneReport { volumes_deleted: Some(names), space_reclaimed: bytes })
}

fn labels_match(filters: &Filters, labels: &Option<BTreeMap<String, String>>) -> bool {
    let unwanted = |value: &&str| {
        let one: Filters = [("label", *value)].into_iter().collect();
        one.match_nullable_labels("label", labels)
    };
    filters.match_nullable_labels("label", labels) && !filters.get("label!").iter().any(unwanted)
}

fn tell(engine: &Engine, action: &str, volume: &Volume) {
    let attributes = BTreeMap::from([("driver".to_owned(), volume.driver.clone())]);
    engine.events().publish(EventKind::Volume, action, &volume.name, attributes);
}

fn document(shown: Shown) -> VolumeBody {
    VolumeBody {
        mountpoint: shown.mountpoint,
        created_at: shown.volume.created_at,
        driver: shown.volume.driver,
        labels: shown.volume.labels,
        name: shown.volume.name,
        options: shown.volume.options,
        scope: shown.scope,
        status: shown.status,
        ..VolumeBody::default()
    }
}
