//! Lists of registries: those that may speak without TLS, those that get what others may not.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use gantry_web::{Network, host_and_port};

use crate::DistributionError;

/// The port is of no matter for a look-up of a name.
const ANY_PORT: u16 = 443;

/// Registries by their names, with or without a port, and by the networks that they are in.
#[derive(Debug)]
pub(super) struct Listed {
    names: Vec<String>,
    networks: Vec<Network>,
}

impl Listed {
    /// Reads a list; `why` is what is said of an entry that is neither.
    pub(super) fn new(entries: &[String], why: &'static str) -> Result<Self, DistributionError> {
        let (mut names, mut networks) = (Vec::new(), Vec::new());
        for entry in entries {
            let text = entry.strip_prefix("http://").or_else(|| entry.strip_prefix("https://"));
            let text = text.unwrap_or(entry).trim_end_matches('/');
            if let Ok(network) = text.parse() {
                networks.push(network);
            } else if host_and_port(text).is_some() {
                names.push(text.to_ascii_lowercase());
            } else {
                return Err(DistributionError::Host { text: entry.clone(), why });
            }
        }
        Ok(Self { names, networks })
    }

    /// Whether `name`, a host with or without a port, is insecure: it is listed, or loopback.
    pub(super) async fn is_insecure(&self, name: &str, host: &str) -> bool {
        is_loopback(host) || self.holds(name, host).await
    }

    /// Whether `name`, a host with or without a port, is listed.
    pub(super) async fn holds(&self, name: &str, host: &str) -> bool {
        if self.names.contains(&name.to_ascii_lowercase()) {
            return true;
        }
        match host.parse() {
            Ok(ip) => self.has_network_of(ip),
            // Whoever answers for a name must not be able to make it insecure by an address on
            // this machine: names are looked up only where networks were configured.
            Err(_) if self.networks.is_empty() => false,
            Err(_) => match tokio::net::lookup_host((host, ANY_PORT)).await {
                Ok(found) => found.into_iter().any(|address| self.has_network_of(address.ip())),
                Err(_) => false,
            },
        }
    }

    fn has_network_of(&self, ip: IpAddr) -> bool {
        self.networks.iter().any(|network| network.contains(ip))
    }
}

fn is_loopback(host: &str) -> bool {
    match host.parse() {
        Ok(IpAddr::V4(ip)) => ip.octets()[0] == Ipv4Addr::LOCALHOST.octets()[0],
        Ok(IpAddr::V6(ip)) => ip == Ipv6Addr::LOCALHOST,
        Err(_) => host == "localhost" || host.ends_with(".localhost"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn which() {
        let entries = ["10.0.0.0/8", "http://Plain.example/", "reg.example:5000", "fd00::/8"];
        let insecure = Listed::new(&entries.map(str::to_owned), "").unwrap();
        for (name, host, want) in [
            ("127.0.0.1:5000", "127.0.0.1", true),
            ("127.9.9.9", "127.9.9.9", true),
            ("[::1]:5000", "::1", true),
            ("localhost:5000", "localhost", true),
            ("10.1.2.3:5000", "10.1.2.3", true),
            ("11.1.2.3", "11.1.2.3", false),
            ("[fd00::1]", "fd00::1", true),
            ("plain.example", "plain.example", true),
            ("reg.example:5000", "reg.example", true),
        ] {
            assert_eq!(insecure.is_insecure(name, host).await, want, "{name}");
        }
        assert!(!insecure.holds("127.0.0.1:5000", "127.0.0.1").await, "nobody listed it");
        let none = Listed::new(&[], "").unwrap();
        assert!(!none.is_insecure("reg.example:5000", "reg.example").await);
        assert!(Listed::new(&["a b".to_owned()], "").is_err());
    }
}
