//! Proxies, as `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY` name them, in capitals or not.

use super::address::Address;

/// The proxy on the way to an address, if there is one.
pub(super) fn on_the_way(address: &Address) -> Option<Address> {
    let read = |name: &str| {
        let value = std::env::var(name).or_else(|_| std::env::var(name.to_lowercase()));
        value.ok().filter(|value| !value.is_empty())
    };
    // Whoever sends a header to a CGI program sets HTTP_PROXY: we are none.
    let proxy = read(if address.tls { "HTTPS_PROXY" } else { "HTTP_PROXY" })?;
    if is_excepted(&address.host, address.port, &read("NO_PROXY").unwrap_or_default()) {
        return None;
    }
    let proxy = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    Address::parse(&proxy)
}

/// Whether a list of hosts names one: itself, a domain above it, its address, or `*`.
fn is_excepted(host: &str, port: u16, list: &str) -> bool {
    let ip = host.parse::<std::net::IpAddr>().ok();
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
        let host = host.to_ascii_lowercase();
        name == "*"
            || host == name
            || ip.is_some_and(|ip| in_network(ip, &name))
            || host.strip_suffix(&name).is_some_and(|above| above.ends_with('.'))
    })
}

fn in_network(ip: std::net::IpAddr, text: &str) -> bool {
    use std::net::IpAddr::{V4, V6};
    let Some((network, bits)) = text.split_once('/') else { return false };
    let (Ok(network), Ok(bits)) = (network.parse(), bits.parse::<u32>()) else { return false };
    match (ip, network) {
        (V4(ip), V4(network)) if bits <= 32 => {
            let shift = |ip: std::net::Ipv4Addr| u64::from(u32::from(ip)) >> (32 - bits);
            shift(ip) == shift(network)
        }
        (V6(ip), V6(network)) if bits <= 128 => {
            let shift = |ip: std::net::Ipv6Addr| u128::from(ip).checked_shr(128 - bits);
            shift(ip) == shift(network)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::is_excepted;

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
            ("10.1.2.3", "0.0.0.0/0", true),
        ] {
            assert_eq!(is_excepted(host, 80, list), want, "{host} {list}");
        }
    }
}
