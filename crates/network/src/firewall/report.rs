//! What `network doctor` says of the firewall.

use std::fs;
use std::path::Path;

/// A forward chain of somebody else that drops what it does not know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignChain {
    /// `ip`, `ip6`, `inet` or `bridge`.
    pub family: &'static str,
    /// Its table.
    pub table: String,
    /// Its name.
    pub chain: String,
    /// How many rules of ours are in it.
    pub inserted: usize,
    /// Why our packets do not pass it, if they do not.
    pub blocked: Option<String>,
}

/// The state of the firewall and of what it depends on.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Name of our table, of the family `inet`.
    pub table: String,
    /// Whether the kernel has all its rules.
    pub whole: bool,
    /// Forward chains of others that would drop our packets, and what was inserted there.
    pub foreign: Vec<ForeignChain>,
    /// Kernel parameters, by path below `/proc/sys`; no value if the kernel has not the file.
    pub parameters: Vec<(String, Option<String>)>,
    /// Tables of legacy iptables. Their rules cannot be seen or changed from here.
    pub legacy_tables: Vec<String>,
    /// What is wrong or doubtful, a sentence each.
    pub problems: Vec<String>,
}

/// Parameters of the host that matter; those of bridges are added by name.
const PARAMETERS: [&str; 5] = [
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
];
/// Where the kernel names the tables of legacy iptables.
const LEGACY: [&str; 2] =
    ["/proc/thread-self/net/ip_tables_names", "/proc/thread-self/net/ip6_tables_names"];

/// What there is to look at.
pub(super) struct Seen<'a> {
    pub(super) table: &'a str,
    pub(super) whole: bool,
    pub(super) foreign: Vec<ForeignChain>,
    /// Names of bridges that carry IPv4.
    pub(super) bridges: Vec<String>,
    pub(super) ipv6: bool,
}

pub(super) fn report(seen: Seen<'_>) -> Report {
    let local = seen.bridges.iter().map(|name| format!("net/ipv4/conf/{name}/route_localnet"));
    let paths = PARAMETERS.map(str::to_owned).into_iter().chain(local);
    let parameters = paths.map(|path| {
        let value = fs::read_to_string(Path::new("/proc/sys").join(&path));
        (path, value.ok().map(|value| value.trim().to_owned()))
    });
    let mut report = Report {
        table: seen.table.to_owned(),
        whole: seen.whole,
        foreign: seen.foreign,
        parameters: parameters.collect(),
        legacy_tables: legacy_tables(),
        problems: Vec::new(),
    };
    report.problems = problems(&report, seen.ipv6);
    report
}

fn legacy_tables() -> Vec<String> {
    let names = LEGACY.iter().filter_map(|path| fs::read_to_string(path).ok());
    let mut names: Vec<String> =
        names.flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>()).collect();
    names.sort();
    names.dedup();
    names
}

fn problems(report: &Report, ipv6: bool) -> Vec<String> {
    let mut problems = Vec::new();
    if !report.whole {
        problems.push(format!("rules are missing from nftables table inet {}", report.table));
    }
    for chain in &report.foreign {
        let ForeignChain { family, table, chain, blocked, .. } = chain;
        problems.extend(blocked.iter().map(|why| {
            format!("chain {chain} of table {family} {table} drops containers' packets: {why}")
        }));
    }
    for (path, value) in &report.parameters {
        let wrong = match path.as_str() {
            "net/ipv4/ip_forward" => "containers reach nothing but this host",
            "net/ipv6/conf/all/forwarding" if ipv6 => "IPv6 of containers reaches this host only",
            path if path.ends_with("route_localnet") => {
                "ports published on 127.0.0.1 are not reached from this host"
            }
            _ => continue,
        };
        if value.as_deref() == Some("0") {
            problems.push(format!("{path} is 0: {wrong}"));
        }
    }
    if !report.legacy_tables.is_empty() {
        let names = report.legacy_tables.join(", ");
        problems.push(format!(
            "tables of legacy iptables are loaded ({names}): if their FORWARD policy is DROP, \
             accept the bridges there by hand (iptables-legacy -S FORWARD)"
        ));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wrong() {
        let chain = ForeignChain {
            family: "ip",
            table: "filter".to_owned(),
            chain: "FORWARD".to_owned(),
            inserted: 2,
            blocked: None,
        };
        let good = Report {
            table: "gantry-t".to_owned(),
            whole: true,
            foreign: vec![chain.clone()],
            parameters: vec![
                ("net/ipv4/ip_forward".to_owned(), Some("1".to_owned())),
                ("net/ipv6/conf/all/forwarding".to_owned(), Some("0".to_owned())),
            ],
            ..Report::default()
        };
        assert!(problems(&good, false).is_empty());
        let mut bad = Report { whole: false, legacy_tables: vec!["filter".to_owned()], ..good };
        bad.foreign[0].blocked = Some("2 accept rules are missing".to_owned());
        bad.parameters[0].1 = Some("0".to_owned());
        let found = problems(&bad, true);
        for (problem, part) in found.iter().zip([
            "rules are missing from nftables table inet gantry-t",
            "chain FORWARD of table ip filter drops containers' packets: 2 accept",
            "net/ipv4/ip_forward is 0: ",
            "net/ipv6/conf/all/forwarding is 0: ",
            "tables of legacy iptables are loaded (filter)",
        ]) {
            assert!(problem.starts_with(part), "{problem}");
        }
        assert_eq!(found.len(), 5);
    }
}
