//! Joining and leaving.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use super::Inner;
use crate::MacAddr;
use crate::bridge;
use crate::error::JoinError;
use crate::ipam::{Lease, lock};
use crate::namespace::random_hex;
use crate::network::link::Link;
use crate::network::options::{is_interface_name, sysctls};
use crate::network::request::LinkOptions;
use crate::network::{Membership, Network};
use crate::pool::Maker as _;
use crate::reserve::PortDefaults;
use crate::sandbox::plumb::{self, Upper, Wired, Wiring};
use crate::sandbox::{
    EndpointRecord, EndpointRequest, Held, JoinRequest, Live, LiveSandbox, Sandbox, SandboxRecord,
};

/// Interfaces of a container that are tried for a free number.
const MAX_INTERFACES: usize = 1024;

/// An endpoint that has all but its interface.
pub(super) struct Draft {
    pub(super) record: EndpointRecord,
    pub(super) held: Held,
    pub(super) wiring: Wiring,
}

/// The same without a place on its network.
pub(super) struct Outline {
    pub(super) record: EndpointRecord,
    pub(super) v4: Option<Lease<Ipv4Addr>>,
    pub(super) v6: Option<Lease<Ipv6Addr>>,
    pub(super) wiring: Wiring,
}

impl Outline {
    /// Whether its addresses are these, as far as any are wanted.
    fn has(&self, (v4, v6): (Option<Ipv4Addr>, Option<Ipv6Addr>)) -> bool {
        let has4 = self.v4.as_ref().map(Lease::address);
        let has6 = self.v6.as_ref().map(Lease::address);
        (v4.is_none() || v4 == has4) && (v6.is_none() || v6 == has6)
    }
}

impl Inner {
    pub(super) async fn join(
        inner: &Arc<Inner>,
        request: JoinRequest,
    ) -> Result<Sandbox, JoinError> {
        if inner.is_closed() {
            return Err(JoinError::Closed);
        }
        if lock(&inner.sandboxes).contains_key(&request.container_id) {
            return Err(JoinError::SandboxExists(request.container_id));
        }
        let sandbox = match request.endpoints.as_slice() {
            [only] if inner.is_default(&only.network) && only.is_plain() => {
                inner.join_default(request).await?
            }
            _ => match inner.join_ready(&request).await? {
                Some(sandbox) => sandbox,
                None => inner.join_any(request).await?,
            },
        };
        let sandbox = Inner::enrol(inner, &sandbox).await?;
        Inner::note_joins(inner, &sandbox.record);
        Ok(sandbox)
    }

    /// Every other way: a namespace on the spot, with all interfaces.
    async fn join_any(&self, mut request: JoinRequest) -> Result<Arc<LiveSandbox>, JoinError> {
        let wishes = std::mem::take(&mut request.endpoints);
        let mut names: Vec<String> =
            wishes.iter().filter_map(|wish| wish.interface.clone()).collect();
        let (mut records, mut held, mut wirings) = (Vec::new(), Vec::new(), Vec::new());
        for wish in wishes {
            let draft = self.draft(&request.names.name, wish, &records, &mut names).await?;
            records.push(draft.record);
            held.push(draft.held);
            wirings.push(draft.wiring);
        }
        let record = SandboxRecord { endpoints: records, ..record_of(request) };
        let mut live = Live { record, held, ports: Vec::new() };
        live.ports = self.reserve_for(&live.record.wanted_ports, &live.outlets()).await?;
        live.settle();
        let made = {
            let _permit = self.makers.acquire().await.map_err(|_| JoinError::Closed)?;
            plumb::make(Arc::clone(&self.host), wirings, live.routes(), false).await?
        };
        for (endpoint, wired) in live.record.endpoints.iter_mut().zip(made.wired) {
            note_wired(endpoint, wired);
        }
        Ok(Arc::new(LiveSandbox::new(Arc::new(made.netns), live)))
    }

    /// Takes a place and addresses on a network, and plans the interface.
    pub(super) async fn draft(
        &self,
        container: &str,
        wish: EndpointRequest,
        others: &[EndpointRecord],
        names: &mut Vec<String>,
    ) -> Result<Draft, JoinError> {
        check_mac(wish.mac)?;
        let network = Arc::clone(lock(&self.networks).find(&wish.network)?);
        if let Some(error) = network.closed_to_endpoints() {
            return Err(error);
        }
        if others.iter().any(|other| other.network == network.record.id) {
            let container = container.to_owned();
            return Err(JoinError::Connected { container, network: network.record.name.clone() });
        }
        let place = self.place(&network)?;
        if Arc::ptr_eq(&network, &self.default) {
            self.retire(wish.address.or(wish.preferred));
        }
        let Outline { mut record, v4, v6, wiring } =
            self.outline_past_ready(&network, wish, others, names).await?;
        names.push(record.interface.clone());
        record.id = endpoint_id()?;
        Ok(Draft { record, held: Held { place, v4, v6 }, wiring })
    }

    /// The same as [`Inner::outline`], but that whoever stands ready on the network, or is to,
    /// gives way.
    async fn outline_past_ready(
        &self,
        network: &Network,
        wish: EndpointRequest,
        others: &[EndpointRecord],
        names: &[String],
    ) -> Result<Outline, JoinError> {
        let wanted = (wish.address.or(wish.preferred), wish.address6.or(wish.preferred6));
        self.discard(network.ready.withdraw(Some(wanted)));
        let first = self.outline(network, wish.clone(), others, names);
        let of = match &first {
            Ok(outline) if outline.has(wanted) => return first,
            Ok(_) | Err(JoinError::AddressInUse(_)) => Some(wanted),
            Err(JoinError::NoAddress { .. }) => None,
            Err(_) => return first,
        };
        if !network.ready.is_filling() {
            return first;
        }
        drop(first);
        let _made = network.ready.making.lock().await;
        self.discard(network.ready.withdraw(of));
        self.outline(network, wish, others, names)
    }

    /// Takes addresses on a network, and plans the interface.
    pub(super) fn outline(
        &self,
        network: &Network,
        wish: EndpointRequest,
        others: &[EndpointRecord],
        names: &[String],
    ) -> Result<Outline, JoinError> {
        let sysctls = sysctls(&wish.driver_opts).map_err(|e| JoinError::Option(Box::new(e)))?;
        check_link_local(&wish)?;
        let (v4, v6) = (network.lease_v4(&wish)?, network.lease_v6(&wish)?);
        let (lease4, v4) = v4.map_or((None, None), |(lease, v4)| (Some(lease), Some(v4)));
        let (lease6, v6) = v6.map_or((None, None), |(lease, v6)| (Some(lease), Some(v6)));
        let interface = match wish.interface {
            Some(name) => checked_interface(name, others)?,
            None => free_interface(network.interface_prefix(), names)?,
        };
        let derived = v4
            .map(|v4| MacAddr::for_address(v4.address))
            .or_else(|| v6.map(|v6| MacAddr::for_address6(v6.address)));
        let wiring = Wiring {
            interface: interface.clone(),
            upper: self.upper(network)?,
            mac: wish.mac.or(derived),
            mtu: network.mtu(),
            v4: v4.and_then(|v4| v4.cidr()),
            v6: v6.and_then(|v6| v6.cidr()),
            link_local: wish.link_local,
            sysctls,
        };
        let record = EndpointRecord {
            id: String::new(),
            network: network.record.id.clone(),
            network_name: network.record.name.clone(),
            interface,
            host_interface: String::new(),
            mac: String::new(),
            v4,
            v6,
            gw_priority: wish.gw_priority,
            is_gateway: false,
            aliases: wish.aliases,
            links: wish.links,
        };
        Ok(Outline { record, v4: lease4, v6: lease6, wiring })
    }

    pub(super) fn place(&self, network: &Arc<Network>) -> Result<Membership, JoinError> {
        network.enter().ok_or_else(|| JoinError::Removed(network.record.name.clone()))
    }

    /// What an interface of a network hangs on; made again if it could not be had before.
    pub(super) fn upper(&self, network: &Network) -> Result<Upper, JoinError> {
        let mut link = lock(&network.link);
        if link.is_none() {
            let mut socket = lock(&self.management);
            let made = crate::network::link::make(
                &mut socket,
                &self.owner,
                &network.record,
                &network.options,
            );
            *link = made.map_err(|source| JoinError::NetworkDown {
                network: network.record.name.clone(),
                source: Box::new(source),
            })?;
        }
        match (&*link, &network.options) {
            (Some(Link::Bridge(index)), LinkOptions::Bridge(options)) => {
                Ok(Upper::Bridge { index: *index, flags: bridge::port_flags(options.icc) })
            }
            (Some(Link::Macvlan(parent)), LinkOptions::Macvlan(options)) => {
                Ok(Upper::Macvlan { parent: *parent, mode: options.mode })
            }
            _ => Err(JoinError::NoEndpoints(network.record.name.clone())),
        }
    }

    /// Defaults for ports of an endpoint on a network with this binding.
    pub(super) fn port_defaults(&self, binding: Option<std::net::IpAddr>) -> PortDefaults {
        PortDefaults {
            host_ip: binding.unwrap_or(self.config.default_host_ip),
            ephemeral: self.config.ephemeral_ports.clone(),
        }
    }

    /// Puts a new sandbox into the table, publishes its ports and tells its names.
    async fn enrol(inner: &Arc<Inner>, sandbox: &Arc<LiveSandbox>) -> Result<Sandbox, JoinError> {
        let (id, redirects) = {
            let live = lock(&sandbox.live);
            let redirects = match live.record.wanted_ports.is_empty() {
                true => Vec::new(),
                false => live.redirects(&live.outlets()),
            };
            (live.record.container_id.clone(), redirects)
        };
        {
            let mut sandboxes = lock(&inner.sandboxes);
            if sandboxes.contains_key(&id) {
                return Err(JoinError::SandboxExists(id));
            }
            sandboxes.insert(id.clone(), Arc::clone(sandbox));
        }
        let published = match redirects.is_empty() {
            true => Ok(()),
            false => Inner::publish(inner, &id, redirects).await,
        };
        let served = match published {
            Ok(()) => inner.serve_names(sandbox).await,
            Err(error) => Err(error),
        };
        if let Err(error) = served {
            if let Err(error) = Inner::leave(inner, &id).await {
                tracing::warn!(id, ?error, "a failed join could not be undone");
            }
            return Err(error);
        }
        let record = lock(&sandbox.live).record.clone();
        tracing::debug!(container = id, endpoints = record.endpoints.len(), "joined");
        let sysfs = lock(&sandbox.sysfs).take().map(Arc::new);
        Ok(Sandbox { record, netns: Arc::clone(&sandbox.netns), sysfs })
    }
}

/// The record of a sandbox without endpoints.
pub(super) fn record_of(request: JoinRequest) -> SandboxRecord {
    SandboxRecord {
        container_id: request.container_id,
        names: request.names,
        endpoints: Vec::new(),
        ports: Vec::new(),
        wanted_ports: request.ports,
        dns_servers: request.dns_servers,
        dns: None,
    }
}

pub(super) fn note_wired(endpoint: &mut EndpointRecord, wired: Wired) {
    endpoint.host_interface = wired.host_interface;
    endpoint.mac = wired.mac.to_string();
}

pub(super) fn endpoint_id() -> Result<String, JoinError> {
    random_hex(32).map_err(|source| JoinError::Namespace { step: "drawing an endpoint id", source })
}

pub(super) fn check_mac(mac: Option<MacAddr>) -> Result<(), JoinError> {
    match mac.filter(|mac| !mac.is_unicast()) {
        Some(mac) => Err(JoinError::Mac(mac)),
        None => Ok(()),
    }
}

fn check_link_local(wish: &EndpointRequest) -> Result<(), JoinError> {
    let is_link_local = |address: &std::net::IpAddr| match address {
        std::net::IpAddr::V4(address) => address.is_link_local(),
        std::net::IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    match wish.link_local.iter().find(|address| !is_link_local(address)) {
        Some(wrong) => Err(JoinError::LinkLocal(*wrong)),
        None => Ok(()),
    }
}

fn checked_interface(name: String, others: &[EndpointRecord]) -> Result<String, JoinError> {
    let taken = name == "lo" || others.iter().any(|other| other.interface == name);
    match is_interface_name(&name) && !taken {
        true => Ok(name),
        false => Err(JoinError::Interface(name)),
    }
}

/// The prefix with the lowest number that no other interface has.
fn free_interface(prefix: &str, taken: &[String]) -> Result<String, JoinError> {
    let mut names = (0..MAX_INTERFACES).map(|number| format!("{prefix}{number}"));
    names.find(|name| !taken.contains(name)).ok_or_else(|| JoinError::Interface(prefix.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lowest_free_number() {
        for (taken, want) in [
            (&[][..], "eth0"),
            (&["eth0"], "eth1"),
            (&["eth1"], "eth0"),
            (&["eth0", "eth2"], "eth1"),
            (&["net0"], "eth0"),
        ] {
            let taken: Vec<String> = taken.iter().map(|name| (*name).to_owned()).collect();
            assert_eq!(free_interface("eth", &taken).unwrap(), want, "beside {taken:?}");
        }
    }
}
