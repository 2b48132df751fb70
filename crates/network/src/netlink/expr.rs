//! Expressions of nftables rules: conditions and actions.
//!
//! All numbers are in network byte order, but for those that are compared with a register that
//! the kernel fills in its own order.

use super::message::Body;

/// The verdict register.
const REG_VERDICT: u32 = 0;
/// The first of the 4-byte registers; a key of several parts fills consecutive ones.
pub(crate) const REG: u32 = 8;
/// The first 16-byte register: the same place as [`REG`], under the name that `iptables` uses.
const REG_OLD: u32 = 1;
/// Length of the text in `struct xt_comment_info`.
pub(crate) const XT_COMMENT_LEN: usize = 256;

pub(crate) const FAMILY_INET: u8 = 1;
pub(crate) const FAMILY_IPV4: u8 = 2;
pub(crate) const FAMILY_IPV6: u8 = 10;

/// A condition or an action of a rule.
#[derive(Debug, Clone)]
pub(crate) enum Expr {
    /// Loads a property of the packet.
    Meta { key: Meta, register: u32 },
    /// Loads `len` bytes of the network or transport header.
    Payload { base: Base, offset: u32, len: u32, register: u32 },
    /// Loads the type of the route to the destination address, in the host's byte order; with
    /// `incoming`, as the interface that the packet came by has it.
    DestinationType { incoming: bool },
    /// Loads the name of the interface that the route to the destination address leads to.
    DestinationInterface { register: u32 },
    /// Loads the connection's state or status, in the host's byte order.
    Conntrack { key: Conntrack },
    /// Loads a constant.
    Load { value: Vec<u8>, register: u32 },
    /// Keeps only the bits of `mask`.
    Mask { mask: Vec<u8> },
    /// Goes on if the register equals, or does not equal, the value.
    Compare { equal: bool, value: Vec<u8> },
    /// Goes on if the set has the key in the registers.
    Lookup { set: &'static str },
    /// Goes on if the map has the key in the registers, and loads its data over them.
    MapLookup { map: &'static str },
    /// Does what the map says for the key in the registers; goes on if it has not the key.
    VerdictLookup { map: &'static str },
    /// Rewrites the destination to the address and port in the registers.
    DestinationNat { family: u8 },
    /// Rewrites the source to the address in the registers.
    SourceNat { family: u8 },
    /// Rewrites the source to the address of the outgoing interface.
    Masquerade,
    /// Ends the chain.
    Verdict(Verdict),
    /// Compares in the form of `iptables`: the whole name with its zero, in register 1.
    OldInterface { key: Meta, name: String },
    /// A comment in the form of `iptables`.
    OldComment(String),
    /// Counts packets and bytes.
    Counter,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meta {
    IncomingName = 6,
    OutgoingName = 7,
    Family = 15,
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

/// How a chain ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Drop,
    Accept,
    Jump(&'static str),
    Goto(&'static str),
}

impl Verdict {
    fn code(self) -> u32 {
        match self {
            Verdict::Drop => 0,
            Verdict::Accept => 1,
            Verdict::Jump(_) => (-3_i32).cast_unsigned(),
            Verdict::Goto(_) => (-4_i32).cast_unsigned(),
        }
    }

    /// Writes `NFTA_DATA_VERDICT`.
    pub(super) fn write(self, body: &mut Body<'_>) {
        body.nest(2, |body| {
            body.be32(1, self.code());
            if let Verdict::Jump(chain) | Verdict::Goto(chain) = self {
                body.text(2, chain);
            }
        });
    }
}

/// Writes an expression as name and attributes.
pub(super) fn write(body: &mut Body<'_>, expr: &Expr) {
    match expr {
        Expr::OldInterface { key, name } => {
            body.nest(1, |body| load_meta(body, *key, REG_OLD));
            body.nest(1, |body| {
                compare(body, REG_OLD, true, format!("{name}\0").as_bytes());
            });
        }
        other => {
            body.nest(1, |body| write_one(body, other));
        }
    }
}

fn write_one(body: &mut Body<'_>, expr: &Expr) {
    match expr {
        Expr::Meta { key, register } => load_meta(body, *key, *register),
        Expr::Payload { base, offset, len, register } => named(body, "payload", |body| {
            body.be32(1, *register).be32(2, *base as u32).be32(3, *offset).be32(4, *len);
        }),
        Expr::DestinationType { incoming } => named(body, "fib", |body| {
            body.be32(1, REG).be32(2, 3).be32(3, if *incoming { 2 | 8 } else { 2 });
        }),
        Expr::DestinationInterface { register } => named(body, "fib", |body| {
            // NFT_FIB_RESULT_OIFNAME, NFTA_FIB_F_DADDR.
            body.be32(1, *register).be32(2, 2).be32(3, 2);
        }),
        Expr::Conntrack { key } => named(body, "ct", |body| {
            body.be32(1, REG).be32(2, *key as u32);
        }),
        Expr::Load { value, register } => named(body, "immediate", |body| {
            body.be32(1, *register).nest(2, |body| {
                body.bytes(1, value);
            });
        }),
        Expr::Mask { mask } => named(body, "bitwise", |body| write_mask(body, mask)),
        Expr::Compare { equal, value } => compare(body, REG, *equal, value),
        Expr::Lookup { set } => named(body, "lookup", |body| {
            body.text(1, set).be32(2, REG);
        }),
        Expr::MapLookup { map } => named(body, "lookup", |body| {
            body.text(1, map).be32(2, REG).be32(3, REG);
        }),
        Expr::VerdictLookup { map } => named(body, "lookup", |body| {
            body.text(1, map).be32(2, REG).be32(3, REG_VERDICT);
        }),
        Expr::DestinationNat { family } => named(body, "nat", |body| {
            let port = REG + if *family == FAMILY_IPV6 { 4 } else { 1 };
            body.be32(1, 1).be32(2, u32::from(*family)).be32(3, REG).be32(5, port);
        }),
        Expr::SourceNat { family } => named(body, "nat", |body| {
            body.be32(1, 0).be32(2, u32::from(*family)).be32(3, REG);
        }),
        Expr::Masquerade => named(body, "masq", |_| ()),
        Expr::Verdict(verdict) => named(body, "immediate", |body| {
            body.be32(1, REG_VERDICT).nest(2, |body| verdict.write(body));
        }),
        Expr::OldComment(text) => named(body, "match", |body| {
            let mut info = text.as_bytes().to_vec();
            info.resize(XT_COMMENT_LEN, 0);
            body.text(1, "comment").be32(2, 0).bytes(3, &info);
        }),
        Expr::Counter => named(body, "counter", |body| {
            body.bytes(1, &[0; 8]).bytes(2, &[0; 8]);
        }),
        // Two expressions, and so written above.
        Expr::OldInterface { .. } => {}
    }
}

fn named(body: &mut Body<'_>, name: &str, fill: impl FnOnce(&mut Body<'_>)) {
    body.text(1, name).nest(2, fill);
}

fn load_meta(body: &mut Body<'_>, key: Meta, register: u32) {
    named(body, "meta", |body| {
        body.be32(1, register).be32(2, key as u32);
    });
}

fn compare(body: &mut Body<'_>, register: u32, equal: bool, value: &[u8]) {
    named(body, "cmp", |body| {
        body.be32(1, register).be32(2, u32::from(!equal)).nest(3, |body| {
            body.bytes(1, value);
        });
    });
}

fn write_mask(body: &mut Body<'_>, mask: &[u8]) {
    let len = u32::try_from(mask.len()).expect("masks are short");
    body.be32(1, REG).be32(2, REG).be32(3, len);
    body.nest(4, |body| {
        body.bytes(1, mask);
    });
    body.nest(5, |body| {
        body.bytes(1, &vec![0; mask.len()]);
    });
}
