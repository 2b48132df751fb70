//! nftables requests: tables, chains, rules, sets (`include/uapi/linux/netfilter/nf_tables.h`).
//!
//! A [`Transaction`] is one batch: the kernel carries out all of it or nothing, and packets see
//! the rules before or after it, never between.

use super::expr::{self, Expr, Verdict};
use super::message::{ACK, APPEND, Batch, Body, CREATE, EXCL};
use super::socket::{Refused, Socket};

pub(super) const SUBSYS: u16 = 10 << 8;
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

const SET_INTERVAL: u32 = 4;
const SET_IS_MAP: u32 = 8;
/// `NFT_SET_ELEM_INTERVAL_END`.
const ELEMENT_END: u32 = 1;
/// `NFT_DATA_VERDICT`.
const TYPE_VERDICT: u32 = 0xffff_ff00;
const LIST_ELEM: u16 = 1;
/// `NFTNL_UDATA_RULE_COMMENT`.
const USERDATA_COMMENT: u8 = 0;
/// `NFTNL_UDATA_SET_KEYBYTEORDER`.
const USERDATA_KEY_ORDER: u8 = 0;
/// Elements of one message: at most some 90 bytes each, in an attribute of at most 64 KiB.
const ELEMENTS_PER_MESSAGE: usize = 600;
/// No flags.
const QUIET: u16 = 0;

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
    Input = 1,
    Forward = 2,
    Output = 3,
    Postrouting = 4,
}

/// A set or map: its name, the numbers that tell `nft` how to print it, and lengths in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SetType {
    pub(crate) name: &'static str,
    pub(crate) key_type: u32,
    pub(crate) key_len: u32,
    pub(crate) data: DataType,
    /// Whether the whole key is in the host's byte order, as names of interfaces are.
    pub(crate) key_in_host_order: bool,
    /// Whether a key stands for all keys up to that of the next element, an end.
    pub(crate) interval: bool,
}

/// What a set has for each key.
#[derive(Debug, Clone, Copy)]
pub(crate) enum DataType {
    Nothing,
    Verdict,
    Value { kind: u32, len: u32 },
}

/// An element of a set. Deleting needs no data.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) key: Vec<u8>,
    pub(crate) data: Data,
}

/// The data of an element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Data {
    Nothing,
    /// The first key behind an interval.
    End,
    Verdict(Verdict),
    Value(Vec<u8>),
}

/// Changes to one table that happen together.
#[derive(Debug)]
pub(crate) struct Transaction<'a> {
    family: u8,
    table: &'a str,
    batch: Batch,
    changes: u32,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(family: u8, table: &'a str) -> Transaction<'a> {
        let mut batch = Batch::new();
        batch.push("beginning", BATCH_BEGIN, QUIET, |body| {
            body.raw(&[0, 0, 0, 10]);
        });
        Transaction { family, table, batch, changes: 0 }
    }

    /// Makes the table if it is not there.
    pub(crate) fn add_table(&mut self) {
        self.push("adding the table", NEWTABLE, CREATE, |body, table| {
            body.text(1, table).be32(2, 0);
        });
    }

    /// Makes the table; the transaction is refused if it is there.
    pub(crate) fn add_new_table(&mut self) {
        self.push("adding the table", NEWTABLE, CREATE | EXCL, |body, table| {
            body.text(1, table).be32(2, 0);
        });
    }

    /// Deletes the table and all in it.
    pub(crate) fn delete_table(&mut self) {
        self.push("deleting the table", DELTABLE, QUIET, |body, table| {
            body.text(1, table);
        });
    }

    /// Deletes the table of the same name of another family, if there is one.
    pub(crate) fn delete_namesake(&mut self, family: u8) {
        let own = std::mem::replace(&mut self.family, family);
        self.add_table();
        self.delete_table();
        self.family = own;
    }

    /// Makes a base chain if it is not there.
    pub(crate) fn add_base_chain(&mut self, chain: &BaseChain) {
        self.push("adding a chain", NEWCHAIN, CREATE, |body, table| {
            body.text(1, table).text(3, chain.name);
            body.nest(4, |body| {
                body.be32(1, chain.hook as u32).be32(2, chain.priority.cast_unsigned());
            });
            // The policy: accept.
            body.be32(5, 1).text(7, chain.kind);
        });
    }

    /// Makes a chain that others jump to.
    pub(crate) fn add_chain(&mut self, name: &str) {
        self.push("adding a chain", NEWCHAIN, CREATE, |body, table| {
            body.text(1, table).text(3, name);
        });
    }

    /// Appends a rule.
    pub(crate) fn add_rule(&mut self, chain: &str, rule: &[Expr]) {
        self.push("adding a rule", NEWRULE, CREATE | APPEND, |body, table| {
            body.text(1, table).text(2, chain);
            write_rule(body, rule);
        });
    }

    /// Puts a rule before the others, with a comment for `nft` if given.
    pub(crate) fn insert_rule(&mut self, chain: &str, rule: &[Expr], comment: Option<&str>) {
        self.push("inserting a rule", NEWRULE, CREATE, |body, table| {
            body.text(1, table).text(2, chain);
            write_rule(body, rule);
            if let Some(comment) = comment {
                let len = u8::try_from(comment.len() + 1).expect("comments are short");
                let mut data = vec![USERDATA_COMMENT, len];
                data.extend(comment.as_bytes());
                data.push(0);
                body.bytes(7, &data);
            }
        });
    }

    /// Deletes a rule.
    pub(crate) fn delete_rule(&mut self, chain: &str, handle: u64) {
        self.push("removing a rule", DELRULE, QUIET, |body, table| {
            body.text(1, table).text(2, chain).bytes(3, &handle.to_be_bytes());
        });
    }

    /// Makes a set if it is not there.
    pub(crate) fn add_set(&mut self, set: &SetType) {
        let id = self.changes + 1;
        self.push("adding a set", NEWSET, CREATE, |body, table| {
            let map = match set.data {
                DataType::Nothing => 0,
                _ => SET_IS_MAP,
            };
            let interval = if set.interval { SET_INTERVAL } else { 0 };
            body.text(1, table)
                .text(2, set.name)
                .be32(3, map | interval)
                .be32(4, set.key_type)
                .be32(5, set.key_len);
            match set.data {
                DataType::Nothing => {}
                DataType::Verdict => {
                    body.be32(6, TYPE_VERDICT);
                }
                DataType::Value { kind, len } => {
                    body.be32(6, kind).be32(7, len);
                }
            }
            body.be32(10, id);
            if set.key_in_host_order {
                // Without it `nft` prints such a key the wrong way round.
                let one = 1_u32.to_ne_bytes();
                body.bytes(13, &[&[USERDATA_KEY_ORDER, 4][..], &one].concat());
            }
        });
    }

    /// Puts elements in a set.
    pub(crate) fn add_elements(&mut self, set: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push("adding elements", NEWSETELEM, CREATE, |body, table| {
                body.text(1, table).text(2, set);
                body.nest(3, |body| {
                    chunk.iter().for_each(|element| write_element(body, element, true));
                });
            });
        }
    }

    /// Takes elements out of a set; the transaction fails if one is not there.
    pub(crate) fn delete_elements(&mut self, set: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS_PER_MESSAGE) {
            self.push("removing elements", DELSETELEM, QUIET, |body, table| {
                body.text(1, table).text(2, set);
                body.nest(3, |body| {
                    chunk.iter().for_each(|element| write_element(body, element, false));
                });
            });
        }
    }

    /// Carries it out; without changes it does nothing.
    pub(crate) fn commit(mut self, socket: &mut Socket) -> Result<(), Refused> {
        if self.changes == 0 {
            return Ok(());
        }
        self.batch.push("committing", BATCH_END, QUIET, |body| {
            body.raw(&[0, 0, 0, 10]);
        });
        socket.request(self.batch)
    }

    /// One acknowledgement says that the kernel took the batch; what it refuses it tells without
    /// being asked. An answer to each request would overflow the queue of a long batch.
    fn push(
        &mut self,
        step: &'static str,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Body<'_>, &str),
    ) {
        let (family, table) = (self.family, self.table);
        let ack = if self.changes == 0 { ACK } else { QUIET };
        self.changes += 1;
        self.batch.push(step, kind, flags | ack, |body| {
            body.raw(&[family, 0, 0, 0]);
            fill(body, table);
        });
    }
}

fn write_rule(body: &mut Body<'_>, rule: &[Expr]) {
    body.nest(4, |body| rule.iter().for_each(|expr| expr::write(body, expr)));
}

fn write_element(body: &mut Body<'_>, element: &Element, with_data: bool) {
    body.nest(LIST_ELEM, |body| {
        body.nest(1, |body| {
            body.bytes(1, &element.key);
        });
        match &element.data {
            Data::End => {
                body.be32(3, ELEMENT_END);
            }
            Data::Verdict(verdict) if with_data => {
                body.nest(2, |body| verdict.write(body));
            }
            Data::Value(value) if with_data => {
                body.nest(2, |body| {
                    body.bytes(1, value);
                });
            }
            _ => {}
        }
    });
}
