//! Who reaches a container's port and why, and what is wrong with the host's networks.

use std::collections::BTreeSet;

use gantry_api_types::network::{NetworkCheck, NetworkReport, Reach};
use gantry_api_types::port::{PortSpec, parse_port_range};
use gantry_network::{EndpointRecord, ForeignChain, Origin, Proto, ReachQuery, Report};

use crate::error::{Invalid, NetworkFault};
use crate::{Container, Engine};

impl Container {
    /// From where its ports can be reached: `port` such as `80/tcp`, or else all that are exposed
    /// or published.
    ///
    /// # Errors
    /// [`NetworkFault`] for a port that cannot be read, or a container without networks.
    pub fn reach(&self, port: Option<&str>) -> Result<Vec<Reach>, NetworkFault> {
        let networks = &self.engine.0.parts.networks;
        let Some(sandbox) = networks.sandbox(&self.cell.id) else {
            let words = format!("container {} has no network namespace of its own", self.cell.id);
            return Err(NetworkFault::Conflict(words));
        };
        let of = |endpoint: &EndpointRecord| {
            let id = endpoint.network.clone();
            endpoint.addresses().into_iter().map(move |address| (id.clone(), address))
        };
        let addresses: Vec<_> = sandbox.endpoints.iter().flat_map(of).collect();
        let mut rows = Vec::new();
        for spec in self.ports_to_explain(port)? {
            let proto: Proto = spec.protocol.as_str().parse().map_err(invalid)?;
            let query = ReachQuery { addresses: addresses.clone(), port: spec.port, proto };
            for way in networks.why_reachable(&query) {
                let network = self.engine.0.network_name(&way.network);
                rows.push(Reach {
                    from: origin(way.from, &network),
                    address: format!("{}/{proto}", way.at),
                    network,
                    reachable: way.reachable,
                    why: way.by,
                });
            }
        }
        Ok(rows)
    }

    fn ports_to_explain(&self, port: Option<&str>) -> Result<BTreeSet<PortSpec>, Invalid> {
        if let Some(port) = port {
            return Ok(parse_port_range(port).map_err(invalid)?.into_iter().collect());
        }
        let view = self.cell.view();
        let exposed = view.record.config.exposed_ports.keys().cloned();
        let published = view.state.sandbox.iter().flat_map(|sandbox| &sandbox.ports);
        let published = published.map(|port| format!("{}/{}", port.container_port, port.proto));
        let all = exposed.chain(published);
        Ok(all.filter_map(|port| parse_port_range(&port).ok()).flatten().collect())
    }
}

fn invalid(error: impl std::fmt::Display) -> Invalid {
    Invalid(format!("invalid port: {error}"))
}

fn origin(from: Origin, network: &str) -> String {
    match from {
        Origin::ThisHost => "this host".to_owned(),
        Origin::OtherHosts => "other hosts".to_owned(),
        Origin::SameNetwork => format!("network {network}"),
        Origin::OtherNetworks => "other networks".to_owned(),
    }
}

impl Engine {
    /// What the host's firewall and settings do to containers' networks.
    ///
    /// # Errors
    /// [`NetworkFault`] when it cannot be looked at.
    pub async fn network_report(&self) -> Result<NetworkReport, NetworkFault> {
        let report = self.0.parts.networks.firewall_report().await?;
        Ok(NetworkReport { checks: checks(&report) })
    }
}

fn checks(report: &Report) -> Vec<NetworkCheck> {
    let check = |check: &str, state: &str, detail: String, remedy: &str| NetworkCheck {
        check: check.to_owned(),
        state: state.to_owned(),
        detail,
        remedy: remedy.to_owned(),
    };
    let table = format!("inet {}", report.table);
    let mut checks = vec![match report.whole {
        true => check("nftables table", "ok", format!("{table} is whole"), ""),
        false => check(
            "nftables table",
            "failed",
            format!("rules are missing from {table}"),
            "it is written again within a second; if not, look at the daemon's log",
        ),
    }];
    for chain in &report.foreign {
        let ForeignChain { family, table, chain, inserted, blocked } = chain;
        let name = format!("chain {chain} of table {family} {table}");
        checks.push(match blocked {
            None => check(
                "foreign firewall",
                "healed",
                format!("{name} drops what it does not know: {inserted} rules accept our bridges"),
                "",
            ),
            Some(why) => check(
                "foreign firewall",
                "failed",
                format!("{name} drops containers' packets: {why}"),
                "accept the bridges' packets there, in and out",
            ),
        });
    }
    if !report.legacy_tables.is_empty() {
        let tables = report.legacy_tables.join(", ");
        checks.push(check(
            "legacy iptables",
            "warning",
            format!("tables are loaded ({tables}), whose rules cannot be seen from here"),
            "if their FORWARD policy is DROP, accept the bridges there: iptables-legacy -S FORWARD",
        ));
    }
    for (path, value) in &report.parameters {
        let Some(value) = value else { continue };
        let checked = match report.problems.iter().find(|problem| problem.contains(path)) {
            None => check("kernel parameter", "ok", format!("{path} is {value}"), ""),
            Some(problem) => {
                check("kernel parameter", "failed", problem.clone(), "set it to 1 with sysctl")
            }
        };
        checks.push(checked);
    }
    checks
}
