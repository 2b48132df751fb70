//! What goes on while the daemon is away, and daemons side by side.

use std::process::Stdio;
use std::time::Duration;

use gantry_rig::{Client, Daemon, Kind, Net, images};

const LIMIT: Duration = Duration::from_secs(20);
/// Answers every connection with a line.
const SERVER: &str = "while true; do echo answer | nc -l -p 80; done";

fn serve(client: &Client, name: &str, port: u16) {
    let port = format!("{port}:80");
    let _ = client
        .docker(&["run", "-d", "--name", name, "-p", &port, "busybox", "sh", "-c", SERVER])
        .ok();
}

/// The server listens anew after each connection, so one attempt may come too early.
#[track_caller]
fn answers(client: &Client, address: &str, port: u16) {
    client.eventually(&format!("{address}:{port} answers"), LIMIT, |client| {
        let ran = client.shell(&format!("busybox nc -w 1 {address} {port} </dev/null"));
        ran.stdout == "answer\n"
    });
}

#[test]
fn published_ports_answer_while_the_daemon_is_away() {
    let mut daemon = crate::gantry();
    let client = daemon.client();
    serve(&client, "web", 8080);
    let gateway = client.docker(&[
        "inspect",
        "-f",
        "{{range .NetworkSettings.Networks}}{{.Gateway}}{{end}}",
        "web",
    ]);
    let gateway = gateway.ok().to_owned();
    let addresses = ["127.0.0.1", gateway.as_str()];
    for address in addresses {
        answers(&client, address, 8080);
    }
    for round in 0..3 {
        if round == 1 {
            daemon.stop().unwrap()
        } else {
            daemon.kill().unwrap()
        }
        for address in addresses {
            answers(&client, address, 8080);
        }
        daemon.launch().unwrap();
        for address in addresses {
            answers(&client, address, 8080);
        }
    }
    // The port is still known to be taken, and free after the removal.
    let taken = client.docker(&["run", "--rm", "-p", "8080:80", "busybox", "true"]);
    assert!(taken.code == 125 && taken.stderr.contains("8080"), "{taken:?}");
    let _ = client.docker(&["rm", "-f", "web"]).ok();
    serve(&client, "next", 8080);
    answers(&client, "127.0.0.1", 8080);
}

/// Whether the numbered lines follow on each other.
#[track_caller]
fn whole(text: &str) -> (u32, u32) {
    // The last line may be cut where the follower was.
    let lines: Vec<u32> = text
        .split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| line.trim().parse().unwrap())
        .collect();
    for pair in lines.windows(2) {
        assert_eq!(pair[0] + 1, pair[1], "lines are missing or doubled");
    }
    (*lines.first().unwrap(), *lines.last().unwrap())
}

fn follow(client: &Client, file: &std::path::Path) -> std::process::Child {
    let file = std::fs::File::create(file).unwrap();
    let mut command = client.command(std::path::Path::new("docker"));
    command.args(["logs", "-f", "count"]).stdout(file).stderr(Stdio::null()).stdin(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn logs_are_followed_through_rotation_and_restarts() {
    let mut daemon = crate::gantry();
    let client = daemon.client();
    let script = "i=0; while true; do echo $i; i=$((i+1)); sleep 0.002; done";
    let _ = client
        .docker(&[
            "run",
            "-d",
            "--name",
            "count",
            "--log-opt",
            "max-size=8k",
            "--log-opt",
            "max-file=4",
            "busybox",
            "sh",
            "-c",
            script,
        ])
        .ok();
    let file = daemon.root.join("followed");
    let mut last = 0;
    for round in 0..3 {
        let mut follower = follow(&client, &file);
        std::thread::sleep(Duration::from_millis(1500));
        daemon.kill().unwrap();
        // Its stream has ended, and it says so.
        let _ = follower.wait().unwrap();
        let (first, end) = whole(&std::fs::read_to_string(&file).unwrap());
        assert!(end > first + 100, "round {round}: {first} to {end}");
        assert!(end > last, "round {round}: nothing new after {last}");
        std::thread::sleep(Duration::from_millis(300));
        daemon.launch().unwrap();
        last = end;
    }
    let (first, end) = whole(client.docker(&["logs", "count"]).stdout.as_str());
    assert!(first > 0, "the log was never rotated");
    assert!(end > last);
}

#[test]
fn one_attaches_and_detaches_at_will() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let script = "while sleep 0.1; do echo ready; done";
    let _ = client.docker(&["run", "-dit", "--name", "box", "busybox", "sh", "-c", script]).ok();
    for keys in [&[][..], &["--detach-keys", "ctrl-x,y"]] {
        let send = if keys.is_empty() { "\\x10\\x11" } else { "\\x18y" };
        let command = [&["docker", "attach"][..], keys, &["box"]].concat();
        let seen = crate::terminal::in_a_terminal(&client, send, &command);
        assert!(seen.contains("ready"), "{seen}");
        assert!(seen.contains("read escape sequence"), "{seen}");
        assert_eq!(client.inspect("box")["State"]["Status"], "running");
    }
    // Without a terminal: what one client sends comes back to all that watch.
    let _ = client.docker(&["run", "-di", "--name", "cat", "busybox", "cat"]).ok();
    let script = "(sleep 0.5; echo through; sleep 0.5) | timeout -k 0.1 2 docker attach --sig-proxy=false cat";
    assert_eq!(client.shell(script).stdout, "through\n");
    assert_eq!(client.docker(&["logs", "cat"]).ok(), "through");
    assert_eq!(client.inspect("cat")["State"]["Status"], "running");
}

#[test]
fn exec_on_a_paused_container_is_a_conflict() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let _ = client.docker(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    let create = |client: &Client| {
        client.http("POST", "/containers/box/exec", Some(r#"{"Cmd":["true"]}"#)).unwrap()
    };
    let (_, made) = create(&client);
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let _ = client.docker(&["pause", "box"]).ok();
    let (status, text) = create(&client);
    assert!(status == 409 && text.contains("is paused"), "{status} {text}");
    let path = format!("/exec/{}/start", made["Id"].as_str().unwrap());
    let (status, text) = client.http("POST", &path, Some(r#"{"Detach":true}"#)).unwrap();
    assert!(status == 409 && text.contains("is paused"), "{status} {text}");
    let _ = client.docker(&["unpause", "box"]).ok();
    assert_eq!(client.http("POST", &path, Some(r#"{"Detach":true}"#)).unwrap().0, 200);
}

#[test]
fn an_exec_tells_its_exit_code_whenever_it_is_asked() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let _ = client.docker(&["run", "-d", "--name", "box", "busybox", "sleep", "1000"]).ok();
    // The client asks as soon as the output has ended.
    for round in 0..60 {
        let ran = client.docker(&["exec", "box", "sh", "-c", "exit 6"]);
        assert_eq!(ran.code, 6, "round {round}: {}", ran.stderr);
    }
}

#[test]
fn daemons_live_side_by_side() {
    let mut one = crate::gantry();
    let mut two = Daemon::start(Kind::Gantry, Net::Of(one.netns_pid().unwrap()), &[]).unwrap();
    let (first, second) = (one.client(), two.client());
    images::import_busybox(&second).unwrap();
    serve(&first, "web", 8081);
    serve(&second, "web", 8082);
    let check = |client: &Client| {
        for port in [8081, 8082] {
            answers(client, "127.0.0.1", port);
        }
    };
    check(&first);
    let address = |client: &Client| {
        let network = client.inspect("web")["NetworkSettings"]["Networks"]["bridge"].clone();
        network["IPAddress"].as_str().unwrap().to_owned()
    };
    let (a, b) = (address(&first), address(&second));
    assert_ne!(a.rsplit_once('.').unwrap().0, b.rsplit_once('.').unwrap().0, "one subnet for both");
    // A port that the other one has published is taken.
    let taken = second.docker(&["run", "--rm", "-p", "8081:80", "busybox", "true"]);
    assert!(taken.code == 125 && taken.stderr.contains("8081"), "{taken:?}");
    one.kill().unwrap();
    check(&second);
    one.launch().unwrap();
    two.kill().unwrap();
    assert_eq!(first.docker(&["ps", "-q"]).ok().lines().count(), 1);
    two.launch().unwrap();
    check(&second);
    one.remove_containers();
    assert_eq!(first.docker(&["run", "--rm", "busybox", "echo", "more"]).ok(), "more");
    answers(&second, "127.0.0.1", 8082);
}
