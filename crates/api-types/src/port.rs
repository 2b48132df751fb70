//! Port specifications, `80/tcp` and `8000-8010/udp`.

use std::fmt;
use std::str::FromStr;

/// Protocol of a port.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP, also when none is named.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// A port with its protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PortSpec {
    /// Port number.
    pub port: u16,
    /// Protocol.
    pub protocol: Protocol,
}

/// A text that is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Not a number of a port, or of a range from low to high.
    #[error("invalid containerPort: {0}")]
    Number(String),
    /// A protocol other than `tcp`, `udp` and `sctp`.
    #[error("invalid proto: {0}")]
    Protocol(String),
}

impl Protocol {
    /// Lower-case name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
            Self::Sctp => "sctp",
        }
    }
}

/// Reads `80`, `80/udp`, `8000-8010/tcp` into all ports that it names.
///
/// # Errors
/// [`PortError`] for other texts.
pub fn parse_port_range(text: &str) -> Result<Vec<PortSpec>, PortError> {
    let (numbers, protocol) = match text.split_once('/') {
        Some((numbers, protocol)) => (numbers, protocol.parse()?),
        None => (text, Protocol::Tcp),
    };
    let number = |digits: &str| -> Result<u16, PortError> {
        let plain = digits.bytes().all(|b| b.is_ascii_digit());
        let number = if plain { digits.parse().ok() } else { None };
        number.ok_or_else(|| PortError::Number(numbers.to_owned()))
    };
    let (first, last) = match numbers.split_once('-') {
        Some((first, last)) => (number(first)?, number(last)?),
        None => (number(numbers)?, number(numbers)?),
    };
    if first > last {
        return Err(PortError::Number(numbers.to_owned()));
    }
    Ok((first..=last).map(|port| PortSpec { port, protocol }).collect())
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Protocol {
    type Err = PortError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.to_ascii_lowercase().as_str() {
            "" | "tcp" => Ok(Self::Tcp),
            "udp" => Ok(Self::Udp),
            "sctp" => Ok(Self::Sctp),
            _ => Err(PortError::Protocol(text.to_owned())),
        }
    }
}

impl fmt::Display for PortSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

impl FromStr for PortSpec {
    type Err = PortError;

    /// Reads one port; a range is refused.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match parse_port_range(text)?.as_slice() {
            [one] => Ok(*one),
            _ => Err(PortError::Number(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_read() {
        for (text, want) in [
            ("80", Some("80/tcp")),
            ("80/", Some("80/tcp")),
            ("53/UDP", Some("53/udp")),
            ("9/sctp", Some("9/sctp")),
            ("80/icmp", None),
            ("/tcp", None),
            ("65536/tcp", None),
            ("-1", None),
            ("+1", None),
            ("80-81", None),
            ("80-80/tcp", Some("80/tcp")),
        ] {
            let got = text.parse::<PortSpec>().ok().map(|port| port.to_string());
            assert_eq!(got.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn ranges_are_spread() {
        let ports = |text| parse_port_range(text).map(|ports| ports.len());
        assert_eq!(ports("8000-8010/udp"), Ok(11));
        assert_eq!(ports("0-65535"), Ok(65536));
        assert_eq!(ports("81-80"), Err(PortError::Number("81-80".to_owned())));
    }
}
