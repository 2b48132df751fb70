//! URLs, as far as fetching needs them.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;

/// A URL that can be fetched.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    /// By TLS.
    pub tls: bool,
    /// The host, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub target: String,
    /// The value of `Authorization`, if it has a user.
    pub credentials: Option<String>,
}

impl Address {
    /// Reads a URL.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        let (user, place) = match authority.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, authority),
        };
        let (host, port) = host_and_port(place, if tls { 443 } else { 80 })?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let plain = target.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then(|| Self { tls, host, port, target, credentials: user.map(basic) })
    }

    /// What a redirect from here to `text` leads to.
    pub(super) fn join(&self, text: &str) -> Option<Self> {
        if text.contains("://") {
            return Self::parse(text);
        }
        if let Some(rest) = text.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme()));
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let above = path.rfind('/').map_or("/", |slash| &path[..=slash]);
        let target = if text.starts_with('/') { text.to_owned() } else { format!("{above}{text}") };
        let joined = Self::parse(&format!("{}://{}{target}", self.scheme(), self.host_header()))?;
        Some(Self { credentials: self.credentials.clone(), ..joined })
    }

    /// The value of `Host`.
    pub(super) fn host_header(&self) -> String {
        let host =
            if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let usual = if self.tls { 443 } else { 80 };
        if self.port == usual { host } else { format!("{host}:{}", self.port) }
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }
}

/// Without user and password.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme(), self.host_header(), self.target)
    }
}

/// `user:password`, as it stands in a URL, for `Authorization`.
pub(super) fn basic(user: &str) -> String {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let both = [decoded(name), b":".to_vec(), decoded(password)].concat();
    format!("Basic {}", STANDARD.encode(both))
}

fn host_and_port(place: &str, usual: u16) -> Option<(String, u16)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, rest.strip_prefix(':').unwrap_or(rest))
        }
        None => place.split_once(':').unwrap_or((place, "")),
    };
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if host.is_empty() || !host.chars().all(letter) {
        return None;
    }
    let port = if port.is_empty() { usual } else { port.parse().ok()? };
    Some((host.to_owned(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, want) in [
            ("http://host", Some("http://host/")),
            ("HTTPS://host:8443/a/b?c=d#e", Some("https://host:8443/a/b?c=d")),
            ("http://host:80?q", Some("http://host/?q")),
            ("http://[::1]:8080/x", Some("http://[::1]:8080/x")),
            ("http://u:p@host/x", Some("http://host/x")),
            ("ftp://host/x", None),
            ("http:///x", None),
            ("http://host:x/", None),
            ("http://ho st/", None),
            ("http://host/a b", None),
            ("http://host/\r\nX: y", None),
            ("host/x", None),
        ] {
            let address = Address::parse(text).map(|address| address.to_string());
            assert_eq!(address.as_deref(), want, "{text}");
        }
        let with_user = Address::parse("http://user:p%40ss@host/").unwrap();
        assert_eq!(with_user.credentials.as_deref(), Some("Basic dXNlcjpwQHNz"));
    }

    #[test]
    fn redirects() {
        let from = Address::parse("https://host:1/a/b?c").unwrap();
        for (text, want) in [
            ("/x", Some("https://host:1/x")),
            ("x?y", Some("https://host:1/a/x?y")),
            ("//other/x", Some("https://other/x")),
            ("http://other/x", Some("http://other/x")),
            ("file:///etc/passwd", None),
        ] {
            let joined = from.join(text).map(|address| address.to_string());
            assert_eq!(joined.as_deref(), want, "{text}");
        }
    }
}
