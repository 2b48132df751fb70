//! URLs, as far as asking registries needs them.

use std::fmt;

/// A URL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) tls: bool,
    /// Without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Path and query.
    pub(super) target: String,
}

impl Address {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (place, target) = rest.split_at(end);
        let target = target.split('#').next().unwrap_or_default();
        let (host, port) = match place.strip_prefix('[') {
            Some(rest) => {
                let (host, port) = rest.split_once(']')?;
                (host, port.strip_prefix(':').unwrap_or(port))
            }
            None => place.split_once(':').unwrap_or((place, "")),
        };
        let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
        if host.is_empty() || !host.chars().all(letter) {
            return None;
        }
        let port = match port {
            "" if tls => 443,
            "" => 80,
            port => port.parse().ok()?,
        };
        if !target.bytes().all(|byte| byte.is_ascii_graphic()) {
            return None;
        }
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        Some(Self { tls, host: host.to_owned(), port, target })
    }

    /// Another target on the same server.
    pub(super) fn at(&self, target: &str) -> Self {
        Self { target: target.to_owned(), ..self.clone() }
    }

    /// Where a redirect from here leads.
    pub(super) fn join(&self, text: &str) -> Option<Self> {
        match text {
            absolute if absolute.contains("://") => Self::parse(absolute),
            path if path.starts_with('/') && !path.starts_with("//") => {
                Self::parse(&self.at(path).to_string())
            }
            _ => None,
        }
    }

    pub(super) fn same_server(&self, other: &Self) -> bool {
        (self.tls, &self.host, self.port) == (other.tls, &other.host, other.port)
    }

    /// The value of `Host`.
    pub(super) fn place(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.place(), self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_redirects() {
        for (text, want) in [
            ("http://host", Some("http://host/")),
            ("HTTPS://host:8443/a?b#c", Some("https://host:8443/a?b")),
            ("https://host:443/a", Some("https://host/a")),
            ("http://[::1]:5000/x", Some("http://[::1]:5000/x")),
            ("http://user@host/", None),
            ("ftp://host/", None),
            ("http:///x", None),
            ("http://host/a b", None),
            ("host/x", None),
        ] {
            let address = Address::parse(text).map(|address| address.to_string());
            assert_eq!(address.as_deref(), want, "{text}");
        }
        let from = Address::parse("https://host:1/a").unwrap();
        for (text, want) in [
            ("/x?y", Some("https://host:1/x?y")),
            ("http://other/x", Some("http://other/x")),
            ("//other/x", None),
            ("x", None),
            ("file:///etc/passwd", None),
        ] {
            assert_eq!(from.join(text).map(|to| to.to_string()).as_deref(), want, "{text}");
        }
    }
}
