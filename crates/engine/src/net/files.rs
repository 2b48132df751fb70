//! The files that tell a container its name, its neighbours and its name servers.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use gantry_api_types::NullableList as _;
use gantry_api_types::host_config::HostConfig;
use gantry_network::SandboxRecord;
use gantry_network::files::{DnsOptions, HostsOptions};

use crate::config::EngineConfig;
use crate::error::Invalid;
use crate::record::{ContainerRecord, NetworkMode};

/// The word in `--add-host` that stands for the host's address.
const HOST_GATEWAY: &str = "host-gateway";

/// The files by their names in `/etc` and in the container's directory.
const FILES: [(&str, &str); 3] =
    [("/etc/resolv.conf", "resolv.conf"), ("/etc/hostname", "hostname"), ("/etc/hosts", "hosts")];

/// A file that could not be read or written.
pub(crate) type FileError = (PathBuf, std::io::Error);

/// Where the network files of a container are, by path in the container.
pub(crate) fn paths(dir: &Path) -> Vec<(&'static str, PathBuf)> {
    FILES.map(|(target, name)| (target, dir.join(name))).to_vec()
}

/// Writes the network files of a container that has them to itself. `linked` are the lines of its
/// links; `gateway` is what `host-gateway` stands for.
///
/// # Errors
/// The file that could not be written.
pub(crate) fn write(
    config: &EngineConfig,
    record: &ContainerRecord,
    sandbox: Option<&SandboxRecord>,
    linked: &[(IpAddr, String)],
    gateway: IpAddr,
) -> Result<(), FileError> {
    let dir = config.container_dir(&record.id);
    let mut extra = extra_hosts(record.host.extra_hosts.items(), gateway);
    let (resolv, hosts) = match record.network() {
        NetworkMode::Host => (host_copy(config, record), host_hosts(&extra)),
        _ => {
            extra.extend(linked.iter().cloned());
            let hosts = gantry_network::files::hosts(&HostsOptions {
                hostname: record.config.hostname.clone(),
                domain: record.config.domainname.clone(),
                addresses: addresses(sandbox),
                extra,
            });
            (resolv_conf(config, record, sandbox), hosts)
        }
    };
    let hostname = gantry_network::files::hostname(&record.config.hostname);
    for (name, text) in [("resolv.conf", resolv), ("hosts", hosts), ("hostname", hostname)] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| (path, error))?;
    }
    Ok(())
}

/// Changes the network files of a running container as its networks have changed. What somebody
/// else has written into them stays.
///
/// # Errors
/// The file that could not be read or written.
pub(crate) fn follow_networks(
    config: &EngineConfig,
    record: &ContainerRecord,
    old: &SandboxRecord,
    new: &SandboxRecord,
) -> Result<(), FileError> {
    let dir = config.container_dir(&record.id);
    let change = |name: &str, change: &dyn Fn(&str) -> Option<String>| {
        let path = dir.join(name);
        let changed = std::fs::read_to_string(&path).and_then(|text| match change(&text) {
            // The container has this very file mounted: it is written over, not replaced.
            Some(text) => std::fs::write(&path, text),
            None => Ok(()),
        });
        changed.map_err(|error| (path, error))
    };
    let names =
        gantry_network::files::own_names(&record.config.hostname, &record.config.domainname);
    let lines = |from: &SandboxRecord, without: &SandboxRecord| -> Vec<(IpAddr, String)> {
        let (all, others) = (addresses(Some(from)), addresses(Some(without)));
        let only = all.into_iter().filter(|address| !others.contains(address));
        only.map(|address| (address, names.clone())).collect()
    };
    change("hosts", &|text| {
        let kept = gantry_network::files::hosts_without(text, &lines(old, new));
        Some(gantry_network::files::hosts_with(&kept, &lines(new, old)))
    })?;
    let (before, after) =
        (resolv_conf(config, record, Some(old)), resolv_conf(config, record, Some(new)));
    change("resolv.conf", &|text| (text == before && before != after).then(|| after.clone()))
}

/// Makes the network files of a container that ran on say what its sandbox has. An earlier daemon
/// may have died before it wrote them, or between emptying one and filling it.
///
/// # Errors
/// The file that could not be read or written.
pub(crate) fn settle(
    config: &EngineConfig,
    record: &ContainerRecord,
    sandbox: &SandboxRecord,
    gateway: IpAddr,
) -> Result<(), FileError> {
    let dir = config.container_dir(&record.id);
    let path = dir.join("hosts");
    let text = std::fs::read_to_string(&path).map_err(|error| (path.clone(), error))?;
    let names =
        gantry_network::files::own_names(&record.config.hostname, &record.config.domainname);
    let own = |line: &str| match line.split_once('\t') {
        Some((address, of)) if of == names => address.parse().ok(),
        _ => None,
    };
    let (there, wanted): (Vec<IpAddr>, _) =
        (text.lines().filter_map(own).collect(), addresses(Some(sandbox)));
    let lines = |from: &[IpAddr], without: &[IpAddr]| -> Vec<(IpAddr, String)> {
        let only = from.iter().filter(|address| !without.contains(address));
        only.map(|address| (*address, names.clone())).collect()
    };
    let (less, more) = (lines(&there, &wanted), lines(&wanted, &there));
    if !less.is_empty() || !more.is_empty() {
        let kept = match text.as_str() {
            "" => gantry_network::files::hosts(&HostsOptions {
                hostname: record.config.hostname.clone(),
                domain: record.config.domainname.clone(),
                addresses: Vec::new(),
                extra: extra_hosts(record.host.extra_hosts.items(), gateway),
            }),
            text => gantry_network::files::hosts_without(text, &less),
        };
        let text = gantry_network::files::hosts_with(&kept, &more);
        std::fs::write(&path, text).map_err(|error| (path, error))?;
    }
    let path = dir.join("resolv.conf");
    let emptied = std::fs::metadata(&path).map(|file| file.len() == 0);
    let settled = emptied.and_then(|emptied| match emptied {
        true => std::fs::write(&path, resolv_conf(config, record, Some(sandbox))),
        false => Ok(()),
    });
    settled.map_err(|error| (path, error))
}

/// Gives the names of a line in `hosts` another address.
///
/// # Errors
/// The file that could not be read or written.
pub(super) fn move_host(dir: &Path, line: &(IpAddr, String)) -> Result<(), FileError> {
    let path = dir.join("hosts");
    let moved = std::fs::read_to_string(&path).and_then(|text| {
        let (address, names) = line;
        let keep = |old: &str| match old.trim_end_matches('\n').split_once('\t') {
            Some((_, of)) if of == names => format!("{address}\t{names}\n"),
            _ => old.to_owned(),
        };
        let changed: String = text.split_inclusive('\n').map(keep).collect();
        if changed == text { Ok(()) } else { std::fs::write(&path, changed) }
    });
    moved.map_err(|error| (path, error))
}

fn addresses(sandbox: Option<&SandboxRecord>) -> Vec<IpAddr> {
    let endpoints = sandbox.into_iter().flat_map(|sandbox| &sandbox.endpoints);
    endpoints.flat_map(gantry_network::EndpointRecord::addresses).collect()
}

fn resolv_conf(
    config: &EngineConfig,
    record: &ContainerRecord,
    sandbox: Option<&SandboxRecord>,
) -> String {
    let ipv6 = sandbox.is_some_and(|s| s.endpoints.iter().any(|endpoint| endpoint.v6.is_some()));
    let options = DnsOptions { ipv6, ..dns(config, &record.host) };
    if sandbox.is_some_and(|sandbox| sandbox.dns.is_some()) {
        let own = gantry_network::dns::ADDRESS.into();
        return gantry_network::files::embedded_resolv_conf(&host_resolv_conf(), &options, own);
    }
    gantry_network::files::resolv_conf(&host_resolv_conf(), &options)
}

/// `resolv.conf` of a container on the host's network: the host's own, but for its wishes.
fn host_copy(config: &EngineConfig, record: &ContainerRecord) -> String {
    let own = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    match dns(config, &record.host) {
        options if options == DnsOptions::default() => own,
        options => gantry_network::files::resolv_conf(&own, &options),
    }
}

/// `hosts` of a container on the host's network.
fn host_hosts(extra: &[(IpAddr, String)]) -> String {
    let own = std::fs::read_to_string("/etc/hosts").unwrap_or_default();
    gantry_network::files::hosts_with(&own, extra)
}

/// The host's own list; a local stub resolver's upstream list where there is one.
fn host_resolv_conf() -> String {
    let text = std::fs::read_to_string("/etc/resolv.conf").unwrap_or_default();
    let mut servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    if servers.clone().count() == 1 && servers.any(|server| server.trim() == "127.0.0.53") {
        return std::fs::read_to_string("/run/systemd/resolve/resolv.conf").unwrap_or(text);
    }
    text
}

fn dns(config: &EngineConfig, host: &HostConfig) -> DnsOptions {
    let or = |own: &[String], default: &[String]| {
        if own.is_empty() { default.to_vec() } else { own.to_vec() }
    };
    DnsOptions {
        nameservers: name_servers(config, host),
        search: or(host.dns_search.items(), &config.dns_search),
        options: or(host.dns_options.items(), &config.dns_options),
        ipv6: false,
    }
}

/// The name servers that a container asks for, or else the daemon's; none for the host's.
pub(super) fn name_servers(config: &EngineConfig, host: &HostConfig) -> Vec<IpAddr> {
    let own: Vec<IpAddr> = host.dns.items().iter().filter_map(|text| text.parse().ok()).collect();
    if own.is_empty() { config.dns.clone() } else { own }
}

fn extra_hosts(lines: &[String], gateway: IpAddr) -> Vec<(IpAddr, String)> {
    lines.iter().filter_map(|line| extra_host(line, gateway).ok()).collect()
}

/// Reads a line of `--add-host`; `gateway` is what `host-gateway` stands for.
pub(super) fn extra_host(line: &str, gateway: IpAddr) -> Result<(IpAddr, String), Invalid> {
    let wrong = || Invalid(format!("bad format for add-host: {line:?}"));
    let (name, address) = line.split_once(['=', ':']).ok_or_else(wrong)?;
    if name.is_empty() {
        return Err(wrong());
    }
    let address = match address {
        HOST_GATEWAY => gateway,
        text => text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_| Invalid(format!("invalid IP address in add-host: {text:?}")))?,
    };
    Ok((address, name.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[test]
    fn extra_hosts_take_both_separators_and_the_gateway() {
        let gateway = IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1));
        for (line, want) in [
            ("a:1.2.3.4", Some("1.2.3.4")),
            ("a=1.2.3.4", Some("1.2.3.4")),
            ("a:::1", Some("::1")),
            ("a=[::1]", Some("::1")),
            ("a:host-gateway", Some("172.17.0.1")),
            ("a", None),
            (":1.2.3.4", None),
            ("a:b", None),
        ] {
            let got = extra_host(line, gateway).ok().map(|(address, _)| address.to_string());
            assert_eq!(got.as_deref(), want, "{line}");
        }
    }
}
