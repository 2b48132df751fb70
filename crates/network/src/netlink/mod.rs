//! The kernel's netlink protocols, as far as a bridge network needs them.
//!
//! Requests are encoded by hand: one small builder serves rtnetlink, nftables and conntrack
//! alike, where the available crates cover the first alone.

pub(crate) mod conntrack;
pub(crate) mod expr;
pub(crate) mod link;
pub(crate) mod message;
pub(crate) mod nftables;
pub(crate) mod route;
pub(crate) mod ruleset;
pub(crate) mod socket;
