//! What builds come to on a real daemon: the graph, its cache, crashes, and repositories.

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use gantry_rig::daemon::gantry_binary;
use gantry_rig::{Client, Daemon, Ran};

const SECOND: Duration = Duration::from_secs(1);

/// A context below a daemon's root.
fn context(daemon: &Daemon, name: &str, files: &[(&str, &str)]) -> PathBuf {
    let directory = daemon.root.join(name);
    for (file, text) in files {
        let path = directory.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn build(client: &Client, args: &[&str], stdin: Option<&[u8]>) -> Ran {
    let args = [&["build", "--progress=plain"], args].concat();
    client.run(&gantry_binary().unwrap(), &args, stdin)
}

fn start(client: &Client, args: &[&str]) -> Child {
    let mut command: Command = client.command(&gantry_binary().unwrap());
    command.args(["build", "--progress=plain"]).args(args);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn id(client: &Client, image: &str) -> String {
    client.inspect(image)["Id"].as_str().unwrap().to_owned()
}

fn run(client: &Client, image: &str, command: &[&str]) -> String {
    client.docker(&[&["run", "--rm", image], command].concat()).ok().to_owned()
}

#[test]
fn both_doors_come_to_the_same_image() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let dockerfile = "FROM busybox\nARG WHO=nobody\nCOPY f /f\nRUN echo built for $WHO >> /f\n";
    let here = context(&daemon, "c", &[("Dockerfile", dockerfile), ("f", "hi\n")]);
    let args = ["-t", "one", "--build-arg", "WHO=me", "--label", "a=b", text(&here)];
    let _ = build(&client, &args, None).ok();
    let script = format!(
        "DOCKER_BUILDKIT=0 docker build -q --build-arg WHO=me --label a=b {}",
        here.display()
    );
    assert_eq!(client.shell(&script).ok(), id(&client, "one"));
    assert_eq!(run(&client, "one", &["cat", "/f"]), "hi\nbuilt for me");
}

#[test]
fn an_id_is_a_base_if_it_is_long_enough_to_be_meant() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let id = id(&client, "busybox");
    let digits = id.strip_prefix("sha256:").unwrap();
    let from =
        |base: &str| build(&client, &["-"], Some(format!("FROM {base}\nRUN true\n").as_bytes()));
    for base in [&id, digits, &digits[..12]] {
        let _ = from(base).ok();
    }
    let short = &digits[..4];
    let ran = from(short);
    let words = "failed to resolve source metadata for docker.io/library/";
    assert!(ran.code != 0 && ran.stderr.contains(words), "{ran:?}");
    let _ = client.docker(&["tag", "busybox", short]).ok();
    let _ = from(short).ok();
}

#[test]
fn repositories() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let here = context(&daemon, "c", &[("Dockerfile", "FROM busybox\nCOPY f /f\n"), ("f", "1")]);
    // Served as git's own server does.
    let served = daemon.root.join("served");
    let script = format!(
        "set -e; cd {here}; git init -q -b main .; git add .; \
         git -c user.name=x -c user.email=x@example.invalid commit -qm x; git tag v1; \
         mkdir d; cp f d/g; git add d; \
         git -c user.name=x -c user.email=x@example.invalid commit -qm y; \
         git clone -q --bare . {served}/r.git; git rev-parse v1",
        here = here.display(),
        served = served.display()
    );
    let commit = client.shell(&script).ok().to_owned();
    let mut server = client
        .command(Path::new("git"))
        .args(["daemon", "--export-all", "--listen=127.0.0.1", "--reuseaddr"])
        .arg(format!("--base-path={}", served.display()))
        .arg(&served)
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    std::thread::sleep(SECOND / 2);
    let url = "git://127.0.0.1/r.git";
    let whole = build(&client, &["-t", "whole", &format!("{url}#main")], None);
    let text = format!(
        "FROM busybox\nADD {url}#main /main\nADD {url}?tag=v1 /tag\nADD {url}#main:d /part\n\
         ADD --checksum={commit} --keep-git-dir=true {url}#v1 /kept\n"
    );
    let added = build(&client, &["-t", "added", "-"], Some(text.as_bytes()));
    let wrong = format!("FROM busybox\nADD --checksum={} {url}#v1 /x\n", "0".repeat(40));
    let wrong = build(&client, &["-"], Some(wrong.as_bytes()));
    server.kill().unwrap();
    server.wait().unwrap();
    let _ = (whole.ok(), added.ok());
    assert_eq!(run(&client, "whole", &["cat", "/f"]), "1");
    let list = "cd /; find main tag part kept -maxdepth 1 | sort | tr '\\n' ' '";
    assert_eq!(
        run(&client, "added", &["sh", "-c", list]).trim(),
        "kept kept/.git kept/Dockerfile kept/f main main/Dockerfile main/d main/f \
         part part/g tag tag/Dockerfile tag/f"
    );
    assert!(wrong.code != 0 && wrong.stderr.contains("checksum"), "{wrong:?}");
}

#[test]
fn independent_stages_run_at_once() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let dockerfile = "FROM busybox AS a\nRUN sleep 2; touch /a\nFROM busybox AS b\nRUN sleep 2; touch /b\n\
                      FROM busybox AS c\nRUN sleep 2; touch /c\nFROM busybox AS unneeded\nRUN exit 1\n\
                      FROM scratch\nCOPY --from=a /a /\nCOPY --from=b /b /\nCOPY --from=c /c /\n";
    let here = context(&daemon, "c", &[("Dockerfile", dockerfile)]);
    let begin = Instant::now();
    let _ = build(&client, &[text(&here)], None).ok();
    assert!(begin.elapsed() < 4 * SECOND, "three times 2 s took {:?}", begin.elapsed());
}

#[test]
fn the_same_step_of_two_builds_runs_once() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let dockerfile = "FROM busybox\nRUN sleep 1; cat /proc/sys/kernel/random/uuid > /uuid\n";
    let here = context(&daemon, "c", &[("Dockerfile", dockerfile)]);
    let names = ["a", "b", "c", "d"];
    let started: Vec<Child> =
        names.iter().map(|name| start(&client, &["-t", name, text(&here)])).collect();
    for mut child in started {
        assert!(child.wait().unwrap().success());
    }
    let first = run(&client, "a", &["cat", "/uuid"]);
    for name in names {
        assert_eq!(run(&client, name, &["cat", "/uuid"]), first, "{name}");
    }
}

#[test]
fn what_the_cache_holds_and_what_not() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let dockerfile = "FROM busybox AS one\nARG A\nCOPY f /f\nRUN cat /proc/sys/kernel/random/uuid > /1\n\
                      FROM one AS two\nRUN cat /proc/sys/kernel/random/uuid > /2\n";
    let here = context(&daemon, "c", &[("Dockerfile", dockerfile), ("f", "1"), ("g", "1")]);
    let uuids = |args: &[&str]| {
        let _ = build(&client, &[args, &["-t", "u", text(&here)]].concat(), None).ok();
        (run(&client, "u", &["cat", "/1"]), run(&client, "u", &["cat", "/2"]))
    };
    let first = uuids(&[]);
    assert_eq!(uuids(&[]), first);
    // A file that no step reads, and a newer time of one that is read, change nothing.
    fs::write(here.join("g"), "2").unwrap();
    fs::write(here.join("f"), "1").unwrap();
    assert_eq!(uuids(&[]), first);
    // A stage that is asked to be fresh.
    let second = uuids(&["--no-cache-filter", "two"]);
    assert!(second.0 == first.0 && second.1 != first.1, "{first:?} {second:?}");
    // Content and arguments count.
    fs::write(here.join("f"), "2").unwrap();
    let third = uuids(&[]);
    assert!(third.0 != first.0 && third.1 != second.1, "{third:?}");
    let fourth = uuids(&["--build-arg", "A=1"]);
    assert!(fourth.0 != third.0, "{fourth:?}");
    assert!(uuids(&["--no-cache"]).0 != fourth.0);
    // Why a step ran is told, if asked.
    fs::write(here.join("f"), "3").unwrap();
    let why = build(&client, &["--explain", text(&here)], None);
    assert!(why.stderr.contains("cache: "), "{}", why.stderr);
}

#[test]
fn the_same_inputs_give_the_same_image_elsewhere() {
    let dockerfile =
        "FROM busybox\nWORKDIR /w\nCOPY . .\nRUN echo made > made && ln -s made link\nENV A=1\n";
    let ids: Vec<String> = ["first", "second"]
        .iter()
        .map(|name| {
            let daemon = crate::gantry();
            let client = daemon.client();
            let here = context(&daemon, name, &[("Dockerfile", dockerfile), ("d/f", "1")]);
            // The base is the same too: imports carry the time they were made.
            let base = "FROM scratch\nADD base.tar /\nCMD [\"sh\"]\n";
            let base = context(&daemon, "base", &[("Dockerfile", base)]);
            fs::write(base.join("base.tar"), gantry_rig::images::busybox_root().unwrap()).unwrap();
            let epoch = ["--build-arg", "SOURCE_DATE_EPOCH=1700000000"];
            let _ =
                build(&client, &[&epoch[..], &["-t", "busybox", text(&base)]].concat(), None).ok();
            let _ = build(&client, &[&epoch[..], &["-t", "x", text(&here)]].concat(), None).ok();
            id(&client, "x")
        })
        .collect();
    assert_eq!(ids[0], ids[1]);
}

#[test]
fn a_killed_daemon_shows_no_half_image() {
    let mut daemon = crate::gantry();
    let client = daemon.client();
    let dockerfile = "FROM busybox\nRUN echo 1 > /1\nRUN sleep 3; echo 2 > /2\n";
    let here = context(&daemon, "c", &[("Dockerfile", dockerfile)]);
    let mut child = start(&client, &["-t", "half", text(&here)]);
    std::thread::sleep(2 * SECOND);
    daemon.kill().unwrap();
    assert!(!child.wait().unwrap().success());
    daemon.launch().unwrap();
    assert_ne!(client.docker(&["image", "inspect", "half"]).code, 0);
    let ran = build(&client, &["-t", "half", text(&here)], None);
    let _ = ran.ok();
    assert_eq!(run(&client, "half", &["cat", "/1", "/2"]), "1\n2");
}

#[test]
fn a_platform_that_does_not_run_here_is_named() {
    let daemon = crate::gantry();
    let client = daemon.client();
    let here = context(&daemon, "c", &[("Dockerfile", "FROM scratch\nRUN [\"/x\"]\n")]);
    let ran = build(&client, &["--platform", "linux/s390x", text(&here)], None);
    assert!(ran.code != 0 && ran.stderr.contains("cannot run linux/s390x programs"), "{ran:?}");
}

/// testcontainers builds images by Docker's SDK, and waits for what they print.
const TESTCONTAINERS: &str = r#"
import os, tempfile
os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"
from testcontainers.core.container import DockerContainer
from testcontainers.core.image import DockerImage
from testcontainers.core.waiting_utils import wait_for_logs
d = tempfile.mkdtemp()
open(d + "/Dockerfile", "w").write('FROM busybox\nARG WHO=x\nRUN echo built for $WHO > /f\nCMD ["sh", "-c", "cat /f; exec sleep 100"]\n')
with DockerImage(path=d, tag="tc:1", buildargs={"WHO": "testcontainers"}) as image:
    assert str(image) == "tc:1", str(image)
    with DockerContainer(str(image)) as container:
        wait_for_logs(container, "built for testcontainers", timeout=20)
print("testcontainers: built and run")
"#;

#[test]
fn testcontainers_builds() {
    let daemon = crate::gantry();
    let python = crate::pypi::environment(&["testcontainers"]).join("python3");
    let ran = daemon.client().run(&python, &["-c", TESTCONTAINERS], None);
    assert_eq!(ran.ok(), "testcontainers: built and run");
}

#[test]
fn an_agent_answers_in_a_step() {
    let daemon = crate::gantry();
    let client = daemon.client().patient(120 * SECOND);
    crate::debian::import_debian(&client);
    // Something that answers, which is all that a step can tell of an agent.
    let socket = daemon.root.join("agent");
    let listener = UnixListener::bind(&socket).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut line = String::new();
            BufReader::new(stream.try_clone().unwrap()).read_line(&mut line).unwrap();
            write!(stream, "heard {line}").unwrap();
        }
    });
    let dockerfile = r#"FROM debian
RUN --mount=type=ssh perl -MIO::Socket::UNIX -e '$s = IO::Socket::UNIX->new($ENV{SSH_AUTH_SOCK}) or die "no agent"; print $s "hello\n"; $s->flush; print <$s>' > /said
"#;
    let here = context(&daemon, "agent-context", &[("Dockerfile", dockerfile)]);
    let ssh = format!("default={}", socket.display());
    let _ = build(&client, &["-t", "asked", "--ssh", &ssh, text(&here)], None).ok();
    assert_eq!(run(&client, "asked", &["cat", "/said"]), "heard hello");
}
