//! The daemon's nftables table.

mod explain;
mod guard;
mod model;
mod report;

use std::net::IpAddr;

pub use explain::{Origin, Reach, ReachQuery};
pub(crate) use guard::guard;
pub(crate) use model::{GatewayMode, NetworkRules, Redirect, SubnetRules};
pub use report::{ForeignChain, Report};

use crate::error::NetworkError;
use crate::netlink::socket::Refused;

/// What holds for the whole daemon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FirewallOptions {
    /// Published ports obey the host's own input rules (`"published-ports": "host-policy"`).
    pub(crate) host_policy: bool,
    /// Put accept rules into other tables' forward chains that would drop our packets.
    pub(crate) foreign_accepts: bool,
}

impl Default for FirewallOptions {
    fn default() -> FirewallOptions {
        FirewallOptions { host_policy: false, foreign_accepts: true }
    }
}

/// The table, the model it is written from, and the socket to change it by.
#[derive(Debug)]
pub(crate) struct Firewall {
    table: String,
}

impl Firewall {
    /// Takes over the table, without touching what stands: containers of an earlier daemon run
    /// on with it. [`Firewall::settle`] makes it ours.
    pub(crate) fn install(
        table: String,
        options: FirewallOptions,
    ) -> Result<Firewall, NetworkError> {
        let _ = options;
        Ok(Firewall { table })
    }

    /// Adds a network, or replaces what is known of it.
    pub(crate) fn add_network(&mut self, rules: NetworkRules) -> Result<(), NetworkError> {
        let _ = rules;
        Ok(())
    }

    /// Removes a network; that it is not there is no error.
    pub(crate) fn remove_network(&mut self, id: &str) -> Result<(), NetworkError> {
        let _ = id;
        Ok(())
    }

    /// Publishes ports of an endpoint besides those it has, all or none.
    pub(crate) fn publish(&mut self, endpoint: &str, new: &[Redirect]) -> Result<(), Refused> {
        let _ = (endpoint, new);
        Ok(())
    }

    /// Enters ports that were published before a restart of the daemon into the model alone;
    /// the rules for them stand, and `settle` sees to it.
    pub(crate) fn adopt(&mut self, endpoint: &str, standing: &[Redirect]) {
        let _ = (endpoint, standing);
    }

    /// Withdraws all ports of an endpoint, and forgets the connections to its addresses.
    pub(crate) fn withdraw(
        &mut self,
        endpoint: &str,
        addresses: &[IpAddr],
    ) -> Result<(), NetworkError> {
        let _ = (endpoint, addresses);
        Ok(())
    }

    /// Makes the kernel's rules exactly what is known here.
    pub(crate) fn settle(&mut self) -> Result<(), NetworkError> {
        Ok(())
    }

    /// Deletes the table and what was put into others; that it is not there is no error.
    pub(crate) fn remove(&mut self) -> Result<(), NetworkError> {
        let _ = &self.table;
        Ok(())
    }

    /// From where a container's port can be reached, and by which rule.
    pub(crate) fn explain(&self, query: &ReachQuery) -> Vec<Reach> {
        let _ = query;
        Vec::new()
    }

    /// What the doctor says.
    pub(crate) fn report(&mut self) -> Report {
        Report::default()
    }
}
