//! Ports of `EXPOSE`.

use std::net::IpAddr;

use thiserror::Error;

use crate::quote::quoted;

/// One word of `EXPOSE`: `[[address:]host:]port[-port][/protocol]`.
///
/// Only the port and the protocol count; the rest is taken because BuildKit takes it, and a rule
/// tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortSpec {
    /// As written.
    pub written: String,
    /// The protocol as written; `tcp` if it is not.
    pub protocol: String,
    /// First port.
    pub first: u16,
    /// Last port.
    pub last: u16,
    /// It names an address or a port of the host.
    pub has_host: bool,
}

/// Why a word is no port, in BuildKit's words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PortError {
    /// There is no port.
    #[error("invalid port: {}: no port specified", quoted(.0))]
    Missing(String),
    /// There is no such protocol.
    #[error("invalid port: {}: invalid proto: {protocol}", quoted(.written))]
    Protocol {
        /// The word.
        written: String,
        /// The protocol.
        protocol: String,
    },
    /// The address is none.
    #[error("invalid IP address: {0}")]
    Address(String),
    /// The port is none.
    #[error("invalid containerPort: {0}")]
    Container(String),
    /// The host's port is none.
    #[error("invalid hostPort: {0}")]
    Host(String),
    /// The ranges are of different lengths.
    #[error("invalid ranges specified for container and host Ports: {container} and {host}")]
    Ranges {
        /// The ports.
        container: String,
        /// The host's.
        host: String,
    },
}

impl PortSpec {
    /// Reads a word of `EXPOSE`, its variables expanded.
    ///
    /// # Errors
    /// When it is no port.
    pub fn parse(written: &str) -> Result<Self, PortError> {
        let (host, container) = match written.rsplit_once(':') {
            Some((host, container)) => (Some(host), container),
            None => (None, written),
        };
        let (port, protocol) = match container.split_once('/') {
            Some((port, protocol)) => (port, protocol),
            None => (container, ""),
        };
        if port.is_empty() {
            return Err(PortError::Missing(written.to_owned()));
        }
        let protocol = if protocol.is_empty() { "tcp" } else { protocol };
        if !["tcp", "udp", "sctp"].contains(&protocol.to_lowercase().as_str()) {
            let (written, protocol) = (written.to_owned(), protocol.to_owned());
            return Err(PortError::Protocol { written, protocol });
        }
        let (address, host) = match host.and_then(|host| host.rsplit_once(':')) {
            Some((address, host)) => (address, host),
            None => ("", host.unwrap_or_default()),
        };
        check_address(address)?;
        let (first, last) = range(port).ok_or_else(|| PortError::Container(port.to_owned()))?;
        check_host(host, port, (first, last))?;
        Ok(Self {
            written: written.to_owned(),
            protocol: protocol.to_owned(),
            first,
            last,
            has_host: !address.is_empty() || !host.is_empty(),
        })
    }

    /// What an image's configuration says of it: `80/tcp`, for each port.
    pub fn entries(&self) -> impl Iterator<Item = String> + use<> {
        let protocol = self.protocol.to_lowercase();
        (self.first..=self.last).map(move |port| format!("{port}/{protocol}"))
    }
}

fn check_address(address: &str) -> Result<(), PortError> {
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if address.is_empty() || bare.unwrap_or(address).parse::<IpAddr>().is_ok() {
        return Ok(());
    }
    Err(PortError::Address(address.to_owned()))
}

/// A range of the host's is for one port too: one of them is taken.
fn check_host(host: &str, port: &str, (first, last): (u16, u16)) -> Result<(), PortError> {
    if host.is_empty() {
        return Ok(());
    }
    let (host_first, host_last) = range(host).ok_or_else(|| PortError::Host(host.to_owned()))?;
    if first != last && last - first != host_last - host_first {
        let (container, host) = (port.to_owned(), host.to_owned());
        return Err(PortError::Ranges { container, host });
    }
    Ok(())
}

fn range(text: &str) -> Option<(u16, u16)> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let number = |text: &str| {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        digits.then(|| text.parse::<u16>().ok()).flatten()
    };
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        for (written, want) in [
            ("80", Ok(vec!["80/tcp"])),
            ("80/UDP", Ok(vec!["80/udp"])),
            ("80/", Ok(vec!["80/tcp"])),
            ("7000-7002/sctp", Ok(vec!["7000/sctp", "7001/sctp", "7002/sctp"])),
            ("8080:80", Ok(vec!["80/tcp"])),
            ("127.0.0.1:8080:80", Ok(vec!["80/tcp"])),
            ("[::1]:8080:80", Ok(vec!["80/tcp"])),
            ("::1:8080:80", Ok(vec!["80/tcp"])),
            ("8000-8010:80", Ok(vec!["80/tcp"])),
            ("65535-65535", Ok(vec!["65535/tcp"])),
            ("", Err("invalid port: \"\": no port specified")),
            ("/tcp", Err("invalid port: \"/tcp\": no port specified")),
            ("80/icmp", Err("invalid port: \"80/icmp\": invalid proto: icmp")),
            ("a", Err("invalid containerPort: a")),
            ("+80", Err("invalid containerPort: +80")),
            ("65536", Err("invalid containerPort: 65536")),
            ("9-8", Err("invalid containerPort: 9-8")),
            ("x:80", Err("invalid hostPort: x")),
            ("host:80:80", Err("invalid IP address: host")),
            ("1-2:1-3", Err("invalid ranges specified for container and host Ports: 1-3 and 1-2")),
        ] {
            let got = PortSpec::parse(written).map(|spec| spec.entries().collect::<Vec<_>>());
            let want = want.map(|ports| ports.into_iter().map(str::to_owned).collect());
            assert_eq!(got.map_err(|error| error.to_string()), want.map_err(str::to_owned));
        }
    }

    #[test]
    fn what_is_of_the_host() {
        for (written, want) in [("80", false), ("8080:80", true), ("127.0.0.1::80", true)] {
            let spec = PortSpec::parse(written).expect("it is a port");
            assert_eq!(spec.has_host, want, "{written}");
        }
    }
}
