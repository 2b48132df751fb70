//! What cannot be had: Docker's words and status, and nothing half made stays.

use std::net::TcpListener;
use std::time::Duration;

use gantry_rig::leaks::Left;
use gantry_rig::{Client, Daemon};

use crate::agree::disagreements;
use crate::lan::within;

const LIMIT: Duration = Duration::from_secs(10);

fn ok(client: &Client, args: &[&str]) -> String {
    client.docker(args).ok().to_owned()
}

/// A command is refused, with these words.
#[track_caller]
fn refused(client: &Client, args: &[&str], words: &str) {
    let ran = client.docker(args);
    assert!(ran.code != 0 && ran.stderr.contains(words), "{args:?}: {ran:?}, not {words:?}");
}

/// A request is refused, with this status and these words.
#[track_caller]
fn answers(client: &Client, path: &str, body: Option<&str>, status: u16, words: &str) {
    let method = if body == Some("DELETE") { "DELETE" } else { "POST" };
    let body = body.filter(|text| *text != "DELETE");
    let (got, text) = client.http(method, path, body).unwrap();
    assert!(
        got == status && text.contains(words),
        "{method} {path}: {got} {text}, not {status} {words:?}"
    );
}

#[track_caller]
fn nothing_half_made(daemon: &Daemon) {
    let mut wrong = Vec::new();
    let begin = std::time::Instant::now();
    while begin.elapsed() < LIMIT {
        wrong = disagreements(daemon);
        if wrong.is_empty() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{}", wrong.join("\n"));
}

/// All goes, and with it everything.
#[track_caller]
fn nothing_is_left(daemon: &Daemon) {
    let client = daemon.client();
    daemon.remove_containers();
    let _ = ok(&client, &["network", "prune", "-f"]);
    let _ = ok(&client, &["volume", "prune", "-af"]);
    client.eventually("nothing is left", LIMIT, |_| Left::of(daemon).is_nothing());
    assert_eq!(ok(&client, &["volume", "ls", "-q"]), "");
    nothing_half_made(daemon);
}

#[test]
fn ports_that_are_taken() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let host = daemon.netns_pid().unwrap();
    // By a process of this host.
    let held = within(host, || TcpListener::bind("0.0.0.0:7000").unwrap());
    let command = ["busybox", "sleep", "1000"];
    let run = |name: &'static str, ports: &[&'static str]| {
        let ports = ports.iter().flat_map(|port| ["-p", *port]);
        ["run", "-d", "--name", name].into_iter().chain(ports).chain(command).collect::<Vec<_>>()
    };
    let words = "failed to bind host port for 0.0.0.0:7000";
    refused(&client, &run("first", &["7001:80", "7002:80/udp", "7000:81"]), words);
    answers(&client, "/containers/first/start", None, 500, "address already in use");
    nothing_half_made(&daemon);
    assert_eq!(client.inspect("first")["State"]["Status"], "created");
    // Those that were free are free.
    let _ = within(host, || TcpListener::bind("0.0.0.0:7001").unwrap());
    drop(held);
    let _ = ok(&client, &["start", "first"]);
    // By a container: the same port, one of a range, and by an address of all.
    let words = "port is already allocated";
    for (name, ports) in [
        ("second", &["7000:80"][..]),
        ("third", &["7100-7110:80-90", "7001:1"]),
        ("fourth", &["127.0.0.1:7000:80"]),
        ("fifth", &["7002:80/udp"]),
    ] {
        refused(&client, &run(name, ports), words);
        answers(&client, &format!("/containers/{name}/start"), None, 500, words);
        nothing_half_made(&daemon);
    }
    let _ = ok(&client, &run("sixth", &["7100-7110:80-90", "7002:80/tcp"]));
    let _ = ok(&client, &["rm", "-f", "first"]);
    let _ = ok(&client, &["start", "second"]);
    nothing_half_made(&daemon);
    nothing_is_left(&daemon);
}

#[test]
fn subnets_and_addresses_that_are_taken() {
    let pool = ["--bip", "10.9.0.1/24", "--default-address-pool", "base=10.10.0.0/23,size=24"];
    let daemon = crate::gantry_with(gantry_rig::Net::Private, &pool);
    let client = daemon.client();
    let create = |body: &str, status, words| {
        answers(&client, "/networks/create", Some(body), status, words);
        nothing_half_made(&daemon);
    };
    let _ = ok(
        &client,
        &[
            "network",
            "create",
            "--ipv6",
            "--subnet",
            "172.30.0.0/16",
            "--subnet",
            "fd11::/64",
            "one",
        ],
    );
    let overlap = "Pool overlaps with other one on this address space";
    for subnet in ["172.30.5.0/24", "172.16.0.0/12", "172.30.0.0/16"] {
        let body = format!(r#"{{"Name":"two","IPAM":{{"Config":[{{"Subnet":"{subnet}"}}]}}}}"#);
        create(&body, 403, overlap);
        refused(&client, &["network", "create", "--subnet", subnet, "two"], overlap);
    }
    create(r#"{"Name":"one"}"#, 409, "network with name one already exists");
    // The second of two subnets is bad: the first is not kept.
    let body = r#"{"Name":"two","EnableIPv6":true,
        "IPAM":{"Config":[{"Subnet":"172.31.0.0/16"},{"Subnet":"fd11::/80"}]}}"#;
    create(body, 403, overlap);
    let _ = ok(&client, &["network", "create", "--subnet", "172.31.0.0/16", "two"]);
    // All pools are given out, and come back.
    for name in ["three", "four"] {
        let _ = ok(&client, &["network", "create", name]);
    }
    let words = "could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network";
    refused(&client, &["network", "create", "five"], words);
    nothing_half_made(&daemon);
    let _ = ok(&client, &["network", "rm", "three"]);
    let _ = ok(&client, &["network", "create", "five"]);
    // One address, two containers.
    let run = ["run", "-d", "--network", "one", "--ip", "172.30.0.9", "--name"];
    let _ = ok(&client, &[&run[..], &["holds", "busybox", "sleep", "1000"]].concat());
    refused(
        &client,
        &[&run[..], &["wants", "busybox", "sleep", "1000"]].concat(),
        "Address already in use",
    );
    nothing_half_made(&daemon);
    let _ = ok(&client, &["rm", "-f", "holds"]);
    let _ = ok(&client, &["start", "wants"]);
    // A network of two addresses: the gateway's, and one more.
    let _ = ok(&client, &["network", "create", "--subnet", "10.200.0.0/30", "tiny"]);
    let run = ["run", "-d", "--network", "tiny", "-p", "80", "--name"];
    let _ = ok(&client, &[&run[..], &["fits", "busybox", "sleep", "1000"]].concat());
    let words = "no available IPv4 addresses on this network's address pools: tiny";
    for _ in 0..3 {
        refused(&client, &[&run[..], &["full", "busybox", "sleep", "1000"]].concat(), words);
        nothing_half_made(&daemon);
        refused(&client, &["network", "connect", "tiny", "wants"], words);
        nothing_half_made(&daemon);
        let _ = ok(&client, &["rm", "full"]);
    }
    let _ = ok(&client, &["rm", "-f", "fits"]);
    let _ = ok(&client, &[&run[..], &["full", "busybox", "sleep", "1000"]].concat());
    nothing_is_left(&daemon);
}

#[test]
fn what_is_in_use_is_not_removed() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let _ = ok(&client, &["network", "create", "net"]);
    let _ = ok(&client, &["volume", "create", "vol"]);
    let args = ["run", "-d", "--name", "uses", "--network", "net", "-v", "vol:/data", "-p", "80"];
    let _ = ok(&client, &[&args[..], &["busybox", "sleep", "1000"]].concat());
    let id = client.inspect("uses")["Id"].as_str().unwrap().to_owned();
    let delete = Some("DELETE");
    let connect = Some(r#"{"Container":"uses"}"#);
    for _ in 0..2 {
        answers(&client, "/networks/net", delete, 403, "has active endpoints");
        answers(&client, "/volumes/vol", delete, 409, &format!("volume is in use - [{id}]"));
        answers(&client, "/volumes/vol?force=1", delete, 409, "volume is in use");
        answers(
            &client,
            "/networks/bridge",
            delete,
            403,
            "bridge is a pre-defined network and cannot be removed",
        );
        answers(
            &client,
            "/networks/net/connect",
            connect,
            403,
            "endpoint with name uses already exists in network net",
        );
        answers(
            &client,
            "/networks/bridge/disconnect",
            connect,
            403,
            "is not connected to network bridge",
        );
        answers(
            &client,
            "/networks/host/connect",
            connect,
            403,
            "container cannot be disconnected from host network or connected to host network",
        );
        answers(&client, "/networks/nosuch/connect", connect, 404, "network nosuch not found");
        nothing_half_made(&daemon);
    }
    // A container that is down holds its volume, but no network.
    let _ = ok(&client, &["stop", "-t", "0", "uses"]);
    answers(&client, "/volumes/vol", delete, 409, "volume is in use");
    let _ = ok(&client, &["network", "rm", "net"]);
    let words = "network net not found";
    for _ in 0..2 {
        refused(&client, &["start", "uses"], words);
        nothing_half_made(&daemon);
    }
    let _ = ok(&client, &["network", "create", "net"]);
    let _ = ok(&client, &["network", "disconnect", "-f", "net", "uses"]);
    let _ = ok(&client, &["network", "connect", "net", "uses"]);
    let _ = ok(&client, &["start", "uses"]);
    nothing_half_made(&daemon);
    nothing_is_left(&daemon);
}

#[test]
fn a_bind_source_that_disappears() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let source = daemon.root.join("source");
    let text = source.display().to_string();
    let mount = format!("type=bind,source={text},target=/data");
    refused(&client, &["create", "--mount", &mount, "busybox"], "bind source path does not exist");
    std::fs::create_dir(&source).unwrap();
    std::fs::write(source.join("file"), "there").unwrap();
    let args =
        ["run", "-d", "--name", "binds", "--mount", &mount, "-v", "vol:/vol", "-p", "7000:80"];
    let _ = ok(&client, &[&args[..], &["busybox", "sleep", "1000"]].concat());
    std::fs::remove_dir_all(&source).unwrap();
    assert_eq!(ok(&client, &["exec", "binds", "sh", "-c", "ls /data | wc -l"]), "0");
    let _ = ok(&client, &["stop", "-t", "0", "binds"]);
    client
        .eventually("all of the ended run is gone", LIMIT, |_| Left::of(&daemon).mounts.is_empty());
    let before = Left::of(&daemon);
    for _ in 0..3 {
        refused(&client, &["start", "binds"], &text);
        assert_ne!(client.inspect("binds")["State"]["Status"], "running");
        nothing_half_made(&daemon);
        client.eventually("nothing half made stays", LIMIT, |_| Left::of(&daemon) == before);
    }
    // Another may have the port meanwhile; the volume is not held by a run that never was.
    let _ = ok(&client, &["run", "--rm", "-p", "7000:80", "busybox", "true"]);
    std::fs::create_dir(&source).unwrap();
    let _ = ok(&client, &["start", "binds"]);
    nothing_is_left(&daemon);
}

#[test]
fn a_full_volume() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let create = ["volume", "create", "--opt", "type=tmpfs", "--opt", "device=tmpfs"];
    let _ = ok(&client, &[&create[..], &["--opt", "o=size=1m", "small"]].concat());
    let fill = "dd if=/dev/zero of=/data/f bs=64k; echo $?; sleep 1000";
    let _ = ok(
        &client,
        &["run", "-d", "--name", "fills", "-v", "small:/data", "busybox", "sh", "-c", fill],
    );
    client.eventually("it is told", LIMIT, |client| {
        let ran = client.docker(&["logs", "fills"]);
        ran.stdout == "1\n" && ran.stderr.contains("No space left on device")
    });
    assert_eq!(ok(&client, &["exec", "fills", "stat", "-c", "%s", "/data/f"]), "1048576");
    // The host's disk is not full, nor is another volume.
    assert_eq!(
        ok(
            &client,
            &[
                "run",
                "--rm",
                "-v",
                "other:/data",
                "busybox",
                "sh",
                "-c",
                "echo in >/data/f && cat /data/f"
            ]
        ),
        "in"
    );
    // Full for all who have it, until there is room.
    let write = ["run", "--rm", "-v", "small:/data", "busybox", "sh", "-c", "echo in >/data/more"];
    refused(&client, &write, "No space left on device");
    let _ = ok(&client, &["exec", "fills", "rm", "/data/f"]);
    let _ = ok(&client, &write);
    assert_eq!(ok(&client, &["exec", "fills", "cat", "/data/more"]), "in");
    // One that cannot be mounted.
    let _ = ok(&client, &[&create[..], &["--opt", "o=size=nonsense", "bad"]].concat());
    let run = ["run", "--name", "never", "-v", "bad:/data", "-v", "good:/good", "busybox", "true"];
    let before = Left::of(&daemon);
    for _ in 0..3 {
        let ran = client.docker(&run);
        assert_eq!(ran.code, 125, "{ran:?}");
        let _ = client.docker(&["rm", "-f", "never"]);
        client.eventually("nothing half made stays", LIMIT, |_| Left::of(&daemon) == before);
    }
    let _ = ok(&client, &["rm", "-f", "fills"]);
    let _ = ok(&client, &["volume", "rm", "small", "bad"]);
    nothing_is_left(&daemon);
}

#[test]
fn what_a_volume_mounts_for_one_container_is_not_the_next_ones() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let _ = client
        .docker(&["volume", "create", "-o", "type=tmpfs", "-o", "device=tmpfs", "of-one"])
        .ok();
    let command = "ls -A /x; touch /x/f";
    for round in 0..20 {
        let ran =
            client.docker(&["run", "--rm", "-v", "of-one:/x", "busybox", "sh", "-c", command]);
        assert_eq!(ran.ok(), "", "round {round}");
    }
}
