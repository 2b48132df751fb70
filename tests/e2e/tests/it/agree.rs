//! Whether what the daemon says of networks is what the kernel and the containers have.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::path::Path;

use gantry_rig::{Client, Daemon};
use serde_json::Value;

use crate::dns::{self, Kind};
use crate::lan::shell_in;

/// A running container, as `inspect` tells of it.
struct Running {
    name: String,
    id: String,
    pid: u32,
    /// Network, its id, and the addresses there.
    endpoints: Vec<(String, String, Vec<IpAddr>)>,
    /// Published by IPv4: host address (none for all), protocol, host port, container's port.
    published: BTreeSet<(Option<IpAddr>, String, u16, u16)>,
}

impl Running {
    fn addresses(&self) -> BTreeSet<IpAddr> {
        self.endpoints.iter().flat_map(|(_, _, own)| own.iter().copied()).collect()
    }
}

fn list(client: &Client, args: &[&str]) -> Vec<Value> {
    let ids = client.docker(args).ok().to_owned();
    let ids: Vec<_> = ids.split_whitespace().collect();
    if ids.is_empty() {
        return Vec::new();
    }
    let kind = if args[0] == "network" { "network" } else { "container" };
    let ran = client.docker(&[&[kind, "inspect"], &ids[..]].concat());
    serde_json::from_str(&ran.stdout).unwrap_or_default()
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn running(value: &Value) -> Running {
    let endpoints = value["NetworkSettings"]["Networks"].as_object().into_iter().flatten();
    let endpoint = |(name, endpoint): (&String, &Value)| {
        let own = ["IPAddress", "GlobalIPv6Address"].map(|key| endpoint[key].as_str());
        let own = own.into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
        (name.clone(), text(&endpoint["NetworkID"]), own)
    };
    let ports = value["NetworkSettings"]["Ports"].as_object().into_iter().flatten();
    let port = |(port, bindings): (&String, &Value)| -> Vec<_> {
        let (port, proto) = port.split_once('/').unwrap();
        let port = port.parse().unwrap();
        let bindings = bindings.as_array().into_iter().flatten().filter_map(|binding| {
            let address: IpAddr = binding["HostIp"].as_str()?.parse().ok()?;
            let address = (!address.is_unspecified()).then_some(address);
            let is_four = !binding["HostIp"].as_str()?.contains(':');
            let host = binding["HostPort"].as_str()?.parse().ok()?;
            is_four.then(|| (address, proto.to_owned(), host, port))
        });
        bindings.collect()
    };
    Running {
        name: text(&value["Name"]).trim_start_matches('/').to_owned(),
        id: text(&value["Id"]),
        pid: u32::try_from(value["State"]["Pid"].as_u64().unwrap_or(0)).unwrap(),
        endpoints: endpoints.map(endpoint).collect(),
        published: ports.flat_map(port).collect(),
    }
}

/// Everything that does not agree, a sentence each.
pub(crate) fn disagreements(daemon: &Daemon) -> Vec<String> {
    let client = daemon.client();
    let host = daemon.netns_pid().unwrap();
    let networks =
        list(&client, &["network", "ls", "-q", "--no-trunc", "--filter", "driver=bridge"]);
    let containers = list(&client, &["ps", "-q", "--no-trunc"]);
    let containers: Vec<_> = containers.iter().map(running).collect();
    let mut wrong = bridges(&daemon.name, host, &networks);
    wrong.extend(members(&networks, &containers));
    wrong.extend(rules(host, &containers));
    wrong.extend(containers.iter().flat_map(inside));
    wrong.extend(names(&containers));
    wrong
}

/// Bridges and their ports.
fn bridges(default: &str, host: u32, networks: &[Value]) -> Vec<String> {
    let links: Vec<Value> = serde_json::from_str(&shell_in(host, "ip -j -d link")).unwrap();
    let is_bridge = |link: &&Value| link["linkinfo"]["info_kind"] == "bridge";
    let there: BTreeSet<_> =
        links.iter().filter(is_bridge).map(|link| text(&link["ifname"])).collect();
    let name = |network: &Value| match network["Name"].as_str() {
        Some("bridge") => default.to_owned(),
        _ => format!("br-{}", &text(&network["Id"])[..12]),
    };
    let recorded: BTreeSet<_> = networks.iter().map(name).collect();
    let mut wrong = Vec::new();
    if there != recorded {
        wrong.push(format!("bridges there {there:?}, of records {recorded:?}"));
    }
    let mut ports: BTreeMap<String, usize> = BTreeMap::new();
    for link in links.iter().filter(|link| text(&link["ifname"]).starts_with("veth")) {
        *ports.entry(text(&link["master"])).or_default() += 1;
    }
    for network in networks.iter().filter(|network| network["Name"] != "bridge") {
        let members = network["Containers"].as_object().map_or(0, serde_json::Map::len);
        let ports = ports.remove(&name(network)).unwrap_or(0);
        if ports != members {
            wrong.push(format!("{}: {members} containers, {ports} veths", network["Name"]));
        }
    }
    // The default bridge has namespaces ready beside those in use.
    ports.remove(default);
    wrong.extend(ports.iter().map(|(bridge, count)| format!("{count} veths of {bridge:?}")));
    wrong
}

/// `network inspect` and `inspect` of its containers say the same.
fn members(networks: &[Value], containers: &[Running]) -> Vec<String> {
    let mut wrong = Vec::new();
    for network in networks {
        let id = text(&network["Id"]);
        let said = network["Containers"].as_object().into_iter().flatten();
        let said: BTreeMap<_, BTreeSet<IpAddr>> = said
            .map(|(container, endpoint)| {
                let own = ["IPv4Address", "IPv6Address"].map(|key| text(&endpoint[key]));
                let own = own.iter().filter_map(|text| text.split('/').next()?.parse().ok());
                (container.clone(), own.collect())
            })
            .collect();
        let mut own: BTreeMap<_, BTreeSet<IpAddr>> = BTreeMap::new();
        for container in containers {
            for (_, _, addresses) in
                container.endpoints.iter().filter(|(_, network, _)| *network == id)
            {
                own.insert(container.id.clone(), addresses.iter().copied().collect());
            }
        }
        if said != own {
            wrong.push(format!(
                "{}: its containers {said:?}, by themselves {own:?}",
                network["Name"]
            ));
        }
    }
    wrong
}

/// Elements for published ports, and whose they are.
fn rules(host: u32, containers: &[Running]) -> Vec<String> {
    let rules: Value = serde_json::from_str(&shell_in(host, "nft -j list ruleset")).unwrap();
    let maps = rules["nftables"].as_array().into_iter().flatten();
    let maps = maps.filter_map(|entry| entry.get("map"));
    let maps = maps.filter(|map| text(&map["name"]).starts_with("published"));
    let mut there = BTreeSet::new();
    let mut wrong = Vec::new();
    for map in maps {
        for pair in map["elem"].as_array().into_iter().flatten() {
            let key = pair[0]["concat"].as_array().unwrap();
            let target: IpAddr = text(&pair[1]["concat"][0]).parse().unwrap();
            let port = pair[1]["concat"][1].as_u64().unwrap();
            if !containers.iter().any(|container| container.addresses().contains(&target)) {
                wrong.push(format!("{}: {pair} leads to no container", map["name"]));
            }
            if target.is_ipv4() {
                let address: Option<IpAddr> =
                    (key.len() == 3).then(|| text(&key[0]).parse().unwrap());
                let host = key[key.len() - 1].as_u64().unwrap();
                let proto = text(&key[key.len() - 2]);
                there.insert((
                    address,
                    proto,
                    u16::try_from(host).unwrap(),
                    u16::try_from(port).unwrap(),
                ));
            }
        }
    }
    let said: BTreeSet<_> =
        containers.iter().flat_map(|one| one.published.iter().cloned()).collect();
    if there != said {
        let more: Vec<_> = there.difference(&said).collect();
        let less: Vec<_> = said.difference(&there).collect();
        wrong.push(format!("published ports: too many {more:?}, missing {less:?}"));
    }
    wrong
}

/// The container's interfaces and its hosts file.
fn inside(container: &Running) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = &container.name;
    // One that ends meanwhile has neither.
    let path = Path::new("/proc").join(container.pid.to_string()).join("root").join("etc/hosts");
    let Ok(hosts) = std::fs::read_to_string(path) else {
        return vec![format!("{name} has no hosts file")];
    };
    let links: Vec<Value> = serde_json::from_str(&shell_in(container.pid, "ip -j addr")).unwrap();
    let outer = links.iter().filter(|link| link["ifname"] != "lo");
    let infos = outer.flat_map(|link| link["addr_info"].as_array().into_iter().flatten());
    let infos = infos.filter(|info| info["scope"] != "link");
    let there: BTreeSet<IpAddr> =
        infos.filter_map(|info| info["local"].as_str()?.parse().ok()).collect();
    let said = container.addresses();
    if there != said {
        wrong.push(format!("{name} has {there:?}, inspect says {said:?}"));
    }
    let short = &container.id[..12];
    let lines =
        hosts.lines().filter(|line| line.split_whitespace().skip(1).any(|word| word == short));
    let own: BTreeSet<IpAddr> =
        lines.filter_map(|line| line.split_whitespace().next()?.parse().ok()).collect();
    if own != said {
        wrong.push(format!("{name}: its hosts file has {own:?}, inspect says {said:?}"));
    }
    wrong
}

/// Every container finds every other of its networks, and none of another.
fn names(containers: &[Running]) -> Vec<String> {
    let mut wrong = Vec::new();
    let user = |one: &Running| one.endpoints.iter().any(|(network, _, _)| network != "bridge");
    for asker in containers.iter().filter(|one| user(one)) {
        for kind in [Kind::A, Kind::Aaaa] {
            let asked: Vec<_> = containers.iter().map(|one| one.name.clone()).collect();
            let answers = dns::ask_all(asker.pid, &asked, kind);
            for (other, answer) in containers.iter().zip(answers) {
                let shared = other.endpoints.iter().filter(|(network, id, _)| {
                    network != "bridge" && asker.endpoints.iter().any(|(_, own, _)| own == id)
                });
                let may: BTreeSet<IpAddr> = shared
                    .flat_map(|(_, _, own)| own.iter().copied())
                    .filter(|address| address.is_ipv4() == (kind == Kind::A))
                    .collect();
                let got =
                    answer.as_ref().map(|answer| answer.addresses.clone()).unwrap_or_default();
                let right = got.iter().all(|address| may.contains(address))
                    && got.is_empty() == may.is_empty();
                if !right {
                    wrong.push(format!(
                        "{} asks for {}: {answer:?}, of {may:?}",
                        asker.name, other.name
                    ));
                }
            }
        }
    }
    wrong
}
