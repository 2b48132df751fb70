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
                true => ports.long(spec)?,
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
        let (rest, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        let (address, host, container) = split(rest);
        if container.is_empty() {
            return Err(format!("no port specified: {spec}<empty>"));
        }
        let address = address.trim_start_matches('[').trim_end_matches(']');
        if !address.is_empty() && address.parse::<IpAddr>().is_err() {
            return Err(format!("invalid IP address: {address}"));
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

    /// `target=80,published=8080,protocol=tcp,mode=host`.
    fn long(&mut self, spec: &str) -> Result<(), String> {
        let (mut target, mut published, mut protocol) = (None, String::new(), "tcp".to_owned());
        for field in crate::values::csv(spec)? {
            let Some((key, value)) = field.split_once('=') else {
                return Err(format!("invalid field: {field}"));
            };
            let number = || {
                value.parse::<u16>().map_err(|_| {
                    let why = crate::values::go_uint(value, 16).err();
                    let why = why.unwrap_or_else(|| "invalid syntax".into());
                    format!("invalid {key} port ({value}): value must be an integer: {why}")
                })
            };
            match key.to_lowercase().as_str() {
                "target" => target = Some(number()?),
                "published" => published = value.to_owned(),
                "protocol" if matches!(value, "tcp" | "udp" | "sctp") => protocol = value.into(),
                "protocol" => return Err(format!("invalid protocol value '{value}'")),
                "mode" if matches!(value, "host" | "ingress") => {}
                "mode" => {
                    return Err(format!(
                        "invalid publish mode value ({value}): must be either 'ingress' or 'host'"
                    ));
                }
                _ => return Err(format!("invalid field key: {key}")),
            }
        }
        let target = target.ok_or("missing mandatory field 'target'")?;
        self.add(target, &protocol, PortBinding { host_ip: String::new(), host_port: published });
        Ok(())
    }

    fn expose(&mut self, spec: &str) -> Result<(), String> {
        if spec.contains(':') {
            return Err(format!("invalid port format for --expose: {spec}"));
        }
        let (ports, protocol) = spec.split_once('/').unwrap_or((spec, "tcp"));
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        let (from, to) = range(ports)
            .map_err(|why| format!("invalid range format for --expose: {ports}, error: {why}"))?;
        for port in from..=to {
            self.exposed.insert(format!("{port}/{protocol}"), gantry_api_types::Empty);
        }
        Ok(())
    }
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
