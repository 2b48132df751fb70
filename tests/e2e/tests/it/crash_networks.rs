//! `kill -9` of the daemon while containers come to networks and leave them.

use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use gantry_rig::leaks::{Held, Left};
use gantry_rig::{Client, Daemon};

use crate::agree::disagreements;

/// Kills of a run, unless `GANTRY_KILLS` says how many.
const KILLS: u64 = 12;
/// Longest time for records and kernel to agree after the daemon's first answer.
const AGREE_LIMIT: Duration = Duration::from_secs(20);
/// Longest time for the last teardowns, and for the pool to be as before.
const SETTLE_LIMIT: Duration = Duration::from_secs(40);

/// Networks with containers and ports that come and go.
const COME_AND_GO: &str = "
    for i in 1 2 3 4 5 6 7 8 9; do
        ipv6=; [ $((i % 3)) = 0 ] && ipv6=--ipv6
        docker network create $ipv6 net-$ROUND-$i
        docker run -d --name box-$ROUND-$i --network net-$ROUND-$i -p 80 -p 127.0.0.1::53/udp -v /data busybox sleep 1000
        [ $((i % 2)) = 0 ] && continue
        docker rm -fv box-$ROUND-$i
        docker network rm net-$ROUND-$i
    done
";
/// Containers that stay, and change their networks.
const CONNECT: &str = "
    while true; do
        docker network connect --alias here k2 moves
        docker network connect k3 moves
        docker network disconnect k1 moves
        docker network disconnect k2 moves
        docker network connect k1 moves
        docker network disconnect -f k3 moves
        docker network connect bridge moves
        docker network disconnect bridge moves
    done
";
/// A container on two networks with ports that starts and stops, and short ones.
const START_STOP: &str = "
    while true; do
        docker stop -t 0 flips
        docker start flips
        docker run --rm --network k2 -p 8090:80 -v /data busybox true
        docker restart -t 0 flips
        docker rename flips flops; docker rename flops flips
    done
";

fn set_up(client: &Client) {
    for options in [&["k1"][..], &["--ipv6", "k2"], &["--internal", "k3"]] {
        let _ = client.docker(&[&["network", "create"], options].concat()).ok();
    }
    for (name, options) in [
        ("stays", &["--network", "k1", "-p", "8080:80"][..]),
        ("moves", &["--network", "k1", "-p", "8081:80", "-p", "8082:82/udp"]),
        (
            "flips",
            &["--network", "k1", "--network", "k2", "-p", "8083:80", "-p", "127.0.0.1:8084:84"],
        ),
    ] {
        let args = ["run", "-d", "--name", name];
        let _ = client.docker(&[&args[..], options, &["busybox", "sleep", "100000"]].concat()).ok();
    }
    let _ = client.docker(&["network", "connect", "k2", "stays"]).ok();
    let _ = client.docker(&["network", "connect", "k3", "stays"]).ok();
}

/// The loops in process groups of their own, ended with all that they run.
struct Storm(Vec<std::process::Child>);

impl Storm {
    fn begin(client: &Client, scripts: &[&str], round: u64) -> Self {
        let begin = |script: &&str| {
            let mut command = client.command(std::path::Path::new("sh"));
            command.env("ROUND", round.to_string()).args(["-c", script]).process_group(0);
            command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            command.spawn().unwrap()
        };
        Self(scripts.iter().map(begin).collect())
    }
}

impl Drop for Storm {
    fn drop(&mut self) {
        for child in &mut self.0 {
            let group = rustix::process::Pid::from_child(child);
            let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
            let _ = child.wait();
        }
    }
}

/// Records and kernel agree soon, and for good.
#[track_caller]
fn agree(daemon: &Daemon, round: u64) {
    let begin = Instant::now();
    loop {
        let wrong = disagreements(daemon);
        if wrong.is_empty() {
            return;
        }
        assert!(
            begin.elapsed() < AGREE_LIMIT,
            "round {round}:\n{}\n{}",
            wrong.join("\n"),
            daemon.log_tail()
        );
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn remove_all(daemon: &Daemon) {
    let client = daemon.client();
    let ids = client.docker(&["ps", "-aq"]).ok().to_owned();
    let ids: Vec<_> = ids.split_whitespace().collect();
    let _ = client.docker(&[&["rm", "-fv"], &ids[..]].concat()).ok();
    let pruned = client.docker(&["network", "prune", "-f"]);
    let left = client.docker(&["network", "ls", "-q", "--filter", "type=custom"]);
    assert_eq!(left.ok(), "", "{pruned:?}");
}

#[test]
fn kills_while_networks_and_containers_come_and_go() {
    records_and_kernel_agree(&[COME_AND_GO, START_STOP]);
}

#[test]
fn kills_while_containers_change_their_networks() {
    records_and_kernel_agree(&[CONNECT, START_STOP]);
}

/// What a new daemon holds when it has done a little: pools are full then.
fn after_a_quiet_round(daemon: &mut Daemon) -> Held {
    daemon.kill().unwrap();
    daemon.launch().unwrap();
    set_up(&daemon.client());
    agree(daemon, 0);
    remove_all(daemon);
    daemon
        .client()
        .eventually("the round is over", SETTLE_LIMIT, |_| Left::of(daemon).is_nothing());
    std::thread::sleep(Duration::from_secs(2));
    Held::of(daemon)
}

/// Kills the daemon at many moments of these scripts, and looks each time.
fn records_and_kernel_agree(scripts: &[&str]) {
    let mut daemon = crate::gantry();
    let client = daemon.client();
    let before = after_a_quiet_round(&mut daemon);
    set_up(&client);
    let kills = std::env::var("GANTRY_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    for round in 1..=kills {
        let storm = Storm::begin(&client, scripts, round);
        std::thread::sleep(Duration::from_millis(100 + round * 271 % 1900));
        daemon.kill().unwrap();
        drop(storm);
        daemon.launch().unwrap_or_else(|error| panic!("round {round}: {error}"));
        agree(&daemon, round);
        // What the round has made goes by the ordinary way, and those that stay are there.
        let made = client.docker(&["ps", "-aq", "--filter", "name=box-"]).stdout;
        let made: Vec<_> = made.split_whitespace().collect();
        if !made.is_empty() {
            let _ = client.docker(&[&["rm", "-fv"], &made[..]].concat()).ok();
        }
        let _ = client.docker(&["rename", "flops", "flips"]);
        let _ = client.docker(&["start", "stays", "moves", "flips"]).ok();
        let _ = client.docker(&["network", "prune", "-f"]).ok();
        agree(&daemon, round);
        for name in ["k1", "k2", "k3"] {
            assert_eq!(
                client.docker(&["network", "inspect", name]).code,
                0,
                "round {round}: {name}"
            );
        }
    }
    remove_all(&daemon);
    client.eventually("nothing is left", SETTLE_LIMIT, |_| Left::of(&daemon).is_nothing());
    assert_eq!(client.docker(&["volume", "ls", "-q"]).ok(), "", "volumes of half-made containers");
    let begin = Instant::now();
    let mut after = after_a_quiet_round(&mut daemon);
    while !after.is_within(&before) && begin.elapsed() < SETTLE_LIMIT {
        std::thread::sleep(Duration::from_millis(200));
        after = Held::of(&daemon);
    }
    assert!(after.is_within(&before), "before {before:?}, after {after:?}");
    agree(&daemon, kills + 1);
}
