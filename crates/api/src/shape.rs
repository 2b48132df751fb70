//! Every difference between API versions, in one place.
//!
//! Handlers make the document of the newest version; the functions here turn it into that of the
//! client's version. A field that a version does not have is set to `None`, which is not written;
//! one that it had is filled again.

mod network;
mod system;

use std::sync::Arc;

use gantry_api_types::ApiVersion;
use gantry_api_types::container::{
    ContainerConfig, ContainerCreateBody, ContainerInspect, ContainerSummary, GraphDriver,
};
use gantry_api_types::events::EventMessage;
use gantry_api_types::image::{ImageInspect, ImageSummary};
use gantry_api_types::stats::ContainerStats;
use serde_json::Value;

pub(crate) use network::{create_endpoints, endpoints, network_inspect, network_row};
pub(crate) use system::{disk_usage, info};

/// A create body as this version means it: fields that it does not have are dropped.
pub(crate) fn create_body(body: &mut ContainerCreateBody, version: ApiVersion) {
    let Some(host) = &mut body.host_config else { return };
    if !version.at_least(42) {
        host.console_size = [0, 0];
    }
    if !version.at_least(43) {
        host.annotations.clear();
    }
    if !version.at_least(44)
        && let Some(probe) = &mut body.config.healthcheck
    {
        probe.start_interval = 0;
    }
}

/// A row of `GET /containers/json`.
pub(crate) fn container_summary(row: &mut ContainerSummary, version: ApiVersion) {
    if !version.at_least(52) {
        row.health = None;
    }
    if !version.at_least(48) {
        row.image_manifest_descriptor = None;
    }
    if !version.at_least(46) {
        row.host_config.annotations.clear();
    }
    endpoints(&mut row.network_settings.networks, &row.id, version);
}

/// `GET /containers/{id}/json`.
pub(crate) fn container_inspect(document: &mut ContainerInspect, version: ApiVersion) {
    if !version.at_least(52) {
        document.network_settings.fill_legacy();
        document.storage = None;
        document.graph_driver.get_or_insert_with(graph_driver);
    }
    if !version.at_least(48) {
        document.image_manifest_descriptor = None;
    }
    if !version.at_least(44) {
        // The address stood in the configuration, from the main network.
        let main = document.network_settings.networks.values().next();
        if let Some(main) = main.filter(|_| document.config.mac_address.is_empty()) {
            document.config.mac_address.clone_from(&main.mac_address);
        }
        if let Some(probe) = &mut document.config.healthcheck {
            probe.start_interval = 0;
        }
    }
    endpoints(&mut document.network_settings.networks, &document.id, version);
}

/// A row of `GET /images/json`.
pub(crate) fn image_summary(row: &mut ImageSummary, version: ApiVersion) {
    row.virtual_size = (!version.at_least(44)).then_some(row.size);
    if !version.at_least(48) {
        row.descriptor = None;
    }
    // An image without names was shown with these.
    if !version.at_least(43) && row.repo_tags.is_empty() {
        row.repo_tags.push("<none>:<none>".to_owned());
        if row.repo_digests.is_empty() {
            row.repo_digests.push("<none>@<none>".to_owned());
        }
    }
}

/// `GET /images/{name}/json`. The document comes with what old versions have; before 1.50 the
/// configuration had the fields of a container's.
pub(crate) fn image_inspect(mut document: ImageInspect, version: ApiVersion) -> Value {
    let config = document.config.take();
    if version.at_least(52) {
        document.parent = None;
        document.docker_version = None;
        document.graph_driver = None;
    } else {
        document.parent.get_or_insert_default();
        document.docker_version.get_or_insert_default();
        document.graph_driver.get_or_insert_with(graph_driver);
    }
    if version.at_least(45) {
        document.container = None;
        document.container_config = None;
    } else {
        document.container.get_or_insert_default();
        document.container_config.get_or_insert_default();
    }
    document.virtual_size = (!version.at_least(44)).then_some(document.size);
    if !version.at_least(48) {
        document.descriptor = None;
        document.manifests = None;
    }
    let config = if version.at_least(50) {
        serde_json::to_value(&config)
    } else {
        serde_json::to_value(config.map(ContainerConfig::from))
    };
    // Neither type has a map with keys that are no strings, which is all that could fail.
    let mut value = serde_json::to_value(&document).unwrap_or_default();
    if let Some(fields) = value.as_object_mut() {
        fields.insert("Config".to_owned(), config.unwrap_or_default());
    }
    value
}

/// The storage driver's name, which older clients print.
fn graph_driver() -> GraphDriver {
    GraphDriver { data: None, name: "overlay2".to_owned() }
}

/// An event; `None` when the version does not have it.
pub(crate) fn event(event: &Arc<EventMessage>, version: ApiVersion) -> Option<EventMessage> {
    if !version.at_least(46) && event.kind == "image" && event.action == "create" {
        return None;
    }
    let mut event = EventMessage::clone(event);
    if !version.at_least(52) {
        event.fill_legacy();
    }
    Some(event)
}

/// A sample of `GET /containers/{id}/stats`.
pub(crate) fn stats(sample: &mut ContainerStats, version: ApiVersion) {
    if !version.at_least(52) {
        sample.os_type.clear();
    }
}

#[cfg(test)]
mod tests;
