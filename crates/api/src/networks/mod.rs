//! `/networks`: `bridge`, `host` and `none`; others are still to come.
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
    NetworkConnectBody, NetworkCreateBody, NetworkDisconnectBody, NetworksPruneReport,
};
use hyper::StatusCode;

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::ApiError;
use crate::shape;

/// `GET /networks`.
pub(crate) async fn list(call: Call) -> Result<Response, ApiError> {
    let filters = filter::ListFilters::read(call.query.filters()?)?;
    let mut networks = call.api.engine.networks();
    networks.retain(|network| filters.fit(network));
    networks.iter_mut().for_each(|network| shape::network_row(network, call.version));
    body::ok(&networks)
}

/// `GET /networks/{id}`; `verbose` adds what only swarm networks have.
pub(crate) async fn inspect(call: Call) -> Result<Response, ApiError> {
    verbose(call.query.text("verbose"))?;
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

/// `POST /networks/create`: checks the body; making it is still to come.
pub(crate) async fn create(call: Call) -> Result<Response, ApiError> {
    let version = call.version;
    let mut body: NetworkCreateBody = call.json().await?;
    create::settle(&mut body, version)?;
    create::validate(&body)?;
    Err(ApiError::not_implemented("creating networks"))
}

/// `POST /networks/{id}/connect`: checks the endpoint; making it is still to come.
pub(crate) async fn connect(call: Call) -> Result<Response, ApiError> {
    let (engine, name, version) = (call.api.engine.clone(), call.name().to_owned(), call.version);
    let mut body: NetworkConnectBody = call.json().await?;
    engine.container(&body.container)?;
    let network = engine.network(&name)?;
    if let Some(endpoint) = &mut body.endpoint_config {
        if !version.at_least(48) {
            endpoint.gw_priority = None;
        }
        endpoint::validate(endpoint, &network, !create::is_predefined(&network.name))?;
    }
    Err(ApiError::not_implemented("connecting containers to networks"))
}

/// `POST /networks/{id}/disconnect`: finds both; doing it is still to come.
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
    engine.network(&name)?;
    Err(ApiError::not_implemented("disconnecting containers from networks"))
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
    let filters = filter::PruneFilters::read(call.query.filters()?)?;
    let mut networks = call.api.engine.networks();
    networks.retain(|network| filters.fit(network));
    let names: Vec<_> = networks.into_iter().map(|network| network.name).collect();
    body::ok(&NetworksPruneReport {
        networks_deleted: Some(names).filter(|names| !names.is_empty()),
    })
}
