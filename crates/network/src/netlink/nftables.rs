//! nftables requests: tables, chains, rules, maps (`include/uapi/linux/netfilter/nf_tables.h`).
//!
//! A [`Transaction`] is one batch: the kernel carries out all of it or nothing, and packets see
//! the rules before or after it, never between. All numbers are in network byte order, but for
//! those that are compared with a register that the kernel fills in its own order.

use super::message::{ACK, APPEND, Batch, Body, CREATE};
use super::socket::{Refused, Socket};

const SUBSYS: u16 = 10 << 8;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const NEWTABLE: u16 = SUBSYS;
const DELTABLE: u16 = SUBSYS | 2;
const NEWCHAIN: u16 = SUBSYS | 3;
const NEWRULE: u16 = SUBSYS | 6;
const DELRULE: u16 = SUBSYS | 8;
const NEWSET: u16 = SUBSYS | 9;
const NEWSETELEM: u16 = SUBSYS | 12;
const DELSETELEM: u16 = SUBSYS | 14;

const FAMILY_IPV4: u8 = 2;
const SET_IS_MAP: u32 = 8;
const LIST_ELEM: u16 = 1;
/// Elements of one message: some 56 bytes each, in an attribute of at most 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 1000;
/// No flags.
const QUIET: u16 = 0;

/// The verdict register.
const REG_VERDICT: u32 = 0;
/// The first of the 4-byte registers; a key of several parts fills consecutive ones.
pub(crate) const REG: u32 = 8;

/// A base chain's place in the kernel.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BaseChain {
    pub(crate) name: &'static str,
    /// `filter` or `nat`.
    pub(crate) kind: &'static str,
    pub(crate) hook: Hook,
    pub(crate) priority: i32,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Hook {
    Prerouting = 0,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// A map: its name, the numbers that tell `nft` how to print it, and lengths in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MapType {
    pub(crate) name: &'static str,
    pub(crate) id: u32,
    pub(crate) key_type: u32,
    pub(crate) key_len: u32,
    pub(crate) data_type: u32,
    pub(crate) data_len: u32,
}

/// An element of a map. Deleting needs the key alone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MapElement {
    pub(crate) key: Vec<u8>,
    pub(crate) data: Vec<u8>,
}

/// A condition or an action of a rule.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    /// Loads a property of the packet.
    Meta { key: Meta, register: u32 },
    /// Loads `len` bytes of the network or transport header.
    Payload { base: Base, offset: u32, len: u32, register: u32 },
    /// Loads the type of the route to the destination address, in the host's byte order.
    DestinationType,
    /// Loads the connection's state or status, in the host's byte order.
    Conntrack { key: Conntrack },
    /// Loads a constant.
    Load { value: Vec<u8>, register: u32 },
    /// Keeps only the bits of `mask`.
    Mask { mask: Vec<u8> },
    /// Goes on if the register equals, or does not equal, the value.
    Compare { equal: bool, value: Vec<u8> },
    /// Goes on if the map has the key in the registers, and loads its data over them.
    MapLookup { map: &'static str },
    /// Rewrites the destination to the address and port in the registers.
    DestinationNat,
    /// Rewrites the source to the address of the outgoing interface.
    Masquerade,
    /// Ends the chain.
    Verdict(Verdict),
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Meta {
    IncomingName = 6,
    OutgoingName = 7,
    Protocol = 16,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Base {
    Network = 1,
    Transport = 2,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Conntrack {
    State = 0,
    Status = 2,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Verdict {
    Drop = 0,
    Accept = 1,
}

/// Changes to one table that happen together.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    table: &'a str,
    batch: Batch,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(table: &'a str) -> Transaction<'a> {
        let mut batch = Batch::new();
        batch.push("beginning", BATCH_BEGIN, QUIET, |body| {
            body.raw(&[0, 0, 0, 10]);
        });
        Transaction { table, batch }
    }

    /// Makes the table if it is not there.
    pub(crate) fn add_table(&mut self) {
        self.push("adding the table", NEWTABLE, CREATE, |body, table| {
            body.text(1, table).be32(2, 0);
        });
    }

    /// Deletes the table and all in it.
    pub(crate) fn delete_table(&mut self) {
        self.push("deleting the table", DELTABLE, QUIET, |body, table| {
            body.text(1, table);
        });
    }

    /// Makes a base chain if it is not there.
    pub(crate) fn add_chain(&mut self, chain: &BaseChain) {
        self.push("adding a chain", NEWCHAIN, CREATE, |body, table| {
            body.text(1, table).text(3, chain.name);
            body.nest(4, |body| {
                body.be32(1, chain.hook as u32).be32(2, chain.priority.cast_unsigned());
            });
            body.be32(5, Verdict::Accept as u32).text(7, chain.kind);
        });
    }

    /// Deletes all rules of all chains.
    pub(crate) fn flush_rules(&mut self) {
        self.push("flushing the rules", DELRULE, QUIET, |body, table| {
            body.text(1, table);
        });
    }

    /// Appends a rule.
    pub(crate) fn add_rule(&mut self, chain: &str, rule: &[Expr]) {
        self.push("adding a rule", NEWRULE, CREATE | APPEND, |body, table| {
            body.text(1, table).text(2, chain).nest(4, |body| {
                for expr in rule {
                    body.nest(LIST_ELEM, |body| write_expr(body, expr));
                }
            });
        });
    }

    /// Makes a map if it is not there.
    pub(crate) fn add_map(&mut self, map: &MapType) {
        self.push("adding a map", NEWSET, CREATE, |body, table| {
            body.text(1, table)
                .text(2, map.name)
                .be32(3, SET_IS_MAP)
                .be32(4, map.key_type)
                .be32(5, map.key_len)
                .be32(6, map.data_type)
                .be32(7, map.data_len)
                .be32(10, map.id);
        });
    }

    /// Empties a map.
    pub(crate) fn flush_map(&mut self, map: &str) {
        self.push("flushing a map", DELSETELEM, QUIET, |body, table| {
            body.text(1, table).text(2, map);
        });
    }

    /// Puts elements in a map.
    pub(crate) fn add_elements(&mut self, map: &str, elements: &[MapElement]) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push("adding published ports", NEWSETELEM, CREATE, |body, table| {
                body.text(1, table).text(2, map);
                body.nest(3, |body| {
                    chunk.iter().for_each(|element| write_element(body, element, true))
                });
            });
        }
    }

    /// Takes elements out of a map; the transaction fails if one is not there.
    pub(crate) fn delete_elements(&mut self, map: &str, elements: &[MapElement]) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push("removing published ports", DELSETELEM, QUIET, |body, table| {
                body.text(1, table).text(2, map);
                body.nest(3, |body| {
                    chunk.iter().for_each(|element| write_element(body, element, false))
                });
            });
        }
    }

    /// Carries it out.
    pub(crate) fn commit(mut self, socket: &mut Socket) -> Result<(), Refused> {
        self.batch.push("committing", BATCH_END, QUIET, |body| {
            body.raw(&[0, 0, 0, 10]);
        });
        socket.request(self.batch)
    }

    fn push(
        &mut self,
        step: &'static str,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Body<'_>, &str),
    ) {
        let table = self.table;
        self.batch.push(step, kind, flags | ACK, |body| {
            body.raw(&[FAMILY_IPV4, 0, 0, 0]);
            fill(body, table);
        });
    }
}

fn write_element(body: &mut Body<'_>, element: &MapElement, with_data: bool) {
    body.nest(LIST_ELEM, |body| {
        body.nest(1, |body| {
            body.bytes(1, &element.key);
        });
        if with_data {
            body.nest(2, |body| {
                body.bytes(1, &element.data);
            });
        }
    });
}

fn write_expr(body: &mut Body<'_>, expr: &Expr) {
    let mut write = |name: &str, fill: &dyn Fn(&mut Body<'_>)| {
        body.text(1, name).nest(2, |body| fill(body));
    };
    match expr {
        Expr::Meta { key, register } => write("meta", &|body| {
            body.be32(1, *register).be32(2, *key as u32);
        }),
        Expr::Payload { base, offset, len, register } => write("payload", &|body| {
            body.be32(1, *register).be32(2, *base as u32).be32(3, *offset).be32(4, *len);
        }),
        Expr::DestinationType => write("fib", &|body| {
            body.be32(1, REG).be32(2, 3).be32(3, 2);
        }),
        Expr::Conntrack { key } => write("ct", &|body| {
            body.be32(1, REG).be32(2, *key as u32);
        }),
        Expr::Load { value, register } => write("immediate", &|body| {
            body.be32(1, *register).nest(2, |body| {
                body.bytes(1, value);
            });
        }),
        Expr::Mask { mask } => write("bitwise", &|body| {
            let len = u32::try_from(mask.len()).expect("masks are short");
            body.be32(1, REG).be32(2, REG).be32(3, len);
            body.nest(4, |body| {
                body.bytes(1, mask);
            });
            body.nest(5, |body| {
                body.bytes(1, &vec![0; mask.len()]);
            });
        }),
        Expr::Compare { equal, value } => write("cmp", &|body| {
            body.be32(1, REG).be32(2, u32::from(!equal)).nest(3, |body| {
                body.bytes(1, value);
            });
        }),
        Expr::MapLookup { map } => write("lookup", &|body| {
            body.text(1, map).be32(2, REG).be32(3, REG);
        }),
        Expr::DestinationNat => write("nat", &|body| {
            body.be32(1, 1).be32(2, u32::from(FAMILY_IPV4)).be32(3, REG).be32(5, REG + 1);
        }),
        Expr::Masquerade => write("masq", &|_| ()),
        Expr::Verdict(verdict) => write("immediate", &|body| {
            body.be32(1, REG_VERDICT).nest(2, |body| {
                body.nest(2, |body| {
                    body.be32(1, *verdict as u32);
                });
            });
        }),
    }
}
