//! URLs.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;

use crate::Secret;

/// A URL that can be asked; no user and no password are in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Address {
    /// By TLS.
    pub tls: bool,
    /// The host in small letters, without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Path and query.
    pub target: String,
}

impl Address {
    /// Reads a URL.
    pub fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let tls = match scheme.to_ascii_lowercase().as_str() {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        let rest = rest.split('#').next().unwrap_or_default();
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, target) = rest.split_at(end);
        // What follows the user would be the host: such URLs are made to deceive, or hold secrets.
        if authority.contains('@') {
            return None;
        }
        let (host, port) = host_and_port(authority)?;
        let target = if target.starts_with('/') { target.to_owned() } else { format!("/{target}") };
        let port = port.unwrap_or(usual_port(tls));
        let plain = target.bytes().all(|byte| byte.is_ascii_graphic());
        plain.then_some(Self { tls, host, port, target })
    }

    /// Reads a URL that may have a user; gives the value of `Authorization` for them, too.
    #[must_use]
    pub fn parse_with_user(text: &str) -> Option<(Self, Option<Secret>)> {
        Some((Self::parse(&without_user(text))?, user_of(text).map(basic)))
    }

    /// What a redirect from here to `text` leads to.
    pub fn join(&self, text: &str) -> Option<Self> {
        // In a query, a URL may stand as a value.
        let head = text.split(['?', '#']).next().unwrap_or_default();
        if head.contains("://") {
            return Self::parse(text);
        }
        if let Some(rest) = text.strip_prefix("//") {
            return Self::parse(&format!("{}://{rest}", self.scheme()));
        }
        let path = self.target.split('?').next().unwrap_or_default();
        let above = path.rfind('/').map_or("/", |slash| &path[..=slash]);
        let target = match text.as_bytes().first() {
            Some(b'/') => text.to_owned(),
            Some(b'?') => format!("{path}{text}"),
            _ => format!("{above}{text}"),
        };
        Self::parse(&format!("{}{target}", self.origin()))
    }

    /// The same server with another path and query.
    pub fn with_target(&self, target: String) -> Self {
        Self { target, ..self.clone() }
    }

    /// With one more parameter in the query.
    pub fn with_query(mut self, name: &str, value: &str) -> Self {
        self.target.push(if self.target.contains('?') { '&' } else { '?' });
        let pair =
            form_urlencoded::Serializer::new(String::new()).append_pair(name, value).finish();
        self.target.push_str(&pair);
        self
    }

    /// Host and port; brackets around an IPv6 address, the usual port left out.
    pub fn authority(&self) -> String {
        let host = self.bracketed();
        if self.port == usual_port(self.tls) { host } else { format!("{host}:{}", self.port) }
    }

    /// Host and port, both always.
    pub fn host_port(&self) -> String {
        format!("{}:{}", self.bracketed(), self.port)
    }

    /// `https://host:port`.
    pub fn origin(&self) -> String {
        format!("{}://{}", self.scheme(), self.authority())
    }

    /// Whether both are of one server, by the same scheme.
    pub fn same_origin(&self, other: &Self) -> bool {
        self.tls == other.tls && self.host == other.host && self.port == other.port
    }

    /// The whole URL; its query may hold a signature that gives access.
    pub fn whole(&self) -> String {
        format!("{}{}", self.origin(), self.target)
    }

    fn scheme(&self) -> &'static str {
        if self.tls { "https" } else { "http" }
    }

    fn bracketed(&self) -> String {
        if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() }
    }
}

/// For people: a query's values are left out but where they are known to be harmless.
impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, query) = self.target.split_once('?').unwrap_or((&self.target, ""));
        write!(f, "{}{path}", self.origin())?;
        for (number, part) in query.split('&').filter(|part| !part.is_empty()).enumerate() {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            let known = [
                "n",
                "last",
                "q",
                "scope",
                "service",
                "digest",
                "mount",
                "from",
                "artifactType",
                "ns",
            ];
            let value = if known.contains(&name) { value } else { "…" };
            write!(f, "{}{name}={value}", if number == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// The part of a URL that names a user, as it stands there.
fn user_of(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    rest[..end].rsplit_once('@').map(|(user, _)| user)
}

/// A URL without its user and password.
pub(crate) fn without_user(url: &str) -> String {
    match user_of(url) {
        Some(user) => url.replacen(&format!("://{user}@"), "://", 1),
        None => url.to_owned(),
    }
}

/// `user:password`, as it stands in a URL, for `Authorization`.
fn basic(user: &str) -> Secret {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let both = [decoded(name), b":".to_vec(), decoded(password)].concat();
    Secret::new(format!("Basic {}", STANDARD.encode(both)))
}

/// `host`, `host:port` or `[address]:port`; the host in small letters and without brackets.
pub fn host_and_port(place: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match place.strip_prefix('[') {
        Some(rest) => {
            let (host, rest) = rest.split_once(']')?;
            host.parse::<std::net::Ipv6Addr>().ok()?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        }
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (place, None),
        },
    };
    let letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    // Hosts become names of directories: none may be one above.
    let named = host.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && !host.contains("..")
        && host.chars().all(letter);
    if !named && !place.starts_with('[') {
        return None;
    }
    let port = match port {
        None | Some("") => None,
        Some(digits) => Some(digits.parse().ok()?),
    };
    Some((host.to_ascii_lowercase(), port))
}

fn usual_port(tls: bool) -> u16 {
    if tls { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for (text, want) in [
            ("http://host", Some("http://host/")),
            ("HTTPS://Host:8443/a/B?n=d#e", Some("https://host:8443/a/B?n=d")),
            ("http://host:80?q=1", Some("http://host/?q=1")),
            ("http://[::1]:8080/x", Some("http://[::1]:8080/x")),
            ("https://host/x?X-Signature=secret", Some("https://host/x?X-Signature=…")),
            ("http://u:p@host/x", None),
            ("http://good.example@evil.example/x", None),
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
    }

    #[test]
    fn users() {
        let (address, user) = Address::parse_with_user("http://user:p%40ss@host/x?a@b").unwrap();
        assert_eq!(address.whole(), "http://host/x?a@b");
        assert_eq!(user.unwrap().expose(), "Basic dXNlcjpwQHNz");
        let (_, none) = Address::parse_with_user("http://host/@x").unwrap();
        assert_eq!(none, None);
    }

    #[test]
    fn redirects() {
        let from = Address::parse("https://host:1/a/b?n=c").unwrap();
        for (text, want) in [
            ("/x", Some("https://host:1/x")),
            ("x?n=y", Some("https://host:1/a/x?n=y")),
            ("?n=1", Some("https://host:1/a/b?n=1")),
            ("/x?from=http://other", Some("https://host:1/x?from=http://other")),
            ("//other/x", Some("https://other/x")),
            ("http://other/x", Some("http://other/x")),
            ("file:///etc/passwd", None),
        ] {
            let joined = from.join(text).map(|address| address.to_string());
            assert_eq!(joined.as_deref(), want, "{text}");
        }
    }

    #[test]
    fn queries() {
        let address = Address::parse("https://host/a").unwrap();
        let address = address.with_query("n", "1").with_query("scope", "a:b c");
        assert_eq!(address.whole(), "https://host/a?n=1&scope=a%3Ab+c");
    }
}
