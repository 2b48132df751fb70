//! What the firewall knows: networks and redirects, and the elements that come of them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use super::family::{Family, V4, V6, bounds, octets};
use super::rules::{
    BRIDGES, INTERNAL, NOT_FROM_NETWORKS, ONLY_OPENED, ONLY_PUBLISHED, ONLY_THE_BRIDGE, TO_HOST,
    TRUSTED, WITHIN, interface_key,
};
use crate::netlink::expr::Verdict;
use crate::netlink::nftables::{Data, Element, SetType};
use crate::ports::Proto;

/// What the rules must know of one network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct NetworkRules {
    /// Id of the network.
    pub(crate) id: String,
    /// Name of its bridge.
    pub(crate) interface: String,
    /// Absent if the network has no IPv4.
    pub(crate) v4: Option<SubnetRules<Ipv4Addr>>,
    /// Absent if the network has no IPv6.
    pub(crate) v6: Option<SubnetRules<Ipv6Addr>>,
    /// Whether its containers may talk to each other.
    pub(crate) icc: bool,
    /// Whether it has no way in or out but to the bridge itself.
    pub(crate) internal: bool,
    /// Interfaces of the host from where published ports are open at the containers' own addresses
    /// as well.
    pub(crate) trusted: Vec<String>,
}

/// One family of a network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SubnetRules<A> {
    /// An address of the subnet; host bits are ignored.
    pub(crate) network: A,
    pub(crate) prefix_len: u8,
    /// The bridge's own address, if it has one.
    pub(crate) gateway: Option<A>,
    pub(crate) mode: GatewayMode,
    /// Whether packets leave with the host's address.
    pub(crate) masquerade: bool,
    /// Address that packets leave with instead of the outgoing interface's (`host_ipv4`).
    pub(crate) snat_to: Option<A>,
}

/// How a network's addresses are reached from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub(crate) enum GatewayMode {
    /// By published ports alone.
    #[default]
    Nat,
    /// By published ports, and directly at any port by those who have a route.
    NatUnprotected,
    /// Directly, without translation, at published ports.
    Routed,
    /// Not at all; the host has no address there.
    Isolated,
}

/// Where packets to a host port go.
#[derive(Debug, Clone)]
pub(crate) struct Redirect {
    /// Id of the network of `container`.
    pub(crate) network: String,
    /// Unspecified: every address of the host of that family.
    pub(crate) host_ip: IpAddr,
    /// 0 opens the container's port without translation (routed mode).
    pub(crate) host_port: u16,
    pub(crate) proto: Proto,
    /// IPv4 for an IPv6 `host_ip` if the container has no IPv6: then by the relay alone.
    pub(crate) container: IpAddr,
    pub(crate) container_port: u16,
    /// The socket that holds the host port, for the relay; without it there is none.
    pub(crate) socket: Option<Arc<OwnedFd>>,
}

/// An element and its set.
pub(super) type Placed = (&'static SetType, Element);

/// All that the table is written from.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) networks: BTreeMap<String, NetworkRules>,
    /// Redirects by endpoint.
    pub(super) endpoints: BTreeMap<String, Vec<Redirect>>,
}

impl Model {
    /// Every element that the table shall have.
    pub(super) fn elements(&self) -> Vec<Placed> {
        let mut placed: Vec<Placed> = self.networks.values().flat_map(network_elements).collect();
        let redirects = self.endpoints.values().flatten();
        placed.extend(self.redirect_elements(redirects));
        placed
    }

    /// The elements of the redirects of an endpoint, each once.
    pub(super) fn redirect_elements<'a>(
        &self,
        redirects: impl IntoIterator<Item = &'a Redirect>,
    ) -> Vec<Placed> {
        let (mut placed, mut opened) = (Vec::new(), BTreeSet::new());
        for redirect in redirects {
            placed.extend(self.redirect_element(redirect));
            if self.is_open(redirect) {
                let address = octets(redirect.container);
                let proto = [redirect.proto.number(), 0, 0, 0];
                let key = [&address[..], &proto, &port(redirect.container_port)].concat();
                // Several host ports may lead to it.
                if opened.insert(key.clone()) {
                    let sets = Family::of(redirect.container).sets;
                    placed.push((&sets.opened, Element { key, data: Data::Nothing }));
                }
            }
        }
        placed
    }

    /// Whether a redirect's port is open at the container's own address: to everybody in routed
    /// mode, to trusted interfaces in the usual one.
    pub(super) fn is_open(&self, redirect: &Redirect) -> bool {
        match self.mode_of(redirect) {
            Some(GatewayMode::Routed) => true,
            // What is published on loopback is for this host alone.
            Some(GatewayMode::Nat) => {
                let network = self.networks.get(&redirect.network);
                network.is_some_and(NetworkRules::trusts_somebody)
                    && !redirect.host_ip.is_loopback()
            }
            Some(GatewayMode::NatUnprotected | GatewayMode::Isolated) | None => false,
        }
    }

    /// The element of a redirect's translation; `None` if it has none, or is the relay's alone.
    fn redirect_element(&self, redirect: &Redirect) -> Option<Placed> {
        let sets = Family::of(redirect.container).sets;
        let proto = [redirect.proto.number(), 0, 0, 0];
        let target = [octets(redirect.container), port(redirect.container_port)].concat();
        match self.mode_of(redirect) {
            None | Some(GatewayMode::Routed) => None,
            _ if redirect.host_ip.is_ipv4() != redirect.container.is_ipv4() => None,
            _ if redirect.host_ip.is_unspecified() => {
                let key = [&proto[..], &port(redirect.host_port)].concat();
                Some((&sets.published, Element { key, data: Data::Value(target) }))
            }
            _ => {
                let address = octets(redirect.host_ip);
                let key = [&address[..], &proto, &port(redirect.host_port)].concat();
                Some((&sets.published_address, Element { key, data: Data::Value(target) }))
            }
        }
    }

    /// How a redirect's container is reached from outside; `None` if not at all.
    pub(super) fn mode_of(&self, redirect: &Redirect) -> Option<GatewayMode> {
        let network = self.networks.get(&redirect.network);
        let mode = match (network, redirect.container) {
            (Some(network), _) if network.internal => return None,
            (Some(network), IpAddr::V4(_)) => network.v4.as_ref().map(|subnet| subnet.mode),
            (Some(network), IpAddr::V6(_)) => network.v6.as_ref().map(|subnet| subnet.mode),
            (None, _) => None,
        };
        match mode.unwrap_or_default() {
            GatewayMode::Isolated => None,
            _ if redirect.host_port == 0 => Some(GatewayMode::Routed),
            other => Some(other),
        }
    }

    /// Whether the relay has to listen for a redirect.
    pub(super) fn needs_relay(&self, redirect: &Redirect, host_policy: bool) -> bool {
        let translated = match self.mode_of(redirect) {
            None | Some(GatewayMode::Routed) => false,
            Some(_) => redirect.proto != Proto::Sctp,
        };
        let ours = match redirect.host_ip {
            IpAddr::V4(_) => false,
            // The kernel lets nothing out that comes from ::1, and turns no IPv6 into IPv4.
            IpAddr::V6(host) => {
                host.is_unspecified() || host.is_loopback() || redirect.container.is_ipv4()
            }
        };
        translated && (ours || host_policy)
    }
}

/// The elements of one network.
pub(super) fn network_elements(network: &NetworkRules) -> Vec<Placed> {
    let bridge = interface_key(&network.interface);
    let member = || Element { key: bridge.clone(), data: Data::Nothing };
    let ruled = |verdict| Element { key: bridge.clone(), data: Data::Verdict(verdict) };
    let within = match network.icc {
        true => Verdict::Accept,
        false => Verdict::Goto(ONLY_PUBLISHED),
    };
    let within = Data::Verdict(within);
    let mut placed: Vec<Placed> =
        vec![(&BRIDGES, member()), (&WITHIN, Element { key: bridge.repeat(2), data: within })];
    let modes = [
        network.v4.as_ref().map(|subnet| subnet.mode),
        network.v6.as_ref().map(|subnet| subnet.mode),
    ];
    if network.is_closed() {
        placed.push((&INTERNAL, member()));
        let isolated = modes.iter().flatten().all(|mode| *mode == GatewayMode::Isolated);
        let to_host = if isolated { Verdict::Drop } else { Verdict::Goto(ONLY_THE_BRIDGE) };
        placed.push((&TO_HOST, ruled(to_host)));
    }
    for name in network.trusted.iter().filter(|_| network.trusts_somebody()) {
        let key = [interface_key(name), bridge.clone()].concat();
        placed.push((&TRUSTED, Element { key, data: Data::Nothing }));
    }
    for (family, mode) in [&V4, &V6].into_iter().zip(modes) {
        let verdict = match mode {
            _ if network.is_closed() => Verdict::Drop,
            None | Some(GatewayMode::Isolated) => Verdict::Drop,
            Some(GatewayMode::Nat) => Verdict::Goto(ONLY_PUBLISHED),
            Some(GatewayMode::NatUnprotected) => Verdict::Goto(NOT_FROM_NETWORKS),
            Some(GatewayMode::Routed) => Verdict::Goto(ONLY_OPENED),
        };
        placed.push((&family.sets.into, ruled(verdict)));
    }
    placed.extend(network.v4.iter().flat_map(|subnet| subnet_elements(network, subnet)));
    placed.extend(network.v6.iter().flat_map(|subnet| subnet_elements(network, subnet)));
    placed
}

impl NetworkRules {
    /// Whether nothing goes in or out of this host.
    pub(super) fn is_closed(&self) -> bool {
        let isolated = |mode| mode == GatewayMode::Isolated;
        let v4 = self.v4.as_ref().is_some_and(|subnet| isolated(subnet.mode));
        let v6 = self.v6.as_ref().is_some_and(|subnet| isolated(subnet.mode));
        self.internal || v4 || v6
    }

    /// Whether some interfaces may send to its subnets.
    pub(super) fn trusts_somebody(&self) -> bool {
        !self.trusted.is_empty() && !self.is_closed()
    }
}

fn subnet_elements<A: Copy + Into<IpAddr>>(
    network: &NetworkRules,
    subnet: &SubnetRules<A>,
) -> Vec<Placed> {
    let sets = Family::of(subnet.network.into()).sets;
    let (first, end) = bounds(subnet.network.into(), subnet.prefix_len);
    let interval = |set, data| {
        let end = end.clone().map(|key| (set, Element { key, data: Data::End }));
        std::iter::once((set, Element { key: first.clone(), data })).chain(end)
    };
    let mut placed = Vec::new();
    if let Some(gateway) = subnet.gateway {
        let key = octets(gateway.into());
        placed.push((&sets.gateways, Element { key, data: Data::Nothing }));
    }
    let translated = matches!(subnet.mode, GatewayMode::Nat | GatewayMode::NatUnprotected);
    if subnet.is_guarded() || network.is_closed() {
        placed.extend(interval(&sets.guarded, Data::Nothing));
    }
    if translated && !network.is_closed() {
        placed.extend(interval(&sets.containers, Data::Nothing));
        match subnet.snat_to {
            _ if !subnet.masquerade => {}
            Some(source) => {
                placed.extend(interval(&sets.sources, Data::Value(octets(source.into()))));
            }
            None => placed.extend(interval(&sets.masqueraded, Data::Nothing)),
        }
    }
    placed
}

impl<A> SubnetRules<A> {
    /// Whether only the bridge and this host may send to the subnet. Where packets leave with
    /// their own source, the answers come to it from outside.
    pub(super) fn is_guarded(&self) -> bool {
        match self.mode {
            GatewayMode::Nat => self.masquerade,
            GatewayMode::Isolated => true,
            GatewayMode::NatUnprotected | GatewayMode::Routed => false,
        }
    }
}

/// Each part of a key or value begins on four bytes.
fn port(port: u16) -> Vec<u8> {
    [port.to_be_bytes(), [0; 2]].concat()
}
