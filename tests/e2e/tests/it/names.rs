//! Names as containers see them: a thousand on one network, and all that changes them.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use gantry_rig::Client;

use crate::dns::{Kind, ask, ask_all};
use crate::lan::pid_of;

/// Containers with names, and how many each has.
const OWNERS: usize = 10;
const ALIASES: usize = 100;
const LIMIT: Duration = Duration::from_secs(20);

fn address(client: &Client, container: &str, network: &str) -> IpAddr {
    let networks = client.inspect(container)["NetworkSettings"]["Networks"].clone();
    networks[network]["IPAddress"].as_str().unwrap().parse().unwrap()
}

fn alias(owner: usize, number: usize) -> String {
    format!("name-{owner}-{number}")
}

fn run(client: &Client, name: &str, network: &str, aliases: &[String]) {
    let aliases: Vec<_> = aliases.iter().flat_map(|alias| ["--network-alias", alias]).collect();
    let args = ["run", "-d", "--name", name, "--network", network];
    let _ = client.docker(&[&args[..], &aliases, &["busybox", "sleep", "100000"]].concat()).ok();
}

/// The addresses that a name has now.
fn found(pid: u32, name: &str) -> BTreeSet<IpAddr> {
    ask(pid, name, Kind::A).unwrap().addresses.into_iter().collect()
}

/// Every one of the thousand names answers with the address of its container.
#[track_caller]
fn all_answer(client: &Client, asker: u32, when: &str) {
    for owner in 0..OWNERS {
        let own = address(client, &format!("owner-{owner}"), "town");
        let names: Vec<_> = (0..ALIASES).map(|number| alias(owner, number)).collect();
        for (name, answer) in names.iter().zip(ask_all(asker, &names, Kind::A)) {
            let answer = answer.unwrap_or_else(|error| panic!("{when}: {name}: {error}"));
            assert_eq!(answer.addresses, [own], "{when}: {name}");
        }
    }
}

#[test]
fn a_thousand_names_and_their_changes() {
    let mut daemon = crate::gantry();
    let client = daemon.client();
    for network in ["town", "village"] {
        let _ = client.docker(&["network", "create", network]).ok();
    }
    for owner in 0..OWNERS {
        let mut aliases: Vec<_> = (0..ALIASES).map(|number| alias(owner, number)).collect();
        aliases.push("everyone".to_owned());
        run(&client, &format!("owner-{owner}"), "town", &aliases);
    }
    run(&client, "asks", "town", &[]);
    run(&client, "far", "village", &[]);
    let asker = pid_of(&client, "asks");
    all_answer(&client, asker, "at first");
    // One alias of many: all of them, and not always in the same order.
    let answers: Vec<_> =
        (0..40).map(|_| ask(asker, "everyone", Kind::A).unwrap().addresses).collect();
    let firsts: BTreeSet<_> = answers.iter().map(|addresses| addresses[0]).collect();
    assert!(answers.iter().all(|addresses| addresses.len() == OWNERS), "{answers:?}");
    assert!(firsts.len() > 1, "no rotation");
    // Connected while it runs: there at the answer, and gone at the answer.
    assert!(found(asker, "far").is_empty() && found(asker, "late").is_empty());
    for _ in 0..3 {
        let _ = client.docker(&["network", "connect", "--alias", "late", "town", "far"]).ok();
        let own = BTreeSet::from([address(&client, "far", "town")]);
        assert_eq!((found(asker, "far"), found(asker, "late")), (own.clone(), own));
        assert_eq!(found(pid_of(&client, "far"), "owner-3").len(), 1);
        let _ = client.docker(&["network", "disconnect", "town", "far"]).ok();
        assert!(found(asker, "far").is_empty() && found(asker, "late").is_empty());
        assert!(found(pid_of(&client, "far"), "owner-3").is_empty());
    }
    let short = client.inspect("owner-1")["Id"].as_str().unwrap()[..12].to_owned();
    let own = found(asker, "owner-1");
    let _ = client.docker(&["rename", "owner-1", "renamed"]).ok();
    assert!(found(asker, "owner-1").is_empty(), "the old name stays");
    for name in ["renamed", &short, "name-1-7", "RENAMED"] {
        assert_eq!(found(asker, name), own, "{name}");
    }
    let _ = client.docker(&["rename", "renamed", "owner-1"]).ok();
    let _ = client.docker(&["network", "connect", "--alias", "late", "town", "far"]).ok();
    for round in 0..3 {
        if round == 1 {
            daemon.stop().unwrap()
        } else {
            daemon.kill().unwrap()
        }
        daemon.launch().unwrap();
        all_answer(&client, asker, &format!("after restart {round}"));
        assert_eq!(found(asker, "late"), [address(&client, "far", "town")].into());
        assert_eq!(found(asker, "everyone").len(), OWNERS);
    }
    // What ends loses its names, and has them again.
    let _ = client.docker(&["stop", "-t", "0", "owner-2"]).ok();
    assert!(found(asker, "name-2-0").is_empty());
    assert_eq!(found(asker, "everyone").len(), OWNERS - 1);
    let _ = client.docker(&["start", "owner-2"]).ok();
    all_answer(&client, asker, "after a stop and a start");
    let _ = client.docker(&["rm", "-f", "owner-2"]).ok();
    client.eventually("the names of a removed container are gone", LIMIT, |_| {
        found(asker, "name-2-0").is_empty() && found(asker, "everyone").len() == OWNERS - 1
    });
}
