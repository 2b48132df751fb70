//! Which proxy is on the way to an address.

use std::net::IpAddr;

use crate::{
    Network, Secret,
    address::{Address, without_user},
};

/// Proxies, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies {
    /// For `http` URLs.
    pub http: Option<String>,
    /// For `https` URLs.
    pub https: Option<String>,
    /// Hosts that are reached without one, separated by commas.
    pub no_proxy: Option<String>,
}

impl Proxies {
    /// Those of the environment, in capitals or not.
    #[must_use]
    pub fn of_environment() -> Self {
        let variable = |name: &str| {
            let value = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase()));
            value.ok().filter(|value| !value.is_empty())
        };
        Self {
            http: variable("HTTP_PROXY"),
            https: variable("HTTPS_PROXY"),
            no_proxy: variable("NO_PROXY"),
        }
    }
}

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
    let (address, credentials) = Address::parse_with_user(&text)
        // What cannot be read is shown without a password in it.
        .ok_or_else(|| format!("{} is no proxy that can be used", without_user(&text)))?;
    Ok(Proxy { address, credentials })
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
