//! The classic builder's door, through the clients that speak it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gantry_rig::client::finish;
use gantry_rig::daemon::processes_of;
use gantry_rig::{Client, Daemon, Ran};

/// Docker's SDK for Python, from Debian: what its users do with builds.
const PYTHON: &str = r#"
import docker, io, tarfile, tempfile, os, json
c = docker.from_env()
base = "FROM busybox\nARG WHO=nobody\nRUN echo built for $WHO > /who\nLABEL own=1\nCMD cat /who\n"
image, lines = c.images.build(fileobj=io.BytesIO(base.encode()), tag="py:1", buildargs={"WHO": "python"}, labels={"asked": "yes"}, rm=True)
lines = list(lines)
assert "py:1" in image.tags and image.labels == {"own": "1", "asked": "yes"}, image.attrs
assert any(l.get("stream", "").startswith("Successfully tagged py:1") for l in lines), lines
assert [l["aux"]["ID"] for l in lines if "aux" in l][-1] == image.id
assert c.containers.run("py:1", remove=True) == b"built for python\n"
again, lines = c.images.build(fileobj=io.BytesIO(base.encode()), tag="py:1", buildargs={"WHO": "python"}, labels={"asked": "yes"})
assert again.id == image.id
assert sum("Using cache" in l.get("stream", "") for l in lines) == 5, "ARG, RUN, LABEL, CMD and the label asked for"
try:
    c.images.build(fileobj=io.BytesIO(b"FROM busybox\nRUN echo seen; exit 7\n"))
    raise SystemExit("no error")
except docker.errors.BuildError as error:
    assert "returned a non-zero code: 7" in error.msg, error.msg
    assert any("seen" in l.get("stream", "") for l in error.build_log)
for text, status in [(b"FROM busybox\nNOSUCH x\n", 400), (b"", 400)]:
    try:
        c.images.build(fileobj=io.BytesIO(text))
        raise SystemExit("no error")
    except docker.errors.APIError as error:
        assert error.response.status_code == status, (text, error)
with tempfile.TemporaryDirectory() as d:
    os.makedirs(d + "/sub"); open(d + "/sub/file", "w").write("from the context")
    open(d + "/hidden", "w").write("x"); open(d + "/.dockerignore", "w").write("hidden\n")
    open(d + "/Dockerfile.own", "w").write("FROM busybox AS first\nCOPY . /ctx/\nRUN test ! -e /ctx/hidden\nFROM busybox\nCOPY --from=first --chown=1:2 /ctx/sub/file /file\n")
    image, _ = c.images.build(path=d, dockerfile="Dockerfile.own", tag="py:2", nocache=True, forcerm=True, shmsize=1 << 20, network_mode="none", extra_hosts={"h": "1.2.3.4"}, container_limits={"memory": 64 << 20})
    assert c.containers.run("py:2", ["stat", "-c", "%u %g", "/file"], remove=True) == b"1 2\n"
    image, _ = c.images.build(path=d, dockerfile="Dockerfile.own", target="first")
    assert c.containers.run(image.id, ["cat", "/ctx/sub/file"], remove=True) == b"from the context"
data = io.BytesIO()
with tarfile.open(fileobj=data, mode="w:gz") as tar:
    for name, text in [("Dockerfile", b"FROM busybox\nADD inner.tar /in\n"), ("inner.tar", b"")]:
        if name == "inner.tar":
            inner = io.BytesIO()
            with tarfile.open(fileobj=inner, mode="w") as t:
                i = tarfile.TarInfo("x"); i.size = 1; t.addfile(i, io.BytesIO(b"x"))
            text = inner.getvalue()
        info = tarfile.TarInfo(name); info.size = len(text); tar.addfile(info, io.BytesIO(text))
data.seek(0)
image, _ = c.images.build(fileobj=data, custom_context=True, encoding="gzip", quiet=True)
assert c.containers.run(image.id, ["cat", "/in/x"], remove=True) == b"x"
assert c.containers.list(all=True) == []
assert c.df()["BuildCacheUsage"]["TotalCount"] > 0, "the cache has records"
pruned = c.api.prune_builds()
assert pruned["SpaceReclaimed"] >= 0 and "CachesDeleted" in pruned
print("python: all builds done")
"#;

/// A directory for a context, with these files.
fn context(daemon: &Daemon, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let root = daemon.root.join(name);
    for (path, text) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    root
}

/// The docker CLI's classic build.
fn build(client: &Client, args: &[&str]) -> Ran {
    let mut command = client.command(Path::new("docker"));
    command.env("DOCKER_BUILDKIT", "0").arg("build").args(args).stdin(Stdio::null());
    finish(command, None)
}

#[test]
fn dockers_sdk_for_python_builds() {
    let daemon = crate::gantry();
    let python = Path::new("/usr/bin/python3");
    let ran = daemon.client().run(python, &["-c", PYTHON], None);
    assert_eq!(ran.ok(), "python: all builds done");
}

#[test]
fn the_docker_cli_builds() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let dockerfile = "FROM busybox AS base\nENV A=1\nRUN echo \"a is $A\" | tee /a\n\
                      FROM base\nWORKDIR /w\nCOPY file sub ./\nCMD [\"cat\", \"file\", \"inner\"]\n";
    let files = [("Dockerfile", dockerfile), ("file", "file\n"), ("sub/inner", "inner\n")];
    let directory = context(&daemon, "ctx", &files);
    let directory = directory.to_str().unwrap();
    let first = build(&client, &["-t", "cli:1", "-t", "cli:2", directory]);
    let text = first.ok();
    for line in [
        "Step 1/7 : FROM busybox AS base",
        "Step 3/7 : RUN echo \"a is $A\" | tee /a",
        "a is 1",
        "Step 7/7 : CMD [\"cat\", \"file\", \"inner\"]",
        "Successfully tagged cli:1",
        "Successfully tagged cli:2",
    ] {
        assert!(text.lines().any(|got| got == line), "{line:?} in {text}");
    }
    assert!(text.contains(" ---> Running in ") && !text.contains("Using cache"), "{text}");
    assert_eq!(client.docker(&["run", "--rm", "cli:2"]).ok(), "file\ninner");
    let again = build(&client, &["-t", "cli:1", directory]);
    assert_eq!(again.ok().matches(" ---> Using cache").count(), 5, "{}", again.stdout);
    let id = client.inspect("cli:1")["Id"].as_str().unwrap().to_owned();
    assert_eq!(build(&client, &["-q", directory]).ok(), id);
    // One file is another: what comes before is there, what comes behind is done again.
    fs::write(daemon.root.join("ctx/file"), "changed\n").unwrap();
    let changed = build(&client, &["-t", "cli:1", directory]);
    assert!(changed.ok().contains(" ---> Using cache"), "{}", changed.stdout);
    assert_eq!(client.docker(&["run", "--rm", "cli:1"]).ok(), "changed\ninner");
    let none = build(&client, &["--no-cache", "-q", directory]);
    assert!(none.ok().starts_with("sha256:"));
    assert_eq!(client.docker(&["ps", "-aq"]).ok(), "");
}

#[test]
fn what_the_cache_has_is_told_before_the_end() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let text = |last: &str| {
        format!(
            "ARG V=1\nFROM busybox AS a\nRUN echo a > /a\nRUN echo b > /b\nFROM a\n\
             COPY --from=a /a /c\n{last}"
        )
    };
    let directory = context(&daemon, "ctx", &[("Dockerfile", &text(""))]);
    let _ = build(&client, &[directory.to_str().unwrap()]).ok();
    let directory = context(&daemon, "ctx", &[("Dockerfile", &text("RUN sleep 1000\n"))]);
    let mut command = client.command(Path::new("docker"));
    command.env("DOCKER_BUILDKIT", "0").args(["build", directory.to_str().unwrap()]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = Vec::new();
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        told.push(line.unwrap());
        if told.last().is_some_and(|line| line.contains("Running in")) {
            break;
        }
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let cached = told.iter().filter(|line| line.as_str() == " ---> Using cache").count();
    assert_eq!(cached, 3, "{told:?}");
    assert!(told.iter().any(|line| line.starts_with("Step 7/7 : RUN sleep")), "{told:?}");
    let id = client.inspect("busybox")["Id"].as_str().unwrap().to_owned();
    assert!(told.contains(&format!(" ---> {}", &id["sha256:".len()..][..12])), "{told:?}");
}

#[test]
fn failures_read_as_dockers() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let run = |name: &str, dockerfile: &str| {
        let directory = context(&daemon, name, &[("Dockerfile", dockerfile)]);
        build(&client, &[directory.to_str().unwrap()])
    };
    let failed = run("fails", "FROM busybox\nRUN echo before; exit 42\n");
    assert_eq!(failed.code, 42, "{}", failed.stderr);
    assert!(failed.stdout.contains("before"), "{}", failed.stdout);
    let words = "The command '/bin/sh -c echo before; exit 42' returned a non-zero code: 42";
    assert!(failed.stderr.contains(words), "{}", failed.stderr);
    let unknown = run("unknown", "FROM busybox\nFOO bar\n");
    assert_eq!(unknown.code, 1);
    let words = "Error response from daemon: dockerfile parse error";
    assert!(unknown.stderr.contains(words), "{}", unknown.stderr);
    assert!(unknown.stderr.contains("unknown instruction: FOO"), "{}", unknown.stderr);
    let missing = run("missing", "FROM busybox\nCOPY nope /\n");
    assert_eq!(missing.code, 1);
    let words = "COPY failed: file not found in build context or excluded by .dockerignore: stat \
                 nope: file does not exist";
    assert!(missing.stderr.contains(words), "{}", missing.stderr);
    let base = run("base", "FROM nosuch.invalid/image:1\n");
    assert_eq!(base.code, 1, "{}", base.stdout);
    let target = context(&daemon, "target", &[("Dockerfile", "FROM busybox AS one\n")]);
    let target = build(&client, &["--target", "two", target.to_str().unwrap()]);
    assert!(target.stderr.contains("two"), "{}", target.stderr);
    // What was cached before a failure stays.
    let steps = "FROM busybox\nRUN echo kept > /kept\nRUN exit 1\n";
    assert_eq!(run("twice", steps).code, 1);
    assert!(run("twice", steps).stdout.contains(" ---> Using cache"));
}

#[test]
fn a_client_that_leaves_ends_its_build() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let text = "FROM busybox\nRUN echo begun; trap '' TERM; sleep 1000 & sleep 1000\n";
    let directory = context(&daemon, "ctx", &[("Dockerfile", text)]);
    let tasks = daemon.root.join("exec/tasks");
    let running = || fs::read_dir(&tasks).map_or(0, Iterator::count);
    for signal in ["INT", "KILL"] {
        let mut command = client.command(Path::new("docker"));
        command.env("DOCKER_BUILDKIT", "0").args(["build", directory.to_str().unwrap()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        client.eventually("the step runs", Duration::from_secs(20), |_| running() == 1);
        // The shim's directory is there a moment before its process.
        std::thread::sleep(Duration::from_millis(200));
        let began = Instant::now();
        // The command is nsenter, which becomes docker.
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        client.eventually("the step has ended", Duration::from_secs(1), |_| running() == 0);
        eprintln!("{signal}: ended after {:?}", began.elapsed());
        child.wait().unwrap();
    }
    assert_eq!(processes_of(&daemon.root.join("exec/tasks")).len(), 0);
    assert_eq!(client.docker(&["run", "--rm", "busybox", "echo", "well"]).ok(), "well");
}

#[test]
fn contexts_and_limits_reach_the_steps() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let text = "FROM busybox\nRUN ulimit -n; df -k /dev/shm | tail -n 1; cat /etc/hosts; \
                ls /sys/class/net | wc -l\n";
    let args = "build --network none --ulimit nofile=77:88 --shm-size 2m --add-host \
                other:10.9.8.7 --memory 64m -";
    let mut command = client.command(Path::new("docker"));
    command.env("DOCKER_BUILDKIT", "0").args(args.split(' ')).stdin(Stdio::piped());
    let ran = finish(command, Some(text.as_bytes()));
    let text = ran.ok();
    for want in ["\n77\n", " 2048 ", "10.9.8.7\tother\n", "\n1\n"] {
        assert!(text.contains(want), "{want:?} in {text}");
    }
    let small = context(&daemon, "small", &[("Dockerfile", "FROM busybox\nRUN true\n")]);
    let refused = build(&client, &["--memory", "1m", small.to_str().unwrap()]);
    assert!(refused.stderr.contains("Minimum memory limit allowed is 6MB"), "{}", refused.stderr);
}

#[test]
fn the_cache_is_counted_and_pruned() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let text = "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=3\nRUN rm /big\n";
    let directory = context(&daemon, "ctx", &[("Dockerfile", text)]);
    let _ = build(&client, &["-t", "big", directory.to_str().unwrap()]).ok();
    let df = |path: &str| -> serde_json::Value {
        let (status, body) = client.http("GET", path, None).unwrap();
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    };
    let (old, new) = (df("/v1.41/system/df"), df("/v1.52/system/df"));
    let rows = old["BuildCache"].as_array().unwrap();
    assert!(rows.len() >= 2, "{old}");
    assert!(rows.iter().all(|row| row.get("Parents").is_none()), "{old}");
    assert!(old["BuilderSize"].as_i64().unwrap() >= 3 << 20, "{old}");
    assert_eq!(new["BuildCacheUsage"]["TotalCount"].as_u64(), u64::try_from(rows.len()).ok());
    let _ = client.docker(&["rmi", "big"]).ok();
    let _ = client.docker(&["builder", "prune", "-af"]).ok();
    // The time of the daemon is that of this process: what was, until now.
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let until = (now.as_secs() + 1).to_string();
    let args = ["events", "--since", "0", "--until", &until, "--filter", "type=builder"];
    let events = client.docker(&args);
    assert!(events.ok().contains("builder prune  (reclaimed="), "{}", events.stdout);
    assert_eq!(df("/v1.41/system/df")["BuildCache"].as_array().map_or(0, Vec::len), 0);
    let (status, _) = client.http("POST", "/v1.41/build/cancel?id=nosuch", None).unwrap();
    assert_eq!(status, 200);
    let (status, body) = client.http("POST", "/v1.41/build?version=2", None).unwrap();
    assert_eq!(status, 501, "{body}");
    let (status, _) = client.http("POST", "/gantry/build", None).unwrap();
    assert_eq!(status, 426);
}

#[test]
fn a_killed_daemon_leaves_nothing_of_its_builds() {
    let mut daemon = crate::gantry();
    let client = daemon.client();
    let text = "FROM busybox\nRUN echo kept > /kept\n\
                RUN --mount=type=tmpfs,target=/new/point touch /half; sleep 1000\n";
    let directory = context(&daemon, "ctx", &[("Dockerfile", text)]);
    let tasks = daemon.root.join("exec/tasks");
    let running = || fs::read_dir(&tasks).map_or(0, Iterator::count);
    for round in 0..3 {
        let mut command = client.command(Path::new("docker"));
        command.env("DOCKER_BUILDKIT", "0").args(["build", directory.to_str().unwrap()]);
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
        let limit = Duration::from_secs(20);
        client.eventually("the last step runs", limit, |_| {
            running() == 1 && !processes_of(&tasks).is_empty()
        });
        std::thread::sleep(Duration::from_millis(100 * round));
        daemon.kill().unwrap();
        child.wait().unwrap();
        let _ = daemon.launch().unwrap();
        client.eventually("the step is gone", limit, |_| running() == 0);
        let left = |path: &str| {
            let entries = fs::read_dir(daemon.root.join(path)).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name()).collect::<Vec<_>>()
        };
        for path in ["data/containers", "data/snapshots/containers", "exec/subpaths"] {
            assert!(left(path).is_empty(), "{path}: {:?}", left(path));
        }
        let groups = gantry_rig::daemon::cgroups_named(&daemon.name);
        let children = groups.iter().flat_map(|group| fs::read_dir(group).into_iter().flatten());
        let children = children.flatten().filter(|entry| entry.path().is_dir());
        assert_eq!(children.count(), 0, "control groups are left");
        assert_eq!(client.docker(&["images", "-aq"]).ok().lines().count(), 2, "no half image");
        assert_eq!(client.docker(&["ps", "-aq"]).ok(), "");
    }
    // What was done before the kill is there.
    let again =
        context(&daemon, "again", &[("Dockerfile", "FROM busybox\nRUN echo kept > /kept\n")]);
    let again = build(&client, &[again.to_str().unwrap()]);
    assert!(again.ok().contains(" ---> Using cache"), "{}", again.stdout);
}
