//! `kill -9` of the daemon while containers start, run, exit and are removed.

use std::time::Duration;

use gantry_rig::leaks::Left;

use crate::gantry;
use crate::storm::Storm;

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn running_containers_outlive_the_daemon() {
    let mut daemon = gantry();
    let client = daemon.client();
    let script = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.01; done";
    let _ = client
        .docker(&["run", "-d", "--name", "count", "-p", "8080:80", "busybox", "sh", "-c", script]);
    let pid = client.inspect("count")["State"]["Pid"].clone();
    daemon.kill().unwrap();
    std::thread::sleep(Duration::from_millis(500));
    daemon.launch().unwrap();
    let state = client.inspect("count")["State"].clone();
    assert_eq!((&state["Status"], &state["Pid"]), (&"running".into(), &pid));
    assert_eq!(client.docker(&["exec", "count", "echo", "in"]).ok(), "in");
    let ports = "80/tcp -> 0.0.0.0:8080\n80/tcp -> [::]:8080";
    assert_eq!(client.docker(&["port", "count"]).ok(), ports);
    // Attach works again, and the log has no gap.
    let attached = client
        .shell("timeout 1 docker attach --no-stdin --sig-proxy=false count | head -n 3 | wc -l");
    assert_eq!(attached.stdout.trim(), "3");
    let _ = client.docker(&["stop", "-t", "0", "count"]);
    let log = client.docker(&["logs", "count"]);
    let numbers: Vec<u32> = log.ok().lines().map(|line| line.parse().unwrap()).collect();
    let whole: Vec<u32> = (0..u32::try_from(numbers.len()).unwrap()).collect();
    assert_eq!(numbers, whole, "lines are missing or doubled");
    assert!(numbers.len() > 40, "the container did not run on: {} lines", numbers.len());
}

#[test]
fn what_happens_while_the_daemon_is_dead_is_honoured() {
    let mut daemon = gantry();
    let client = daemon.client();
    let _ =
        client.docker(&["run", "-d", "--name", "ends", "busybox", "sh", "-c", "sleep 1; exit 42"]);
    let _ = client.docker(&["run", "-d", "--rm", "--name", "goes", "busybox", "sleep", "1"]);
    let _ = client.docker(&[
        "run",
        "-d",
        "--restart",
        "always",
        "--name",
        "again",
        "busybox",
        "sleep",
        "1",
    ]);
    let _ = client.docker(&["run", "-d", "--name", "shot", "busybox", "sleep", "100"]);
    let shot = client.inspect("shot")["State"]["Pid"].as_u64().unwrap();
    daemon.kill().unwrap();
    gantry_rig::daemon::signal(u32::try_from(shot).unwrap(), rustix::process::Signal::KILL);
    std::thread::sleep(Duration::from_millis(1500));
    daemon.launch().unwrap();
    let state = client.inspect("ends")["State"].clone();
    assert_eq!((&state["Status"], &state["ExitCode"]), (&"exited".into(), &42.into()));
    assert_eq!(client.inspect("shot")["State"]["ExitCode"], 137);
    client.eventually("--rm is honoured", LIMIT, |client| {
        client.docker(&["ps", "-aq", "--filter", "name=goes"]).stdout.is_empty()
    });
    client.eventually("the restart policy is honoured", LIMIT, |client| {
        client.inspect("again")["State"]["Status"] == "running"
    });
}

/// Fifty containers: some live on, some end, some are removed while the daemon dies.
const FIFTY: &str = "
    for i in $(seq 50); do
        case $((i % 5)) in
            0) docker run -d --name live-$ROUND-$i busybox sleep 1000 ;;
            1) docker run --name end-$ROUND-$i busybox sh -c \"echo ran; exit $i\" ;;
            2) docker run --rm -v /data busybox true ;;
            3) docker create -v /data --name made-$ROUND-$i busybox true ;;
            4) docker rm -f live-$ROUND-$((i - 4)) ;;
        esac
    done
";

/// A stream of containers in all states, the daemon killed twenty times in the middle of it.
#[test]
fn twenty_kills_among_fifty_containers() {
    let mut daemon = gantry();
    let client = daemon.client();
    for round in 0..20u64 {
        let storm = Storm::begin(&client, &[FIFTY], round);
        std::thread::sleep(Duration::from_millis(50 + round * 37 % 700));
        daemon.kill().unwrap();
        drop(storm);
        daemon.launch().unwrap_or_else(|error| panic!("round {round}: {error}"));
        every_state_is_right(&client, round);
        daemon.remove_containers();
        assert_eq!(client.docker(&["ps", "-aq"]).ok(), "", "round {round}");
    }
    client.eventually("nothing is left", LIMIT, |_| Left::of(&daemon).is_nothing());
    assert_eq!(client.docker(&["volume", "ls", "-q"]).ok(), "", "volumes of half-made containers");
}

/// A container that says it runs has a process; one that says it ended has its own exit code.
fn every_state_is_right(client: &gantry_rig::Client, round: u64) {
    let names = client.docker(&["ps", "-a", "--format", "{{.Names}}"]);
    // Those of `--rm` have generated names and may go at any moment.
    let own = format!("-{round}-");
    for name in names.ok().lines().filter(|name| name.contains(&own)) {
        let mut state = client.inspect(name)["State"].clone();
        // One that ends between the two looks is right at the second.
        client.eventually(&format!("round {round}: {name} is what it says"), LIMIT, |client| {
            state = client.inspect(name)["State"].clone();
            let pid = state["Pid"].as_u64().and_then(|pid| u32::try_from(pid).ok()).unwrap_or(0);
            gantry_rig::daemon::is_alive(pid) == (state["Status"] == "running")
        });
        let status = state["Status"].as_str().unwrap_or("");
        if let Some(number) = name.strip_prefix(&format!("end-{round}-"))
            && status == "exited"
        {
            // 255 is for a start that the daemon did not live to carry out.
            let code = state["ExitCode"].to_string();
            let ran = !client.docker(&["logs", name]).ok().is_empty();
            assert_eq!(code, if ran { number } else { "255" }, "round {round}: {name}");
        }
    }
}

#[test]
fn a_killed_shim_ends_its_container_cleanly() {
    let daemon = gantry();
    let client = daemon.client();
    let _ = client.docker(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]);
    let pid = client.inspect("box")["State"]["Pid"].as_u64().unwrap();
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let shim = status.lines().find_map(|line| line.strip_prefix("PPid:\t")).unwrap();
    gantry_rig::daemon::signal(shim.parse().unwrap(), rustix::process::Signal::KILL);
    client.eventually("the container is over", LIMIT, |client| {
        client.inspect("box")["State"]["Status"] == "exited"
    });
    assert_eq!(client.inspect("box")["State"]["ExitCode"], 137);
    assert!(!gantry_rig::daemon::is_alive(u32::try_from(pid).unwrap()));
    assert_eq!(client.docker(&["start", "box"]).ok(), "box");
    assert_eq!(client.docker(&["rm", "-f", "box"]).ok(), "box");
    client.eventually("nothing is left", LIMIT, |_| Left::of(&daemon).is_nothing());
}
