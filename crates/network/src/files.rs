//! The three files that tell a container its name and its neighbours: `/etc/resolv.conf`,
//! `/etc/hosts`, `/etc/hostname`. Pure text, with Docker's lines in Docker's order.

use std::net::IpAddr;

/// Name resolution as asked for by the user (`--dns`, `--dns-search`, `--dns-option`).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DnsOptions {
    /// Name servers, instead of the host's.
    pub nameservers: Vec<IpAddr>,
    /// Search domains, instead of the host's; a single `.` for none.
    pub search: Vec<String>,
    /// Resolver options, instead of the host's.
    pub options: Vec<String>,
    /// Whether the container has IPv6, and so can reach name servers by it.
    pub ipv6: bool,
}

/// What `/etc/hosts` says beside the fixed lines.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HostsOptions {
    /// Host name of the container.
    pub hostname: String,
    /// Its domain, or empty.
    pub domain: String,
    /// Its addresses on its networks, in order.
    pub addresses: Vec<IpAddr>,
    /// Further names (`--add-host`, links): address and names, in order.
    pub extra: Vec<(IpAddr, String)>,
}

/// The text of `/etc/resolv.conf`, from the host's own (`host`) and the user's wishes.
#[must_use]
pub fn resolv_conf(host: &str, opts: &DnsOptions) -> String {
    todo!("{host} {opts:?}")
}

/// The text of `/etc/hosts`.
#[must_use]
pub fn hosts(opts: &HostsOptions) -> String {
    todo!("{opts:?}")
}

/// The text of `/etc/hostname`.
#[must_use]
pub fn hostname(name: &str) -> String {
    format!("{name}\n")
}
