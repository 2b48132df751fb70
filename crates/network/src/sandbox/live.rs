//! A sandbox as it runs: its record, and what it holds.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex};

use super::plumb::DefaultRoutes;
use super::{EndpointRecord, Gateways, SandboxRecord, order};
use crate::dns::DnsSandbox;
use crate::firewall::{GatewayMode, Redirect};
use crate::ipam::Lease;
use crate::network::Membership;
use crate::reserve::Reserved;

/// What an endpoint has; all of it is free again when this is dropped.
#[derive(Debug)]
pub(crate) struct Held {
    pub(crate) place: Membership,
    pub(crate) v4: Option<Lease<Ipv4Addr>>,
    pub(crate) v6: Option<Lease<Ipv6Addr>>,
}

/// The record and what stands behind it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) record: SandboxRecord,
    /// For each endpoint of the record, in the same order.
    pub(crate) held: Vec<Held>,
    /// For each port of the record, in the same order.
    pub(crate) ports: Vec<Reserved>,
}

/// A sandbox of the table of sandboxes.
#[derive(Debug)]
pub(crate) struct LiveSandbox {
    pub(crate) netns: Arc<OwnedFd>,
    /// Until the container is started; see [`gantry_sys::netns::sysfs`].
    pub(crate) sysfs: Mutex<Option<OwnedFd>>,
    pub(crate) live: Mutex<Live>,
    /// Held while endpoints come and go: one change at a time.
    pub(crate) busy: Arc<tokio::sync::Mutex<()>>,
}

/// An endpoint that gives a default route: the network's id, its mode, the address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Outlet<A> {
    pub(crate) network: String,
    pub(crate) mode: GatewayMode,
    pub(crate) host_binding: Option<IpAddr>,
    pub(crate) address: A,
}

/// Where published ports lead to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outlets {
    pub(crate) v4: Option<Outlet<Ipv4Addr>>,
    pub(crate) v6: Option<Outlet<Ipv6Addr>>,
}

impl LiveSandbox {
    pub(crate) fn new(netns: Arc<OwnedFd>, live: Live) -> LiveSandbox {
        let sysfs = Mutex::default();
        LiveSandbox { netns, sysfs, live: Mutex::new(live), busy: Arc::default() }
    }
}

impl Outlets {
    /// Where a port leads to; `None` if nothing can be reached by its host address.
    pub(crate) fn redirect(&self, port: &Reserved) -> Option<Redirect> {
        let translated = |mode| mode != GatewayMode::Routed;
        let v4 = self.v4.as_ref().filter(|outlet| translated(outlet.mode));
        match (port.published.host_ip, v4, &self.v6) {
            (IpAddr::V4(_), Some(v4), _) | (IpAddr::V6(_), Some(v4), None) => {
                port.redirect(&v4.network, Some(v4.address), None)
            }
            (IpAddr::V6(_), _, Some(v6)) if translated(v6.mode) => {
                port.redirect(&v6.network, None, Some(v6.address))
            }
            _ => None,
        }
    }

    /// The addresses that ports lead to.
    pub(crate) fn addresses(&self) -> Vec<IpAddr> {
        let v4 = self.v4.iter().map(|outlet| IpAddr::V4(outlet.address));
        v4.chain(self.v6.iter().map(|outlet| IpAddr::V6(outlet.address))).collect()
    }

    /// Whether there is one at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.v4.is_none() && self.v6.is_none()
    }

    /// Whether ports reserved for these are right for the others as well.
    pub(crate) fn take_same_ports(&self, other: &Outlets) -> bool {
        let shape = |outlets: &Outlets| {
            let v4 = outlets.v4.as_ref().map(|outlet| (outlet.mode, outlet.host_binding));
            (v4, outlets.v6.as_ref().map(|outlet| outlet.mode))
        };
        shape(self) == shape(other)
    }
}

impl Live {
    /// The endpoints that give the default routes.
    pub(crate) fn gateways(&self) -> Gateways {
        Gateways::choose(&candidates(&self.record, &self.held))
    }

    /// The default routes.
    pub(crate) fn routes(&self) -> DefaultRoutes {
        let Gateways { v4, v6 } = self.gateways();
        let endpoint = |at: usize| &self.record.endpoints[at];
        let route = |at: usize| {
            let gateway = endpoint(at).v4.and_then(|v4| v4.gateway)?;
            Some((endpoint(at).interface.clone(), gateway))
        };
        let route6 = |at: usize| {
            let gateway = endpoint(at).v6.and_then(|v6| v6.gateway)?;
            Some((endpoint(at).interface.clone(), gateway))
        };
        DefaultRoutes { v4: v4.and_then(route), v6: v6.and_then(route6) }
    }

    /// Where published ports lead to: bridges alone have a way in.
    pub(crate) fn outlets(&self) -> Outlets {
        let Gateways { v4, v6 } = self.gateways();
        let bridge = |at: usize| {
            let network = &self.held[at].place.0;
            network.bridge().map(|options| (network.record.id.clone(), options))
        };
        let outlet4 = |at: usize| {
            let (network, options) = bridge(at)?;
            let address = self.record.endpoints[at].v4?.address;
            let host_binding = options.host_binding;
            Some(Outlet { network, mode: options.mode_v4, host_binding, address })
        };
        let outlet6 = |at: usize| {
            let (network, options) = bridge(at)?;
            let address = self.record.endpoints[at].v6?.address;
            Some(Outlet { network, mode: options.mode_v6, host_binding: None, address })
        };
        Outlets { v4: v4.and_then(outlet4), v6: v6.and_then(outlet6) }
    }

    /// Every rule that the published ports need.
    pub(crate) fn redirects(&self, outlets: &Outlets) -> Vec<Redirect> {
        let mut all: Vec<Redirect> =
            self.ports.iter().filter_map(|port| outlets.redirect(port)).collect();
        let routed = |mode| mode == GatewayMode::Routed;
        let v4 = outlets.v4.iter().filter(|outlet| routed(outlet.mode));
        let v4 = v4.map(|outlet| (&outlet.network, IpAddr::V4(outlet.address)));
        let v6 = outlets.v6.iter().filter(|outlet| routed(outlet.mode));
        let v6 = v6.map(|outlet| (&outlet.network, IpAddr::V6(outlet.address)));
        for (network, container) in v4.chain(v6) {
            all.extend(self.record.wanted_ports.iter().map(|port| Redirect {
                network: network.clone(),
                host_ip: match container {
                    IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
                    IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
                },
                host_port: 0,
                proto: port.proto,
                container,
                container_port: port.container_port,
                socket: None,
            }));
        }
        all
    }

    /// Notes in the record who gives the default route, and what is published.
    pub(crate) fn settle(&mut self) {
        let Gateways { v4, v6 } = self.gateways();
        for (at, endpoint) in self.record.endpoints.iter_mut().enumerate() {
            endpoint.is_gateway = v4.or(v6) == Some(at);
        }
        self.record.ports = self.ports.iter().map(|port| port.published.clone()).collect();
    }

    /// What the name server must know; `None` if the sandbox is on no network with names.
    pub(crate) fn dns(&self) -> Option<DnsSandbox> {
        let named: Vec<usize> = order(&candidates(&self.record, &self.held))
            .into_iter()
            .filter(|at| self.held[*at].place.0.has_names())
            .collect();
        if named.is_empty() && self.record.dns.is_none() {
            return None;
        }
        let links = self.record.endpoints.iter().flat_map(|endpoint| endpoint.links.clone());
        Some(DnsSandbox {
            container_id: self.record.container_id.clone(),
            networks: named.iter().map(|at| self.record.endpoints[*at].network.clone()).collect(),
            links: links.collect(),
            servers: self.record.dns_servers.clone(),
            internal: self.held.iter().all(|held| held.place.0.is_internal()),
        })
    }

    /// The place of the endpoint on a network.
    pub(crate) fn position(&self, network: &str) -> Option<usize> {
        self.record.endpoints.iter().position(|endpoint| endpoint.network == network)
    }

    /// Names of the interfaces that must not have IPv6, if some have and this one is no first.
    pub(crate) fn interfaces_without_ipv6(&self) -> Vec<String> {
        let without = self.record.endpoints.iter().filter(|endpoint| endpoint.v6.is_none());
        without.map(|endpoint| endpoint.interface.clone()).collect()
    }

    /// Whether any endpoint has IPv6.
    pub(crate) fn has_ipv6(&self) -> bool {
        self.record.endpoints.iter().any(|endpoint| endpoint.v6.is_some())
    }
}

fn candidates<'a>(record: &SandboxRecord, held: &'a [Held]) -> Vec<super::Candidate<'a>> {
    let one = |(endpoint, held): (&EndpointRecord, &'a Held)| {
        let v4 = endpoint.v4.is_some_and(|v4| v4.gateway.is_some());
        let v6 = endpoint.v6.is_some_and(|v6| v6.gateway.is_some());
        held.place.0.candidate(endpoint.gw_priority, v4, v6)
    };
    record.endpoints.iter().zip(held).map(one).collect()
}
