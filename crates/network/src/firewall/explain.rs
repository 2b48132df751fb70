//! Why a container's port can be reached, and from where.

use std::net::{IpAddr, SocketAddr};

use super::family::Family;
use super::model::{GatewayMode, Model, NetworkRules, Redirect};
use crate::ports::Proto;

/// A container's port.
#[derive(Debug, Clone)]
pub struct ReachQuery {
    /// Ids of the networks that the container is on, with its addresses there.
    pub addresses: Vec<(String, IpAddr)>,
    /// Port in the container.
    pub port: u16,
    /// Protocol.
    pub proto: Proto,
}

/// Who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A process of this host.
    ThisHost,
    /// Another host on the link.
    OtherHosts,
    /// A container of the same network.
    SameNetwork,
    /// A container of another network of this daemon.
    OtherNetworks,
}

/// One way to a port, or the reason why there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reach {
    /// Who calls.
    pub from: Origin,
    /// The network that the container is reached on.
    pub network: String,
    /// The address to call.
    pub at: SocketAddr,
    /// Whether it answers.
    pub reachable: bool,
    /// The chain and the rule or element that decides, in words.
    pub by: String,
}

impl Origin {
    const ALL: [Origin; 4] =
        [Origin::ThisHost, Origin::SameNetwork, Origin::OtherNetworks, Origin::OtherHosts];
}

/// Every way to the port: by the container's own addresses, then by those of the host.
pub(super) fn explain(model: &Model, host_policy: bool, query: &ReachQuery) -> Vec<Reach> {
    let mut ways = Vec::new();
    for (id, address) in &query.addresses {
        let Some(network) = model.networks.get(id) else {
            continue;
        };
        let at = SocketAddr::new(*address, query.port);
        let opened = redirects(model, query, *address).any(|redirect| model.is_open(redirect));
        for from in Origin::ALL {
            let (reachable, by) = direct(network, *address, opened, from);
            ways.push(Reach { from, network: id.clone(), at, reachable, by });
        }
        for redirect in redirects(model, query, *address) {
            if redirect.host_port == 0 || model.mode_of(redirect) == Some(GatewayMode::Routed) {
                continue;
            }
            let at = SocketAddr::new(redirect.host_ip, redirect.host_port);
            for from in Origin::ALL {
                let (reachable, by) = published(model, host_policy, redirect, from);
                ways.push(Reach { from, network: id.clone(), at, reachable, by });
            }
        }
    }
    ways
}

fn redirects<'a>(
    model: &'a Model,
    query: &'a ReachQuery,
    address: IpAddr,
) -> impl Iterator<Item = &'a Redirect> {
    model.endpoints.values().flatten().filter(move |redirect| {
        redirect.container == address
            && redirect.container_port == query.port
            && redirect.proto == query.proto
    })
}

/// By the container's own address.
fn direct(network: &NetworkRules, address: IpAddr, opened: bool, from: Origin) -> (bool, String) {
    let bridge = &network.interface;
    let sets = Family::of(address).sets;
    let (mode, guarded) = match address {
        IpAddr::V4(_) => network.v4.as_ref().map(|subnet| (subnet.mode, subnet.is_guarded())),
        IpAddr::V6(_) => network.v6.as_ref().map(|subnet| (subnet.mode, subnet.is_guarded())),
    }
    .unwrap_or((GatewayMode::Isolated, true));
    let (into, guard) = (sets.into.name, sets.guarded.name);
    match from {
        Origin::ThisHost if mode == GatewayMode::Isolated => {
            (false, format!("the host has no address on bridge {bridge}"))
        }
        Origin::ThisHost => (true, format!("the host is on bridge {bridge}; no rule is asked")),
        Origin::SameNetwork if network.icc => {
            (true, format!("chain forward: map within has {bridge}: accept"))
        }
        Origin::SameNetwork => (
            false,
            format!(
                "icc is off: ports of {bridge} are isolated; chain forward: map within has \
                 {bridge}: only_published"
            ),
        ),
        Origin::OtherNetworks | Origin::OtherHosts if network.is_closed() => (
            false,
            format!("the network is internal; chain forward: map {into} has {bridge}: drop"),
        ),
        Origin::OtherHosts if mode == GatewayMode::Nat && opened => (
            true,
            format!(
                "from interfaces the network trusts ({}), and no other; chain forward: set {} has \
                 the port",
                network.trusted.join(", "),
                sets.opened.name
            ),
        ),
        Origin::OtherHosts if guarded => {
            (false, format!("chain guard: set {guard} has the subnet of {bridge}: dropped"))
        }
        Origin::OtherHosts if mode == GatewayMode::NatUnprotected => (
            true,
            format!(
                "by a route to this host; chain forward: map {into} has {bridge}: not_from_networks"
            ),
        ),
        Origin::OtherNetworks | Origin::OtherHosts if mode == GatewayMode::Routed && opened => (
            true,
            format!(
                "by a route to this host; chain only_opened: set {} has the port",
                sets.opened.name
            ),
        ),
        Origin::OtherNetworks | Origin::OtherHosts => {
            let chain = match mode {
                GatewayMode::Routed => "only_opened",
                GatewayMode::NatUnprotected => "not_from_networks",
                GatewayMode::Nat | GatewayMode::Isolated => "only_published",
            };
            (false, format!("chain forward: map {into} has {bridge}: {chain}, which drops it"))
        }
    }
}

/// By an address of the host.
fn published(
    model: &Model,
    host_policy: bool,
    redirect: &Redirect,
    from: Origin,
) -> (bool, String) {
    let Redirect { host_ip, host_port, proto, container, container_port, .. } = redirect;
    if model.mode_of(redirect).is_none() {
        return (false, "the network is internal: its ports are not published".to_owned());
    }
    if host_ip.is_loopback() && from != Origin::ThisHost {
        return (false, "chain guard: loopback addresses are this host's own: dropped".to_owned());
    }
    let sets = Family::of(*host_ip).sets;
    let target = SocketAddr::new(*container, *container_port);
    let (map, key) = if host_ip.is_unspecified() {
        (sets.published.name, format!("{proto} . {host_port}"))
    } else {
        (sets.published_address.name, format!("{host_ip} . {proto} . {host_port}"))
    };
    let relayed = host_ip.is_ipv4() != container.is_ipv4()
        || (host_ip.is_ipv6() && host_ip.is_loopback())
        || (host_policy && from == Origin::OtherHosts);
    if relayed && !model.needs_relay(redirect, host_policy) {
        return (false, format!("{proto} is not relayed"));
    }
    match from {
        Origin::OtherHosts if host_policy => (
            true,
            format!(
                "if the host's own input rules accept it; then by the daemon's relay to {target}"
            ),
        ),
        _ if relayed => (true, format!("by the daemon's relay to {target}")),
        Origin::ThisHost => {
            let also = match host_ip {
                IpAddr::V6(address) if address.is_unspecified() => {
                    "; for ::1 by the daemon's relay"
                }
                _ => "",
            };
            (true, format!("chain dnat_local: map {map} has {key}: {target}{also}"))
        }
        _ => (true, format!("chain dnat: map {map} has {key}: {target}")),
    }
}
