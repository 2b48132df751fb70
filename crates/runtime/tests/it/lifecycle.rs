//! Containers step by step, through every command.

use std::fs;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use serde_json::{Value, json};

use crate::house::{Answer, House, Runtime};

fn sleeper(spec: &mut Value) {
    spec["process"]["args"] = json!(["sleep", "600"]);
}

fn good(answer: &Answer, what: &str) {
    assert_eq!(answer.code, 0, "{what}: {}", answer.stderr);
}

fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(5);
    while !holds() {
        assert!(Instant::now() < end, "{what} did not come");
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn state(house: &House, runtime: Runtime) -> Value {
    let answer = house.call(runtime, &["state", &house.id(runtime)]);
    serde_json::from_str(&answer.stdout).unwrap_or(Value::Null)
}

/// A container through its whole life; answers what was seen on the way.
fn live(runtime: Runtime) -> Vec<String> {
    let house = House::new("life");
    let id = house.id(runtime);
    house.configure(runtime, |spec| {
        spec["annotations"] = json!({"a.b": "c"});
        spec["process"]["args"] =
            json!(["sh", "-c", "echo started > /tmp/started; exec sleep 600"]);
    });
    let mut seen = Vec::new();
    let note = |what: &str, seen: &mut Vec<String>| {
        let state = state(&house, runtime);
        let pid = state["pid"].as_u64().unwrap_or(0);
        seen.push(format!(
            "{what}: {} {} {} {} pid {}",
            state["status"],
            state["id"] == json!(id),
            state["bundle"] == json!(house.path()),
            state["annotations"],
            if pid > 1 { "yes" } else { "no" },
        ));
    };
    seen.push(format!("state of none: {}", house.call(runtime, &["state", &id]).code));
    good(&house.call_detached(runtime, &["create", &id]), "create");
    note("created", &mut seen);
    seen.push(format!("twice: {}", house.call(runtime, &["create", &id]).code));
    seen.push(format!("program waits: {}", !house.rootfs().join("tmp/started").exists()));
    good(&house.call(runtime, &["start", &id]), "start");
    until("the program", || house.rootfs().join("tmp/started").exists());
    note("started", &mut seen);
    seen.push(format!("start again: {}", house.call(runtime, &["start", &id]).code));
    let answer = house.call(runtime, &["exec", &id, "sh", "-c", "hostname; exit 7"]);
    seen.push(format!("exec: {} {}", answer.code, answer.stdout));
    good(&house.call(runtime, &["pause", &id]), "pause");
    note("paused", &mut seen);
    seen.push(format!(
        "exec while paused: {}",
        house.call(runtime, &["exec", &id, "true"]).code != 0
    ));
    good(&house.call(runtime, &["resume", &id]), "resume");
    note("resumed", &mut seen);
    let listed = house.call(runtime, &["list", "-q"]).stdout;
    seen.push(format!("listed: {}", listed.trim() == id));
    let pids = house.call(runtime, &["ps", "-f", "json", &id]).stdout;
    let pids: Vec<u32> = serde_json::from_str(&pids).unwrap();
    seen.push(format!("processes: {}", pids.len()));
    seen.push(format!("delete running: {}", house.call(runtime, &["delete", &id]).code));
    good(&house.call(runtime, &["kill", &id, "KILL"]), "kill");
    until("the end", || state(&house, runtime)["status"] == json!("stopped"));
    note("killed", &mut seen);
    seen.push(format!("kill again: {}", house.call(runtime, &["kill", &id, "KILL"]).code));
    seen.push(format!("exec after: {}", house.call(runtime, &["exec", &id, "true"]).code != 0));
    good(&house.call(runtime, &["delete", &id]), "delete");
    seen.push(format!("state after: {}", house.call(runtime, &["state", &id]).code));
    seen.push(format!("delete nothing: {}", house.call(runtime, &["delete", &id]).code));
    seen.push(format!("groups left: {:?}", house.groups()));
    seen
}

#[test]
fn a_life_is_the_same_everywhere() {
    crate::house::need_root();
    let ours = live(Runtime::Gantry);
    if Runtime::installed().contains(&Runtime::Runc) {
        assert_eq!(ours, live(Runtime::Runc));
    }
}

#[test]
fn created_containers_are_deleted_and_forced() {
    let house = House::new("force");
    let id = house.id(Runtime::Gantry);
    house.configure(Runtime::Gantry, sleeper);
    good(&house.call_detached(Runtime::Gantry, &["create", &id]), "create");
    good(&house.call(Runtime::Gantry, &["delete", &id]), "delete created");
    good(&house.call_detached(Runtime::Gantry, &["run", "-d", &id]), "run");
    good(&house.call(Runtime::Gantry, &["pause", &id]), "pause");
    good(&house.call(Runtime::Gantry, &["delete", "--force", &id]), "delete paused by force");
    good(&house.call(Runtime::Gantry, &["delete", "--force", &id]), "delete nothing by force");
    assert_eq!((house.groups(), house.states()), (vec![], vec![]));
}

#[test]
fn a_reused_pid_is_not_signalled() {
    let house = House::new("reuse");
    let id = house.id(Runtime::Gantry);
    house.configure(Runtime::Gantry, sleeper);
    good(&house.call_detached(Runtime::Gantry, &["run", "-d", &id]), "run");
    // The kernel tells start times in hundredths of a second.
    std::thread::sleep(Duration::from_millis(30));
    let mut bystander = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let path = house.path().join("state-Gantry").join(&id).join("state.json");
    let old = fs::read_to_string(&path).unwrap();
    let mut record: Value = serde_json::from_str(&old).unwrap();
    // As if the container had ended and its number had been given to another.
    record["pid"] = json!(bystander.id());
    fs::write(&path, record.to_string()).unwrap();
    let status = state(&house, Runtime::Gantry)["status"].clone();
    let killed = house.call(Runtime::Gantry, &["kill", &id, "KILL"]).code;
    let alive = bystander.try_wait().unwrap().is_none();
    fs::write(&path, old).unwrap();
    bystander.kill().unwrap();
    bystander.wait().unwrap();
    assert_eq!((status, killed, alive), (json!("stopped"), 1, true));
}

#[test]
fn limits_are_updated() {
    let house = House::new("update");
    let id = house.id(Runtime::Gantry);
    house.configure(Runtime::Gantry, sleeper);
    good(&house.call_detached(Runtime::Gantry, &["run", "-d", &id]), "run");
    good(
        &house.call(Runtime::Gantry, &["update", "--pids-limit", "17", "--memory", "32M", &id]),
        "update",
    );
    let stats = house.call(Runtime::Gantry, &["events", "--stats", &id]).stdout;
    let stats: Value = serde_json::from_str(&stats).unwrap();
    assert_eq!(stats["data"]["pids"]["limit"], json!(17), "{stats}");
    assert_eq!(stats["data"]["memory"]["usage"]["limit"], json!(32 << 20), "{stats}");
}

#[test]
fn signals_reach_a_foreground_container() {
    let house = House::new("signal");
    let id = house.id(Runtime::Gantry);
    house.configure(Runtime::Gantry, |spec| {
        spec["process"]["args"] = json!([
            "sh",
            "-c",
            "trap 'exit 33' TERM; echo ready > /tmp/ready; while :; do sleep 0.05; done"
        ]);
    });
    let mut command = house.command(Runtime::Gantry, &["run", &id]);
    let mut child = command.stdin(Stdio::null()).spawn().unwrap();
    until("readiness", || house.rootfs().join("tmp/ready").exists());
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(33));
    assert_eq!((house.groups(), house.states()), (vec![], vec![]));
}

/// Reads the descriptor that is sent to a console socket.
fn terminal(listener: &UnixListener) -> OwnedFd {
    let (stream, _) = listener.accept().unwrap();
    let mut bytes = [0; 256];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let flags = RecvFlags::CMSG_CLOEXEC;
    rustix::net::recvmsg(stream.as_fd(), &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)
        .unwrap();
    control
        .drain()
        .find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        })
        .unwrap()
}

fn read_all(terminal: &OwnedFd) -> String {
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while let Ok(count) = rustix::io::read(terminal, &mut buffer) {
        if count == 0 {
            break;
        }
        text.extend(&buffer[..count]);
    }
    String::from_utf8_lossy(&text).replace('\r', "")
}

#[test]
fn terminals_are_the_containers_own() {
    for runtime in [Runtime::Gantry, Runtime::Runc] {
        if !Runtime::installed().contains(&runtime) {
            continue;
        }
        let house = House::new("terminal");
        let id = house.id(runtime);
        house.configure(runtime, |spec| {
            spec["process"]["terminal"] = json!(true);
            spec["process"]["consoleSize"] = json!({"height": 33, "width": 77});
            spec["process"]["args"] = json!([
                "sh", "-c", "tty; stty size; ls -l /dev/console | head -c 1; echo; echo > /dev/console; [ -t 0 ] && echo yes"
            ]);
        });
        let socket = house.path().join("console.sock");
        let listener = UnixListener::bind(&socket).unwrap();
        let path = socket.to_str().unwrap();
        good(&house.call_detached(runtime, &["run", "-d", "--console-socket", path, &id]), "run");
        let master = terminal(&listener);
        assert_eq!(read_all(&master), "/dev/pts/0\n33 77\nc\n\nyes\n", "{runtime:?}");
    }
}

#[test]
fn execs_have_the_users_and_terminals_asked_for() {
    let house = House::new("exec");
    let runtime = Runtime::Gantry;
    let id = house.id(runtime);
    house.configure(runtime, sleeper);
    good(&house.call_detached(runtime, &["run", "-d", &id]), "run");
    for (args, code, stdout) in [
        (
            &[
                "-u",
                "1000:50",
                "-g",
                "7",
                "ID",
                "sh",
                "-c",
                "id -u; id -g; grep Groups /proc/self/status",
            ][..],
            0,
            "1000\n50\nGroups:\t7 \n",
        ),
        (
            &["--cwd", "/home/user", "-e", "X=1", "ID", "sh", "-c", "pwd; echo $X"],
            0,
            "/home/user\n1\n",
        ),
        (
            &["-c", "CAP_NET_ADMIN", "ID", "grep", "CapEff", "/proc/self/status"],
            0,
            "CapEff:\t00000000000014e3\n",
        ),
        (
            &[
                "ID",
                "sh",
                "-c",
                "ls /proc/self/fd | wc -l; hostname; readlink /proc/self/ns/pid | head -c 3",
            ],
            0,
            "4\nbox\npid",
        ),
        (&["ID", "nope"], 255, ""),
        (&["ID", "/etc"], 255, ""),
        (&["-u", "root", "ID", "true"], 1, ""),
        (&["-u", "4294967295", "ID", "true"], 1, ""),
        (&["-u", "-1", "ID", "true"], 1, ""),
        (&["-u", "0x0", "ID", "true"], 1, ""),
        (&["-u", "4294967296", "ID", "true"], 1, ""),
    ] {
        let args: Vec<&str> =
            args.iter().map(|arg| if *arg == "ID" { id.as_str() } else { arg }).collect();
        let answer = house.call(runtime, &[&["exec"], args.as_slice()].concat());
        assert_eq!(
            (answer.code, answer.stdout.as_str()),
            (code, stdout),
            "{args:?}: {}",
            answer.stderr
        );
    }
    let socket = house.path().join("console.sock");
    let listener = UnixListener::bind(&socket).unwrap();
    let path = socket.to_str().unwrap();
    let args = [
        "exec",
        "-t",
        "-d",
        "--console-socket",
        path,
        &id,
        "sh",
        "-c",
        "tty; [ -t 1 ] && echo yes",
    ];
    good(&house.call_detached(runtime, &args), "exec -t");
    assert_eq!(read_all(&terminal(&listener)), "/dev/pts/0\nyes\n");
    let process = json!({"user": {"uid": 5, "gid": 6}, "args": ["id", "-u"], "cwd": "/", "env": ["PATH=/bin"]});
    fs::write(house.path().join("process.json"), process.to_string()).unwrap();
    let answer = house.call(runtime, &["exec", "-p", "process.json", &id]);
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "5\n"), "{}", answer.stderr);
}

#[test]
fn execs_join_a_user_namespace() {
    let house = House::new("userns");
    let runtime = Runtime::Gantry;
    let id = house.id(runtime);
    house.configure(runtime, |spec| {
        sleeper(spec);
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "user"}));
        spec["linux"]["uidMappings"] =
            json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
        spec["linux"]["gidMappings"] =
            json!([{"containerID": 0, "hostID": 100_000, "size": 65536}]);
    });
    let mode = std::process::Command::new("chmod").args(["-R", "a+rX"]).arg(house.path()).status();
    mode.unwrap();
    good(&house.call_detached(runtime, &["run", "-d", &id]), "run");
    let answer = house.call(
        runtime,
        &["exec", &id, "sh", "-c", "id -u; cat /proc/self/uid_map | awk '{print $2}'"],
    );
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "0\n100000\n"), "{}", answer.stderr);
}

#[test]
fn descriptors_and_files_are_passed_on() {
    let house = House::new("fds");
    let runtime = Runtime::Gantry;
    let id = house.id(runtime);
    house.configure(runtime, |spec| {
        spec["process"]["args"] = json!(["sh", "-c", "cat <&3; echo $LISTEN_FDS $LISTEN_PID"]);
    });
    fs::write(house.path().join("third"), "through 3\n").unwrap();
    let command = house.command(runtime, &["run", "--pid-file", "pid", &id]);
    let mut line = format!("exec 3<third; LISTEN_FDS=1 exec {}", command.get_program().display());
    for arg in command.get_args() {
        line.push_str(&format!(" '{}'", arg.display()));
    }
    let mut shell = std::process::Command::new("sh");
    let answer: Answer =
        shell.args(["-c", &line]).current_dir(house.path()).output().unwrap().into();
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "through 3\n1 1\n"), "{}", answer.stderr);
    assert!(house.said("pid").parse::<u32>().unwrap() > 1);
    let answer = house.call(runtime, &["run", "--preserve-fds", "9", &id]);
    assert!(answer.code == 1 && answer.stderr.contains("preserved-fd"), "{answer:?}");
}

#[test]
fn namespaces_are_joined_by_path() {
    let runtime = Runtime::Gantry;
    let (first, second) = (House::new("first"), House::new("second"));
    first.configure(runtime, |spec| {
        sleeper(spec);
        spec["hostname"] = json!("shared");
    });
    good(&first.call_detached(runtime, &["run", "-d", &first.id(runtime)]), "run");
    let pid = state(&first, runtime)["pid"].as_u64().unwrap();
    let answer = second.run(runtime, |spec| {
        spec.as_object_mut().unwrap().remove("hostname");
        for namespace in spec["linux"]["namespaces"].as_array_mut().unwrap() {
            let file = match namespace["type"].as_str().unwrap() {
                "uts" => "uts",
                "network" => "net",
                "ipc" => "ipc",
                "pid" => "pid",
                _ => continue,
            };
            namespace["path"] = json!(format!("/proc/{pid}/ns/{file}"));
        }
        spec["process"]["args"] = json!(["sh", "-c", "hostname; grep -c sleep /proc/1/cmdline"]);
    });
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "shared\n1\n"), "{}", answer.stderr);
}

#[test]
fn clocks_and_mapped_mounts() {
    let house = House::new("newer");
    fs::create_dir(house.path().join("shared")).unwrap();
    fs::write(house.path().join("shared/file"), "x").unwrap();
    let answer = house.run(Runtime::Gantry, |spec| {
        spec["linux"]["namespaces"].as_array_mut().unwrap().push(json!({"type": "time"}));
        spec["linux"]["timeOffsets"] = json!({"boottime": {"secs": 31_536_000}});
        spec["mounts"].as_array_mut().unwrap().push(json!({
            "destination": "/mapped", "type": "bind", "source": "shared", "options": ["bind", "idmap"],
            "uidMappings": [{"containerID": 0, "hostID": 4000, "size": 1000}],
            "gidMappings": [{"containerID": 0, "hostID": 5000, "size": 1000}]
        }));
        spec["process"]["args"] =
            json!(["sh", "-c", "awk '{print ($1 > 31000000)}' /proc/uptime; stat -c '%u %g' /mapped/file"]);
    });
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "1\n4000 5000\n"), "{}", answer.stderr);
}

#[test]
fn errors_go_to_the_log_in_json() {
    let house = House::new("log");
    house.configure(Runtime::Gantry, |spec| spec["process"]["args"] = json!(["nope"]));
    let id = house.id(Runtime::Gantry);
    let args = ["--log", "log.json", "--log-format", "json", "create", &id];
    assert_eq!(house.call(Runtime::Gantry, &args).code, 1);
    let entry: Value = serde_json::from_str(house.said("log.json").trim()).unwrap();
    assert_eq!(entry["level"], json!("error"));
    assert!(
        entry["msg"]
            .as_str()
            .unwrap()
            .ends_with("exec: \"nope\": executable file not found in $PATH")
    );
}

#[test]
fn spec_and_features_are_documents() {
    let house = House::new("spec");
    good(&house.call(Runtime::Gantry, &["spec"]), "spec");
    let spec: Value = serde_json::from_str(&house.said("config.json")).unwrap();
    assert_eq!(spec["process"]["args"], json!(["sh"]));
    assert_eq!(house.call(Runtime::Gantry, &["spec"]).code, 1);
    let features = house.call(Runtime::Gantry, &["features"]).stdout;
    let features: Value = serde_json::from_str(&features).unwrap();
    assert_eq!(features["linux"]["namespaces"].as_array().unwrap().len(), 8);
    assert_eq!(house.call(Runtime::Gantry, &["--systemd-cgroup", "list"]).code, 1);
    assert_eq!(house.call(Runtime::Gantry, &["checkpoint", "x"]).code, 1);
}
