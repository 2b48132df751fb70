//! `-p` and `--expose`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use gantry_api_types::host_config::{PortBinding, PortMap};

/// What publishing amounts to.
#[derive(Debug, Default, PartialEq)]
pub(crate) struct Ports {
    pub(crate) exposed: BTreeMap<String, gantry_api_types::Empty>,
    pub(crate) bindings: PortMap,
}

impl Ports {
    /// Reads all `-p` and `--expose`.
    pub(crate) fn parse(published: &[String], exposed: &[String]) -> Result<Self, String> {
        let mut ports = Self::default();
        for spec in published {
            match spec.contains('=') {
                true => ports.short(&short_form(spec)?)?,
                false => ports.short(spec)?,
            }
        }
        for spec in exposed {
            ports.expose(spec)?;
        }
        Ok(ports)
    }

    fn add(&mut self, port: u16, protocol: &str, binding: PortBinding) {
        let key = format!("{port}/{protocol}");
        self.exposed.insert(key.clone(), gantry_api_types::Empty);
        self.bindings.entry(key).or_default().get_or_insert_default().push(binding);
    }

    /// `[[address:]host:]container[/protocol]`, with ranges.
    fn short(&mut self, spec: &str) -> Result<(), String> {
        let (rest, protocol) = split_protocol(spec);
        let (address, host, container) = split(rest);
        let address = address.trim_start_matches('[').trim_end_matches(']');
        if !address.is_empty() && address.parse::<IpAddr>().is_err() {
            return Err(format!("invalid IP address: {address}"));
        }
        if container.is_empty() {
            return Err(format!("no port specified: {spec}<empty>"));
        }
        let (from, to) =
            range(container).map_err(|_| format!("invalid containerPort: {container}"))?;
        let (host_from, host_to) = match host {
            "" => (0, 0),
            host => range(host).map_err(|_| format!("invalid hostPort: {host}"))?,
        };
        let same = host_to - host_from == to - from;
        if !host.is_empty() && !same && to != from {
            return Err(format!(
                "invalid ranges specified for container and host Ports: {container} and {host}"
            ));
        }
        if !matches!(protocol.to_lowercase().as_str(), "tcp" | "udp" | "sctp") {
            return Err(format!("invalid proto: {protocol}"));
        }
        for offset in 0..=(to - from) {
            let host_port = match host {
                "" => String::new(),
                _ if same => (host_from + offset).to_string(),
                // One container port of a range of host ports: the daemon picks.
                _ => format!("{host_from}-{host_to}"),
            };
            let binding = PortBinding { host_ip: address.to_owned(), host_port };
            self.add(from + offset, &protocol.to_lowercase(), binding);
        }
        Ok(())
    }

    fn expose(&mut self, spec: &str) -> Result<(), String> {
        if spec.contains(':') {
            return Err(format!("invalid port format for --expose: {spec}"));
        }
        let (ports, protocol) = split_protocol(spec);
        let (from, to) = range(ports)
            .map_err(|why| format!("invalid range format for --expose: {ports}, error: {why}"))?;
        for port in from..=to {
            self.exposed.insert(format!("{port}/{protocol}"), gantry_api_types::Empty);
        }
        Ok(())
    }
}

/// `target=80,published=8080,protocol=tcp` in the short form, which then says what is wrong.
///
/// `mode`, which services know, and fields that nobody knows have no meaning here.
fn short_form(spec: &str) -> Result<String, String> {
    let (mut target, mut published, mut protocol) = ("", "", "tcp");
    for field in spec.split(',') {
        let (key, value) = field.split_once('=').unwrap_or(("", ""));
        match key {
            "" => {
                return Err(format!(
                    "invalid publish opts format (should be name=value but got '{field}')"
                ));
            }
            "target" => target = value,
            "published" => published = value,
            "protocol" => protocol = value,
            _ => {}
        }
    }
    Ok(format!("{published}:{target}/{protocol}"))
}

/// Ports and protocol; what stands behind a second slash is nothing.
fn split_protocol(spec: &str) -> (&str, &str) {
    let mut parts = spec.split('/');
    let ports = parts.next().unwrap_or("");
    (ports, parts.next().filter(|protocol| !protocol.is_empty()).unwrap_or("tcp"))
}

/// Address, host port, container port.
fn split(spec: &str) -> (&str, &str, &str) {
    let mut parts = spec.rsplitn(3, ':');
    let container = parts.next().unwrap_or("");
    let host = parts.next().unwrap_or("");
    (parts.next().unwrap_or(""), host, container)
}

fn range(text: &str) -> Result<(u16, u16), String> {
    let number = |text: &str| {
        crate::values::go_uint(text, 16)
            .and_then(|port| u16::try_from(port).map_err(|error| error.to_string()))
    };
    if text.is_empty() {
        return Err("empty string specified for ports".into());
    }
    match text.split_once('-') {
        Some((from, to)) => {
            let (from, to) = (number(from)?, number(to)?);
            if to < from {
                Err(format!("invalid range specified for port: {text}"))
            } else {
                Ok((from, to))
            }
        }
        None => number(text).map(|port| (port, port)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publishes() {
        for (spec, want) in [
            ("80", "80/tcp=:"),
            ("8080:80", "80/tcp=:8080"),
            ("127.0.0.1::53/udp", "53/udp=127.0.0.1:"),
            ("[::1]:1:2", "2/tcp=::1:1"),
            ("9000-9001:9000-9001", "9000/tcp=:9000 9001/tcp=:9001"),
            ("8000-8010:90", "90/tcp=:8000-8010"),
            ("target=80,published=8080", "80/tcp=:8080"),
            ("target=80-81,published=8080-8081,mode=host", "80/tcp=:8080 81/tcp=:8081"),
            ("target=53,protocol=udp", "53/udp=:"),
            ("target=80,published=127.0.0.1:8080", "80/tcp=127.0.0.1:8080"),
            ("published=8080", "no port specified: 8080:/tcp<empty>"),
            ("target=x", "invalid containerPort: x"),
            ("target=80,published=x", "invalid hostPort: x"),
            ("target=80,protocol=x", "invalid proto: x"),
            ("target=80,x", "invalid publish opts format (should be name=value but got 'x')"),
            ("80::", "invalid IP address: 80"),
            ("80/tcp/udp", "80/tcp=:"),
            ("99999", "invalid containerPort: 99999"),
            ("a:b:c:d", "invalid IP address: a:b"),
            ("x", "invalid containerPort: x"),
            ("1-3:1-2", "invalid ranges specified for container and host Ports: 1-2 and 1-3"),
        ] {
            let got = match Ports::parse(&[spec.to_owned()], &[]) {
                Ok(ports) => ports
                    .bindings
                    .iter()
                    .flat_map(|(key, all)| {
                        all.iter()
                            .flatten()
                            .map(move |b| format!("{key}={}:{}", b.host_ip, b.host_port))
                    })
                    .collect::<Vec<_>>()
                    .join(" "),
                Err(error) => error,
            };
            assert_eq!(got, want, "{spec}");
        }
    }
}
