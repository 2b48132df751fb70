//! Legacy links (`--link`): one container knows another by a name of its own.
//!
//! On the default bridge, which has no name server, a link is a line in `/etc/hosts` and a set of
//! environment variables; on a user's network it is a name that the embedded server gives to
//! this container alone. All here is pure: what is linked is looked up by the caller.
//!
//! The variables of `--link db:store`, for a container `me` and a `db` that exposes 3306/tcp:
//!
//! ```text
//! STORE_PORT=tcp://172.17.0.2:3306             the lowest port
//! STORE_PORT_3306_TCP=tcp://172.17.0.2:3306    each port
//! STORE_PORT_3306_TCP_ADDR=172.17.0.2
//! STORE_PORT_3306_TCP_PORT=3306
//! STORE_PORT_3306_TCP_PROTO=tcp
//! STORE_NAME=/me/store
//! STORE_ENV_MYSQL_DATABASE=shop                what the other's own environment says
//! ```

use std::collections::HashSet;
use std::net::IpAddr;

use gantry_api_types::port::PortSpec;
use serde::{Deserialize, Serialize};

use crate::error::Invalid;

/// Variables of the linked container that say nothing about it.
const NOT_PASSED_ON: [&str; 2] = ["HOME", "PATH"];
/// Ports that follow each other are told as a range too, from this many on.
const SHORTEST_RANGE: usize = 3;

/// A link, as it is asked for and as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Link {
    /// Name or id of the other container; its id in a record.
    pub(crate) target: String,
    /// What this container calls it.
    pub(crate) alias: String,
}

impl Link {
    /// Reads `target`, `target:alias`, or what an inspect document says: `/target:/me/alias`.
    ///
    /// An empty alias is the target's name; Docker takes it too, and then makes no link at all.
    ///
    /// # Errors
    /// Docker's words.
    pub(crate) fn parse(text: &str) -> Result<Link, Invalid> {
        if text.is_empty() {
            return Err(Invalid("empty string specified for links".to_owned()));
        }
        let (target, alias) = text.split_once(':').unwrap_or((text, ""));
        if alias.contains(':') {
            return Err(Invalid(format!("bad format for links: {text}")));
        }
        let (target, alias) = match target.strip_prefix('/') {
            Some(target) => (target, last_part(alias)),
            None => (target, alias.trim_matches('/')),
        };
        if target.is_empty() {
            let words = "could not get container for : invalid name or ID supplied: \"\"";
            return Err(Invalid(words.to_owned()));
        }
        let alias = if alias.is_empty() { target } else { alias };
        Ok(Link { target: target.to_owned(), alias: alias.to_owned() })
    }

    /// As an inspect document says it: `/target:/me/alias`, with names without their slash.
    pub(crate) fn described(&self, own_name: &str, target_name: &str) -> String {
        format!("/{target_name}:/{own_name}/{}", self.alias)
    }
}

/// Links need a network of the container's own.
///
/// # Errors
/// Docker's words, for the modes `host` and `container:...`.
pub(crate) fn check_mode(mode: &str) -> Result<(), Invalid> {
    let what = match mode {
        "host" => "host type networking",
        mode if mode.starts_with("container:") => "container type network",
        _ => return Ok(()),
    };
    Err(Invalid(format!(
        "conflicting options: {what} can't be used with links. This would result in undefined \
         behavior"
    )))
}

/// Docker's words for a link on the default bridge to a container that has no address.
pub(crate) fn not_running(link: &Link, own_name: &str, target_name: &str) -> Invalid {
    let alias = &link.alias;
    Invalid(format!(
        "Cannot link to a non running container: /{target_name} AS /{own_name}/{alias}"
    ))
}

/// A link with what is known of the other container.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Linked<'a> {
    /// What this container calls the other.
    pub(crate) alias: &'a str,
    /// Name of this container, without a slash.
    pub(crate) own_name: &'a str,
    /// Name of the other container, without a slash.
    pub(crate) name: &'a str,
    /// Its host name.
    pub(crate) hostname: &'a str,
    /// Its address on the default bridge.
    pub(crate) address: IpAddr,
    /// Its exposed ports, in any order.
    pub(crate) ports: &'a [PortSpec],
    /// Its configured environment.
    pub(crate) env: &'a [String],
}

impl Linked<'_> {
    /// The line in `/etc/hosts`, behind those of `--add-host` and before the container's own.
    pub(crate) fn hosts_line(&self) -> (IpAddr, String) {
        let alias = last_part(self.alias);
        let name = if alias == self.name { String::new() } else { format!(" {}", self.name) };
        (self.address, format!("{alias} {}{name}", self.hostname))
    }

    /// The variables, in Docker's order. They stand behind `PATH` and `HOSTNAME`; what the
    /// container's own configuration says takes their place.
    pub(crate) fn environment(&self) -> Vec<String> {
        let mut ports = self.ports.to_vec();
        ports.sort_unstable();
        ports.dedup();
        let prefix = last_part(self.alias).to_uppercase().replace('-', "_");
        let mut vars =
            Variables { prefix, address: self.address, list: Vec::new(), seen: HashSet::new() };
        if let Some(lowest) = ports.first() {
            vars.set("PORT", &vars.url(*lowest));
        }
        for range in ranges(&ports) {
            vars.range(range);
        }
        for port in &ports {
            vars.port(*port);
        }
        vars.set("NAME", &format!("/{}/{}", self.own_name, self.alias));
        for variable in self.env {
            let Some((name, value)) = variable.split_once('=') else { continue };
            if !NOT_PASSED_ON.contains(&name) {
                vars.set(&format!("ENV_{name}"), value);
            }
        }
        vars.list
    }
}

/// Runs of ports whose numbers follow each other, whatever the protocol. The ports are sorted.
fn ranges(ports: &[PortSpec]) -> impl Iterator<Item = &[PortSpec]> {
    ports.chunk_by(|one, next| next.port - one.port <= 1).filter(|run| run.len() >= SHORTEST_RANGE)
}

/// Variables in the order of their first appearance.
struct Variables {
    prefix: String,
    address: IpAddr,
    list: Vec<String>,
    seen: HashSet<String>,
}

impl Variables {
    fn set(&mut self, name: &str, value: &str) {
        let name = format!("{}_{name}", self.prefix);
        let variable = format!("{name}={value}");
        if self.seen.insert(name) {
            self.list.push(variable);
        }
    }

    fn url(&self, port: PortSpec) -> String {
        let (proto, number) = (port.protocol.as_str(), port.port);
        match self.address {
            IpAddr::V4(address) => format!("{proto}://{address}:{number}"),
            IpAddr::V6(address) => format!("{proto}://[{address}]:{number}"),
        }
    }

    fn range(&mut self, range: &[PortSpec]) {
        let (Some(first), Some(last)) = (range.first(), range.last()) else { return };
        let of = |port: &PortSpec| {
            format!("PORT_{}_{}", first.port, port.protocol.as_str().to_uppercase())
        };
        let (start, end) = (of(first), of(last));
        self.set(&format!("{start}_START"), &self.url(*first));
        self.set(&format!("{start}_ADDR"), &self.address.to_string());
        self.set(&format!("{start}_PROTO"), first.protocol.as_str());
        self.set(&format!("{start}_PORT_START"), &first.port.to_string());
        self.set(&format!("{end}_END"), &self.url(*last));
        self.set(&format!("{end}_PORT_END"), &last.port.to_string());
    }

    fn port(&mut self, port: PortSpec) {
        let name = format!("PORT_{}_{}", port.port, port.protocol.as_str().to_uppercase());
        self.set(&name, &self.url(port));
        self.set(&format!("{name}_ADDR"), &self.address.to_string());
        self.set(&format!("{name}_PORT"), &port.port.to_string());
        self.set(&format!("{name}_PROTO"), port.protocol.as_str());
    }
}

/// Docker treats an alias as a path.
fn last_part(alias: &str) -> &str {
    alias.rsplit_once('/').map_or(alias, |(_, last)| last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_api_types::port::parse_port_range;

    #[test]
    fn wishes() {
        for (text, want) in [
            ("db", Ok(("db", "db"))),
            ("db:store", Ok(("db", "store"))),
            ("db:", Ok(("db", "db"))),
            ("db:/store", Ok(("db", "store"))),
            ("db:a/b", Ok(("db", "a/b"))),
            ("/db:store", Ok(("db", "store"))),
            ("/db:/me/store", Ok(("db", "store"))),
            ("", Err("empty string specified for links")),
            ("a:b:c", Err("bad format for links: a:b:c")),
            (":x", Err("could not get container for : invalid name or ID supplied: \"\"")),
        ] {
            let got = Link::parse(text).map_err(|error| error.to_string());
            let want = want
                .map_err(str::to_owned)
                .map(|(target, alias)| Link { target: target.to_owned(), alias: alias.to_owned() });
            assert_eq!(got, want, "{text:?}");
        }
        let link = Link::parse("db:store").unwrap();
        assert_eq!(link.described("me", "db"), "/db:/me/store");
        let refused = not_running(&link, "me", "db").to_string();
        assert_eq!(refused, "Cannot link to a non running container: /db AS /me/store");
        assert!(check_mode("bridge").is_ok() && check_mode("mine").is_ok());
        let refused = check_mode("container:x").unwrap_err().to_string();
        assert!(refused.starts_with("conflicting options: container type network can't"));
    }

    fn ports(text: &str) -> Vec<PortSpec> {
        text.split_whitespace().flat_map(|port| parse_port_range(port).unwrap()).collect()
    }

    fn linked<'a>(alias: &'a str, ports: &'a [PortSpec], env: &'a [String]) -> Linked<'a> {
        Linked {
            alias,
            own_name: "me",
            name: "db",
            hostname: "dbhost",
            address: "172.17.0.2".parse().unwrap(),
            ports,
            env,
        }
    }

    #[test]
    fn variables_in_order() {
        let env = ["B=2", "NOTHING", "PATH=/bin", "A=x=y", "HOME=/r", "home=z", "E="];
        let env = env.map(str::to_owned);
        let ports = ports("3306/tcp 53/udp 53/tcp");
        let want = "\
            MY_DB.X_PORT=tcp://172.17.0.2:53 \
            MY_DB.X_PORT_53_TCP=tcp://172.17.0.2:53 MY_DB.X_PORT_53_TCP_ADDR=172.17.0.2 \
            MY_DB.X_PORT_53_TCP_PORT=53 MY_DB.X_PORT_53_TCP_PROTO=tcp \
            MY_DB.X_PORT_53_UDP=udp://172.17.0.2:53 MY_DB.X_PORT_53_UDP_ADDR=172.17.0.2 \
            MY_DB.X_PORT_53_UDP_PORT=53 MY_DB.X_PORT_53_UDP_PROTO=udp \
            MY_DB.X_PORT_3306_TCP=tcp://172.17.0.2:3306 \
            MY_DB.X_PORT_3306_TCP_ADDR=172.17.0.2 \
            MY_DB.X_PORT_3306_TCP_PORT=3306 MY_DB.X_PORT_3306_TCP_PROTO=tcp \
            MY_DB.X_NAME=/me/my-db.x MY_DB.X_ENV_B=2 MY_DB.X_ENV_A=x=y MY_DB.X_ENV_home=z \
            MY_DB.X_ENV_E=";
        let got = linked("my-db.x", &ports, &env).environment();
        assert_eq!(got, want.split(' ').collect::<Vec<_>>());
        assert_eq!(linked("a/b", &[], &[]).environment(), ["B_NAME=/me/a/b"]);
        let six = Linked { address: "fd00::2".parse().unwrap(), ..linked("x", &ports, &[]) };
        assert_eq!(six.environment()[0], "X_PORT=tcp://[fd00::2]:53");
    }

    #[test]
    fn ranges_stand_first() {
        // What runs on from 9 to 11 has mixed protocols; 20 and 21 are too few; 40 to 42 has one
        // number twice.
        let ports = ports("42/tcp 40-41/tcp 41/udp 20-21/tcp 10-11/tcp 9/sctp");
        let got = linked("db", &ports, &[]).environment();
        let want = "\
            DB_PORT=sctp://172.17.0.2:9 \
            DB_PORT_9_SCTP_START=sctp://172.17.0.2:9 DB_PORT_9_SCTP_ADDR=172.17.0.2 \
            DB_PORT_9_SCTP_PROTO=sctp DB_PORT_9_SCTP_PORT_START=9 \
            DB_PORT_9_TCP_END=tcp://172.17.0.2:11 DB_PORT_9_TCP_PORT_END=11 \
            DB_PORT_40_TCP_START=tcp://172.17.0.2:40 DB_PORT_40_TCP_ADDR=172.17.0.2 \
            DB_PORT_40_TCP_PROTO=tcp DB_PORT_40_TCP_PORT_START=40 \
            DB_PORT_40_TCP_END=tcp://172.17.0.2:42 DB_PORT_40_TCP_PORT_END=42 \
            DB_PORT_9_SCTP=sctp://172.17.0.2:9 DB_PORT_9_SCTP_PORT=9 \
            DB_PORT_10_TCP=tcp://172.17.0.2:10";
        let want: Vec<&str> = want.split(' ').collect();
        assert_eq!(got[..want.len()], want);
        assert!(!got.iter().any(|variable| variable.contains("_20_TCP_START")), "{got:?}");
    }

    #[test]
    fn hosts_lines() {
        for (alias, want) in
            [("store", "store dbhost db"), ("db", "db dbhost"), ("a/b", "b dbhost db")]
        {
            let (address, names) = linked(alias, &[], &[]).hosts_line();
            assert_eq!((address.to_string().as_str(), names.as_str()), ("172.17.0.2", want));
        }
    }
}
