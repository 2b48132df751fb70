//! The table of names: who is called what on which network.
//!
//! The table is told on join and leave, and asks nobody. A question costs one look-up a network
//! that the asker is on; adding an endpoint costs one insertion a name of it, however many
//! endpoints the network has.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use super::wire;

/// An endpoint and what it is called.
#[derive(Debug, Clone, Copy)]
pub struct NamedEndpoint<'a> {
    /// Id of the network.
    pub network: &'a str,
    /// Name of the network: `web.NETWORK` is a name of `web` too.
    pub network_name: &'a str,
    /// Id of the endpoint.
    pub endpoint: &'a str,
    /// Name of the container, which a reverse look-up gives.
    pub container_name: &'a str,
    /// All names on this network: the container's, aliases, its short id, its host name.
    pub names: &'a [String],
    /// Its IPv4 address.
    pub v4: Option<Ipv4Addr>,
    /// Its IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

/// The names of all networks of a daemon; clones are the same table.
#[derive(Debug, Clone, Default)]
pub struct Names(Arc<RwLock<Table>>);

impl Names {
    /// An empty table.
    #[must_use]
    pub fn new() -> Names {
        Names::default()
    }

    /// Adds an endpoint, or replaces what was said of it before: one step for who asks.
    pub fn add(&self, endpoint: NamedEndpoint<'_>) {
        self.write().add(endpoint);
    }

    /// Forgets an endpoint, and the network with its last one.
    pub fn remove(&self, network: &str, endpoint: &str) {
        self.write().remove(network, endpoint);
    }

    pub(super) fn read(&self) -> RwLockReadGuard<'_, Table> {
        // No step of a change leaves the table half-made, so a panic elsewhere does no harm.
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Table> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Networks by id.
#[derive(Debug, Default)]
pub(super) struct Table {
    networks: HashMap<String, Network>,
}

impl Table {
    pub(super) fn network(&self, id: &str) -> Option<&Network> {
        self.networks.get(id)
    }

    fn add(&mut self, new: NamedEndpoint<'_>) {
        self.remove(new.network, new.endpoint);
        let network = self.networks.entry(new.network.to_owned()).or_default();
        new.network_name.clone_into(&mut network.name);
        let id: Arc<str> = new.endpoint.into();
        let mut names: Vec<Box<[u8]>> = new.names.iter().filter_map(|name| key(name)).collect();
        names.sort_unstable();
        names.dedup();
        let (v4, v6) = (new.v4, new.v6);
        for name in &names {
            let member = Member { endpoint: Arc::clone(&id), v4, v6 };
            network.groups.entry(name.clone()).or_default().members.push(member);
        }
        let container_name = new.container_name.into();
        network.endpoints.insert(Arc::clone(&id), Entry { names, v4, v6, container_name });
        for address in addresses(v4, v6) {
            network.by_address.insert(address, Arc::clone(&id));
        }
    }

    fn remove(&mut self, network_id: &str, endpoint: &str) {
        let Some(network) = self.networks.get_mut(network_id) else { return };
        let Some(entry) = network.endpoints.remove(endpoint) else { return };
        for name in &entry.names {
            if let Some(group) = network.groups.get_mut(name) {
                group.members.retain(|member| &*member.endpoint != endpoint);
                if group.members.is_empty() {
                    network.groups.remove(name);
                }
            }
        }
        for address in addresses(entry.v4, entry.v6) {
            // The address may have gone to another endpoint, told before this one was removed.
            if network.by_address.get(&address).is_some_and(|id| &**id == endpoint) {
                network.by_address.remove(&address);
            }
        }
        if network.endpoints.is_empty() {
            self.networks.remove(network_id);
        }
    }
}

/// One network's names.
#[derive(Debug, Default)]
pub(super) struct Network {
    name: String,
    endpoints: HashMap<Arc<str>, Entry>,
    groups: HashMap<Box<[u8]>, Group>,
    by_address: HashMap<IpAddr, Arc<str>>,
}

impl Network {
    pub(super) fn is_called(&self, name: &[u8]) -> bool {
        self.name.as_bytes().eq_ignore_ascii_case(name)
    }

    /// Who has this name, in lower case.
    pub(super) fn find(&self, name: &[u8]) -> Option<&Group> {
        self.groups.get(name)
    }

    /// The full name of the container that has an address, in wire form.
    pub(super) fn reverse(&self, address: IpAddr) -> Option<Vec<u8>> {
        let entry = self.endpoints.get(self.by_address.get(&address)?)?;
        wire::encode_name(&format!("{}.{}", entry.container_name, self.name))
    }
}

#[derive(Debug)]
struct Entry {
    names: Vec<Box<[u8]>>,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
    container_name: Box<str>,
}

#[derive(Debug)]
struct Member {
    endpoint: Arc<str>,
    v4: Option<Ipv4Addr>,
    v6: Option<Ipv6Addr>,
}

impl Member {
    fn address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.v4.map(IpAddr::V4),
            Family::V6 => self.v6.map(IpAddr::V6),
        }
    }
}

/// Address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4 = 0,
    V6 = 1,
}

/// The endpoints behind one name.
#[derive(Debug, Default)]
pub(super) struct Group {
    members: Vec<Member>,
    /// Which one comes first next time. A resolver asks for both families in turn, so each
    /// counts by itself: with one count, two endpoints would never change places.
    turns: [AtomicUsize; 2],
}

impl Group {
    /// Whether any endpoint has an address of a family.
    pub(super) fn has(&self, family: Family) -> bool {
        self.members.iter().any(|member| member.address(family).is_some())
    }

    /// All addresses of a family; the next time another comes first.
    pub(super) fn addresses(&self, family: Family) -> impl Iterator<Item = IpAddr> + '_ {
        let first = match self.members.len() {
            0 | 1 => 0,
            len => self.turns[family as usize].fetch_add(1, Ordering::Relaxed) % len,
        };
        let (before, after) = self.members.split_at(first);
        after.iter().chain(before).filter_map(move |member| member.address(family))
    }
}

/// A name as it is looked up; `None` if it is none.
pub(super) fn key(name: &str) -> Option<Box<[u8]>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    (!name.is_empty()).then(|| name.to_ascii_lowercase().into_bytes().into())
}

fn addresses(v4: Option<Ipv4Addr>, v6: Option<Ipv6Addr>) -> impl Iterator<Item = IpAddr> {
    v4.map(IpAddr::V4).into_iter().chain(v6.map(IpAddr::V6))
}
