//! A container's network: what is asked of the bridge, and the files that name its place.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use gantry_api_types::NullableList as _;
use gantry_api_types::container::ContainerConfig;
use gantry_api_types::host_config::{HostConfig, PortBinding};
use gantry_api_types::network::EndpointSettings;
use gantry_api_types::port::{PortSpec, parse_port_range};
use gantry_network::files::{DnsOptions, HostsOptions};
use gantry_network::{ContainerNames, EndpointRequest, JoinRequest, PortRequest};

use crate::config::EngineConfig;
use crate::error::Invalid;
use crate::record::ContainerRecord;

/// The word in `--add-host` that stands for the host's address.
const HOST_GATEWAY: &str = "host-gateway";

/// The files by their names in `/etc` and in the container's directory.
const FILES: [(&str, &str); 3] =
    [("/etc/resolv.conf", "resolv.conf"), ("/etc/hostname", "hostname"), ("/etc/hosts", "hosts")];

/// The wishes of a container for its place on the default bridge.
///
/// # Errors
/// A port or address that cannot be read, in Docker's words.
pub(crate) fn join_request(record: &ContainerRecord) -> Result<JoinRequest, Invalid> {
    let endpoint = record.endpoints.get("bridge").or_else(|| record.endpoints.get("default"));
    let mac = match endpoint.map(|endpoint| endpoint.mac_address.as_str()) {
        None | Some("") => record.config.mac_address.as_str(),
        Some(mac) => mac,
    };
    let mac = match mac {
        "" => None,
        text => Some(text.parse().map_err(|error| Invalid(format!("{error}")))?),
    };
    Ok(JoinRequest {
        container_id: record.id.clone(),
        names: ContainerNames {
            name: record.name.clone(),
            short_id: record.short_id().to_owned(),
            hostname: record.config.hostname.clone(),
        },
        endpoints: vec![EndpointRequest {
            address: address(endpoint)?,
            mac,
            ..EndpointRequest::on("bridge")
        }],
        ports: ports(&record.config, &record.host)?,
        dns_servers: Vec::new(),
    })
}

fn address(endpoint: Option<&EndpointSettings>) -> Result<Option<Ipv4Addr>, Invalid> {
    let wanted = endpoint.and_then(|endpoint| endpoint.ipam_config.as_ref());
    match wanted.map(|ipam| ipam.ipv4_address.as_str()) {
        None | Some("") => Ok(None),
        Some(text) => {
            let wrong = |_| Invalid(format!("invalid IPv4 address: {text}"));
            text.parse().map(Some).map_err(wrong)
        }
    }
}

/// The ports to publish: the bindings, and with `-P` every exposed port that has none.
///
/// # Errors
/// Docker's words for a port that cannot be read.
pub(crate) fn ports(
    config: &ContainerConfig,
    host: &HostConfig,
) -> Result<Vec<PortRequest>, Invalid> {
    let mut requests = Vec::new();
    let any = [PortBinding::default()];
    for (key, bindings) in &host.port_bindings {
        let bindings = match bindings.as_deref() {
            None | Some([]) => &any,
            Some(bindings) => bindings,
        };
        for port in port_keys(key)? {
            for binding in bindings {
                requests.push(request(port, binding)?);
            }
        }
    }
    if host.publish_all_ports {
        for key in config.exposed_ports.keys() {
            for port in port_keys(key)? {
                let bound = requests.iter().any(|request| {
                    request.container_port == port.port
                        && request.proto.to_string() == port.protocol.as_str()
                });
                if !bound {
                    requests.push(request(port, &any[0])?);
                }
            }
        }
    }
    Ok(requests)
}

fn request(port: PortSpec, binding: &PortBinding) -> Result<PortRequest, Invalid> {
    PortRequest::parse(&port.to_string(), &binding.host_ip, &binding.host_port)
        .map_err(|error| Invalid(format!("invalid port specification: {error}")))
}

fn port_keys(key: &str) -> Result<Vec<PortSpec>, Invalid> {
    parse_port_range(key)
        .map_err(|error| Invalid(format!("invalid port specification: \"{key}\": {error}")))
}

/// Where the network files of a container are, by path in the container.
pub(crate) fn file_paths(dir: &Path) -> Vec<(&'static str, PathBuf)> {
    FILES.map(|(target, name)| (target, dir.join(name))).to_vec()
}

/// Writes the network files of a container with its own or no network.
///
/// # Errors
/// The file that could not be written.
pub(crate) fn write_files(
    config: &EngineConfig,
    record: &ContainerRecord,
    addresses: Vec<IpAddr>,
    gateway: Option<Ipv4Addr>,
) -> Result<(), (PathBuf, std::io::Error)> {
    let host = &record.host;
    let resolv = gantry_network::files::resolv_conf(&host_resolv_conf(), &dns(config, host));
    let gateway = config.host_gateway_ip.or(gateway.map(IpAddr::V4));
    let hosts = gantry_network::files::hosts(&HostsOptions {
        hostname: record.config.hostname.clone(),
        domain: record.config.domainname.clone(),
        addresses,
        extra: extra_hosts(host.extra_hosts.items(), gateway),
    });
    let hostname = gantry_network::files::hostname(&record.config.hostname);
    write_all(&config.container_dir(&record.id), &resolv, &hosts, &hostname)
}

/// Writes the network files of a container on the host's network: the host's own.
///
/// # Errors
/// The file that could not be written.
pub(crate) fn write_host_files(
    config: &EngineConfig,
    record: &ContainerRecord,
) -> Result<(), (PathBuf, std::io::Error)> {
    let own = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let host = &record.host;
    let resolv = match dns(config, host) {
        options if options == DnsOptions::default() => own("/etc/resolv.conf"),
        options => gantry_network::files::resolv_conf(&own("/etc/resolv.conf"), &options),
    };
    let mut hosts = own("/etc/hosts");
    for (address, name) in extra_hosts(host.extra_hosts.items(), config.host_gateway_ip) {
        hosts.push_str(&format!("{address}\t{name}\n"));
    }
    let hostname = gantry_network::files::hostname(&record.config.hostname);
    write_all(&config.container_dir(&record.id), &resolv, &hosts, &hostname)
}

fn write_all(
    dir: &Path,
    resolv: &str,
    hosts: &str,
    hostname: &str,
) -> Result<(), (PathBuf, std::io::Error)> {
    for (name, text) in [("resolv.conf", resolv), ("hosts", hosts), ("hostname", hostname)] {
        let path = dir.join(name);
        std::fs::write(&path, text).map_err(|error| (path, error))?;
    }
    Ok(())
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
    let own: Vec<IpAddr> = host.dns.items().iter().filter_map(|text| text.parse().ok()).collect();
    DnsOptions {
        nameservers: if own.is_empty() { config.dns.clone() } else { own },
        search: or(host.dns_search.items(), &config.dns_search),
        options: or(host.dns_options.items(), &config.dns_options),
        ipv6: false,
    }
}

fn extra_hosts(lines: &[String], gateway: Option<IpAddr>) -> Vec<(IpAddr, String)> {
    lines.iter().filter_map(|line| extra_host(line, gateway).ok()).collect()
}

fn extra_host(line: &str, gateway: Option<IpAddr>) -> Result<(IpAddr, String), Invalid> {
    let wrong = || Invalid(format!("bad format for add-host: {line:?}"));
    let (name, address) = line.split_once(['=', ':']).ok_or_else(wrong)?;
    if name.is_empty() {
        return Err(wrong());
    }
    let address = match address {
        HOST_GATEWAY => gateway.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        text => text
            .trim_start_matches('[')
            .trim_end_matches(']')
            .parse()
            .map_err(|_| Invalid(format!("invalid IP address in add-host: {text:?}")))?,
    };
    Ok((address, name.to_owned()))
}

/// Checks what a request says of names and addresses.
///
/// # Errors
/// Docker's words.
pub(crate) fn check(config: &ContainerConfig, host: &HostConfig) -> Result<(), Invalid> {
    for server in host.dns.items() {
        server.parse::<IpAddr>().map_err(|_| {
            Invalid(format!("invalid IP address: {server}: bad IP address in --dns"))
        })?;
    }
    for line in host.extra_hosts.items() {
        extra_host(line, None)?;
    }
    for key in config.exposed_ports.keys() {
        port_keys(key)?;
    }
    ports(config, host).map(drop)
}

/// The attributes of a network event about a container.
pub(crate) fn event_attributes(name: &str, container: &str) -> BTreeMap<String, String> {
    [("name", name), ("type", name), ("container", container)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_api_types::Empty;
    use gantry_network::PortChoice;

    #[test]
    fn bindings_and_exposed_ports_become_requests() {
        let config = ContainerConfig {
            exposed_ports: [("80/tcp".to_owned(), Empty), ("53/udp".into(), Empty)].into(),
            ..Default::default()
        };
        let binding = PortBinding { host_ip: "127.0.0.1".into(), host_port: "8080".into() };
        let mut host = HostConfig {
            port_bindings: [("80/tcp".to_owned(), Some(vec![binding]))].into(),
            ..Default::default()
        };
        let got = ports(&config, &host).unwrap();
        assert_eq!((got.len(), got[0].host_port), (1, PortChoice::Exact(8080)));
        host.publish_all_ports = true;
        let got = ports(&config, &host).unwrap();
        assert_eq!((got.len(), got[1].container_port), (2, 53));
        host.port_bindings.insert("0-x".into(), None);
        assert!(ports(&config, &host).is_err());
    }

    #[test]
    fn extra_hosts_take_both_separators_and_the_gateway() {
        let gateway = Some(IpAddr::V4(Ipv4Addr::new(172, 17, 0, 1)));
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
