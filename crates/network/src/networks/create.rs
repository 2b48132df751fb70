//! Making and removing networks.
//!
//! Making goes from the kernel to the record, removing the other way: whoever is killed between
//! leaves a link without a record, which the next daemon takes away.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use gantry_store::Durability;

use super::Inner;
use crate::address::{Cidr, Ip};
use crate::bridge::{in_words, link_error, prefixes_of_host};
use crate::error::{CreateError, RemoveError};
use crate::firewall::GatewayMode;
use crate::ipam::{AddressPool, Holder, Occupied, first_host, lock, standing_in_the_way};
use crate::namespace::random_hex;
use crate::netlink::socket::Socket;
use crate::network::Network;
use crate::network::info::NetworkInfo;
use crate::network::link::{self, bridge_name};
use crate::network::record::{NetworkRecord, Subnet};
use crate::network::request::{CreateNetwork, LinkOptions};

impl Inner {
    /// Makes a network; its id.
    pub(super) fn create(&self, request: CreateNetwork) -> Result<String, CreateError> {
        let request = request.with_defaults(&self.config.default_options);
        let mut socket = lock(&self.management);
        let config = request.config_from.as_deref().and_then(|name| self.named(name));
        let draft = request.check(config.as_ref().map(|config| &config.record))?;
        let (mut record, options) = (draft.record, draft.link);
        if self.named(&record.name).is_some() {
            return Err(CreateError::NameInUse(record.name));
        }
        record.id = random_hex(32)
            .map_err(|source| link_error(&record.name, "drawing a network id", source))?;
        record.created = jiff::Timestamp::now().to_string();
        self.check_link(&record, &options)?;
        if !record.config_only {
            self.find_subnets(&mut socket, &mut record, &options)?;
        }
        let made = link::make(&mut socket, &self.owner, &record, &options)?;
        let network = Arc::new(Network::new(record, options, made));
        if let Err(error) = self.publish_network(&network) {
            self.take_back(&mut socket, &network);
            return Err(error);
        }
        lock(&self.networks).insert(Arc::clone(&network));
        Ok(network.record.id.clone())
    }

    /// Removes a network; what it was.
    pub(super) fn remove(&self, name: &str) -> Result<NetworkInfo, RemoveError> {
        let mut socket = lock(&self.management);
        let network = Arc::clone(lock(&self.networks).find(name)?);
        let record = &network.record;
        if network.is_predefined() {
            return Err(RemoveError::Predefined(record.name.clone()));
        }
        let depends = |other: &Arc<Network>| {
            record.config_only && other.record.config_from.as_deref() == Some(&record.name)
        };
        if lock(&self.networks).all().any(depends) {
            return Err(RemoveError::ConfigInUse(record.name.clone()));
        }
        if !network.close() {
            return Err(RemoveError::InUse { name: record.name.clone(), id: record.id.clone() });
        }
        self.discard(network.ready.close());
        let mut batch = self.store.batch();
        batch.delete::<NetworkRecord>(&record.id);
        let firewall = lock(&self.firewall).remove_network(&record.id);
        let forgotten = firewall.map_err(RemoveError::from).and_then(|()| {
            // One that comes back after a power cut can be removed again.
            self.store.commit(batch, Durability::Relaxed).map_err(RemoveError::from)
        });
        if let Err(error) = forgotten {
            if let Some(rules) = network.rules()
                && let Err(error) = lock(&self.firewall).add_network(rules)
            {
                tracing::error!(network = record.name, ?error, "rules of a network are missing");
            }
            network.ready.reopen();
            network.reopen();
            return Err(error);
        }
        lock(&self.networks).remove(&record.id);
        link::remove(&mut socket, &self.unlinker, &self.owner, record, &network.options)?;
        Ok(network.info(Vec::new()))
    }

    fn named(&self, name: &str) -> Option<Arc<Network>> {
        lock(&self.networks).by_name(name).map(Arc::clone)
    }

    /// Rules and record of a network whose link is there.
    fn publish_network(&self, network: &Network) -> Result<(), CreateError> {
        if let Some(rules) = network.rules() {
            lock(&self.firewall).add_network(rules)?;
        }
        let mut batch = self.store.batch();
        batch.put(&network.record.id, &network.record);
        Ok(self.store.commit(batch, Durability::Durable)?)
    }

    /// Takes back what there is of a network that failed, which is told instead of what fails here.
    fn take_back(&self, socket: &mut Socket, network: &Network) {
        let id = network.record.id.as_str();
        if let Err(error) = lock(&self.firewall).remove_network(id) {
            tracing::warn!(id, ?error, "rules are left of a network that failed");
        }
        let (record, options) = (&network.record, &network.options);
        let removed = link::remove(socket, &self.unlinker, &self.owner, record, options);
        if let Err(error) = removed {
            tracing::warn!(id, ?error, "a link is left of a network that failed");
        }
    }

    /// Whether another network has the link that is asked for.
    fn check_link(&self, record: &NetworkRecord, options: &LinkOptions) -> Result<(), CreateError> {
        let networks = lock(&self.networks);
        match options {
            LinkOptions::None => Ok(()),
            LinkOptions::Bridge(options) => {
                let name = bridge_name(record, options);
                let same = |other: &Arc<Network>| {
                    other.bridge().is_some_and(|its| bridge_name(&other.record, its) == name)
                };
                match networks.all().any(same) {
                    true => Err(CreateError::InterfaceInUse(name)),
                    false => Ok(()),
                }
            }
            LinkOptions::Macvlan(options) => {
                let Some(parent) = options.parent.as_ref().filter(|_| !record.internal) else {
                    return Ok(());
                };
                let same = |other: &&Arc<Network>| {
                    let its = match &other.options {
                        LinkOptions::Macvlan(its) if !other.record.internal => its.parent.as_ref(),
                        _ => None,
                    };
                    its.is_some_and(|its| its.name == parent.name)
                };
                match networks.all().find(same) {
                    None => Ok(()),
                    Some(other) => Err(CreateError::ParentInUse {
                        network: other.record.name.clone(),
                        parent: parent.name.clone(),
                    }),
                }
            }
        }
    }

    /// Checks the named subnets, chooses those that nobody named, and gives each its gateway.
    fn find_subnets(
        &self,
        socket: &mut Socket,
        record: &mut NetworkRecord,
        options: &LinkOptions,
    ) -> Result<(), CreateError> {
        let is_bridge = matches!(options, LinkOptions::Bridge(_));
        let isolated = |mode| mode == GatewayMode::Isolated;
        let (no_gateway4, no_gateway6) = match options {
            LinkOptions::Bridge(options) => (isolated(options.mode_v4), isolated(options.mode_v6)),
            _ => (false, false),
        };
        let pools = self.config.pools();
        if record.enable_ipv4 {
            let taken = self.taken::<Ipv4Addr>(|network| &network.record.v4);
            let pools = pools.iter().filter_map(|pool| match pool {
                AddressPool::V4 { base, size } => Some((*base, *size)),
                AddressPool::V6 { .. } => None,
            });
            settle(socket, &mut record.v4, taken, pools.collect(), is_bridge)?;
            set_gateways(&mut record.v4, !no_gateway4)?;
        }
        if record.enable_ipv6 {
            let taken = self.taken::<Ipv6Addr>(|network| &network.record.v6);
            let pools = self.config.pools_v6(self.bridge.ula);
            settle(socket, &mut record.v6, taken, pools, is_bridge)?;
            set_gateways(&mut record.v6, !no_gateway6)?;
        }
        Ok(())
    }

    /// The subnets of a family that networks have.
    fn taken<A: Ip>(&self, of: impl Fn(&Network) -> &Vec<Subnet<A>>) -> Vec<(Cidr<A>, Holder)> {
        let networks = lock(&self.networks);
        let used = networks.all().filter(|network| !network.record.config_only);
        used.flat_map(|network| {
            let holder = Holder::Network(network.record.name.clone());
            of(network).iter().map(move |subnet| (subnet.subnet, holder.clone()))
        })
        .collect()
    }
}

/// Checks the named subnets, or chooses one.
fn settle<A: Ip>(
    socket: &mut Socket,
    subnets: &mut Vec<Subnet<A>>,
    taken: Vec<(Cidr<A>, Holder)>,
    pools: Vec<(Cidr<A>, u8)>,
    is_bridge: bool,
) -> Result<(), CreateError> {
    let host = prefixes_of_host::<A>(socket, 0)
        .map_err(|source| link_error("all", "reading routes", source))?;
    if !subnets.is_empty() {
        let networks = Occupied::new(taken);
        for Subnet { subnet, .. } in subnets.iter() {
            // Containers of macvlan are meant to be in a subnet of the host's.
            let host = || is_bridge.then(|| standing_in_the_way(*subnet, &host)).flatten();
            if let Some(obstacle) = networks.obstacle(*subnet).or_else(host) {
                return Err(CreateError::Overlap(Some(in_words(socket, obstacle))));
            }
        }
        return Ok(());
    }
    // Of prefixes that are the same the first counts: our own bridges are no news.
    let host = host.into_iter().map(|(on, prefix)| (prefix, Holder::Interface(on)));
    let subnet =
        Occupied::new(taken.into_iter().chain(host)).choose(pools).map_err(|obstacle| {
            let occupant = obstacle.map(|obstacle| in_words(socket, obstacle));
            CreateError::NoPool { family: A::FAMILY, occupant }
        })?;
    subnets.push(Subnet {
        subnet,
        range: None,
        gateway: None,
        gateway_named: false,
        auxiliary: Default::default(),
        chosen: true,
    });
    Ok(())
}

/// Gives each subnet its gateway: the named one, or the first address that is free.
fn set_gateways<A: Ip>(subnets: &mut [Subnet<A>], wanted: bool) -> Result<(), CreateError> {
    for subnet in subnets {
        let taken = |address: A| subnet.auxiliary.values().any(|aux| *aux == address);
        match subnet.gateway {
            _ if !wanted => subnet.gateway = None,
            Some(gateway) if taken(gateway) => {
                return Err(CreateError::GatewayTaken(gateway.to_string()));
            }
            Some(_) => {}
            None => {
                let first = first_host(subnet.subnet).ok_or(CreateError::NoGateway)?.address();
                let last = subnet.subnet.last().number();
                let mut free = (first.number()..last).map(A::of_number);
                subnet.gateway = free.find(|address| !taken(*address));
                if subnet.gateway.is_none() {
                    return Err(CreateError::NoGateway);
                }
            }
        }
    }
    Ok(())
}
