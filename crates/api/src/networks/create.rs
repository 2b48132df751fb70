//! What a network to be created may say, by itself: pure, without the networks that there are.
//!
//! The words are Docker 29's. Names are unique whatever `CheckDuplicate` says, as since API 1.44.

use gantry_api_types::ApiVersion;
use gantry_api_types::network::{Ipam, IpamConfig, NetworkCreateBody};
use hyper::StatusCode;

use super::faults::Faults;
use super::subnet::{Subnet, family};
use crate::error::ApiError;

const DEFAULT_IPAM: &str = "default";
const ENABLE_IPV4: &str = "com.docker.network.enable_ipv4";
const ENABLE_IPV6: &str = "com.docker.network.enable_ipv6";

/// Networks that are always there; `default` is a name for one of them.
pub(super) fn is_predefined(name: &str) -> bool {
    matches!(name, "bridge" | "host" | "none" | "default")
}

/// The body as its version means it, with what the driver options say about families.
pub(super) fn settle(body: &mut NetworkCreateBody, version: ApiVersion) -> Result<(), ApiError> {
    if !version.at_least(48) {
        body.enable_ipv4 = None;
    }
    if body.driver.is_empty() {
        "bridge".clone_into(&mut body.driver);
    }
    for (option, field) in
        [(ENABLE_IPV4, &mut body.enable_ipv4), (ENABLE_IPV6, &mut body.enable_ipv6)]
    {
        let value = body.options.as_mut().and_then(|options| match field {
            // The field wins, and the document would be wrong with both.
            Some(_) => options.remove(option).and(None),
            None => options.get(option).cloned(),
        });
        if let Some(value) = value {
            *field = Some(boolean(&value).ok_or_else(|| {
                ApiError::invalid(format!("driver-opt \"{option}\" is not a valid bool"))
            })?);
        }
    }
    Ok(())
}

/// Checks a settled body: 400, 403, 404 or 501.
pub(super) fn validate(body: &NetworkCreateBody) -> Result<(), ApiError> {
    let forbidden = |words: &str| Err(ApiError::new(StatusCode::FORBIDDEN, words));
    if is_predefined(&body.name) {
        // The space at the end is Docker's.
        let name = &body.name;
        let words = format!("operation is not permitted on predefined {name} network ");
        return Err(ApiError::new(StatusCode::FORBIDDEN, words));
    }
    if body.driver == "overlay" || body.ingress || body.scope == "swarm" {
        return forbidden(
            "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm join\" \
             to connect this node to swarm and try again.",
        );
    }
    if let Some(ipam) = &body.ipam {
        addresses(ipam, body.enable_ipv6 == Some(true))?;
    }
    if body.name.trim().is_empty() {
        return Err(ApiError::invalid("invalid name: name is empty"));
    }
    if !matches!(body.scope.as_str(), "" | "local" | "global") {
        return Err(ApiError::invalid(format!("invalid network scope \"{}\"", body.scope)));
    }
    configuration(body)?;
    if body.enable_ipv4 == Some(false) && body.enable_ipv6 != Some(true) {
        return Err(ApiError::invalid("IPv4 or IPv6 must be enabled"));
    }
    match body.driver.as_str() {
        _ if body.config_only => Ok(()),
        driver @ ("host" | "null") => {
            forbidden(&format!("only one instance of \"{driver}\" network is allowed"))
        }
        "ipvlan" => Err(ApiError::not_implemented("the ipvlan driver")),
        _ => ipam_driver(body),
    }
}

/// Rules of configurations, and of networks that use one.
fn configuration(body: &NetworkCreateBody) -> Result<(), ApiError> {
    let forbidden = |words: &str| Err(ApiError::new(StatusCode::FORBIDDEN, words));
    let managed = body.ingress || body.internal || body.attachable || !body.scope.is_empty();
    if body.config_only && managed {
        return forbidden(
            "configuration network can only contain network specific fields. Network operator \
             fields like [ ingress | internal | attachable | scope ] are not supported.",
        );
    }
    if body.config_from.as_ref().is_none_or(|from| from.network.is_empty()) {
        return Ok(());
    }
    if body.config_only {
        return forbidden("a configuration network cannot depend on another configuration network");
    }
    let configured = body.ipam.as_ref().is_some_and(|ipam| {
        !matches!(ipam.driver.as_str(), "" | DEFAULT_IPAM)
            || ipam.options.as_ref().is_some_and(|options| !options.is_empty())
            || ipam.config.as_ref().is_some_and(|config| !config.is_empty())
    });
    let labelled = body.labels.as_ref().is_some_and(|labels| !labels.is_empty());
    if configured || labelled || body.enable_ipv4 == Some(false) || body.enable_ipv6 == Some(true) {
        return forbidden(
            "user specified configurations are not supported if the network depends on a \
             configuration network",
        );
    }
    if body.options.as_ref().is_some_and(|options| !options.is_empty()) {
        return forbidden(
            "network driver options are not supported if the network depends on a configuration \
             network",
        );
    }
    Ok(())
}

fn ipam_driver(body: &NetworkCreateBody) -> Result<(), ApiError> {
    match body.ipam.as_ref().map_or("", |ipam| &ipam.driver) {
        "" | DEFAULT_IPAM => Ok(()),
        other => {
            let words = format!("plugin \"{other}\" not found");
            Err(ApiError::new(StatusCode::NOT_FOUND, words))
        }
    }
}

/// Checks subnets, ranges, gateways and auxiliary addresses; all faults are told at once.
fn addresses(ipam: &Ipam, enable_ipv6: bool) -> Result<(), ApiError> {
    let mut faults = Faults::default();
    for config in ipam.config.iter().flatten() {
        let Some(subnet) = Subnet::parse(&config.subnet) else {
            faults.add(format!("invalid subnet {}: invalid CIDR block notation", config.subnet));
            continue;
        };
        // A network without IPv6 ignores its IPv6 subnets.
        if subnet.family() == 6 && !enable_ipv6 {
            continue;
        }
        if subnet != subnet.masked() {
            faults.add(format!("invalid subnet {subnet}: it should be {}", subnet.masked()));
        }
        pool(config, subnet, &mut faults);
    }
    faults.under("invalid network config")
}

fn pool(config: &IpamConfig, subnet: Subnet, faults: &mut Faults) {
    if !config.ip_range.is_empty() {
        range(&config.ip_range, subnet, faults);
    }
    if let Some(why) = outside(&config.gateway, subnet) {
        faults.add(format!("invalid gateway {}: {why}", config.gateway));
    }
    for (name, address) in &config.auxiliary_addresses {
        if let Some(why) = outside(address, subnet) {
            faults.add(format!("invalid auxiliary address {name}: {why}"));
        }
    }
}

fn range(text: &str, subnet: Subnet, faults: &mut Faults) {
    let mut bad = |why: String| faults.add(format!("invalid ip-range {text}: {why}"));
    let Some(range) = Subnet::parse(text) else {
        return bad("invalid CIDR block notation".to_owned());
    };
    if range.family() != subnet.family() {
        return bad(format!("parent subnet is an IPv{} block", subnet.family()));
    }
    if range.prefix_len < subnet.prefix_len {
        bad(format!("CIDR block is bigger than its parent subnet {subnet}"));
    }
    if range != range.masked() {
        bad(format!("it should be {}", range.masked()));
    }
    if !subnet.overlaps(range) {
        bad(format!("parent subnet {subnet} doesn't contain ip-range"));
    }
}

/// Why an address cannot be of this subnet; an empty one is none.
fn outside(text: &str, subnet: Subnet) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    // Old clients write a gateway with the prefix length of its subnet.
    let Ok(address) = text.split('/').next().unwrap_or(text).parse() else {
        return Some("invalid address".to_owned());
    };
    if family(address) != subnet.family() {
        return Some(format!("parent subnet is an IPv{} block", subnet.family()));
    }
    let words = || format!("parent subnet {subnet} doesn't contain this address");
    (!subnet.contains(address)).then(words)
}

/// Go's `strconv.ParseBool`.
fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
