//! Published ports: what is asked for, and what was given.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A transport protocol that ports can be published for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Proto {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// The wish for a host port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PortChoice {
    /// This one.
    Exact(u16),
    /// The first free one of the range, both ends included.
    Range(u16, u16),
    /// Any free one of the ephemeral range.
    Any,
}

/// One port to publish.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRequest {
    /// Port in the container.
    pub container_port: u16,
    /// Protocol.
    pub proto: Proto,
    /// Host address; the network's default when absent.
    pub host_ip: Option<IpAddr>,
    /// Host port.
    pub host_port: PortChoice,
}

/// One published port.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// Port in the container.
    pub container_port: u16,
    /// Protocol.
    pub proto: Proto,
    /// Host address.
    pub host_ip: IpAddr,
    /// Host port.
    pub host_port: u16,
}

/// A text that names no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ParsePortError {
    /// Not `tcp`, `udp` or `sctp`.
    #[error("invalid proto: {0}")]
    Proto(String),
    /// No number from 1 to 65535.
    #[error("invalid port: {0}")]
    Port(String),
    /// No port range `low-high`.
    #[error("invalid port range: {0}")]
    Range(String),
    /// No address.
    #[error("invalid IP address: {0}")]
    HostIp(String),
}

impl Proto {
    /// The protocol's number in an IP header.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            Proto::Tcp => 6,
            Proto::Udp => 17,
            Proto::Sctp => 132,
        }
    }
}

impl fmt::Display for Proto {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Proto::Tcp => "tcp",
            Proto::Udp => "udp",
            Proto::Sctp => "sctp",
        })
    }
}

impl FromStr for Proto {
    type Err = ParsePortError;

    fn from_str(text: &str) -> Result<Proto, ParsePortError> {
        [Proto::Tcp, Proto::Udp, Proto::Sctp]
            .into_iter()
            .find(|proto| text.eq_ignore_ascii_case(&proto.to_string()))
            .ok_or_else(|| ParsePortError::Proto(text.to_owned()))
    }
}

impl FromStr for PortChoice {
    type Err = ParsePortError;

    /// Reads Docker's `HostPort`: empty or `0` for any, a port, or a range `8000-8010`.
    fn from_str(text: &str) -> Result<PortChoice, ParsePortError> {
        match text.split_once('-') {
            None if text.is_empty() || text == "0" => Ok(PortChoice::Any),
            None => parse_port(text).map(PortChoice::Exact),
            Some((low, high)) => {
                let range = parse_port(low).ok().zip(parse_port(high).ok());
                match range.filter(|(low, high)| low <= high) {
                    Some((low, high)) if low == high => Ok(PortChoice::Exact(low)),
                    Some((low, high)) => Ok(PortChoice::Range(low, high)),
                    None => Err(ParsePortError::Range(text.to_owned())),
                }
            }
        }
    }
}

impl PortRequest {
    /// Reads one entry of the API's `PortBindings`: the key `80/tcp`, `HostIp` and `HostPort`.
    ///
    /// # Errors
    /// [`ParsePortError`] naming the part that is wrong.
    pub fn parse(port: &str, host_ip: &str, host_port: &str) -> Result<Self, ParsePortError> {
        let (number, proto) = port.split_once('/').unwrap_or((port, "tcp"));
        let host_ip = match host_ip.trim_start_matches('[').trim_end_matches(']') {
            "" => None,
            text => Some(text.parse().map_err(|_| ParsePortError::HostIp(host_ip.to_owned()))?),
        };
        Ok(PortRequest {
            container_port: parse_port(number)?,
            proto: proto.parse()?,
            host_ip,
            host_port: host_port.parse()?,
        })
    }
}

fn parse_port(text: &str) -> Result<u16, ParsePortError> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse()
        .ok()
        .filter(|port| plain && *port != 0)
        .ok_or_else(|| ParsePortError::Port(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn choices() {
        for (text, want) in [
            ("", Some(PortChoice::Any)),
            ("0", Some(PortChoice::Any)),
            ("8080", Some(PortChoice::Exact(8080))),
            ("8000-8010", Some(PortChoice::Range(8000, 8010))),
            ("8000-8000", Some(PortChoice::Exact(8000))),
            ("8010-8000", None),
            ("0-5", None),
            ("65536", None),
            ("+80", None),
            ("80-", None),
            ("-80", None),
            ("http", None),
        ] {
            assert_eq!(text.parse().ok(), want, "{text:?}");
        }
    }

    #[test]
    fn bindings() {
        let local = Some(IpAddr::from([127, 0, 0, 1]));
        for (port, ip, host, want) in [
            ("80/tcp", "", "", Ok((80, Proto::Tcp, None, PortChoice::Any))),
            ("80", "127.0.0.1", "81", Ok((80, Proto::Tcp, local, PortChoice::Exact(81)))),
            ("53/UDP", "", "53", Ok((53, Proto::Udp, None, PortChoice::Exact(53)))),
            ("9/sctp", "", "9-12", Ok((9, Proto::Sctp, None, PortChoice::Range(9, 12)))),
            ("1/tcp", "[::]", "", Ok((1, Proto::Tcp, "::".parse().ok(), PortChoice::Any))),
            ("0/tcp", "", "", Err("invalid port: 0")),
            ("80/icmp", "", "", Err("invalid proto: icmp")),
            ("80/tcp", "localhost", "", Err("invalid IP address: localhost")),
            ("80/tcp", "", "9-1", Err("invalid port range: 9-1")),
        ] {
            let got = PortRequest::parse(port, ip, host)
                .map(|got| (got.container_port, got.proto, got.host_ip, got.host_port))
                .map_err(|error| error.to_string());
            assert_eq!(got, want.map_err(str::to_owned), "{port} {ip} {host}");
        }
    }
}
