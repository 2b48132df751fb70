//! A container's place on its networks: what it asks for, and the files that tell it.

mod files;
mod join;
mod linked;
pub(crate) mod links;
mod ports;

use std::net::{IpAddr, Ipv4Addr};

use gantry_api_types::NullableList as _;
use gantry_api_types::container::ContainerConfig;
use gantry_api_types::host_config::HostConfig;

pub(crate) use files::{
    follow_networks, paths as file_paths, settle as settle_files, write as write_files,
};
pub(crate) use join::{endpoint_request, join_request, names as container_names};
pub(crate) use linked::{Linked, linked, tell_linked};

use crate::error::Invalid;

/// Checks what a request says of names and addresses.
///
/// # Errors
/// Docker's words.
pub(crate) fn check(config: &ContainerConfig, host: &HostConfig) -> Result<(), Invalid> {
    for server in host.dns.items() {
        server.parse::<IpAddr>().map_err(|_| {
            Invalid(format!("invalid IP address: {server}: bad IP address in --dns"))
        })?;
    }
    for line in host.extra_hosts.items() {
        files::extra_host(line, Ipv4Addr::LOCALHOST.into())?;
    }
    for key in config.exposed_ports.keys() {
        ports::port_keys(key)?;
    }
    ports::requests(config, host).map(drop)
}
