//! Who reaches what: from this host, from another on the link, from containers; with the rules
//! flushed, and with a dockerd beside that drops what it does not forward itself.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use gantry_rig::daemon::gantry_binary;
use gantry_rig::{Client, Daemon, Kind, Net, images};

use crate::lan::{HOST4, HOST6, Lan, call, pid_of};

/// A generous limit for what is promised within a second.
const HEAL_LIMIT: Duration = Duration::from_secs(20);
/// Networks with a container that calls; `six` and `seven` carry IPv6, `inner` is internal.
const NETWORKS: [&str; 6] = ["bridge", "alpha", "beta", "inner", "six", "seven"];
/// Callers that are not containers.
const HOSTS: [&str; 2] = ["host", "neighbour"];
/// Servers: network and options.
const SERVERS: [(&str, &[&str]); 5] = [
    ("bridge", &["-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "10.99.0.1:8082:80"]),
    ("alpha", &["-p", "8090:80"]),
    ("beta", &[]),
    ("inner", &["-p", "8095:80"]),
    ("six", &["-p", "8100:80", "-p", "[::1]:8101:80", "-p", "127.0.0.1:8102:80"]),
];

/// Who calls, and where.
type Way = (String, SocketAddr);
/// The answer of each way; no entry for those that get none.
type Seen = BTreeMap<Way, String>;

struct World {
    lan: Lan,
    client: Client,
    /// Process of each caller.
    callers: BTreeMap<String, u32>,
    /// Addresses of each server.
    addresses: BTreeMap<&'static str, Vec<IpAddr>>,
}

impl World {
    fn new() -> Self {
        let lan = Lan::new(&[]);
        let client = lan.daemon.client();
        for options in [
            &["alpha"][..],
            &["beta"],
            &["--internal", "inner"],
            &["--ipv6", "six"],
            &["--ipv6", "seven"],
        ] {
            let _ = client.docker(&[&["network", "create"], options].concat()).ok();
        }
        let mut callers: BTreeMap<String, u32> =
            [("host".to_owned(), lan.host()), ("neighbour".to_owned(), lan.neighbour.pid())].into();
        for network in NETWORKS {
            let args = ["run", "-d", "--name", &format!("on-{network}"), "--network", network];
            let _ = client.docker(&[&args[..], &["busybox", "sleep", "100000"]].concat()).ok();
            callers.insert(network.to_owned(), pid_of(&client, &format!("on-{network}")));
        }
        let mut addresses = BTreeMap::new();
        for (network, options) in SERVERS {
            let script =
                format!("nc -ll -p 81 -e echo {network} & exec nc -ll -p 80 -e echo {network}");
            let name = format!("web-{network}");
            let args = ["run", "-d", "--name", &name, "--network", network];
            let command = ["busybox", "sh", "-c", &script];
            let _ = client.docker(&[&args[..], options, &command].concat()).ok();
            let endpoint = client.inspect(&name)["NetworkSettings"]["Networks"][network].clone();
            let texts = ["IPAddress", "GlobalIPv6Address"].map(|key| endpoint[key].as_str());
            let own: Vec<IpAddr> =
                texts.into_iter().flatten().filter_map(|text| text.parse().ok()).collect();
            assert_eq!(own.len(), 1 + usize::from(network == "six"), "{endpoint}");
            addresses.insert(network, own);
        }
        Self { lan, client, callers, addresses }
    }

    /// Every address that is called.
    fn targets(&self) -> BTreeSet<SocketAddr> {
        let own = self.addresses.values().flatten();
        let mut all: BTreeSet<_> =
            own.flat_map(|&address| [80, 81].map(|port| SocketAddr::new(address, port))).collect();
        for address in [HOST4, HOST6, "127.0.0.1", "::1"] {
            let ports = [80, 81, 8080, 8081, 8082, 8090, 8095, 8100, 8101, 8102];
            all.extend(ports.map(|port| SocketAddr::new(address.parse().unwrap(), port)));
        }
        all
    }

    /// What ought to be seen, and nothing else.
    fn expected(&self) -> Seen {
        let mut seen = Seen::new();
        let mut may = |callers: &[&str], address: IpAddr, port: u16, answer: &str| {
            for &caller in callers {
                let _ = seen
                    .insert((caller.to_owned(), SocketAddr::new(address, port)), answer.to_owned());
            }
        };
        // By their own addresses: this host, and the containers of the same network.
        for (&network, own) in &self.addresses {
            for &address in own {
                may(&["host", network], address, 80, network);
                may(&["host", network], address, 81, network);
            }
        }
        // By the host's addresses, where they are published: all who have a way to it.
        let with4 = ["host", "neighbour", "bridge", "alpha", "beta", "six", "seven"];
        let with6 = ["host", "neighbour", "six", "seven"];
        let [v4, v6] = [HOST4, HOST6].map(|text| text.parse::<IpAddr>().unwrap());
        let [local4, local6] = ["127.0.0.1", "::1"].map(|text| text.parse::<IpAddr>().unwrap());
        for (port, network) in [(8080, "bridge"), (8090, "alpha"), (8100, "six")] {
            may(&with4, v4, port, network);
            may(&with6, v6, port, network);
            may(&["host"], local4, port, network);
            may(&["host"], local6, port, network);
        }
        may(&with4, v4, 8082, "bridge");
        may(&["host"], local4, 8081, "bridge");
        may(&["host"], local6, 8101, "six");
        may(&["host"], local4, 8102, "six");
        seen
    }

    /// Calls every address from everywhere. Those that ought to answer and do not are called once
    /// more: so many calls at a time are more than busybox's server keeps waiting.
    fn look(&self) -> Seen {
        let targets = self.targets();
        let callers = self.callers.keys();
        let all = callers.flat_map(|caller| targets.iter().map(|&target| (caller.clone(), target)));
        let mut seen = self.call_all(all.collect());
        let missing = self.expected().into_keys().filter(|way| !seen.contains_key(way));
        let second = self.call_all(missing.collect());
        seen.extend(second);
        seen
    }

    fn call_all(&self, ways: Vec<Way>) -> Seen {
        std::thread::scope(|scope| {
            let begin = |way: Way| {
                let pid = self.callers[&way.0];
                let target = way.1;
                (way, scope.spawn(move || call(pid, target)))
            };
            let calls: Vec<_> = ways.into_iter().map(begin).collect();
            let end = calls.into_iter().map(|(way, thread)| (way, thread.join().unwrap()));
            end.filter_map(|(way, answer)| Some((way, answer?))).collect()
        })
    }

    /// Looks until all is as it ought to be, twice in a row; gives what is seen then.
    #[track_caller]
    fn is_as_expected(&self, when: &str) -> Seen {
        let expected = self.expected();
        let begin = Instant::now();
        let mut right = 0;
        while right < 2 {
            let seen = self.look();
            right = if seen == expected { right + 1 } else { 0 };
            if begin.elapsed() > HEAL_LIMIT && right == 0 {
                let missing: Vec<_> =
                    expected.iter().filter(|(way, _)| !seen.contains_key(*way)).collect();
                let wrong: Vec<_> =
                    seen.iter().filter(|(way, text)| expected.get(*way) != Some(*text)).collect();
                panic!("{when}: not reached: {missing:?}\nreached, and ought not: {wrong:?}");
            }
        }
        expected
    }

    fn gantry(&self, args: &[&str]) -> gantry_rig::Ran {
        self.client.run(&gantry_binary().unwrap(), args, None)
    }

    /// What `why-reachable` says is what is seen.
    #[track_caller]
    fn is_explained(&self, when: &str) {
        let seen = self.is_as_expected(when);
        let mut checked = 0;
        for network in self.addresses.keys() {
            for port in ["80", "81/tcp"] {
                let name = format!("web-{network}");
                let ran =
                    self.gantry(&["network", "why-reachable", "--format", "json", &name, port]);
                for line in ran.ok().lines() {
                    let row: serde_json::Value = serde_json::from_str(line).unwrap();
                    for way in ways(network, &row) {
                        let answer = seen.get(&way).map(String::as_str);
                        let said = row["Reachable"].as_bool().unwrap().then_some(*network);
                        assert_eq!(answer, said, "{when}: {name} from {way:?}: {row}");
                        checked += 1;
                    }
                }
            }
        }
        assert!(checked > 60, "only {checked} ways were explained");
    }
}

/// The ways that a row of `why-reachable` speaks of.
fn ways(network: &str, row: &serde_json::Value) -> Vec<Way> {
    let (from, address) = (row["From"].as_str().unwrap(), row["Address"].as_str().unwrap());
    let address: SocketAddr = address.strip_suffix("/tcp").unwrap().parse().unwrap();
    // A caller of an internal network, or of one without IPv6, has no way out to begin with.
    let others = NETWORKS.into_iter().filter(|&other| other != network && other != "inner");
    let others = others.filter(|other| address.is_ipv4() || ["six", "seven"].contains(other));
    let callers: Vec<&str> = match from {
        "this host" => vec!["host"],
        "other hosts" => vec!["neighbour"],
        "other networks" => others.collect(),
        same => vec![same.strip_prefix("network ").unwrap()],
    };
    let at = match address.ip() {
        ip if !ip.is_unspecified() => ip,
        ip => if ip.is_ipv4() { HOST4 } else { HOST6 }.parse().unwrap(),
    };
    let at = SocketAddr::new(at, address.port());
    let has6 = |caller: &&str| HOSTS.contains(caller) || ["six", "seven"].contains(caller);
    let callers = callers.into_iter().filter(|caller| at.is_ipv4() || has6(caller));
    let callers = callers.filter(|&caller| caller != "inner" || network == "inner");
    callers.map(|caller| (caller.to_owned(), at)).collect()
}

/// A dockerd in the daemon's host's network, with a container that publishes a port.
fn dockerd_beside(world: &World) -> Daemon {
    // It sets the policy when it is the one who turns forwarding on.
    let _ = world.lan.on_host("echo 0 > /proc/sys/net/ipv4/ip_forward");
    let docker = Daemon::start(Kind::Docker, Net::Of(world.lan.host()), &[]).unwrap();
    let client = docker.client();
    images::import_busybox(&client).unwrap();
    let script = "exec nc -ll -p 80 -e echo dockers";
    let args = ["run", "-d", "--name", "dockers", "-p", "8200:80", "busybox", "sh", "-c", script];
    let _ = client.docker(&args).ok();
    docker
}

#[track_caller]
fn dockers_answers(world: &World, when: &str) {
    let to = SocketAddr::new(HOST4.parse().unwrap(), 8200);
    for caller in ["host", "neighbour"] {
        world.client.eventually(
            &format!("{when}: Docker's port from {caller}"),
            HEAL_LIMIT,
            |_| call(world.callers[caller], to).as_deref() == Some("dockers"),
        );
    }
}

#[test]
fn expected_ways_and_no_others() {
    let world = World::new();
    let _ = world.is_as_expected("at first");
    world.is_explained("at first");
    for _ in 0..2 {
        let _ = world.lan.on_host("nft flush ruleset");
        let _ = world.is_as_expected("after a flush");
    }
    let _ = world.lan.on_host(
        "nft delete table inet $(nft list tables | sed -n 's/table inet //p' | head -n 1)",
    );
    let _ = world.is_as_expected("after our table was deleted");
    world.is_explained("after a flush");
    assert_eq!(world.gantry(&["network", "doctor"]).code, 0);
}

#[test]
fn expected_ways_beside_dockerd() {
    let world = World::new();
    let mut docker = dockerd_beside(&world);
    let forward = || world.lan.on_host("nft list chain ip filter FORWARD");
    assert!(forward().contains("policy drop"), "dockerd does not drop: {}", forward());
    let chain_is_named = |when: &str| {
        let ran = world.gantry(&["network", "doctor"]);
        let line = ran.ok().lines().find(|line| line.contains("FORWARD"));
        assert!(line.is_some_and(|line| line.contains("ip filter")), "{when}: {ran:?}");
    };
    let _ = world.is_as_expected("beside dockerd");
    world.is_explained("beside dockerd");
    dockers_answers(&world, "beside dockerd");
    chain_is_named("beside dockerd");
    let _ = world.lan.on_host("nft flush chain ip filter FORWARD");
    let _ = world.is_as_expected("dockerd's chain flushed");
    docker.remove_containers();
    docker.stop().unwrap();
    assert!(forward().contains("policy drop"), "dockerd has taken its policy along");
    let _ = world.is_as_expected("after dockerd has stopped");
    chain_is_named("after dockerd has stopped");
    docker.launch().unwrap();
    let _ = world.is_as_expected("dockerd is there again");
    let _ = world.lan.on_host("nft flush ruleset");
    let _ = world.is_as_expected("all rules flushed, dockerd's too");
    // What is ours in a chain of another goes with what it was for.
    world.lan.daemon.remove_containers();
    let _ = world.client.docker(&["network", "prune", "-f"]).ok();
    let ours = || world.lan.on_host("nft list ruleset").contains(": from br-");
    world.client.eventually("no rule of a removed network stays", HEAL_LIMIT, |_| !ours());
}
