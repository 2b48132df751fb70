//! Flags of `network create` and `network connect` to the bodies of their requests: pure.

use std::net::IpAddr;

use gantry_api_types::network::{EndpointIpamConfig, EndpointSettings, NetworkConnectBody};
use serde_json::{Value as Json, json};

use crate::flags::Flags;
use crate::system::volume::object;

/// A subnet.
struct Subnet {
    base: IpAddr,
    bits: u32,
}

impl Subnet {
    fn parse(text: &str) -> Result<Self, String> {
        let invalid = || format!("invalid CIDR address: {text}");
        let (base, bits) = text.split_once('/').ok_or_else(invalid)?;
        let base: IpAddr = base.parse().map_err(|_| invalid())?;
        let width = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.parse().ok().filter(|bits| *bits <= width).ok_or_else(invalid)?;
        Ok(Self { base, bits })
    }

    fn contains(&self, address: IpAddr) -> bool {
        let number = |address: IpAddr| match address {
            IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
            IpAddr::V6(address) => u128::from(address),
        };
        let differ = number(self.base) ^ number(address);
        let differ = if self.bits == 0 { 0 } else { differ >> (128 - self.bits) };
        self.base.is_ipv4() == address.is_ipv4() && differ == 0
    }
}

/// The address in `text`, with or without a prefix length.
fn address(text: &str) -> Option<IpAddr> {
    text.split('/').next()?.parse().ok()
}

/// The subnet that holds the address of `text`.
fn holder(subnets: &[String], text: &str) -> Result<Option<usize>, String> {
    for (at, subnet) in subnets.iter().enumerate() {
        let subnet = Subnet::parse(subnet).map_err(|why| format!("invalid subnet: {why}"))?;
        if address(text).is_some_and(|address| subnet.contains(address)) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

/// Two subnets of one network may not overlap.
fn check_overlap(subnets: &[String]) -> Result<(), String> {
    if subnets.len() < 2 {
        // The daemon reads a lone one.
        return Ok(());
    }
    let parsed: Result<Vec<_>, _> = subnets.iter().map(|text| Subnet::parse(text)).collect();
    let parsed = parsed.map_err(|why| format!("invalid subnet: {why}"))?;
    let overlap = |(at, subnet): (usize, &Subnet)| {
        parsed[..at].iter().any(|other| subnet.contains(other.base) || other.contains(subnet.base))
    };
    if parsed.iter().enumerate().any(overlap) {
        return Err("multiple overlapping subnet configuration is not supported".into());
    }
    Ok(())
}

/// Subnets with their ranges, gateways and reserved addresses.
fn ipam_config(flags: &Flags) -> Result<Vec<Json>, String> {
    let subnets = flags.strings("subnet");
    let (ranges, gateways) = (flags.strings("ip-range"), flags.strings("gateway"));
    if subnets.len() < ranges.len() || subnets.len() < gateways.len() {
        return Err("every ip-range or gateway must have a corresponding subnet".into());
    }
    check_overlap(&subnets)?;
    let mut configs: Vec<Json> = subnets.iter().map(|subnet| json!({"Subnet": subnet})).collect();
    for range in &ranges {
        Subnet::parse(range)?;
    }
    for (key, what, plural, values) in
        [("IPRange", "range", "ranges", &ranges), ("Gateway", "gateway", "gateways", &gateways)]
    {
        for value in values {
            let Some(at) = holder(&subnets, value)? else {
                return Err(format!("no matching subnet for {what} {value}"));
            };
            if let Some(first) = configs[at][key].as_str() {
                let (subnet, of) = (&subnets[at], if what == "range" { "on" } else { "for" });
                return Err(format!(
                    "cannot configure multiple {plural} ({value}, {first}) {of} the same subnet ({subnet})"
                ));
            }
            configs[at][key] = value.as_str().into();
        }
    }
    for pair in flags.list("aux-address") {
        let (name, address) = pair.split_once('=').unwrap_or((pair, ""));
        let Some(at) = holder(&subnets, address)? else {
            return Err(format!("no matching subnet for aux-address {address}"));
        };
        configs[at]["AuxiliaryAddresses"][name] = address.into();
    }
    Ok(configs)
}

/// Body of `POST /networks/create`.
pub(super) fn create(flags: &Flags, name: &str) -> Result<Json, String> {
    let mut body = json!({
        "Name": name,
        "Driver": flags.text("driver"),
        "Scope": flags.text("scope"),
        "IPAM": {
            "Driver": flags.text("ipam-driver"),
            "Options": object(flags.list("ipam-opt")),
            "Config": ipam_config(flags)?,
        },
        "Internal": flags.is_on("internal"),
        "Attachable": flags.is_on("attachable"),
        "Ingress": flags.is_on("ingress"),
        "ConfigOnly": flags.is_on("config-only"),
        "ConfigFrom": null,
        "Options": object(flags.list("opt")),
        "Labels": object(flags.list("label")),
    });
    match flags.text("config-from") {
        "" => {}
        network => body["ConfigFrom"] = json!({"Network": network}),
    }
    for (flag, key) in [("ipv4", "EnableIPv4"), ("ipv6", "EnableIPv6")] {
        if flags.is_given(flag) {
            body[key] = flags.is_on(flag).into();
        }
    }
    Ok(body)
}

/// Body of `POST /networks/{id}/connect`.
pub(super) fn connect(flags: &Flags, container: &str) -> Result<NetworkConnectBody, String> {
    let mut options = gantry_api_types::Map::new();
    for option in flags.strings("driver-opt") {
        let pair = option.split_once('=').map(|(key, value)| (key.trim(), value.trim()));
        let Some((key, value)) = pair.filter(|(key, _)| !key.is_empty()) else {
            return Err("invalid key/value pair format in driver options".into());
        };
        options.insert(key.to_owned(), value.to_owned());
    }
    let endpoint = EndpointSettings {
        ipam_config: Some(EndpointIpamConfig {
            ipv4_address: flags.text("ip").to_owned(),
            ipv6_address: flags.text("ip6").to_owned(),
            link_local_ips: flags.strings("link-local-ip"),
        }),
        links: Some(flags.list("link").to_vec()).filter(|links| !links.is_empty()),
        aliases: Some(flags.strings("alias")),
        driver_opts: Some(options),
        gw_priority: Some(flags.int("gw-priority")),
        ..EndpointSettings::default()
    };
    Ok(NetworkConnectBody { container: container.to_owned(), endpoint_config: Some(endpoint) })
}

#[cfg(test)]
mod tests;
