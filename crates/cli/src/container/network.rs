//! `--network` and the flags that describe an endpoint.

use gantry_api_types::network::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};

use crate::flags::Flags;
use crate::values;

/// Endpoint settings, and the mode: the first network.
pub(crate) fn parse(flags: &Flags) -> Result<(String, NetworkingConfig), String> {
    let mut given: Vec<String> = flags.list("network").to_vec();
    given.extend_from_slice(flags.list("net"));
    if given.is_empty() {
        given.push("default".into());
    }
    let mut config = NetworkingConfig::default();
    let mut mode = String::new();
    for (index, text) in given.iter().enumerate() {
        let (name, mut endpoint) = one(text)?;
        if index == 0 {
            mode.clone_from(&name);
            general(flags, &name, &mut endpoint)?;
        }
        let shared = name.starts_with("container:") || name == "host" || name == "none";
        if given.len() > 1 && shared {
            return Err("conflicting options: cannot attach both user-defined and non-user-defined network-modes".into());
        }
        if config.endpoints_config.contains_key(&name) {
            return Err(format!(
                "network {} is specified multiple times",
                gantry_gotemplate::quote(&name)
            ));
        }
        if !shared {
            config.endpoints_config.insert(name, Some(endpoint));
        }
    }
    Ok((mode, config))
}

/// `name`, or `name=...,alias=...,ip=...`.
fn one(text: &str) -> Result<(String, EndpointSettings), String> {
    let mut endpoint = EndpointSettings::default();
    if !text.contains('=') || (!text.contains(',') && !text.starts_with("name=")) || text == "name="
    {
        return Ok((text.to_owned(), endpoint));
    }
    let mut name = String::new();
    for field in values::csv(text)? {
        let Some((key, value)) = field.split_once('=') else {
            return Err(format!("invalid field {field}"));
        };
        let value = value.trim();
        match key.trim().to_lowercase().as_str() {
            "name" => name = value.to_owned(),
            "alias" => endpoint.aliases.get_or_insert_default().push(value.to_owned()),
            "ip" => ipam(&mut endpoint).ipv4_address = value.to_owned(),
            "ip6" => ipam(&mut endpoint).ipv6_address = value.to_owned(),
            "link-local-ip" => ipam(&mut endpoint).link_local_ips.push(value.to_owned()),
            "mac-address" => {
                mac_address(value)?;
                endpoint.mac_address = value.to_owned();
            }
            "driver-opt" => {
                let Some((key, value)) = value.split_once('=') else {
                    return Err("invalid key value pair format in driver options".into());
                };
                let pair = (key.trim().to_lowercase(), value.trim().to_owned());
                endpoint.driver_opts.get_or_insert_default().extend([pair]);
            }
            "gw-priority" => {
                endpoint.gw_priority = values::go_int(value, 64).map_err(|_| {
                    format!("invalid gw-priority: {}", gantry_gotemplate::quote(value))
                })?;
            }
            other => return Err(format!("invalid field key {other}")),
        }
    }
    if name.is_empty() {
        return Err("network name/id is not specified".into());
    }
    Ok((name, endpoint))
}

fn ipam(endpoint: &mut EndpointSettings) -> &mut EndpointIpamConfig {
    endpoint.ipam_config.get_or_insert_default()
}

/// Flags that describe the first endpoint.
fn general(flags: &Flags, name: &str, endpoint: &mut EndpointSettings) -> Result<(), String> {
    let mut aliases = flags.list("network-alias").to_vec();
    aliases.extend_from_slice(flags.list("net-alias"));
    let user_defined =
        !matches!(name, "default" | "bridge" | "host" | "none") && !name.starts_with("container:");
    if !aliases.is_empty() {
        if !user_defined {
            return Err(
                "network-scoped aliases are only supported for user-defined networks".into()
            );
        }
        if endpoint.aliases.is_some() {
            return Err(
                "conflicting options: cannot specify both --network-alias and per-network alias"
                    .into(),
            );
        }
        endpoint.aliases = Some(aliases);
    }
    let links = flags.list("link");
    if !links.is_empty() && user_defined {
        endpoint.links = Some(links.to_vec());
    }
    if flags.is_given("ip") {
        ipam(endpoint).ipv4_address = flags.text("ip").to_owned();
    }
    if flags.is_given("ip6") {
        ipam(endpoint).ipv6_address = flags.text("ip6").to_owned();
    }
    if flags.is_given("link-local-ip") {
        ipam(endpoint).link_local_ips = flags.list("link-local-ip").to_vec();
    }
    if flags.is_given("mac-address") {
        endpoint.mac_address = flags.text("mac-address").trim().to_owned();
    }
    Ok(())
}

/// Checks a MAC address: six or eight bytes in hexadecimal.
pub(crate) fn mac_address(text: &str) -> Result<(), String> {
    let text = text.trim();
    let parts: Vec<&str> = text.split([':', '-']).collect();
    let hex = |part: &&str| part.len() == 2 && part.chars().all(|c| c.is_ascii_hexdigit());
    if matches!(parts.len(), 6 | 8 | 20) && parts.iter().all(hex) {
        return Ok(());
    }
    Err(format!("{text} is not a valid mac address"))
}
