//! Network namespaces, bridges, veth pairs, addresses, nftables.

#![forbid(unsafe_code)]
