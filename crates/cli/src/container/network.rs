//! `--network` and the flags that describe an endpoint.

use gantry_api_types::network::{EndpointIpamConfig, EndpointSettings, NetworkingConfig};

use crate::flags::Flags;
use crate::values;

/// What a container gets when no network is named.
const DEFAULT: &str = "default";

/// Endpoint settings, and the mode: the first network.
pub(crate) fn parse(flags: &Flags) -> Result<(String, NetworkingConfig), String> {
    let given = flags.list("network");
    let mut config = NetworkingConfig::default();
    if given.is_empty() {
        let mut endpoint = EndpointSettings::default();
        general(flags, DEFAULT, &mut endpoint)?;
        check_endpoint(DEFAULT, &endpoint)?;
        insert(&mut config, DEFAULT.to_owned(), endpoint);
        return Ok((DEFAULT.to_owned(), config));
    }
    let mut mode = String::new();
    let (mut own, mut predefined) = (false, false);
    for (index, text) in given.iter().enumerate() {
        let (name, mut endpoint) = one(text)?;
        if is_user_defined(&name) {
            own = true;
        } else {
            predefined = true;
        }
        if index == 0 {
            mode.clone_from(&name);
            general(flags, &name, &mut endpoint)?;
        }
        check_endpoint(&name, &endpoint)?;
        if config.endpoints_config.contains_key(&name) {
            let name = gantry_gotext::quote(&name);
            return Err(format!("network {name} is specified multiple times"));
        }
        // The mode says it all: old daemons need not know endpoints of networks there.
        if given.len() > 1 || endpoint != EndpointSettings::default() {
            insert(&mut config, name, endpoint);
        }
    }
    if own && predefined {
        return Err("conflicting options: cannot attach both user-defined and non-user-defined \
                    network-modes"
            .into());
    }
    Ok((mode, config))
}

/// Adds an endpoint; its priority is always written.
fn insert(config: &mut NetworkingConfig, name: String, mut endpoint: EndpointSettings) {
    endpoint.gw_priority.get_or_insert(0);
    config.endpoints_config.insert(name, Some(endpoint));
}

/// Checks a value of `--network` by itself.
pub(crate) fn check(text: &str) -> Result<(), String> {
    one(text).map(drop)
}

fn is_user_defined(name: &str) -> bool {
    !matches!(name, DEFAULT | "bridge" | "host" | "none")
        && name != "container"
        && !name.starts_with("container:")
}

/// Whether `key=value` stands in it somewhere, which makes it the long form.
fn is_long(text: &str) -> bool {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices('=').any(|(at, _)| {
        text[..at].chars().next_back().is_some_and(word)
            && text[at + 1..].chars().next().is_some_and(word)
    })
}

/// `name`, or `name=...,alias=...,ip=...`.
fn one(text: &str) -> Result<(String, EndpointSettings), String> {
    let mut endpoint = EndpointSettings::default();
    if !is_long(text) {
        return Ok((text.to_owned(), endpoint));
    }
    let mut name = String::new();
    for field in values::csv(text)? {
        let lower = field.to_lowercase();
        let (Some((key, value)), Some((_, exact))) = (lower.split_once('='), field.split_once('='))
        else {
            return Err(format!("invalid field {lower}"));
        };
        let (key, value) = (key.trim(), value.trim());
        match key {
            "name" => name = value.to_owned(),
            "driver-opt" => {
                let option = driver_option(exact);
                let option = option.ok_or("invalid key value pair format in driver options")?;
                endpoint.driver_opts.get_or_insert_default().extend([option]);
            }
            _ => field_of(&mut endpoint, key, value)?,
        }
    }
    if name.is_empty() {
        return Err("network name/id is not specified".into());
    }
    Ok((name, endpoint))
}

fn field_of(endpoint: &mut EndpointSettings, key: &str, value: &str) -> Result<(), String> {
    match key {
        "alias" => endpoint.aliases.get_or_insert_default().push(value.to_owned()),
        "ip" | "ip6" | "link-local-ip" if value.is_empty() => {}
        "ip" => ipam(endpoint).ipv4_address = value.to_owned(),
        "ip6" => ipam(endpoint).ipv6_address = value.to_owned(),
        "link-local-ip" => ipam(endpoint).link_local_ips.push(value.to_owned()),
        "mac-address" => endpoint.mac_address = value.to_owned(),
        "gw-priority" => {
            endpoint.gw_priority = Some(gateway_priority(value)?).filter(|priority| *priority != 0);
        }
        other => return Err(format!("invalid field key {other}")),
    }
    Ok(())
}

/// A decimal number; the words are Go's without the name of the function.
fn gateway_priority(text: &str) -> Result<i64, String> {
    use std::num::IntErrorKind::{NegOverflow, PosOverflow};
    text.parse::<i64>().map_err(|error| {
        let why = match error.kind() {
            PosOverflow | NegOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("invalid gw-priority ({text}): {why}")
    })
}

/// `key=value` of a driver option. Docker's client writes the value in small letters, so that
/// `IFNAME` in a sysctl never reaches a daemon; here it keeps them.
fn driver_option(text: &str) -> Option<(String, String)> {
    let (key, value) = text.split_once('=')?;
    let key = key.trim().to_lowercase();
    (!key.is_empty()).then(|| (key, value.trim().to_owned()))
}

fn ipam(endpoint: &mut EndpointSettings) -> &mut EndpointIpamConfig {
    endpoint.ipam_config.get_or_insert_default()
}

/// Flags that describe the first endpoint.
fn general(flags: &Flags, name: &str, endpoint: &mut EndpointSettings) -> Result<(), String> {
    let both = |flag: &str, what: &str| {
        Err(format!("conflicting options: cannot specify both --{flag} and per-network {what}"))
    };
    let aliases = flags.list("network-alias");
    if !aliases.is_empty() {
        if endpoint.aliases.is_some() {
            return both("network-alias", "alias");
        }
        endpoint.aliases = Some(aliases.to_vec());
    }
    let links = flags.list("link");
    if !links.is_empty() && is_user_defined(name) {
        endpoint.links = Some(links.to_vec());
    }
    let text = |flag: &str| Some(flags.text(flag)).filter(|text| !text.is_empty());
    if let Some(address) = text("ip") {
        if !ipam(endpoint).ipv4_address.is_empty() {
            return both("ip", "IPv4 address");
        }
        ipam(endpoint).ipv4_address = address.to_owned();
    }
    if let Some(address) = text("ip6") {
        if !ipam(endpoint).ipv6_address.is_empty() {
            return both("ip6", "IPv6 address");
        }
        ipam(endpoint).ipv6_address = address.to_owned();
    }
    if let Some(address) = text("mac-address") {
        if !endpoint.mac_address.is_empty() {
            return both("mac-address", "MAC address");
        }
        endpoint.mac_address = address.to_owned();
    }
    if flags.is_given("link-local-ip") {
        if !ipam(endpoint).link_local_ips.is_empty() {
            return both("link-local-ip", "link-local IP addresses");
        }
        ipam(endpoint).link_local_ips = flags.list("link-local-ip").to_vec();
    }
    Ok(())
}

fn check_endpoint(name: &str, endpoint: &EndpointSettings) -> Result<(), String> {
    if name.trim().is_empty() {
        return Err("no name set for network".into());
    }
    if endpoint.aliases.is_some() && !is_user_defined(name) {
        return Err("network-scoped aliases are only supported for user-defined networks".into());
    }
    match endpoint.mac_address.as_str() {
        "" => Ok(()),
        address => mac_address(address),
    }
}

/// Checks a MAC address: 6, 8 or 20 bytes in hexadecimal, one by one or two by two.
pub(crate) fn mac_address(text: &str) -> Result<(), String> {
    let trimmed = text.trim();
    let hex = |part: &str, digits: usize| {
        part.len() == digits && part.chars().all(|c| c.is_ascii_hexdigit())
    };
    let is_form = |separator: char, digits: usize| {
        let parts: Vec<&str> = trimmed.split(separator).collect();
        matches!(parts.len() * digits, 12 | 16 | 40) && parts.iter().all(|part| hex(part, digits))
    };
    if is_form(':', 2) || is_form('-', 2) || is_form('.', 4) {
        return Ok(());
    }
    Err(format!("{trimmed} is not a valid mac address"))
}

#[cfg(test)]
mod tests;
