//! Which proxy is on the way to an address.

use std::net::IpAddr;

use base64::{Engine, engine::general_purpose::STANDARD};
use percent_encoding::percent_decode_str;

use super::address::Address;
use crate::{Proxies, Secret, hosts::Network};

/// A proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Proxy {
    pub address: Address,
    /// The value of `Proxy-Authorization`.
    pub credentials: Option<Secret>,
}

/// The proxy on the way to an address, if there is one; an error names one that is no URL.
pub(super) fn on_the_way(proxies: &Proxies, address: &Address) -> Result<Option<Proxy>, String> {
    let named = if address.tls { &proxies.https } else { &proxies.http };
    let Some(named) = named.as_deref().filter(|text| !text.is_empty()) else { return Ok(None) };
    if is_excepted(&address.host, address.port, proxies.no_proxy.as_deref().unwrap_or_default()) {
        return Ok(None);
    }
    read(named).map(Some)
}

fn read(text: &str) -> Result<Proxy, String> {
    let text = if text.contains("://") { text.to_owned() } else { format!("http://{text}") };
    let (scheme, rest) = text.split_once("://").unwrap_or_default();
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, _) = rest.split_at(end);
    let (user, place) = match authority.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, authority),
    };
    let address = Address::parse(&format!("{scheme}://{place}"))
        .ok_or_else(|| format!("{scheme}://{place} is no proxy that can be used"))?;
    Ok(Proxy { address, credentials: user.map(basic) })
}

fn basic(user: &str) -> Secret {
    let (name, password) = user.split_once(':').unwrap_or((user, ""));
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    let both = [decoded(name), b":".to_vec(), decoded(password)].concat();
    Secret::new(format!("Basic {}", STANDARD.encode(both)))
}

/// Whether a list of hosts names one: itself, a domain above it, its address or network, or `*`.
fn is_excepted(host: &str, port: u16, list: &str) -> bool {
    let ip = host.parse::<IpAddr>().ok();
    if host == "localhost" || ip.is_some_and(|ip| ip.is_loopback()) {
        return true;
    }
    list.split(',').map(str::trim).filter(|word| !word.is_empty()).any(|word| {
        let (name, own_port) = match word.rsplit_once(':') {
            Some((name, own)) if ip.is_none_or(|ip| ip.is_ipv4()) => (name, own.parse().ok()),
            _ => (word, None),
        };
        if own_port.is_some_and(|own: u16| own != port) {
            return false;
        }
        let name = name.trim_start_matches("*.").trim_start_matches('.').to_ascii_lowercase();
        name == "*"
            || host == name
            || ip.is_some_and(|ip| name.parse::<Network>().is_ok_and(|net| net.contains(ip)))
            || host.strip_suffix(&name).is_some_and(|above| above.ends_with('.'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exceptions() {
        for (host, list, want) in [
            ("localhost", "", true),
            ("127.0.0.1", "", true),
            ("a.example", "", false),
            ("a.example", "example", true),
            ("a.example", ".example", true),
            ("a.example", "*.example", true),
            ("anexample", "example", false),
            ("a.example", "b, A.EXAMPLE", true),
            ("a.example", "a.example:80", true),
            ("a.example", "a.example:81", false),
            ("a.example", "*", true),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("fd00::1", "fd00::/16", true),
        ] {
            assert_eq!(is_excepted(host, 80, list), want, "{host} {list}");
        }
    }

    #[test]
    fn proxies() {
        let proxies = Proxies {
            http: Some("u:p%40ss@proxy:3128".to_owned()),
            https: Some("socks5://proxy".to_owned()),
            no_proxy: None,
        };
        let to = |text| on_the_way(&proxies, &Address::parse(text).unwrap());
        let proxy = to("http://a/").unwrap().unwrap();
        assert_eq!(proxy.address.to_string(), "http://proxy:3128/");
        assert_eq!(proxy.credentials.unwrap().expose(), "Basic dTpwQHNz");
        assert!(to("https://a/").unwrap_err().contains("socks5://proxy"));
        assert_eq!(to("http://127.0.0.1/"), Ok(None));
    }
}
