//! `/networks`: `bridge`, `host` and `none`; others are still to come.

use gantry_api_types::Filters;
use gantry_api_types::network::{NetworkResource, NetworksPruneReport};
use hyper::StatusCode;

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::{self, ApiError};
use crate::shape;

/// `GET /networks`.
pub(crate) async fn list(call: Call) -> Result<Response, ApiError> {
    let filters = call.query.filters()?;
    let refused = |refused| error::filter(&refused);
    filters
        .validate(&["dangling", "driver", "id", "label", "name", "scope", "type"])
        .map_err(refused)?;
    let dangling = filters.get_bool("dangling").map_err(refused)?;
    if let Some(kind) = filters.get("type").iter().find(|kind| !is_type(kind)) {
        return Err(ApiError::invalid(format!("invalid filter: 'type'='{kind}'")));
    }
    let mut networks = call.api.engine.networks();
    networks.retain(|network| fits(network, &filters, dangling));
    networks.iter_mut().for_each(|network| shape::network_row(network, call.version));
    body::ok(&networks)
}

fn is_type(kind: &str) -> bool {
    matches!(kind, "builtin" | "custom")
}

fn fits(network: &NetworkResource, filters: &Filters, dangling: Option<bool>) -> bool {
    // Every network there is was there before its first user, and stays.
    dangling != Some(true)
        && filters.allows("type", |kind| kind == "builtin")
        && filters.substring_match("name", &network.name)
        && filters.prefix_match("id", &network.id)
        && filters.exact_match("driver", &network.driver)
        && filters.exact_match("scope", &network.scope)
        && filters.match_labels("label", &network.labels)
}

/// `GET /networks/{id}`.
pub(crate) async fn inspect(call: Call) -> Result<Response, ApiError> {
    let scope = call.query.text("scope");
    let mut network = call.api.engine.network(call.name())?;
    if !scope.is_empty() && scope != network.scope {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("network {} not found", call.name()),
        ));
    }
    shape::network_inspect(&mut network, call.version);
    body::ok(&network)
}

/// `DELETE /networks/{id}`: those there are cannot be removed.
pub(crate) async fn remove(call: Call) -> Result<Response, ApiError> {
    let network = call.api.engine.network(call.name())?;
    Err(ApiError::new(
        StatusCode::FORBIDDEN,
        format!("{} is a pre-defined network and cannot be removed", network.name),
    ))
}

/// `POST /networks/prune`: those there are stay.
pub(crate) async fn prune(call: Call) -> Result<Response, ApiError> {
    let filters = call.query.filters()?;
    filters.validate(&["label", "label!", "until"]).map_err(|refused| error::filter(&refused))?;
    body::ok(&NetworksPruneReport::default())
}
