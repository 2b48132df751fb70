//! `/networks`.
//!
//! Bodies, filters and endpoints are checked here by pure functions; what depends on the networks
//! that there are is the engine's. Statuses of errors:
//!
//! ```text
//! 400  a name, address, filter or option that makes no sense; several faults below one title
//! 403  reserved names, rules of configurations, a network or an address in use, host and none
//! 404  no such network, container, driver
//! 409  the name of a network is taken
//! 501  a feature that is still to come
//! ```

mod create;
mod endpoint;
mod faults;
mod filter;
mod subnet;

use gantry_api_types::network::{
    NetworkConnectBody, NetworkCreateBody, NetworkCreateResponse, NetworkDisconnectBody,
    NetworksPruneReport,
};
use hyper::StatusCode;

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::ApiError;
use crate::shape;

/// `GET /networks`.
pub(crate) async fn list(call: Call) -> Result<Response, ApiError> {
    let filters = filter::ListFilters::read(call.query.filters()?)?;
    let mut networks = call.api.engine.networks().await;
    networks.retain(|network| filters.fit(network));
    networks.iter_mut().for_each(|network| shape::network_row(network, call.version));
    body::ok(&networks)
}

/// `GET /networks/{id}`; `verbose` adds what only swarm networks have.
pub(crate) async fn inspect(call: Call) -> Result<Response, ApiError> {
    verbose(call.query.text("verbose"))?;
    let scope = call.query.text("scope");
    let mut network = call.api.engine.network(call.name()).await?;
    if !scope.is_empty() && scope != network.scope {
        return Err(ApiError::new(
            StatusCode::NOT_FOUND,
            format!("network {} not found", call.name()),
        ));
    }
    shape::network_inspect(&mut network, call.version);
    body::ok(&network)
}

/// Unlike other switches, this one is read strictly.
fn verbose(text: &str) -> Result<(), ApiError> {
    let known =
        ["", "1", "t", "T", "TRUE", "true", "True", "0", "f", "F", "FALSE", "false", "False"];
    if known.contains(&text) {
        return Ok(());
    }
    Err(ApiError::invalid(format!(
        "invalid value for verbose: {text}: strconv.ParseBool: parsing {text:?}: invalid syntax"
    )))
}

/// `POST /networks/create`.
pub(crate) async fn create(call: Call) -> Result<Response, ApiError> {
    let (engine, version) = (call.api.engine.clone(), call.version);
    let mut body: NetworkCreateBody = call.json().await?;
    create::settle(&mut body, version)?;
    create::validate(&body)?;
    let id = engine.create_network(body).await?;
    let answer = NetworkCreateResponse { id, warning: String::new() };
    Ok(body::json(StatusCode::CREATED, &answer))
}

/// `POST /networks/{id}/connect`.
pub(crate) async fn connect(call: Call) -> Result<Response, ApiError> {
    let (engine, name, version) = (call.api.engine.clone(), call.name().to_owned(), call.version);
    let mut body: NetworkConnectBody = call.json().await?;
    engine.container(&body.container)?;
    let network = engine.network(&name).await?;
    if let Some(endpoint) = &mut body.endpoint_config {
        if !version.at_least(48) {
            endpoint.gw_priority = None;
        }
        endpoint::validate(endpoint, &network, engine.has_user_subnets(&network.id))?;
    }
    engine.connect(&network.id, &body.container, body.endpoint_config.unwrap_or_default()).await?;
    Ok(body::status(StatusCode::OK))
}

/// `POST /networks/{id}/disconnect`.
pub(crate) async fn disconnect(call: Call) -> Result<Response, ApiError> {
    let (engine, name) = (call.api.engine.clone(), call.name().to_owned());
    let body: NetworkDisconnectBody = call.json().await?;
    if let Err(missing) = engine.container(&body.container) {
        if !body.force {
            return Err(missing.into());
        }
        // An endpoint may have outlived its container.
        let words = format!("endpoint {} not found", body.container);
        return Err(ApiError::new(StatusCode::NOT_FOUND, words));
    }
    engine.disconnect(&name, &body.container).await?;
    Ok(body::status(StatusCode::OK))
}

/// `DELETE /networks/{id}`.
pub(crate) async fn remove(call: Call) -> Result<Response, ApiError> {
    call.api.engine.remove_network(call.name()).await?;
    Ok(body::status(StatusCode::NO_CONTENT))
}

/// `POST /networks/prune`.
pub(crate) async fn prune(call: Call) -> Result<Response, ApiError> {
    let filters = filter::PruneFilters::read(call.query.filters()?)?;
    let names = call.api.engine.prune_networks(|network| filters.fit(network)).await;
    body::ok(&NetworksPruneReport {
        networks_deleted: Some(names).filter(|names| !names.is_empty()),
    })
}

/// `GET /gantry/networks/reach?container=NAME&port=80/tcp`: who reaches a port and why; Gantry's own.
pub(crate) async fn reach(call: Call) -> Result<Response, ApiError> {
    let container = call.api.engine.container(call.query.text("container"))?;
    body::ok(&container.reach(call.query.filled("port"))?)
}

/// `GET /gantry/networks/doctor`: what is wrong with the host's networks; Gantry's own.
pub(crate) async fn doctor(call: Call) -> Result<Response, ApiError> {
    body::ok(&call.api.engine.network_report().await?)
}
