//! Reading nftables: which chains and rules there are, and that they change.

use std::io;

use super::expr::XT_COMMENT_LEN;
use super::message::{attribute, attributes, messages};
use super::nftables::SUBSYS;
use super::socket::Socket;

const NEWTABLE: u16 = SUBSYS;
const GETCHAIN: u16 = SUBSYS | 4;
const GETRULE: u16 = SUBSYS | 7;
const DELRULE: u16 = SUBSYS | 8;
const NEWSET: u16 = SUBSYS | 9;
const DELSETELEM: u16 = SUBSYS | 14;
const DELSET: u16 = SUBSYS | 11;
const NEWSETELEM: u16 = SUBSYS | 12;
/// Length of `struct nfgenmsg`.
const HEADER_LEN: usize = 4;

/// A base chain as it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ChainSeen {
    pub(crate) family: u8,
    pub(crate) table: String,
    pub(crate) name: String,
    pub(crate) hook: u32,
    pub(crate) drops: bool,
}

/// A rule as it stands, as far as it is understood here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct RuleSeen {
    pub(crate) handle: u64,
    /// Comment of `iptables` or of `nft`.
    pub(crate) comment: Option<String>,
    /// Whether it drops or rejects every packet that comes to it.
    pub(crate) drops_all: bool,
}

/// What somebody changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// The table named, or something in it.
    Ours,
    /// A table, chain or rule elsewhere.
    Elsewhere,
}

/// All base chains of a hook number in the families of IP.
pub(crate) fn base_chains(socket: &mut Socket, hook: u32) -> io::Result<Vec<ChainSeen>> {
    let mut found = Vec::new();
    socket.dump(GETCHAIN, &[0; HEADER_LEN], |body| {
        found.extend(parse_chain(body).filter(|chain| chain.hook == hook));
    })?;
    Ok(found)
}

/// The rules of one chain, in order.
pub(crate) fn rules(socket: &mut Socket, chain: &ChainSeen) -> io::Result<Vec<RuleSeen>> {
    let mut found = Vec::new();
    socket.dump_with(
        GETRULE,
        |body| {
            body.raw(&[chain.family, 0, 0, 0]).text(1, &chain.table).text(2, &chain.name);
        },
        // Kernels that know no filter give the rules of every chain.
        |body| {
            let attrs = body.get(HEADER_LEN..).unwrap_or(&[]);
            let here = text(attrs, 1) == chain.table && text(attrs, 2) == chain.name;
            if here && body.first() == Some(&chain.family) {
                found.push(parse_rule(attrs));
            }
        },
    )?;
    Ok(found)
}

/// How many rules the table has, in all its chains.
pub(crate) fn count_rules(socket: &mut Socket, family: u8, table: &str) -> io::Result<usize> {
    let mut count = 0;
    socket.dump_with(
        GETRULE,
        |body| {
            body.raw(&[family, 0, 0, 0]).text(1, table);
        },
        |body| {
            let attrs = body.get(HEADER_LEN..).unwrap_or(&[]);
            count += usize::from(text(attrs, 1) == table && body.first() == Some(&family));
        },
    )?;
    Ok(count)
}

/// What a datagram of notifications tells of others' changes; `own` is the port of the socket
/// by which we change things.
pub(crate) fn changes(
    datagram: &[u8],
    own: u32,
    family: u8,
    table: &str,
) -> impl Iterator<Item = Change> {
    messages(datagram).filter_map(move |message| {
        let attrs = message.body.get(HEADER_LEN..)?;
        if message.port == own {
            return None;
        }
        let elements = matches!(message.kind, NEWSET..=DELSET | NEWSETELEM..=DELSETELEM);
        let rules = matches!(message.kind, NEWTABLE..=DELRULE);
        let ours = message.body.first() == Some(&family) && text(attrs, 1) == table;
        match (ours, rules, elements) {
            (true, true, _) | (true, _, true) => Some(Change::Ours),
            (false, true, _) => Some(Change::Elsewhere),
            // A ban list that grows elsewhere is nothing to us.
            _ => None,
        }
    })
}

fn parse_chain(body: &[u8]) -> Option<ChainSeen> {
    let attrs = body.get(HEADER_LEN..)?;
    let hook = attribute(attrs, 4)?;
    Some(ChainSeen {
        family: *body.first()?,
        table: text(attrs, 1),
        name: text(attrs, 3),
        hook: be32(attribute(hook, 1)?)?,
        drops: attribute(attrs, 5).and_then(be32) == Some(0),
    })
}

fn parse_rule(attrs: &[u8]) -> RuleSeen {
    let handle = attribute(attrs, 3).and_then(|value| value.try_into().ok());
    let mut rule = RuleSeen {
        handle: handle.map_or(0, u64::from_be_bytes),
        comment: attribute(attrs, 7).and_then(userdata_comment),
        drops_all: false,
    };
    let mut conditional = false;
    for (_, expr) in attributes(attribute(attrs, 4).unwrap_or(&[])) {
        let data = attribute(expr, 2).unwrap_or(&[]);
        match text(expr, 1).as_str() {
            "counter" | "log" => {}
            "reject" => rule.drops_all = !conditional,
            "immediate" => rule.drops_all = !conditional && verdict(data) == Some(0),
            "match" if text(data, 1) == "comment" => {
                let info = attribute(data, 3).unwrap_or(&[]);
                rule.comment = Some(zero_terminated(info.get(..XT_COMMENT_LEN).unwrap_or(info)));
            }
            "target" => {
                let target = text(data, 1);
                rule.drops_all = !conditional && (target == "REJECT" || target == "DROP");
            }
            _ => conditional = true,
        }
    }
    rule
}

fn verdict(immediate: &[u8]) -> Option<u32> {
    let verdict = attribute(attribute(immediate, 2)?, 2)?;
    be32(attribute(verdict, 1)?)
}

/// Kind, length, value, one after the other.
fn userdata_comment(mut data: &[u8]) -> Option<String> {
    while let [kind, len, rest @ ..] = data {
        let (value, rest) = rest.split_at_checked(usize::from(*len))?;
        if *kind == 0 {
            return Some(zero_terminated(value));
        }
        data = rest;
    }
    None
}

fn text(attrs: &[u8], kind: u16) -> String {
    attribute(attrs, kind).map(zero_terminated).unwrap_or_default()
}

fn zero_terminated(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}

fn be32(value: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(value.try_into().ok()?))
}
