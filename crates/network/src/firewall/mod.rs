//! The daemon's nftables table, for all its networks.
//!
//! ```text
//! table inet gantry-<default bridge>
//!   guard        prerouting, raw   what may not come in at all: container addresses, loopback
//!   dnat         prerouting        published ports, from elsewhere    -> redirect
//!   dnat_local   output            published ports, from this host    -> redirect
//!   input        input             internal networks reach their bridge alone
//!   forward      forward           answers; within a bridge; into a bridge by its mode
//!   masquerade   postrouting       containers to the outside; replies that must come back here
//!
//!   bridges, internal, to_host, within      by interface: a network is an element or two
//!   trusted                                 interfaces of the host and bridges that trust them
//!   into4/6                                 by interface: only_published, only_opened, ...
//!   guarded4/6, containers4/6, masqueraded4/6, sources4/6   subnets
//!   gateways4/6                             the bridges' addresses
//!   published4/6, published4/6_address      proto . port, and with one host address before it
//!   opened4/6                               without translation: address . proto . port
//! ```
//!
//! The rules never change ([`rules`]); a network is some dozen elements, a published port is one
//! ([`model`]). So neither a change nor a packet costs more as they become many, and one
//! transaction publishes all ports of a container.
//!
//! ```text
//! install ──> add_network*, adopt* ──> settle ──> publish / withdraw / add ... ──> remove
//!             (the model alone)        (the kernel has what the model says, and only that)
//! ```
//!
//! A restarted daemon leaves what stands as it is until `settle`, which replaces the table in one
//! transaction: no packet ever finds half of it. The model can be written anew at any time, so a
//! table that somebody flushed comes back by itself ([`guard`]).
//!
//! Loopback: an IPv4 connection to a port published on 127.0.0.1 is rewritten to the container
//! and leaves by the bridge with a loopback source, which the kernel allows on interfaces with
//! `route_localnet`. That setting would let others send to loopback too; the guard chain forbids
//! it. IPv6 has no such setting, nor does nftables turn IPv6 into IPv4: the [`relay`] does both.
//!
//! A drop in any base chain of any table is final. What must be said to another table's forward
//! chain is said there ([`foreign`]).
//!
//! With `"published-ports": "host-policy"` packets from other hosts are not rewritten: they go
//! through the host's own input rules to the socket that holds the port, as for any server of
//! the host, and the relay takes them from there (`docs/adr/0005`).

mod explain;
mod family;
mod foreign;
mod guard;
mod model;
mod relay;
mod report;
mod rules;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::net::IpAddr;

use rustix::io::Errno;
use tokio::io::Interest;
use tokio::sync::oneshot;

pub use explain::{Origin, Reach, ReachQuery};
pub(crate) use guard::guard;
use guard::{Damage, Watch};
use model::Model;
pub(crate) use model::{GatewayMode, NetworkRules, Redirect, SubnetRules};
use relay::{Relay, on_reactor};
pub use report::{ForeignChain, Report};

use crate::error::NetworkError;
use crate::netlink::conntrack;
use crate::netlink::expr::{FAMILY_INET, FAMILY_IPV4, FAMILY_IPV6};
use crate::netlink::nftables::{Element, SetType, Transaction};
use crate::netlink::ruleset;
use crate::netlink::socket::{Refused, Socket};
use crate::ports::Proto;
use model::{Placed, network_elements};

/// What holds for the whole daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirewallOptions {
    /// Published ports obey the host's own input rules (`"published-ports": "host-policy"`).
    pub(crate) host_policy: bool,
    /// Put accept rules into other tables' forward chains that would drop our packets.
    pub(crate) foreign_accepts: bool,
}

impl Default for FirewallOptions {
    fn default() -> FirewallOptions {
        FirewallOptions { host_policy: false, foreign_accepts: true }
    }
}

/// The table, the model it is written from, and the socket to change it by.
#[derive(Debug)]
pub(crate) struct Firewall {
    table: String,
    options: FirewallOptions,
    socket: Socket,
    model: Model,
    /// Relays by endpoint; they end when they are dropped.
    relays: HashMap<String, Vec<Relay>>,
    settled: bool,
    /// Ends the guard when the firewall is dropped.
    watched: Option<oneshot::Sender<()>>,
}

impl Firewall {
    /// Takes over the table, without touching what stands: containers of an earlier daemon run
    /// on with it. [`Firewall::settle`] makes it ours.
    ///
    /// Must be called in the network namespace of the bridges.
    pub(crate) fn install(
        table: String,
        options: FirewallOptions,
    ) -> Result<Firewall, NetworkError> {
        let socket = Socket::netfilter().map_err(NetworkError::Socket)?;
        Ok(Firewall {
            table,
            options,
            socket,
            model: Model::default(),
            relays: HashMap::new(),
            settled: false,
            watched: None,
        })
    }

    /// Adds a network, or replaces what is known of it. Before `settle` the kernel is not told.
    pub(crate) fn add_network(&mut self, rules: NetworkRules) -> Result<(), NetworkError> {
        let id = rules.id.clone();
        let elements = network_elements(&rules);
        let before = self.model.networks.insert(id.clone(), rules);
        if !self.settled {
            return Ok(());
        }
        let written = match &before {
            Some(before) if Some(before) == self.model.networks.get(&id) => Ok(()),
            Some(_) => self.write(),
            None => self.change(|transaction| add_placed(transaction, &elements)),
        };
        if let Err(refused) = written {
            match before {
                Some(before) => self.model.networks.insert(id, before),
                None => self.model.networks.remove(&id),
            };
            return Err(self.error(refused));
        }
        self.sync_foreign();
        Ok(())
    }

    /// Removes a network; that it is not there is no error.
    pub(crate) fn remove_network(&mut self, id: &str) -> Result<(), NetworkError> {
        let Some(rules) = self.model.networks.remove(id) else {
            return Ok(());
        };
        if !self.settled {
            return Ok(());
        }
        let elements = network_elements(&rules);
        let written = self.change(|transaction| delete_placed(transaction, &elements));
        if let Err(refused) = written {
            self.model.networks.insert(id.to_owned(), rules);
            return Err(self.error(refused));
        }
        self.sync_foreign();
        Ok(())
    }

    /// Publishes ports of an endpoint besides those it has, all or none. Settles if nobody did.
    pub(crate) fn publish(&mut self, endpoint: &str, new: &[Redirect]) -> Result<(), Refused> {
        let relays = self.start_relays(new).map_err(|source| Refused { step: "relay", source })?;
        let held = self.model.endpoints.entry(endpoint.to_owned()).or_default();
        let before = held.len();
        held.extend(new.iter().cloned());
        let placed = self.placed(new);
        let published = if self.settled {
            self.change(|transaction| add_placed(transaction, &placed))
        } else {
            self.write()
        };
        if let Err(refused) = published {
            self.truncate(endpoint, before);
            return Err(refused);
        }
        if !relays.is_empty() {
            self.relays.entry(endpoint.to_owned()).or_default().extend(relays);
        }
        self.forget_flows(new);
        Ok(())
    }

    /// Enters ports that were published before a restart of the daemon into the model alone;
    /// the rules for them stand, and `settle` sees to it. Their relays begin at once.
    pub(crate) fn adopt(&mut self, endpoint: &str, standing: &[Redirect]) {
        match self.start_relays(standing) {
            Ok(relays) if relays.is_empty() => {}
            Ok(relays) => self.relays.entry(endpoint.to_owned()).or_default().extend(relays),
            Err(error) => tracing::warn!(%error, endpoint, "ports are not relayed"),
        }
        let held = self.model.endpoints.entry(endpoint.to_owned()).or_default();
        held.extend(standing.iter().cloned());
    }

    /// Withdraws all ports of an endpoint, and forgets the connections to its addresses. If it
    /// fails, the ports stand.
    pub(crate) fn withdraw(
        &mut self,
        endpoint: &str,
        addresses: &[IpAddr],
    ) -> Result<(), NetworkError> {
        if let Some(old) = self.model.endpoints.remove(endpoint) {
            let placed = self.placed(&old);
            if self.settled
                && let Err(refused) = self.change(|transaction| delete_placed(transaction, &placed))
            {
                self.model.endpoints.insert(endpoint.to_owned(), old);
                return Err(self.error(refused));
            }
        }
        self.relays.remove(endpoint);
        for address in addresses {
            if let Err(refused) = conntrack::forget_container(&mut self.socket, *address) {
                tracing::debug!(?refused, %address, "connections of a released address stay");
            }
        }
        Ok(())
    }

    /// Makes the kernel's rules exactly what is known here, and those of other tables let them
    /// pass.
    pub(crate) fn settle(&mut self) -> Result<(), NetworkError> {
        self.write().map_err(|refused| self.error(refused))?;
        self.sync_foreign();
        Ok(())
    }

    /// Deletes the table and what was put into others; that it is not there is no error.
    pub(crate) fn remove(&mut self) -> Result<(), NetworkError> {
        self.watched = None;
        self.relays.clear();
        self.model = Model::default();
        self.settled = false;
        let mut transaction = Transaction::new(FAMILY_INET, &self.table);
        transaction.add_table();
        transaction.delete_table();
        transaction.delete_namesake(FAMILY_IPV4);
        let deleted = transaction.commit(&mut self.socket);
        let foreign = foreign::sync(&mut self.socket, &self.table, &[]);
        deleted.and(foreign.map(drop)).map_err(|refused| self.error(refused))
    }

    /// Begins to watch what others do to the rules.
    fn watch(&mut self) -> io::Result<Watch> {
        let (watched, end) = oneshot::channel();
        let own = self.socket.port()?;
        let changes = on_reactor(Socket::nftables_changes()?, Interest::READABLE)?;
        self.watched = Some(watched);
        let damaged = self.settled && !self.is_whole();
        Ok(Watch { changes, own, table: self.table.clone(), damaged, end })
    }

    /// Puts right what somebody changed.
    fn heal(&mut self, damage: Damage) -> Result<(), NetworkError> {
        if !self.settled {
            return Ok(());
        }
        if damage.ours {
            tracing::warn!(table = self.table, "somebody changed the table: it is written anew");
            self.write().map_err(|refused| self.error(refused))?;
        }
        self.sync_foreign();
        Ok(())
    }

    /// From where a container's port can be reached, and by which rule.
    pub(crate) fn explain(&self, query: &ReachQuery) -> Vec<Reach> {
        explain::explain(&self.model, self.options.host_policy, query)
    }

    /// What the doctor says.
    pub(crate) fn report(&mut self) -> Report {
        let whole = self.is_whole();
        let networks = self.foreign_networks();
        let wanted = self.options.foreign_accepts;
        let foreign = foreign::look(&mut self.socket, &self.table, &networks, wanted);
        report::report(report::Seen {
            table: &self.table,
            whole,
            foreign,
            ipv6: networks.iter().any(|bridge| bridge.v6),
            bridges: networks.into_iter().filter(|b| b.v4).map(|b| b.name).collect(),
        })
    }

    /// Whether the kernel has every rule of ours. Elements are not compared.
    fn is_whole(&mut self) -> bool {
        let want = rules::rules(&self.options).len();
        let has = ruleset::count_rules(&mut self.socket, FAMILY_INET, &self.table);
        has.is_ok_and(|has| has == want)
    }

    fn error(&self, Refused { step, source }: Refused) -> NetworkError {
        NetworkError::Firewall { step, table: self.table.clone(), source }
    }

    fn truncate(&mut self, endpoint: &str, len: usize) {
        if let Some(held) = self.model.endpoints.get_mut(endpoint) {
            held.truncate(len);
            if held.is_empty() {
                self.model.endpoints.remove(endpoint);
            }
        }
    }

    fn placed(&self, redirects: &[Redirect]) -> Vec<Placed> {
        self.model.redirect_elements(redirects)
    }

    /// Changes elements. If they are not what they should be, as after a flush, all is written.
    fn change(&mut self, fill: impl FnOnce(&mut Transaction<'_>)) -> Result<(), Refused> {
        let mut transaction = Transaction::new(FAMILY_INET, &self.table);
        fill(&mut transaction);
        match transaction.commit(&mut self.socket) {
            Err(refused) if refused.is(Errno::NOENT) || refused.is(Errno::EXIST) => {
                tracing::warn!(table = self.table, step = refused.step, "writing the table anew");
                self.write()
            }
            other => other,
        }
    }

    /// Writes everything: the old table goes and the new one comes in one step.
    ///
    /// Earlier versions had a table of the same name for IPv4 alone; it goes with it.
    fn write(&mut self) -> Result<(), Refused> {
        let mut transaction = Transaction::new(FAMILY_INET, &self.table);
        transaction.add_table();
        transaction.delete_table();
        transaction.delete_namesake(FAMILY_IPV4);
        transaction.add_table();
        for set in rules::sets() {
            transaction.add_set(set);
        }
        for chain in &rules::BASE_CHAINS {
            transaction.add_base_chain(chain);
        }
        for chain in rules::CHAINS {
            transaction.add_chain(chain);
        }
        add_placed(&mut transaction, &self.model.elements());
        for (chain, rule) in rules::rules(&self.options) {
            transaction.add_rule(chain, &rule);
        }
        transaction.commit(&mut self.socket)?;
        self.settled = true;
        Ok(())
    }

    /// A flow of UDP that began before would go on past the new rule.
    fn forget_flows(&mut self, new: &[Redirect]) {
        for family in [FAMILY_IPV4, FAMILY_IPV6] {
            let udp = new.iter().filter(|redirect| {
                redirect.proto == Proto::Udp
                    && family::Family::of(redirect.host_ip).number == family
            });
            let ports: BTreeSet<u16> = udp.map(|redirect| redirect.host_port).collect();
            let proto = Proto::Udp.number();
            let forgotten = conntrack::forget_ports(&mut self.socket, family, proto, &ports);
            if let Err(refused) = forgotten {
                tracing::debug!(?refused, "older flows to published ports stay");
            }
        }
    }

    fn start_relays(&self, redirects: &[Redirect]) -> io::Result<Vec<Relay>> {
        let host_policy = self.options.host_policy;
        let wanted = redirects.iter().filter(|r| self.model.needs_relay(r, host_policy));
        wanted.filter_map(|redirect| Relay::start(redirect).transpose()).collect()
    }

    /// Says to other tables' forward chains that our packets shall pass. That it cannot be said
    /// is a matter for the doctor: what is between this host and its containers works.
    fn sync_foreign(&mut self) {
        if !self.options.foreign_accepts {
            return;
        }
        let networks = self.foreign_networks();
        if let Err(refused) = foreign::sync(&mut self.socket, &self.table, &networks) {
            tracing::warn!(?refused, "forward chains of others may drop containers' packets");
        }
    }

    fn foreign_networks(&self) -> Vec<foreign::Bridge> {
        let networks = self.model.networks.values();
        let bridge = |network: &NetworkRules| foreign::Bridge {
            name: network.interface.clone(),
            v4: network.v4.is_some(),
            v6: network.v6.is_some(),
        };
        networks.map(bridge).collect()
    }
}

fn add_placed(transaction: &mut Transaction<'_>, placed: &[Placed]) {
    for (set, elements) in by_set(placed) {
        transaction.add_elements(set, &elements);
    }
}

fn delete_placed(transaction: &mut Transaction<'_>, placed: &[Placed]) {
    for (set, elements) in by_set(placed) {
        transaction.delete_elements(set, &elements);
    }
}

/// The elements of each set together: a message each.
fn by_set(placed: &[(&'static SetType, Element)]) -> BTreeMap<&'static str, Vec<Element>> {
    let mut sets: BTreeMap<&'static str, Vec<Element>> = BTreeMap::new();
    for (set, element) in placed {
        sets.entry(set.name).or_default().push(element.clone());
    }
    sets
}
