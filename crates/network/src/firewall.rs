//! The daemon's nftables table.
//!
//! ```text
//! table ip gantry-<bridge>
//!   map published          proto . port           -> container . port     (host address 0.0.0.0)
//!   map published_address  address . proto . port -> container . port     (one host address)
//!   guard        prerouting, raw      what may not come in at all
//!   dnat         prerouting           published ports, from elsewhere
//!   dnat_local   output               published ports, from this host
//!   masquerade   postrouting          containers to the outside; replies that must come back here
//!   forward      forward              into the bridge: answers and published ports only
//! ```
//!
//! A published port is one element of one map, so neither the time to publish nor the time a
//! packet takes depends on how many there are. The rules never change while the daemon runs.
//!
//! Loopback: a connection to a port published on 127.0.0.1 is rewritten to the container and
//! leaves by the bridge with a loopback source, which the kernel allows on interfaces with
//! `route_localnet`. That setting would let others send to loopback too; the guard forbids it.
//!
//! Hooks are left free on purpose: a drop in any base chain of any table is final, so what must
//! be said to a foreign `FORWARD` chain with a policy of drop has to be said there, not here.

use std::net::Ipv4Addr;

use rustix::io::Errno;

use crate::address::Ipv4Cidr;
use crate::error::NetworkError;
use crate::netlink::conntrack;
use crate::netlink::nftables::{
    Base, BaseChain, Conntrack, Expr, Hook, MapElement, MapType, Meta, REG, Transaction, Verdict,
};
use crate::netlink::socket::{Refused, Socket};
use crate::ports::Proto;

/// Longest name of an interface, with its terminating zero.
const IFNAMSIZ: usize = 16;
/// `RTN_LOCAL`: an address of this host.
const ROUTE_LOCAL: u32 = 2;
/// `NF_CT_STATE_BIT` of established and related.
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
/// `IPS_DST_NAT`: the connection's destination was rewritten.
const STATUS_DNAT: u32 = 1 << 5;
/// Offset of the source address in an IPv4 header.
const SOURCE: u32 = 12;
/// Offset of the destination address in an IPv4 header.
const DESTINATION: u32 = 16;

// Numbers of nft's data types; six bits a part in a concatenation.
const TYPE_ADDRESS: u32 = 7;
const TYPE_PROTO: u32 = 12;
const TYPE_PORT: u32 = 13;

const ANY: MapType = MapType {
    name: "published",
    id: 1,
    key_type: (TYPE_PROTO << 6) | TYPE_PORT,
    key_len: 8,
    data_type: (TYPE_ADDRESS << 6) | TYPE_PORT,
    data_len: 8,
};
const ADDRESS: MapType = MapType {
    name: "published_address",
    id: 2,
    key_type: (TYPE_ADDRESS << 12) | (TYPE_PROTO << 6) | TYPE_PORT,
    key_len: 12,
    ..ANY
};

const GUARD: BaseChain =
    BaseChain { name: "guard", kind: "filter", hook: Hook::Prerouting, priority: -300 };
const DNAT: BaseChain =
    BaseChain { name: "dnat", kind: "nat", hook: Hook::Prerouting, priority: -100 };
const DNAT_LOCAL: BaseChain =
    BaseChain { name: "dnat_local", kind: "nat", hook: Hook::Output, priority: -100 };
const MASQUERADE: BaseChain =
    BaseChain { name: "masquerade", kind: "nat", hook: Hook::Postrouting, priority: 100 };
const FORWARD: BaseChain =
    BaseChain { name: "forward", kind: "filter", hook: Hook::Forward, priority: 0 };

/// Where packets to a host port go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Redirect {
    pub(crate) host_ip: Ipv4Addr,
    pub(crate) host_port: u16,
    pub(crate) proto: Proto,
    pub(crate) container: Ipv4Addr,
    pub(crate) container_port: u16,
}

/// What the rules depend on.
#[derive(Debug, Clone)]
pub(crate) struct Policy {
    pub(crate) bridge: String,
    pub(crate) subnet: Ipv4Cidr,
    pub(crate) gateway: Ipv4Addr,
    pub(crate) icc: bool,
    pub(crate) masquerade: bool,
}

/// The table, and the socket to change it by.
#[derive(Debug)]
pub(crate) struct Firewall {
    policy: Policy,
    table: String,
    socket: Socket,
}

impl Firewall {
    /// Sets up the table. Elements of a table that stands are kept: their containers run on.
    pub(crate) fn install(policy: Policy) -> Result<Firewall, NetworkError> {
        let socket = Socket::netfilter().map_err(NetworkError::Socket)?;
        let table = format!("gantry-{}", policy.bridge);
        let mut firewall = Firewall { policy, table, socket };
        firewall.set_rules(None).map_err(|refused| firewall.error(refused))?;
        Ok(firewall)
    }

    /// Publishes ports, all or none. `all` is every redirect there is, to make the table anew
    /// from if somebody flushed it.
    pub(crate) fn publish(
        &mut self,
        new: &[Redirect],
        all: impl FnOnce() -> Vec<Redirect>,
    ) -> Result<(), Refused> {
        let mut transaction = Transaction::new(&self.table);
        for (map, elements) in by_map(new) {
            transaction.add_elements(map.name, &elements);
        }
        match transaction.commit(&mut self.socket) {
            Err(refused) if refused.is(Errno::NOENT) || refused.is(Errno::EXIST) => {
                self.set_rules(Some(&all()))?;
            }
            other => other?,
        }
        // A flow of UDP that began before would go on past the new rule.
        let udp = new.iter().filter(|redirect| redirect.proto == Proto::Udp);
        let udp = udp.map(|redirect| redirect.host_port).collect();
        if let Err(refused) = conntrack::forget_ports(&mut self.socket, Proto::Udp.number(), &udp) {
            tracing::debug!(?refused, "older flows to published ports stay");
        }
        Ok(())
    }

    /// Withdraws ports, and forgets the connections to `container`.
    pub(crate) fn withdraw(
        &mut self,
        container: Ipv4Addr,
        old: &[Redirect],
        rest: impl FnOnce() -> Vec<Redirect>,
    ) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(&self.table);
        for (map, elements) in by_map(old) {
            transaction.delete_elements(map.name, &elements);
        }
        match transaction.commit(&mut self.socket) {
            Err(refused) if refused.is(Errno::NOENT) => {
                self.set_rules(Some(&rest())).map_err(|refused| self.error(refused))?;
            }
            other => other.map_err(|refused| self.error(refused))?,
        }
        if let Err(refused) = conntrack::forget_container(&mut self.socket, container) {
            tracing::debug!(?refused, %container, "connections of a released address stay");
        }
        Ok(())
    }

    /// Makes the published ports exactly `all`.
    pub(crate) fn replace(&mut self, all: &[Redirect]) -> Result<(), NetworkError> {
        self.set_rules(Some(all)).map_err(|refused| self.error(refused))
    }

    /// Deletes the table; that it is not there is no error.
    pub(crate) fn remove(&mut self) -> Result<(), NetworkError> {
        let mut transaction = Transaction::new(&self.table);
        transaction.delete_table();
        match transaction.commit(&mut self.socket) {
            Err(refused) if !refused.is(Errno::NOENT) => Err(self.error(refused)),
            _ => Ok(()),
        }
    }

    fn error(&self, Refused { step, source }: Refused) -> NetworkError {
        NetworkError::Firewall { step, table: self.table.clone(), source }
    }

    /// Writes all rules; replaces all elements by `elements` if given.
    ///
    /// A table of another version of this program may have maps or chains of other types. Only
    /// then it is replaced as a whole, still in one step.
    fn set_rules(&mut self, elements: Option<&[Redirect]>) -> Result<(), Refused> {
        match self.write(elements, false) {
            Err(refused) if refused.is(Errno::EXIST) || refused.is(Errno::OPNOTSUPP) => {
                tracing::warn!(table = self.table, step = refused.step, "replacing the table");
                self.write(elements, true)
            }
            other => other,
        }
    }

    fn write(&mut self, elements: Option<&[Redirect]>, anew: bool) -> Result<(), Refused> {
        let mut transaction = Transaction::new(&self.table);
        transaction.add_table();
        if anew {
            transaction.delete_table();
            transaction.add_table();
        }
        transaction.flush_rules();
        for map in [&ANY, &ADDRESS] {
            transaction.add_map(map);
        }
        for chain in [&GUARD, &DNAT, &DNAT_LOCAL, &MASQUERADE, &FORWARD] {
            transaction.add_chain(chain);
        }
        for (chain, rule) in rules(&self.policy) {
            transaction.add_rule(chain.name, &rule);
        }
        if let Some(elements) = elements {
            for map in [&ANY, &ADDRESS] {
                transaction.flush_map(map.name);
            }
            for (map, elements) in by_map(elements) {
                transaction.add_elements(map.name, &elements);
            }
        }
        transaction.commit(&mut self.socket)
    }
}

/// Every rule with its chain, in order.
fn rules(policy: &Policy) -> Vec<(&'static BaseChain, Vec<Expr>)> {
    let mut rules = Vec::new();
    let mut add = |chain, parts: &[&[Expr]]| rules.push((chain, parts.concat()));
    let bridge = policy.bridge.as_str();
    let (subnet, loopback) = (policy.subnet.network(), LOOPBACK);
    let (drop, accept) = ([Expr::Verdict(Verdict::Drop)], [Expr::Verdict(Verdict::Accept)]);
    let (incoming, outgoing) = (Meta::IncomingName, Meta::OutgoingName);

    // Nobody but this host talks to its loopback addresses, whatever `route_localnet` says.
    add(&GUARD, &[&interface(incoming, false, "lo"), &within(DESTINATION, true, loopback), &drop]);
    // Container addresses are of no use elsewhere: what is published is sent to the host's.
    // The gateway is exempt, as the address by which containers of other bridges reach the host.
    add(
        &GUARD,
        &[
            &interface(incoming, false, bridge),
            &interface(incoming, false, "lo"),
            &within(DESTINATION, true, subnet),
            &address(DESTINATION, false, policy.gateway),
            &drop,
        ],
    );
    for chain in [&DNAT, &DNAT_LOCAL] {
        add(chain, &[&to_this_host(), &key(true), &redirect(&ADDRESS)]);
        add(chain, &[&to_this_host(), &key(false), &redirect(&ANY)]);
    }
    // A loopback source means nothing to the container.
    add(
        &MASQUERADE,
        &[&interface(outgoing, true, bridge), &within(SOURCE, true, loopback), &[Expr::Masquerade]],
    );
    // A container that comes to a neighbour, or to itself, by a published port: the answer must
    // come back here to be rewritten, and not go straight over the bridge.
    add(
        &MASQUERADE,
        &[
            &interface(outgoing, true, bridge),
            &within(SOURCE, true, subnet),
            &redirected(),
            &[Expr::Masquerade],
        ],
    );
    if policy.masquerade {
        add(
            &MASQUERADE,
            &[
                &interface(outgoing, false, bridge),
                &within(SOURCE, true, subnet),
                &[Expr::Masquerade],
            ],
        );
    }
    let into_bridge = interface(outgoing, true, bridge);
    add(&FORWARD, &[&into_bridge, &answers(), &accept]);
    add(&FORWARD, &[&into_bridge, &redirected(), &accept]);
    if policy.icc {
        add(&FORWARD, &[&into_bridge, &interface(incoming, true, bridge), &accept]);
    }
    add(&FORWARD, &[&into_bridge, &drop]);
    rules
}

const LOOPBACK: Ipv4Cidr = match Ipv4Cidr::new(Ipv4Addr::new(127, 0, 0, 0), 8) {
    Some(loopback) => loopback,
    None => unreachable!(),
};

/// The packet came or goes by this interface, or by another.
fn interface(key: Meta, equal: bool, name: &str) -> [Expr; 2] {
    let mut value = name.as_bytes().to_vec();
    value.resize(IFNAMSIZ, 0);
    [Expr::Meta { key, register: REG }, Expr::Compare { equal, value }]
}

/// The address at `offset` belongs to the prefix, or does not.
fn within(offset: u32, equal: bool, prefix: Ipv4Cidr) -> [Expr; 3] {
    [
        Expr::Payload { base: Base::Network, offset, len: 4, register: REG },
        Expr::Mask { mask: prefix.mask().to_be_bytes().to_vec() },
        Expr::Compare { equal, value: prefix.first().octets().to_vec() },
    ]
}

fn address(offset: u32, equal: bool, address: Ipv4Addr) -> [Expr; 2] {
    [
        Expr::Payload { base: Base::Network, offset, len: 4, register: REG },
        Expr::Compare { equal, value: address.octets().to_vec() },
    ]
}

fn to_this_host() -> [Expr; 2] {
    let value = ROUTE_LOCAL.to_ne_bytes().to_vec();
    [Expr::DestinationType, Expr::Compare { equal: true, value }]
}

fn any_bit(key: Conntrack, bits: u32) -> [Expr; 3] {
    let mask = bits.to_ne_bytes().to_vec();
    [
        Expr::Conntrack { key },
        Expr::Mask { mask },
        Expr::Compare { equal: false, value: vec![0; 4] },
    ]
}

fn answers() -> [Expr; 3] {
    any_bit(Conntrack::State, ESTABLISHED_OR_RELATED)
}

fn redirected() -> [Expr; 3] {
    any_bit(Conntrack::Status, STATUS_DNAT)
}

/// Loads the key of [`ADDRESS`] or, without the address, of [`ANY`].
fn key(with_address: bool) -> Vec<Expr> {
    let mut exprs = Vec::new();
    let mut register = REG;
    if with_address {
        exprs.push(Expr::Payload { base: Base::Network, offset: DESTINATION, len: 4, register });
        register += 1;
    }
    exprs.push(Expr::Meta { key: Meta::Protocol, register });
    // TCP, UDP and SCTP all have the destination port here; no other protocol is in the maps.
    let port = Expr::Payload { base: Base::Transport, offset: 2, len: 2, register: register + 1 };
    exprs.push(port);
    exprs
}

fn redirect(map: &MapType) -> [Expr; 2] {
    [Expr::MapLookup { map: map.name }, Expr::DestinationNat]
}

/// The redirects as elements of the two maps.
fn by_map(redirects: &[Redirect]) -> [(&'static MapType, Vec<MapElement>); 2] {
    let (any, one): (Vec<_>, Vec<_>) =
        redirects.iter().partition(|redirect| redirect.host_ip.is_unspecified());
    [
        (&ANY, any.into_iter().map(element).collect()),
        (&ADDRESS, one.into_iter().map(element).collect()),
    ]
}

/// Each part of a key or value begins on four bytes.
fn element(redirect: &Redirect) -> MapElement {
    let port = |port: u16| [port.to_be_bytes(), [0; 2]].concat();
    let mut key = Vec::with_capacity(12);
    if !redirect.host_ip.is_unspecified() {
        key.extend(redirect.host_ip.octets());
    }
    key.extend([redirect.proto.number(), 0, 0, 0]);
    key.extend(port(redirect.host_port));
    let data = [redirect.container.octets().to_vec(), port(redirect.container_port)].concat();
    MapElement { key, data }
}
