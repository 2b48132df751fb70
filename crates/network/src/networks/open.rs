//! Setting up, taking over and taking down.

use std::net::Ipv6Addr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use gantry_oci::Digest;
use gantry_store::{Durability, Store};
use tokio::sync::Semaphore;

use super::leave::Flows;
use super::table::Table;
use super::{Inner, MAKERS};
use crate::address::{Cidr, Ip};
use crate::bridge;
use crate::config::{BridgeInfo, NetworkConfig};
use crate::dns::{Dns, Names};
use crate::error::NetworkError;
use crate::firewall::{Firewall, FirewallOptions, GatewayMode};
use crate::host::Host;
use crate::ipam::{Holder, lock};
use crate::namespace::Plan;
use crate::netlink::socket::Socket;
use crate::network::Network;
use crate::network::link::{self, Link, Owner};
use crate::network::options::BridgeOptions;
use crate::network::record::{Driver, NetworkRecord, Subnet};
use crate::network::request::LinkOptions;
use crate::network::unlink::Unlinker;
use crate::pool::Pool;

impl Inner {
    pub(super) fn open(config: NetworkConfig, store: Store) -> Result<Inner, NetworkError> {
        let mut host = Socket::route().map_err(NetworkError::Socket)?;
        let records: Vec<(String, NetworkRecord)> = store.list()?;
        let (others, others_v6) =
            (subnets(&records, |record| &record.v4), subnets(&records, |record| &record.v6));
        let bridge = bridge::establish(&mut host, &config, &others, &others_v6)?;
        let table = format!("gantry-{}", bridge.name);
        let owner = Owner { table: table.clone(), ip_forward: config.ip_forward };
        let known = |id: &str| records.iter().any(|(known, _)| known == id);
        if let Err(error) = link::remove_orphans(&mut host, &owner, known) {
            tracing::warn!(?error, "links of an earlier daemon could not be removed");
        }
        let mut firewall = Firewall::install(table, firewall_options(&config))?;
        let default = Arc::new(default_network(&bridge, &config));
        let router = default.record.v4.first().and_then(Subnet::router);
        let router_v6 = default.record.v6.first().and_then(Subnet::router);
        let addresses = default.v4.first().map(Arc::clone).expect("the bridge has a subnet");
        let mut networks = Table::default();
        for (name, driver) in [("host", Driver::Host), ("none", Driver::Null)] {
            networks.insert(Arc::new(built_in(&bridge, name, driver)));
        }
        networks.insert(Arc::clone(&default));
        for (_, record) in records {
            let network = Arc::new(stand_up(&mut host, &owner, record)?);
            networks.insert(network);
        }
        for rules in networks.all().filter_map(|network| network.rules()) {
            firewall.add_network(rules)?;
        }
        let names = Names::new();
        Ok(Inner {
            plan: Plan {
                bridge: bridge.ifindex,
                gateway: router.unwrap_or(bridge.gateway),
                prefix_len: bridge.subnet.prefix_len(),
                v6: router_v6.zip(bridge.v6.map(Cidr::prefix_len)),
                mtu: bridge.mtu,
                port_flags: bridge::port_flags(config.icc),
            },
            dns: Dns::new(names.clone(), config.resolv_conf.clone()),
            names,
            owner,
            default,
            addresses,
            management: Mutex::new(Socket::route().map_err(NetworkError::Socket)?),
            host: Arc::new(Host::open(host).map_err(|error| NetworkError::Host(error.into()))?),
            unlinker: Unlinker::default(),
            networks: Mutex::new(networks),
            ports: Arc::default(),
            firewall: Arc::new(Mutex::new(firewall)),
            sandboxes: Mutex::default(),
            leaving: Mutex::default(),
            flows: Flows::new().map_err(NetworkError::Socket)?,
            pool: Pool::new(config.pool_size),
            makers: Semaphore::new(MAKERS),
            filling: AtomicBool::new(false),
            closed: AtomicBool::new(false),
            bridge,
            store,
            config,
        })
    }

    pub(super) fn destroy(&self) -> Result<(), NetworkError> {
        lock(&self.sandboxes).clear();
        let table = lock(&self.firewall).remove();
        let mut batch = self.store.batch();
        let mut networks = lock(&self.networks);
        for network in networks.all().filter(|network| !network.is_predefined()) {
            batch.delete::<NetworkRecord>(&network.record.id);
        }
        *networks = Table::default();
        drop(networks);
        let records = match batch.is_empty() {
            true => Ok(()),
            false => self.store.commit(batch, Durability::Durable).map_err(NetworkError::from),
        };
        let mut socket = lock(&self.management);
        let links = link::remove_orphans(&mut socket, &self.owner, |_| false);
        let bridge = bridge::remove(&mut socket, &self.config);
        table.and(records).and(links).and(bridge)
    }
}

fn firewall_options(config: &NetworkConfig) -> FirewallOptions {
    FirewallOptions { host_policy: config.host_policy_ports, ..FirewallOptions::default() }
}

fn subnets<A: Ip>(
    records: &[(String, NetworkRecord)],
    of: impl Fn(&NetworkRecord) -> &Vec<Subnet<A>>,
) -> Vec<(Cidr<A>, Holder)> {
    let used = records.iter().map(|(_, record)| record).filter(|record| !record.config_only);
    used.flat_map(|record| {
        let holder = Holder::Network(record.name.clone());
        of(record).iter().map(move |subnet| (subnet.subnet, holder.clone()))
    })
    .collect()
}

/// A recorded network with its link, or without it for the time being.
fn stand_up(
    socket: &mut Socket,
    owner: &Owner,
    record: NetworkRecord,
) -> Result<Network, NetworkError> {
    let unreadable =
        |source| NetworkError::Record { name: record.name.clone(), source: Box::new(source) };
    let options = LinkOptions::of(&record).map_err(unreadable)?;
    let link = link::make(socket, owner, &record, &options).unwrap_or_else(|error| {
        tracing::error!(network = record.name, ?error, "the network could not be set up");
        None
    });
    Ok(Network::new(record, options, link))
}

/// The network of the default bridge, as a network like others.
fn default_network(bridge: &BridgeInfo, config: &NetworkConfig) -> Network {
    let options = [
        ("com.docker.network.bridge.default_bridge", "true".to_owned()),
        ("com.docker.network.bridge.enable_icc", config.icc.to_string()),
        ("com.docker.network.bridge.enable_ip_masquerade", config.ip_masq.to_string()),
        ("com.docker.network.bridge.host_binding_ipv4", config.default_host_ip.to_string()),
        ("com.docker.network.bridge.name", bridge.name.clone()),
        ("com.docker.network.driver.mtu", bridge.mtu.to_string()),
    ];
    let address = Cidr::new(bridge.gateway, bridge.subnet.prefix_len());
    let v4 = address.map(|address| default_subnet(address, config.default_gateway));
    let v6 = bridge.v6.map(|address| default_subnet(address, config.default_gateway_v6));
    let v6: Vec<Subnet<Ipv6Addr>> = v6.into_iter().collect();
    let v4 = v4.map(|subnet| Subnet { range: config.fixed_cidr, ..subnet });
    let record = NetworkRecord {
        options: options.map(|(key, value)| (key.to_owned(), value)).into(),
        enable_ipv6: !v6.is_empty(),
        v4: v4.into_iter().collect(),
        v6,
        ..predefined(bridge.id.clone(), "bridge", Driver::Bridge)
    };
    let options = BridgeOptions {
        name: Some(bridge.name.clone()),
        icc: config.icc,
        masquerade: config.ip_masq,
        host_binding: Some(config.default_host_ip),
        mode_v4: GatewayMode::Nat,
        mode_v6: GatewayMode::Nat,
        trusted: Vec::new(),
        mtu: bridge.mtu,
        host_v4: None,
        host_v6: None,
        prefix: "eth".to_owned(),
        inhibit_v4: false,
    };
    let link = Some(Link::Bridge(bridge.ifindex));
    Network::new(record, LinkOptions::Bridge(options), link)
}

/// The subnet of the default bridge, which has this address, with another router if wanted.
fn default_subnet<A: Ip>(address: Cidr<A>, router: Option<A>) -> Subnet<A> {
    let router = router.map(|router| (Subnet::<A>::ROUTER.to_owned(), router));
    Subnet {
        subnet: address.network(),
        range: None,
        gateway: Some(address.address()),
        gateway_named: true,
        auxiliary: router.into_iter().collect(),
        chosen: false,
    }
}

fn built_in(bridge: &BridgeInfo, name: &str, driver: Driver) -> Network {
    // It follows from the bridge's, so that it stays the same as long as that does.
    let id = Digest::of(format!("{}/{name}", bridge.id).as_bytes()).hex().to_owned();
    Network::new(predefined(id, name, driver), LinkOptions::None, None)
}

fn predefined(id: String, name: &str, driver: Driver) -> NetworkRecord {
    NetworkRecord {
        id,
        name: name.to_owned(),
        created: jiff::Timestamp::now().to_string(),
        driver,
        options: Default::default(),
        labels: Default::default(),
        internal: false,
        attachable: false,
        enable_ipv4: true,
        enable_ipv6: false,
        config_only: false,
        config_from: None,
        ipam_options: None,
        v4: Vec::new(),
        v6: Vec::new(),
    }
}
