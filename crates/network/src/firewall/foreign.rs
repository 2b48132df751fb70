//! Other tables' forward chains.
//!
//! A packet passes the forward chains of every table, and a drop in one of them is final. A
//! dockerd, ufw or firewalld on the same host sets such a chain to drop what it does not know,
//! and so drops ours. We put two rules for each bridge at the head of such a chain, that accept
//! what comes from it and what goes to it. To accept there means to go on to the next table:
//! what may pass is still decided by ours.
//!
//! ```text
//! ip filter FORWARD, ip6 filter FORWARD    the tables of iptables-nft: rules in the very form
//!                                          that it makes itself, or it would call the table
//!                                          incompatible; the comment is an xt match
//! any other of ip, ip6, inet               rules of nft, with its comment
//! ```
//!
//! A rule is known to be ours by its comment: our table's name and the bridge. It is put back
//! when a reload took it, moved up when others were put before it, and deleted with its network,
//! or when the chain drops no more.
//!
//! What cannot be done from here is left to the doctor: tables of legacy iptables, chains of
//! bridge frames, and chains that drop in the middle of their rules.

use std::io;

use super::report::ForeignChain;
use crate::netlink::expr::{Expr, FAMILY_INET, FAMILY_IPV4, FAMILY_IPV6, Meta, REG, Verdict};
use crate::netlink::nftables::{Hook, Transaction};
use crate::netlink::ruleset::{self, ChainSeen, RuleSeen};
use crate::netlink::socket::{Refused, Socket};

use super::rules::interface_key;

/// The kernel's number for bridge frames.
const FAMILY_BRIDGE: u8 = 7;

/// A bridge of ours, and which packets it carries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bridge {
    pub(super) name: String,
    pub(super) v4: bool,
    pub(super) v6: bool,
}

/// One accept rule: the bridge, and which way.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Accept<'a> {
    bridge: &'a str,
    direction: Meta,
}

impl Accept<'_> {
    /// How the rule is known again.
    fn comment(&self, table: &str) -> String {
        let way = if self.direction == Meta::IncomingName { "from" } else { "to" };
        format!("{table}: {way} {}", self.bridge)
    }

    fn exprs(&self, old_style: bool, comment: &str) -> Vec<Expr> {
        let accept = Expr::Verdict(Verdict::Accept);
        if old_style {
            let (key, name) = (self.direction, self.bridge.to_owned());
            let comment = Expr::OldComment(comment.to_owned());
            return vec![Expr::OldInterface { key, name }, comment, Expr::Counter, accept];
        }
        vec![
            Expr::Meta { key: self.direction, register: REG },
            Expr::Compare { equal: true, value: interface_key(self.bridge) },
            Expr::Counter,
            accept,
        ]
    }
}

/// What a chain lacks and what it has too much.
#[derive(Debug, PartialEq, Eq)]
struct Plan<'a> {
    delete: Vec<u64>,
    insert: Vec<Accept<'a>>,
}

/// Makes the rules in all chains of others what they should be; how many chains have some.
pub(super) fn sync(socket: &mut Socket, table: &str, bridges: &[Bridge]) -> Result<usize, Refused> {
    let read = |source| Refused { step: "reading forward chains of others", source };
    let mut first = None;
    let mut served = 0;
    for chain in foreign_chains(socket, table).map_err(read)? {
        let rules = ruleset::rules(socket, &chain).map_err(read)?;
        let wanted = if is_closed(&chain, &rules) { wanted(&chain, bridges) } else { Vec::new() };
        served += usize::from(!wanted.is_empty());
        // A chain that vanished meanwhile is no reason to leave the others as they are.
        if let Err(refused) = apply(socket, table, &chain, plan(table, &rules, wanted)) {
            first.get_or_insert(refused);
        }
    }
    first.map_or(Ok(served), Err)
}

/// The chains that would drop our packets, for the doctor.
pub(super) fn look(
    socket: &mut Socket,
    table: &str,
    bridges: &[Bridge],
    accepts: bool,
) -> Vec<ForeignChain> {
    let hook = Hook::Forward as u32;
    let chains = ruleset::base_chains(socket, hook).unwrap_or_default();
    let mut found = Vec::new();
    for chain in chains.iter().filter(|chain| chain.table != table) {
        let rules = ruleset::rules(socket, chain).unwrap_or_default();
        if !is_closed(chain, &rules) {
            continue;
        }
        let wanted = wanted(chain, bridges);
        let inserted = rules.iter().filter(|rule| is_ours(table, rule)).count();
        let missing = plan(table, &rules, wanted.clone()).insert.len();
        let blocked = match chain.family {
            FAMILY_BRIDGE => Some("it drops frames between the ports of bridges".to_owned()),
            _ if missing > 0 && !accepts => Some("accept rules are switched off".to_owned()),
            _ if missing > 0 => Some(format!("{missing} accept rules are missing")),
            _ => None,
        };
        found.push(ForeignChain {
            family: family_name(chain.family),
            table: chain.table.clone(),
            chain: chain.name.clone(),
            inserted,
            blocked,
        });
    }
    found
}

/// Base chains of forwarding that are not in our table.
fn foreign_chains(socket: &mut Socket, table: &str) -> io::Result<Vec<ChainSeen>> {
    let mut chains = ruleset::base_chains(socket, Hook::Forward as u32)?;
    let ip = |family| matches!(family, FAMILY_IPV4 | FAMILY_IPV6 | FAMILY_INET);
    chains.retain(|chain| ip(chain.family) && chain.table != table);
    Ok(chains)
}

/// Whether what nobody accepts is dropped: by the policy, or by the last rule.
fn is_closed(chain: &ChainSeen, rules: &[RuleSeen]) -> bool {
    chain.drops || rules.last().is_some_and(|rule| rule.drops_all)
}

fn wanted<'a>(chain: &ChainSeen, bridges: &'a [Bridge]) -> Vec<Accept<'a>> {
    let passes = |bridge: &&Bridge| match chain.family {
        FAMILY_IPV4 => bridge.v4,
        FAMILY_IPV6 => bridge.v6,
        FAMILY_INET => true,
        _ => false,
    };
    let both = [Meta::IncomingName, Meta::OutgoingName];
    let accepts = |bridge: &'a Bridge| {
        both.map(|direction| Accept { bridge: bridge.name.as_str(), direction })
    };
    bridges.iter().filter(passes).flat_map(accepts).collect()
}

fn is_ours(table: &str, rule: &RuleSeen) -> bool {
    let comment = rule.comment.as_deref().and_then(|comment| comment.strip_prefix(table));
    comment.is_some_and(|rest| rest.starts_with(": from ") || rest.starts_with(": to "))
}

/// Ours belong at the head: one behind a rule of somebody else's is deleted and inserted again.
fn plan<'a>(table: &str, rules: &[RuleSeen], mut wanted: Vec<Accept<'a>>) -> Plan<'a> {
    let mut delete = Vec::new();
    let mut at_head = true;
    for rule in rules {
        if !is_ours(table, rule) {
            at_head = false;
            continue;
        }
        let same = |accept: &Accept<'_>| Some(accept.comment(table)) == rule.comment;
        match wanted.iter().position(same) {
            Some(at) if at_head => {
                wanted.remove(at);
            }
            _ => delete.push(rule.handle),
        }
    }
    Plan { delete, insert: wanted }
}

fn apply(
    socket: &mut Socket,
    table: &str,
    chain: &ChainSeen,
    plan: Plan<'_>,
) -> Result<(), Refused> {
    let mut transaction = Transaction::new(chain.family, &chain.table);
    for handle in plan.delete {
        transaction.delete_rule(&chain.name, handle);
    }
    let old_style = is_of_iptables(chain);
    for accept in plan.insert.iter().rev() {
        let comment = accept.comment(table);
        let exprs = accept.exprs(old_style, &comment);
        let comment = Some(comment.as_str()).filter(|_| !old_style);
        transaction.insert_rule(&chain.name, &exprs, comment);
    }
    transaction.commit(socket)
}

/// `iptables` and `ip6tables` read their tables back, and understand only what they wrote.
fn is_of_iptables(chain: &ChainSeen) -> bool {
    let tables = ["filter", "mangle", "security"];
    matches!(chain.family, FAMILY_IPV4 | FAMILY_IPV6)
        && tables.contains(&chain.table.as_str())
        && chain.name == "FORWARD"
}

fn family_name(family: u8) -> &'static str {
    match family {
        FAMILY_IPV4 => "ip",
        FAMILY_IPV6 => "ip6",
        FAMILY_INET => "inet",
        FAMILY_BRIDGE => "bridge",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(handle: u64, comment: &str) -> RuleSeen {
        let comment = Some(comment.to_owned()).filter(|text| !text.is_empty());
        RuleSeen { handle, comment, drops_all: false }
    }

    fn bridges(names: &[&str]) -> Vec<Bridge> {
        let bridge = |name: &&str| Bridge { name: (*name).to_owned(), v4: true, v6: false };
        names.iter().map(bridge).collect()
    }

    #[test]
    fn plans() {
        let chain = ChainSeen {
            family: FAMILY_IPV4,
            table: "filter".to_owned(),
            name: "FORWARD".to_owned(),
            hook: 2,
            drops: true,
        };
        let ours = [rule(7, "gantry-t: from a"), rule(8, "gantry-t: to a")];
        let other = rule(9, "somebody's");
        type Case<'a> = (&'a [RuleSeen], &'a [&'a str], &'a [u64], &'a [&'a str]);
        let cases: [Case<'_>; 6] = [
            (&[], &["a"], &[], &["gantry-t: from a", "gantry-t: to a"]),
            (&ours, &["a"], &[], &[]),
            (&[ours[0].clone(), other.clone(), ours[1].clone()], &["a"], &[8], &["gantry-t: to a"]),
            (&ours, &[], &[7, 8], &[]),
            (&ours, &["a", "b"], &[], &["gantry-t: from b", "gantry-t: to b"]),
            // Twice the same: once is enough.
            (&[ours[0].clone(), ours[0].clone(), ours[1].clone()], &["a"], &[7], &[]),
        ];
        for (rules, names, delete, insert) in cases {
            let bridges = bridges(names);
            let plan = plan("gantry-t", rules, wanted(&chain, &bridges));
            let inserted: Vec<String> =
                plan.insert.iter().map(|accept| accept.comment("gantry-t")).collect();
            assert_eq!(
                (plan.delete.as_slice(), inserted),
                (delete, insert.iter().map(ToString::to_string).collect()),
                "{rules:?}"
            );
        }
        let v6 = ChainSeen { family: FAMILY_IPV6, ..chain };
        assert!(wanted(&v6, &bridges(&["a"])).is_empty(), "no IPv6 there");
        // Another daemon's rules, whose table begins as ours does.
        assert!(!is_ours("gantry-t", &rule(1, "gantry-t2: from a")));
    }
}
