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

/// Name servers when the host's are of no use in a container.
const DEFAULT_NAMESERVERS: &str = "nameserver 8.8.8.8\nnameserver 8.8.4.4";

/// The lines that every `/etc/hosts` begins with.
const FIXED_HOSTS: &str = "127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::\tip6-localnet
ff00::\tip6-mcastprefix
ff02::1\tip6-allnodes
ff02::2\tip6-allrouters
";

/// The text of `/etc/resolv.conf`, from the host's own (`host`) and the user's wishes.
///
/// With no wish it is the host's text without the name servers that a container cannot reach:
/// those on a loopback address and, without IPv6, those of IPv6. With a wish it is made of
/// search domains, name servers and options, in this order, each the user's or else the host's.
#[must_use]
pub fn resolv_conf(host: &str, opts: &DnsOptions) -> String {
    let kept: Vec<&str> = host
        .split_inclusive('\n')
        .filter(|line| nameserver(line).is_none_or(|server| is_reachable(server, opts.ipv6)))
        .collect();
    let mut servers: Vec<String> =
        kept.iter().filter_map(|line| nameserver(line)).map(str::to_owned).collect();
    let none_wished =
        opts.nameservers.is_empty() && opts.search.is_empty() && opts.options.is_empty();
    if none_wished {
        let mut text = kept.concat();
        if servers.is_empty() {
            text.push('\n');
            text.push_str(DEFAULT_NAMESERVERS);
        }
        return text;
    }
    if !opts.nameservers.is_empty() {
        servers = opts.nameservers.iter().map(IpAddr::to_string).collect();
    }
    let search = wished_or_last(&opts.search, host, "search");
    let options = wished_or_last(&opts.options, host, "options");
    let mut text = String::new();
    if !search.is_empty() && search != "." {
        text.push_str(&format!("search {search}\n"));
    }
    if servers.is_empty() {
        text.push_str(DEFAULT_NAMESERVERS);
        text.push('\n');
    }
    text.extend(servers.iter().map(|server| format!("nameserver {server}\n")));
    if !options.is_empty() {
        text.push_str(&format!("options {options}\n"));
    }
    text
}

/// The text of `/etc/resolv.conf` for a container on a network of its user's.
///
/// The only name server is `server`, which asks the host's or the user's in its turn. Search
/// domains and options are the user's or else the host's; `ndots:0` is added where no other
/// number is given, so that a name without a dot is looked up as it is before anything else.
#[must_use]
pub fn embedded_resolv_conf(host: &str, opts: &DnsOptions, server: IpAddr) -> String {
    let search = wished_or_last(&opts.search, host, "search");
    let mut options = wished_or_last(&opts.options, host, "options");
    if !options.split(' ').any(|option| option.starts_with("ndots:")) {
        options.push_str(if options.is_empty() { "ndots:0" } else { " ndots:0" });
    }
    let search = match search.as_str() {
        "" | "." => String::new(),
        search => format!("search {search}\n"),
    };
    format!("{search}nameserver {server}\noptions {options}\n")
}

/// `/etc/hosts` with lines added, as when a container is connected to one more network.
///
/// What stands there is kept as it is: the container may have changed it.
#[must_use]
pub fn hosts_with(text: &str, lines: &[(IpAddr, String)]) -> String {
    let mut text = text.to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.extend(lines.iter().map(|(address, names)| format!("{address}\t{names}\n")));
    text
}

/// `/etc/hosts` without the lines that have one of these addresses and exactly these names.
#[must_use]
pub fn hosts_without(text: &str, lines: &[(IpAddr, String)]) -> String {
    let ours = |line: &str| {
        let (address, names) = line.trim_end_matches('\n').split_once('\t').unwrap_or_default();
        let parsed: Option<IpAddr> = address.parse().ok();
        lines.iter().any(|(address, ours)| parsed == Some(*address) && names == ours)
    };
    text.split_inclusive('\n').filter(|line| !ours(line)).collect()
}

/// The text of `/etc/hosts`: the fixed lines, further names, the container itself.
#[must_use]
pub fn hosts(opts: &HostsOptions) -> String {
    let mut text = FIXED_HOSTS.to_owned();
    text.extend(opts.extra.iter().map(|(address, names)| format!("{address}\t{names}\n")));
    let names = own_names(&opts.hostname, &opts.domain);
    text.extend(opts.addresses.iter().map(|address| format!("{address}\t{names}\n")));
    text
}

/// The names of a container in its own `/etc/hosts`, behind each of its addresses.
#[must_use]
pub fn own_names(hostname: &str, domain: &str) -> String {
    let full = match domain {
        "" => hostname.to_owned(),
        domain => format!("{hostname}.{domain}"),
    };
    // The domain may also stand in the host name itself; the bare name follows in any case.
    match full.split_once('.') {
        Some((bare, _)) => format!("{full} {bare}"),
        None => full,
    }
}

/// The text of `/etc/hostname`.
#[must_use]
pub fn hostname(name: &str) -> String {
    format!("{name}\n")
}

/// The server that a line names.
fn nameserver(line: &str) -> Option<&str> {
    keyword(line, "nameserver")?.split_whitespace().next()
}

/// What follows a keyword, without a comment; `None` on another line.
fn keyword<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    let rest = line.trim_start().strip_prefix(word)?;
    let rest = rest.split(['#', ';']).next()?;
    rest.starts_with([' ', '\t']).then(|| rest.trim())
}

fn is_reachable(server: &str, ipv6: bool) -> bool {
    let (address, _zone) = server.split_once('%').unwrap_or((server, ""));
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(address)) => !address.is_loopback(),
        Ok(IpAddr::V6(address)) => ipv6 && !address.is_loopback(),
        Err(_) => false,
    }
}

/// The user's words, or those of the last line of the host's that has the keyword.
fn wished_or_last(wished: &[String], host: &str, word: &str) -> String {
    if !wished.is_empty() {
        return wished.join(" ").trim().to_owned();
    }
    let last = host.lines().filter_map(|line| keyword(line, word)).next_back().unwrap_or("");
    last.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opts(nameservers: &[&str], search: &[&str], options: &[&str]) -> DnsOptions {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        DnsOptions {
            nameservers: nameservers.iter().map(|server| server.parse().unwrap()).collect(),
            search: owned(search),
            options: owned(options),
            ipv6: false,
        }
    }

    #[test]
    fn resolv_conf_texts() {
        let plain = "# made by hand\nnameserver 10.0.0.1\nsearch a.test b.test\noptions ndots:2\n";
        let local = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n";
        let mixed = "nameserver ::1\nnameserver fe80::1%eth0\nnameserver 10.0.0.1 # ours\n";
        for (host, wish, want) in [
            (plain, opts(&[], &[], &[]), plain),
            (
                local,
                opts(&[], &[], &[]),
                "options edns0 trust-ad\nsearch .\n\nnameserver 8.8.8.8\nnameserver 8.8.4.4",
            ),
            ("", opts(&[], &[], &[]), "\nnameserver 8.8.8.8\nnameserver 8.8.4.4"),
            (mixed, opts(&[], &[], &[]), "nameserver 10.0.0.1 # ours\n"),
            (
                plain,
                opts(&["1.1.1.1", "2.2.2.2"], &[], &[]),
                "search a.test b.test\nnameserver 1.1.1.1\nnameserver 2.2.2.2\noptions ndots:2\n",
            ),
            (
                plain,
                opts(&[], &["c.test"], &["ndots:0", "rotate"]),
                "search c.test\nnameserver 10.0.0.1\noptions ndots:0 rotate\n",
            ),
            (plain, opts(&[], &["."], &[]), "nameserver 10.0.0.1\noptions ndots:2\n"),
            (
                local,
                opts(&[], &["c.test"], &[]),
                "search c.test\nnameserver 8.8.8.8\nnameserver 8.8.4.4\noptions edns0 trust-ad\n",
            ),
            ("nameserverx 1.2.3.4\n", opts(&["1.1.1.1"], &[], &[]), "nameserver 1.1.1.1\n"),
        ] {
            assert_eq!(resolv_conf(host, &wish), want, "{host:?} with {wish:?}");
        }
        let with_ipv6 = DnsOptions { ipv6: true, ..DnsOptions::default() };
        let want = "nameserver fe80::1%eth0\nnameserver 10.0.0.1 # ours\n";
        assert_eq!(resolv_conf(mixed, &with_ipv6), want);
    }

    #[test]
    fn embedded_resolv_conf_texts() {
        let full = "# by hand\nnameserver 10.0.0.1\nsearch a.test  b.test\noptions edns0 ndots:2\n";
        let stub = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch .\n";
        for (host, wish, want) in [
            ("", opts(&[], &[], &[]), "nameserver 127.0.0.11\noptions ndots:0\n"),
            (
                full,
                opts(&[], &[], &[]),
                "search a.test b.test\nnameserver 127.0.0.11\noptions edns0 ndots:2\n",
            ),
            (
                stub,
                opts(&["1.1.1.1", "::1"], &[], &[]),
                "nameserver 127.0.0.11\noptions edns0 trust-ad ndots:0\n",
            ),
            (
                full,
                opts(&[], &["a.b", "c.d"], &["rotate"]),
                "search a.b c.d\nnameserver 127.0.0.11\noptions rotate ndots:0\n",
            ),
            (
                full,
                opts(&[], &["."], &["ndots:3", "timeout:1"]),
                "nameserver 127.0.0.11\noptions ndots:3 timeout:1\n",
            ),
        ] {
            let got = embedded_resolv_conf(host, &wish, crate::dns::ADDRESS.into());
            assert_eq!(got, want, "{host:?} with {wish:?}");
        }
    }

    #[test]
    fn hosts_lines_come_and_go() {
        let line = |address: &str, names: &str| (address.parse().unwrap(), names.to_owned());
        let own = "127.0.0.1\tlocalhost\n172.18.0.2\tweb\n# mine\n1.2.3.4 x";
        let lines = [line("172.19.0.2", "web"), line("fd00::2", "web")];
        let more = hosts_with(own, &lines);
        assert_eq!(more, format!("{own}\n172.19.0.2\tweb\nfd00::2\tweb\n"));
        assert_eq!(hosts_without(&more, &lines), format!("{own}\n"));
        assert_eq!(hosts_without(own, &[line("172.18.0.2", "other")]), own);
        assert_eq!(hosts_with("", &lines[..1]), "172.19.0.2\tweb\n");
    }

    #[test]
    fn hosts_texts() {
        let address: IpAddr = "172.17.0.2".parse().unwrap();
        let mut options = HostsOptions {
            hostname: "web".to_owned(),
            addresses: vec![address],
            ..HostsOptions::default()
        };
        assert_eq!(hosts(&options), format!("{FIXED_HOSTS}172.17.0.2\tweb\n"));
        options.domain = "example.test".to_owned();
        options.extra = vec![("10.0.0.9".parse().unwrap(), "db database".to_owned())];
        let want = "10.0.0.9\tdb database\n172.17.0.2\tweb.example.test web\n";
        assert_eq!(hosts(&options), format!("{FIXED_HOSTS}{want}"));
        options.hostname = "box.example.test".to_owned();
        options.domain.clear();
        options.extra.clear();
        let want = "172.17.0.2\tbox.example.test box\n";
        assert_eq!(hosts(&options), format!("{FIXED_HOSTS}{want}"));
        options.extra = vec![("10.0.0.9".parse().unwrap(), "db database".to_owned())];
        options.addresses =
            vec![address, "172.18.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
        let want = "10.0.0.9\tdb database\n172.17.0.2\tbox.example.test box\n\
            172.18.0.2\tbox.example.test box\nfd00::2\tbox.example.test box\n";
        assert_eq!(hosts(&options), format!("{FIXED_HOSTS}{want}"), "several networks");
        options.addresses.clear();
        assert_eq!(hosts(&options), format!("{FIXED_HOSTS}10.0.0.9\tdb database\n"));
        assert_eq!(hostname("web"), "web\n");
    }
}
