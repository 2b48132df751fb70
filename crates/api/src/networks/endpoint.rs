//! What an endpoint to be made may say, on create and on connect: pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gantry_api_types::network::{EndpointIpamConfig, EndpointSettings, NetworkResource};

use super::create::is_predefined;
use super::faults::Faults;
use super::subnet::{Subnet, family};
use crate::error::ApiError;

/// Checks an endpoint's settings against the network that it is to be on: 400 with all faults.
///
/// `user_subnets` tells that the network's subnets were given by its user, which static addresses
/// need: others may change with the daemon's pools.
pub(super) fn validate(
    settings: &EndpointSettings,
    network: &NetworkResource,
    user_subnets: bool,
) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    let own = !is_predefined(&network.name);
    if !own && settings.aliases.as_ref().is_some_and(|aliases| !aliases.is_empty()) {
        faults.add("network-scoped aliases are only supported for user-defined networks");
    }
    if let Some(ipam) = &settings.ipam_config {
        let asked = addresses(ipam, &mut faults);
        if !own && !asked.is_empty() {
            faults.add("user specified IP address is supported on user defined networks only");
        } else if own {
            static_addresses(&asked, network, user_subnets, &mut faults);
        }
    }
    if !settings.mac_address.is_empty() && !is_mac(&settings.mac_address) {
        faults.add(format!("invalid MAC address: {}", settings.mac_address));
    }
    let name = &network.name;
    faults.under(format_args!("invalid config for network {name}: invalid endpoint settings"))
}

/// The static addresses that are asked for and can be read.
fn addresses(ipam: &EndpointIpamConfig, faults: &mut Faults) -> Vec<IpAddr> {
    let mut asked = Vec::new();
    let (v4, v6) = (&ipam.ipv4_address, &ipam.ipv6_address);
    match v4.parse::<Ipv4Addr>() {
        _ if v4.is_empty() => {}
        Ok(address) => asked.push(IpAddr::V4(address)),
        Err(_) => faults.add(format!("invalid IPv4 address: {v4}")),
    }
    match v6.parse::<Ipv6Addr>() {
        _ if v6.is_empty() => {}
        Ok(address) => asked.push(IpAddr::V6(address)),
        Err(_) => faults.add(format!("invalid IPv6 address: {v6}")),
    }
    for address in &ipam.link_local_ips {
        if !address.is_empty() && address.parse::<IpAddr>().is_err() {
            faults.add(format!("invalid link-local IP address: {address}"));
        }
    }
    asked
}

fn static_addresses(
    asked: &[IpAddr],
    network: &NetworkResource,
    user_subnets: bool,
    faults: &mut Faults,
) {
    let configs = network.ipam.config.iter().flatten();
    let subnets: Vec<_> = configs.filter_map(|config| Subnet::parse(&config.subnet)).collect();
    for address in asked {
        let mut of_family =
            subnets.iter().filter(|subnet| subnet.family() == family(*address)).peekable();
        if !user_subnets || of_family.peek().is_none() {
            faults.add(
                "user specified IP address is supported only when connecting to networks with \
                 user configured subnets",
            );
        } else if !of_family.any(|subnet| subnet.contains(*address)) {
            faults.add(format!("no configured subnet contains IP address {address}"));
        }
    }
}

/// Six bytes in hexadecimal, with colons or hyphens.
fn is_mac(text: &str) -> bool {
    let is_form = |separator: char| {
        let parts: Vec<_> = text.split(separator).collect();
        let byte = |part: &&str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit());
        parts.len() == 6 && parts.iter().all(byte)
    };
    is_form(':') || is_form('-')
}

#[cfg(test)]
mod tests {
    use gantry_api_types::network::{Ipam, IpamConfig};
    use serde_json::{Value, json};

    use super::*;

    fn faults(settings: Value, name: &str, user_subnets: bool) -> String {
        let settings: EndpointSettings = serde_json::from_value(settings).expect("settings");
        let config = IpamConfig { subnet: "10.0.0.0/24".into(), ..IpamConfig::default() };
        let network = NetworkResource {
            name: name.into(),
            ipam: Ipam { config: Some(vec![config]), ..Ipam::default() },
            ..NetworkResource::default()
        };
        let refused = validate(&settings, &network, user_subnets).err();
        let message = refused.map(|error| error.message).unwrap_or_default();
        let title = format!("invalid config for network {name}: invalid endpoint settings:\n");
        message.strip_prefix(&title).unwrap_or(&message).to_owned()
    }

    #[test]
    fn endpoints() {
        let user = "user specified IP address is supported only when connecting to networks with \
                    user configured subnets";
        for (settings, name, user_subnets, want) in [
            (json!({}), "bridge", false, ""),
            (json!({"IPAMConfig": {}, "Aliases": [], "Links": null}), "bridge", false, ""),
            (json!({"IPAMConfig": {"IPv4Address": "10.0.0.9"}}), "n1", true, ""),
            (json!({"IPAMConfig": {"IPv4Address": "10.0.0.9"}}), "n1", false, user),
            (json!({"IPAMConfig": {"IPv6Address": "fd00::9"}}), "n1", true, user),
            (
                json!({"IPAMConfig": {"IPv4Address": "10.1.0.9"}}),
                "n1",
                true,
                "no configured subnet contains IP address 10.1.0.9",
            ),
            (
                json!({"IPAMConfig": {"IPv4Address": "10.0.0.9"}, "Aliases": ["a"]}),
                "bridge",
                true,
                "* network-scoped aliases are only supported for user-defined networks\n\
                 * user specified IP address is supported on user defined networks only",
            ),
            (
                json!({"IPAMConfig": {"IPv4Address": "x", "IPv6Address": "10.0.0.1",
                    "LinkLocalIPs": ["169.254.1.1", "y"]}, "MacAddress": "z"}),
                "n1",
                true,
                "* invalid IPv4 address: x\n* invalid IPv6 address: 10.0.0.1\n\
                 * invalid link-local IP address: y\n* invalid MAC address: z",
            ),
            (json!({"MacAddress": "02-00-00-00-00-0A"}), "bridge", false, ""),
        ] {
            assert_eq!(faults(settings.clone(), name, user_subnets), want, "{settings}");
        }
    }
}
