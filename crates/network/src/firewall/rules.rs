//! The constant part of the table: its sets, chains and rules.
//!
//! Nothing here depends on which networks or ports there are; they are elements.

use super::FirewallOptions;
use super::family::{Family, V4, V6};
use crate::netlink::expr::{Base, Conntrack, Expr, Meta, REG, Verdict};
use crate::netlink::nftables::{BaseChain, DataType, Hook, SetType};

/// Longest name of an interface, with its terminating zero.
pub(super) const IFNAMSIZ: usize = 16;
/// `RTN_LOCAL`, `RTN_BROADCAST`, `RTN_MULTICAST`: kinds of routes.
const ROUTE_LOCAL: u32 = 2;
const ROUTE_BROADCAST: u32 = 3;
const ROUTE_MULTICAST: u32 = 5;
/// `NF_CT_STATE_BIT` of established and related.
const ESTABLISHED_OR_RELATED: u32 = 2 | 4;
/// `IPS_DST_NAT`: the connection's destination was rewritten.
const STATUS_DNAT: u32 = 1 << 5;
/// Protocol numbers of ICMP.
const ICMP: [u8; 2] = [1, 58];

// Numbers of nft's data types; six bits a part in a concatenation.
const TYPE_PROTO: u32 = 12;
const TYPE_PORT: u32 = 13;
const TYPE_INTERFACE: u32 = 41;
const INTERFACE_LEN: u32 = 16;

const fn by_interface(name: &'static str, data: DataType) -> SetType {
    SetType {
        name,
        key_type: TYPE_INTERFACE,
        key_len: INTERFACE_LEN,
        data,
        key_in_host_order: true,
        interval: false,
    }
}

/// Our bridges.
pub(super) const BRIDGES: SetType = by_interface("bridges", DataType::Nothing);
/// Those whose packets go nowhere else.
pub(super) const INTERNAL: SetType = by_interface("internal", DataType::Nothing);
/// What an internal bridge's packets to this host come to.
pub(super) const TO_HOST: SetType = by_interface("to_host", DataType::Verdict);
/// From a bridge to itself, by both names.
pub(super) const WITHIN: SetType = SetType {
    name: "within",
    key_type: (TYPE_INTERFACE << 6) | TYPE_INTERFACE,
    key_len: 2 * INTERFACE_LEN,
    data: DataType::Verdict,
    key_in_host_order: false,
    interval: false,
};

/// From an interface of the host to a bridge that trusts it, by both names.
pub(super) const TRUSTED: SetType = SetType { name: "trusted", data: DataType::Nothing, ..WITHIN };

/// The sets that there are for each family.
#[derive(Debug)]
pub(super) struct FamilySets {
    /// What may go into a bridge from elsewhere.
    pub(super) into: SetType,
    /// Subnets that nobody but their bridge and this host sends to.
    pub(super) guarded: SetType,
    /// The bridges' own addresses.
    pub(super) gateways: SetType,
    /// Subnets whose members come to published ports by this host.
    pub(super) containers: SetType,
    /// Subnets that leave with the outgoing interface's address.
    pub(super) masqueraded: SetType,
    /// Subnets that leave with a certain address.
    pub(super) sources: SetType,
    /// Published ports: protocol and port to address and port.
    pub(super) published: SetType,
    /// The same for one host address.
    pub(super) published_address: SetType,
    /// Ports that are open at the container's own address, of routed networks and for trusted
    /// interfaces: address, protocol, port.
    pub(super) opened: SetType,
}

const fn family_sets(names: [&'static str; 9], address: u32, len: u32) -> FamilySets {
    const fn subnets(name: &'static str, address: u32, len: u32, data: DataType) -> SetType {
        let key_in_host_order = false;
        SetType { name, key_type: address, key_len: len, data, key_in_host_order, interval: true }
    }
    let nothing = DataType::Nothing;
    let target = DataType::Value { kind: (address << 6) | TYPE_PORT, len: len + 4 };
    let with_address = SetType {
        name: names[7],
        key_type: (address << 12) | (TYPE_PROTO << 6) | TYPE_PORT,
        key_len: len + 8,
        data: target,
        key_in_host_order: false,
        interval: false,
    };
    FamilySets {
        into: by_interface(names[0], DataType::Verdict),
        guarded: subnets(names[1], address, len, nothing),
        gateways: SetType { interval: false, ..subnets(names[2], address, len, nothing) },
        containers: subnets(names[3], address, len, nothing),
        masqueraded: subnets(names[4], address, len, nothing),
        sources: subnets(names[5], address, len, DataType::Value { kind: address, len }),
        published: SetType {
            name: names[6],
            key_type: (TYPE_PROTO << 6) | TYPE_PORT,
            key_len: 8,
            ..with_address
        },
        published_address: with_address,
        opened: SetType { name: names[8], data: nothing, ..with_address },
    }
}

/// The sets of IPv4; 7 is nft's number for its addresses.
pub(super) static SETS_V4: FamilySets = family_sets(
    [
        "into4",
        "guarded4",
        "gateways4",
        "containers4",
        "masqueraded4",
        "sources4",
        "published4",
        "published4_address",
        "opened4",
    ],
    7,
    4,
);
/// The sets of IPv6; 8 is nft's number for its addresses.
pub(super) static SETS_V6: FamilySets = family_sets(
    [
        "into6",
        "guarded6",
        "gateways6",
        "containers6",
        "masqueraded6",
        "sources6",
        "published6",
        "published6_address",
        "opened6",
    ],
    8,
    16,
);

/// Every set of the table.
pub(super) fn sets() -> impl Iterator<Item = &'static SetType> {
    let of_family = |sets: &'static FamilySets| {
        [
            &sets.into,
            &sets.guarded,
            &sets.gateways,
            &sets.containers,
            &sets.masqueraded,
            &sets.sources,
            &sets.published,
            &sets.published_address,
            &sets.opened,
        ]
    };
    static COMMON: [SetType; 5] = [BRIDGES, INTERNAL, TO_HOST, WITHIN, TRUSTED];
    COMMON.iter().chain(of_family(&SETS_V4)).chain(of_family(&SETS_V6))
}

pub(super) const BASE_CHAINS: [BaseChain; 6] = [
    BaseChain { name: "guard", kind: "filter", hook: Hook::Prerouting, priority: -300 },
    BaseChain { name: "dnat", kind: "nat", hook: Hook::Prerouting, priority: -100 },
    BaseChain { name: "dnat_local", kind: "nat", hook: Hook::Output, priority: -100 },
    BaseChain { name: "input", kind: "filter", hook: Hook::Input, priority: 0 },
    BaseChain { name: "forward", kind: "filter", hook: Hook::Forward, priority: 0 },
    BaseChain { name: "masquerade", kind: "nat", hook: Hook::Postrouting, priority: 100 },
];

pub(super) const ONLY_PUBLISHED: &str = "only_published";
pub(super) const NOT_FROM_NETWORKS: &str = "not_from_networks";
pub(super) const ONLY_OPENED: &str = "only_opened";
pub(super) const ONLY_THE_BRIDGE: &str = "only_the_bridge";
const GUARDED: &str = "guarded";
const REDIRECT: &str = "redirect";
const TO_BRIDGE: &str = "to_bridge";

/// Chains that are jumped to.
pub(super) const CHAINS: [&str; 7] =
    [GUARDED, REDIRECT, TO_BRIDGE, ONLY_PUBLISHED, NOT_FROM_NETWORKS, ONLY_OPENED, ONLY_THE_BRIDGE];

/// A rule and its chain.
pub(super) type Rule = (&'static str, Vec<Expr>);

/// Every rule of the table, in order.
pub(super) fn rules(options: &FirewallOptions) -> Vec<Rule> {
    let mut rules = Vec::new();
    guard(&mut rules);
    translation(&mut rules, options);
    input(&mut rules);
    forward(&mut rules);
    masquerade(&mut rules);
    rules
}

fn add(rules: &mut Vec<Rule>, chain: &'static str, parts: &[&[Expr]]) {
    rules.push((chain, parts.concat()));
}

const DROP: [Expr; 1] = [Expr::Verdict(Verdict::Drop)];
const ACCEPT: [Expr; 1] = [Expr::Verdict(Verdict::Accept)];

fn goto(chain: &'static str) -> [Expr; 1] {
    [Expr::Verdict(Verdict::Goto(chain))]
}

fn jump(chain: &'static str) -> [Expr; 1] {
    [Expr::Verdict(Verdict::Jump(chain))]
}

/// What may not come in at all, before anything else looks at it.
fn guard(rules: &mut Vec<Rule>) {
    let chain = "guard";
    // What this host says to itself.
    add(rules, chain, &[&named(Meta::IncomingName, "lo"), &ACCEPT]);
    // Nobody else talks to its loopback addresses, or pretends to be one, whatever
    // `route_localnet` says.
    for offset in [V4.destination, V4.source] {
        add(rules, chain, &[&loopback_v4(offset), &DROP]);
    }
    for offset in [V6.destination, V6.source] {
        add(rules, chain, &[&loopback_v6(offset), &DROP]);
    }
    for family in [&V4, &V6] {
        let guarded = family.address_in(family.destination, &family.sets.guarded);
        add(rules, chain, &[&guarded, &goto(GUARDED)]);
    }
    // Container addresses are of no use elsewhere: what is published is sent to the host's.
    // Other networks of ours are dealt with where packets are forwarded.
    add(rules, GUARDED, &[&interface_in(Meta::IncomingName, &BRIDGES), &ACCEPT]);
    // A gateway is exempt, as the address by which containers of others reach the host.
    for family in [&V4, &V6] {
        let gateway = family.address_in(family.destination, &family.sets.gateways);
        add(rules, GUARDED, &[&gateway, &ACCEPT]);
    }
    let to_truster = [
        Expr::Meta { key: Meta::IncomingName, register: REG },
        Expr::DestinationInterface { register: REG + INTERFACE_LEN / 4 },
        Expr::Lookup { set: TRUSTED.name },
    ];
    add(rules, GUARDED, &[&to_truster, &ACCEPT]);
    add(rules, GUARDED, &[&DROP]);
}

/// From published ports to containers.
fn translation(rules: &mut Vec<Rule>, options: &FirewallOptions) {
    let from = match options.host_policy {
        // Others' packets go on to the host's own rules, and then to the relay.
        true => interface_in(Meta::IncomingName, &BRIDGES),
        false => Vec::new(),
    };
    add(rules, "dnat", &[&from, &to_local(false, ROUTE_LOCAL), &jump(REDIRECT)]);
    // The kernel would not let packets of the IPv6 loopback out: the relay takes them.
    add(rules, "dnat_local", &[&loopback_v6(V6.destination), &ACCEPT]);
    add(rules, "dnat_local", &[&to_local(false, ROUTE_LOCAL), &jump(REDIRECT)]);
    for family in [&V4, &V6] {
        let nat = [Expr::DestinationNat { family: family.number }];
        for (map, with_address) in
            [(&family.sets.published_address, true), (&family.sets.published, false)]
        {
            let lookup = [Expr::MapLookup { map: map.name }];
            let key = family.target_key(with_address);
            add(rules, REDIRECT, &[&family.is(), &key, &lookup, &nat]);
        }
    }
}

/// From internal networks to this host: to the bridge's addresses only, or to none.
fn input(rules: &mut Vec<Rule>) {
    add(rules, "input", &[&verdict_by(Meta::IncomingName, &TO_HOST)]);
    for kind in [ROUTE_LOCAL, ROUTE_BROADCAST, ROUTE_MULTICAST] {
        add(rules, ONLY_THE_BRIDGE, &[&to_local(true, kind), &ACCEPT]);
    }
    add(rules, ONLY_THE_BRIDGE, &[&DROP]);
}

fn forward(rules: &mut Vec<Rule>) {
    let (chain, redirected) = ("forward", any_bit(Conntrack::Status, STATUS_DNAT));
    let answers = any_bit(Conntrack::State, ESTABLISHED_OR_RELATED);
    add(rules, chain, &[&answers, &ACCEPT]);
    let both = [
        Expr::Meta { key: Meta::IncomingName, register: REG },
        Expr::Meta { key: Meta::OutgoingName, register: REG + INTERFACE_LEN / 4 },
    ];
    add(rules, chain, &[&both, &[Expr::VerdictLookup { map: WITHIN.name }]]);
    add(rules, chain, &[&interface_in(Meta::IncomingName, &INTERNAL), &DROP]);
    for family in [&V4, &V6] {
        let trusted = [Expr::Lookup { set: TRUSTED.name }];
        let opened = [Expr::Lookup { set: family.sets.opened.name }];
        let key = family.target_key(true);
        add(rules, chain, &[&family.is(), &both, &trusted, &key, &opened, &ACCEPT]);
    }
    for family in [&V4, &V6] {
        let into = verdict_by(Meta::OutgoingName, &family.sets.into);
        add(rules, chain, &[&family.is(), &into]);
    }
    let from_networks = interface_in(Meta::IncomingName, &BRIDGES);
    add(rules, ONLY_PUBLISHED, &[&redirected, &ACCEPT]);
    add(rules, ONLY_PUBLISHED, &[&DROP]);

    add(rules, NOT_FROM_NETWORKS, &[&redirected, &ACCEPT]);
    add(rules, NOT_FROM_NETWORKS, &[&from_networks, &DROP]);
    add(rules, NOT_FROM_NETWORKS, &[&ACCEPT]);

    for family in [&V4, &V6] {
        let opened = [Expr::Lookup { set: family.sets.opened.name }];
        add(rules, ONLY_OPENED, &[&family.is(), &family.target_key(true), &opened, &ACCEPT]);
    }
    add(rules, ONLY_OPENED, &[&from_networks, &DROP]);
    for number in ICMP {
        let icmp = [
            Expr::Meta { key: Meta::Protocol, register: REG },
            Expr::Compare { equal: true, value: vec![number] },
        ];
        add(rules, ONLY_OPENED, &[&icmp, &ACCEPT]);
    }
    add(rules, ONLY_OPENED, &[&DROP]);
}

fn masquerade(rules: &mut Vec<Rule>) {
    let chain = "masquerade";
    add(rules, chain, &[&interface_in(Meta::OutgoingName, &BRIDGES), &goto(TO_BRIDGE)]);
    for family in [&V4, &V6] {
        let lookup = [
            Expr::MapLookup { map: family.sets.sources.name },
            Expr::SourceNat { family: family.number },
        ];
        add(rules, chain, &[&family.is(), &family.load(family.source), &lookup]);
        let masqueraded = family.address_in(family.source, &family.sets.masqueraded);
        add(rules, chain, &[&masqueraded, &[Expr::Masquerade]]);
    }
    // A loopback source means nothing to the container.
    add(rules, TO_BRIDGE, &[&loopback_v4(V4.source), &[Expr::Masquerade]]);
    // A container that comes to a neighbour, or to itself, by a published port: the answer must
    // come back here to be rewritten, and not go straight over the bridge.
    let redirected = any_bit(Conntrack::Status, STATUS_DNAT);
    for family in [&V4, &V6] {
        let container = family.address_in(family.source, &family.sets.containers);
        add(rules, TO_BRIDGE, &[&redirected, &container, &[Expr::Masquerade]]);
    }
}

/// The packet came or goes by the interface of this name.
fn named(key: Meta, name: &str) -> [Expr; 2] {
    let value = interface_key(name);
    [Expr::Meta { key, register: REG }, Expr::Compare { equal: true, value }]
}

/// An interface's name as a key.
pub(super) fn interface_key(name: &str) -> Vec<u8> {
    let mut key = name.as_bytes().to_vec();
    key.resize(IFNAMSIZ, 0);
    key
}

fn interface_in(key: Meta, set: &SetType) -> Vec<Expr> {
    vec![Expr::Meta { key, register: REG }, Expr::Lookup { set: set.name }]
}

fn verdict_by(key: Meta, map: &SetType) -> [Expr; 2] {
    [Expr::Meta { key, register: REG }, Expr::VerdictLookup { map: map.name }]
}

/// The address at `offset` is in 127.0.0.0/8.
fn loopback_v4(offset: u32) -> Vec<Expr> {
    let mut exprs = V4.is().to_vec();
    exprs.extend([
        Expr::Payload { base: Base::Network, offset, len: 1, register: REG },
        Expr::Compare { equal: true, value: vec![127] },
    ]);
    exprs
}

/// The address at `offset` is ::1.
fn loopback_v6(offset: u32) -> Vec<Expr> {
    let value = std::net::Ipv6Addr::LOCALHOST.octets().to_vec();
    let mut exprs = V6.is().to_vec();
    exprs.extend(V6.load(offset));
    exprs.push(Expr::Compare { equal: true, value });
    exprs
}

/// The destination has this kind of route, on any interface or on the incoming one.
fn to_local(incoming: bool, kind: u32) -> [Expr; 2] {
    let value = kind.to_ne_bytes().to_vec();
    [Expr::DestinationType { incoming }, Expr::Compare { equal: true, value }]
}

fn any_bit(key: Conntrack, bits: u32) -> [Expr; 3] {
    let mask = bits.to_ne_bytes().to_vec();
    [
        Expr::Conntrack { key },
        Expr::Mask { mask },
        Expr::Compare { equal: false, value: vec![0; 4] },
    ]
}

impl Family {
    /// The packet is of this family.
    fn is(&self) -> [Expr; 2] {
        let value = vec![self.number];
        let meta = Expr::Meta { key: Meta::Family, register: REG };
        [meta, Expr::Compare { equal: true, value }]
    }

    fn load(&self, offset: u32) -> [Expr; 1] {
        [Expr::Payload { base: Base::Network, offset, len: self.len, register: REG }]
    }

    fn address_in(&self, offset: u32, set: &SetType) -> Vec<Expr> {
        [&self.is()[..], &self.load(offset), &[Expr::Lookup { set: set.name }]].concat()
    }

    /// Loads destination address, if wanted, protocol and destination port.
    fn target_key(&self, with_address: bool) -> Vec<Expr> {
        let mut exprs = Vec::new();
        let mut register = REG;
        if with_address {
            exprs.extend(self.load(self.destination));
            register += self.len / 4;
        }
        exprs.push(Expr::Meta { key: Meta::Protocol, register });
        // TCP, UDP and SCTP all have the destination port here; no other protocol is in the sets.
        let (base, register) = (Base::Transport, register + 1);
        exprs.push(Expr::Payload { base, offset: 2, len: 2, register });
        exprs
    }
}
