//! What to answer: pure, from the table of names and the asker's place in it.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use super::names::{Family, Group, Names, Network, Table, key};
use super::wire::{self, CLASS_IN, Query, Rcode, TYPE_A, TYPE_AAAA, TYPE_MX, TYPE_PTR, Wrong};

/// A sandbox's view of the world.
#[derive(Debug, Default)]
pub(super) struct View {
    /// Ids of its networks; the first that has a name answers for it.
    pub(super) networks: Vec<String>,
    /// Names that it alone has for others.
    pub(super) links: HashMap<Box<[u8]>, Box<[u8]>>,
    /// Whether nothing leaves by it.
    pub(super) internal: bool,
    /// Its own servers; none for the host's.
    pub(super) servers: Arc<[SocketAddr]>,
}

impl View {
    /// Whether the world ends at the table. A sandbox with no way out must not have one by the
    /// host's servers; its own servers it asks from inside, where it gets no further than itself.
    fn is_closed(&self) -> bool {
        self.internal && self.servers.is_empty()
    }

    pub(super) fn link_table(links: &[(String, String)]) -> HashMap<Box<[u8]>, Box<[u8]>> {
        links.iter().filter_map(|(alias, name)| Some((key(alias)?, key(name)?))).collect()
    }
}

/// What becomes of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The answer is written.
    Reply,
    /// Not ours: ask others.
    Forward,
    /// No answer at all.
    Silence,
}

/// How an answer travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

impl Transport {
    pub(super) fn limit(self, query: &Query<'_>) -> usize {
        match self {
            Transport::Udp => query.udp_limit(),
            Transport::Tcp => wire::MAX_TCP_LEN,
        }
    }
}

/// Answers a message from the table, or says what else to do with it.
pub(super) fn answer(
    message: &[u8],
    transport: Transport,
    (view, names): (&View, &Names),
    out: &mut Vec<u8>,
) -> Outcome {
    let query = match Query::parse(message) {
        Ok(query) => query,
        Err(Wrong::Ignore) => return Outcome::Silence,
        Err(Wrong::Answer(rcode)) => {
            wire::reply_wrong(message, rcode, out);
            return Outcome::Reply;
        }
    };
    let asker = Asker { view, table: &names.read() };
    let limit = transport.limit(&query);
    if query.class == CLASS_IN && asker.answer(&query, limit, out) {
        return Outcome::Reply;
    }
    if !view.is_closed() {
        return Outcome::Forward;
    }
    let exists = asker.find(&query, None).is_some();
    query.reply(if exists { Rcode::NoError } else { Rcode::NxDomain }, out);
    Outcome::Reply
}

struct Asker<'a> {
    view: &'a View,
    table: &'a Table,
}

impl<'a> Asker<'a> {
    /// Answers what the table knows; false if it does not.
    fn answer(&self, query: &Query<'_>, limit: usize, out: &mut Vec<u8>) -> bool {
        let family = match query.kind {
            TYPE_A => Some(Family::V4),
            TYPE_AAAA => Some(Family::V6),
            // That a name is ours and receives no mail is an answer; of other types we know
            // nothing, and somebody else may: Docker forwards them.
            TYPE_MX => None,
            TYPE_PTR => return self.reverse(query, limit, out),
            _ => return false,
        };
        let Some(group) = self.find(query, family) else { return false };
        match family {
            Some(family) => query.reply_addresses(group.addresses(family), limit, out),
            None => query.reply(Rcode::NoError, out),
        }
        true
    }

    fn reverse(&self, query: &Query<'_>, limit: usize, out: &mut Vec<u8>) -> bool {
        let address = query.name.dotted().and_then(wire::reverse_address);
        let Some(address) = address else { return false };
        let found = self.networks().find_map(|network| network.reverse(address));
        let Some(name) = found else { return false };
        query.reply_pointer(&name, limit, out);
        true
    }

    /// Who is meant: `name` on any network of the asker's, or `name.network`.
    ///
    /// Both parts may have dots, so every split is tried, the longest name first.
    fn find(&self, query: &Query<'_>, family: Option<Family>) -> Option<&'a Group> {
        let full = query.name.dotted().filter(|name| !name.is_empty())?;
        let anywhere = self.find_on(self.networks(), full, family);
        if anywhere.is_some() {
            return anywhere;
        }
        let dots = full.iter().enumerate().rev().filter(|(_, byte)| **byte == b'.');
        let mut splits = dots.map(|(at, _)| (&full[..at], &full[at + 1..]));
        splits.find_map(|(name, network_name)| {
            let called = self.networks().filter(|network| network.is_called(network_name));
            self.find_on(called, name, family)
        })
    }

    /// A link of the asker's own comes before what others are called.
    fn find_on(
        &self,
        networks: impl Iterator<Item = &'a Network> + Clone,
        name: &[u8],
        family: Option<Family>,
    ) -> Option<&'a Group> {
        let linked = self.view.links.get(name);
        let linked = linked.and_then(|target| first(networks.clone(), target, family));
        linked.or_else(|| first(networks, name, family))
    }

    fn networks(&self) -> impl Iterator<Item = &'a Network> + Clone {
        let table = self.table;
        let view = self.view;
        view.networks.iter().filter_map(move |id| table.network(id))
    }
}

/// The first network's endpoints of a name, or better, those of the first where the name has an
/// address of the family that is asked for.
fn first<'a>(
    networks: impl Iterator<Item = &'a Network>,
    name: &[u8],
    family: Option<Family>,
) -> Option<&'a Group> {
    let mut known = None;
    for group in networks.filter_map(|network| network.find(name)) {
        if family.is_none_or(|family| group.has(family)) {
            return Some(group);
        }
        known = known.or(Some(group));
    }
    known
}
