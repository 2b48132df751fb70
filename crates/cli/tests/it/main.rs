//! Our command line against docker's, both talking to the same real dockerd: standard output,
//! standard error and exit code must be the same, byte for byte.
//!
//! Needs root, `docker`, `dockerd` and a static `busybox`; without them it says so and passes.
//! The daemon runs in a network namespace of its own, with its own roots, and is ended after.

mod build;

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest wait for the daemon.
const START_LIMIT: Duration = Duration::from_secs(30);

/// What docker says when it lacks its plugin for builds.
const NO_BUILDX: &str = "DEPRECATED: The legacy builder is deprecated and will be removed in a \
    future release.\n            Install the buildx component to build images with BuildKit:\n            \
    https://docs.docker.com/go/buildx/\n\n";

/// Command lines that change nothing, or the same thing each time they run.
const LINES: &[&str] = &[
    "ps",
    "ps -a",
    "ps -aq",
    "ps -a --no-trunc",
    "ps -as",
    "ps -l",
    "ps -n 1 -q",
    "ps -a --format json --no-trunc",
    "ps -a --format {{.Foo}}",
    "ps -a --format {{.Foo",
    "ps -a --format 'table {{.ID}}\\t{{.Names}}\\t{{.Ports}}\\t{{.Label \"a\"}}'",
    "ps -a --format '{{json .Names}} {{.Labels}} {{.Mounts}} {{.Networks}} {{.LocalVolumes}}'",
    "ps -a --format '{{json .}}'",
    "ps -f name=web",
    "ps -f foo=bar",
    "ps -f x",
    "ps extra",
    "container ls -a",
    "inspect web",
    "inspect web nosuch",
    "inspect nosuch",
    "inspect web --format {{.Foo}}",
    "inspect web nosuch --format '{{.State.Foo}} {{.Id}}'",
    "inspect web --format '{{.HostConfig.Init}} {{.State.Health}} {{.ID}} {{.NetworkSettings.Ports}}'",
    "inspect web --format '{{json .Config}}'",
    "inspect --type image web",
    "inspect --type foo web",
    "inspect busybox",
    "inspect bridge",
    "image inspect busybox nosuch",
    "images",
    "images -q",
    "images --format json",
    "images --digests",
    "images --no-trunc",
    "images nosuch",
    "images --format '{{.Repository}}:{{.Tag}} {{.ID}}'",
    "history busybox",
    "history -q busybox",
    "history --format json busybox",
    "history -H=false busybox",
    "history nosuch",
    "system df",
    "system df -v",
    "system df --format json",
    "logs web",
    "logs -t web",
    "logs --tail 1 web",
    "logs --since x web",
    "logs nosuch",
    "port web",
    "port web 80",
    "port web 81",
    "top nosuch",
    "diff done",
    "volume ls",
    "volume ls -q",
    "volume create vv",
    "volume ls --format json",
    "volume inspect vv",
    "volume inspect vv --format {{.Foo}}",
    "volume rm nosuch",
    "network ls",
    "network ls --no-trunc",
    "network ls --format '{{.Name}} {{.Internal}} {{.CreatedAt}}'",
    "network inspect bridge",
    "network inspect nope",
    "network rm nope",
    "events --since 10m --until 1m",
    "foo",
    "container foo",
    "run",
    "run --bad busybox",
    "run -Z busybox",
    "run --name",
    "run -m abc busybox",
    "run --rm=maybe busybox",
    "rename a",
    "run -d --name web busybox",
    "run --rm --network none busybox nosuchcmd",
    "run --rm --network none busybox /etc",
    "run --rm --restart always busybox",
    "run --rm --network none busybox echo hi",
    "run --rm --network none busybox sh -c 'echo out; echo err >&2; exit 7'",
    "run --rm --network none -i busybox cat",
    "run -t --rm --network none busybox echo tty",
    "run --rm --network none -e A=b -w /tmp -u 1:2 busybox sh -c 'echo $A; pwd; id -u'",
    "run -it --rm busybox sh",
    "run --rm --pull foo busybox",
    "run --rm -p x busybox",
    "run --rm --annotation a=b busybox",
    "stop nosuch web2",
    "start nosuch",
    "start web",
    "kill nosuch",
    "kill done",
    "rm nosuch",
    "rm -f nosuch",
    "rm web",
    "pause nosuch",
    "exec nosuch true",
    "exec web nosuch",
    "exec web sh -c 'echo o; echo e >&2; exit 5'",
    "exec -d web true",
    "exec -e A=1 -w /tmp web sh -c 'echo $A; pwd'",
    "attach nosuch",
    "attach done",
    "tag busybox foo:1",
    "tag nosuch a",
    "rmi nosuch",
    "update web",
    "update --memory-swap 300m --memory 110m web",
    "container prune",
    "image prune",
    "volume prune",
    "network prune",
    "system prune",
    "-H unix:///x ps",
    "cp nosuch:/x .",
    "cp a b",
    "cp a:x b:y",
    "cp web:/nosuch /tmp/x",
    "cp /nosuch web:/",
    "cp - web:/nosuch",
    "cp /etc/hostname web:/tmp/",
    "cp web:/bin/busybox /nosuch/x",
    "save nosuch",
    "save",
    "load -i /nosuch",
    "import /nosuch",
    "stats --no-stream nosuch",
    "wait nosuch",
    "wait done",
    "commit nosuch",
    "export nosuch",
    "container --foo",
    "version --format {{.Foo}}",
    "version --format '{{.Server.Version}} {{.Client.Context}}'",
    "info --format {{.Foo}}",
    "info --format '{{.Driver}} {{.SecurityOptions}}'",
    "context ls",
    "context show",
    "context inspect",
    "context inspect nosuch",
    "context rm default",
    "context create bad/name --docker host=a",
];

/// More of them, mostly wrong in one way each.
const MORE: &str = include_str!("lines.txt");

/// A dockerd of our own, and where it keeps its things.
struct Daemon {
    child: Child,
    directory: tempfile::TempDir,
}

impl Drop for Daemon {
    fn drop(&mut self) {
        let pid = std::fs::read_to_string(self.directory.path().join("pid")).unwrap_or_default();
        let _ = Command::new("kill").arg(pid.trim()).status();
        let _ = self.child.wait();
        for mount in ["root/overlay2", "root", "exec/netns/default"] {
            let _ =
                Command::new("umount").args(["-l"]).arg(self.directory.path().join(mount)).output();
        }
    }
}

impl Daemon {
    fn socket(&self) -> String {
        format!("unix://{}", self.directory.path().join("sock").display())
    }

    fn start() -> Option<Self> {
        let directory = tempfile::tempdir().expect("temporary directory");
        let at = |name: &str| directory.path().join(name).display().to_string();
        let script = format!(
            "ip link set lo up; exec dockerd --data-root {} --exec-root {} -H unix://{} --pidfile {} --userland-proxy=false",
            at("root"),
            at("exec"),
            at("sock"),
            at("pid")
        );
        let child = Command::new("unshare")
            .args(["-n", "-m", "sh", "-c", &script])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let mut daemon = Self { child, directory };
        let start = Instant::now();
        while start.elapsed() < START_LIMIT {
            if daemon.docker("version").status.success() {
                return Some(daemon);
            }
            if daemon.child.try_wait().ok().flatten().is_some() {
                return None;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        None
    }

    fn run(&self, program: &Path, line: &str) -> Output {
        Command::new("sh")
            .args(["-c", &format!("exec \"$0\" -H \"$1\" {line}")])
            .arg(program)
            .arg(self.socket())
            .env("DOCKER_CONFIG", self.directory.path().join("config"))
            .env_remove("DOCKER_HOST")
            .current_dir(self.directory.path())
            .stdin(Stdio::null())
            .output()
            .expect("runs")
    }

    fn docker(&self, line: &str) -> Output {
        let mut output = self.run(Path::new("docker"), line);
        // Without its plugin for builds docker says so first; we need none.
        if let Some(rest) = output.stderr.strip_prefix(NO_BUILDX.as_bytes()) {
            output.stderr = rest.to_vec();
        }
        output
    }

    /// An image of busybox alone, a container that runs and one that has ended.
    fn furnish(&self) {
        let root = self.directory.path().join("image/bin");
        std::fs::create_dir_all(&root).expect("image root");
        std::fs::copy("/usr/bin/busybox", root.join("busybox")).expect("busybox");
        for name in ["sh", "cat", "echo", "true", "sleep", "id"] {
            std::os::unix::fs::symlink("busybox", root.join(name)).expect("applet");
        }
        std::fs::create_dir(root.with_file_name("tmp")).expect("tmp");
        for line in [
            "import image.tar busybox:latest",
            "run -d --name web -p 8080:80 -l a=b -v /tmp:/data --tmpfs /x busybox sh -c 'echo hi; exec sleep 1000'",
            "run --name done --network none busybox sh -c 'echo x > /y; exit 3'",
        ] {
            if line.starts_with("import") {
                let mut tar = Command::new("tar");
                tar.args(["-C", "image", "-cf", "image.tar", "."]);
                assert!(self.here(&mut tar).success(), "tar");
            }
            let _ = self.docker(line);
        }
        // The daemon keeps no order among images of one second.
        std::thread::sleep(Duration::from_millis(1100));
        self.fill_cache();
    }

    /// Builds something with BuildKit, which docker.io's own command line of the same age can.
    fn fill_cache(&self) {
        let text = "FROM busybox\nRUN echo a >/a\nRUN echo b >/b\nCOPY Dockerfile /c\n";
        let context = self.directory.path().join("context");
        std::fs::create_dir(&context).expect("context");
        std::fs::write(context.join("Dockerfile"), text).expect("Dockerfile");
        let mut build = Command::new("/usr/bin/docker");
        build.args(["-H", &self.socket(), "build", "-q", "--network", "none", "context"]);
        build.env("DOCKER_BUILDKIT", "1").stdout(Stdio::null()).stderr(Stdio::null());
        assert!(self.here(&mut build).success(), "{build:?}");
    }

    fn here(&self, command: &mut Command) -> std::process::ExitStatus {
        command.current_dir(self.directory.path()).status().expect("runs")
    }
}

/// The example program under the name `docker`, since the name is part of what is printed.
fn ours(directory: &Path) -> Option<PathBuf> {
    let test = std::env::current_exe().ok()?;
    let built = test.parent()?.parent()?.join("examples/gantry-cli");
    if !built.exists() {
        return None;
    }
    let bin = directory.join("bin");
    std::fs::create_dir_all(&bin).ok()?;
    let link = bin.join("docker");
    std::os::unix::fs::symlink(built, &link).ok()?;
    Some(link)
}

fn available() -> Result<(), &'static str> {
    if !rustix::process::geteuid().is_root() {
        return Err("this needs root");
    }
    for program in ["docker", "dockerd", "unshare", "busybox"] {
        let found = Command::new("sh").args(["-c", &format!("command -v {program}")]).output();
        if !found.is_ok_and(|found| found.status.success()) {
            return Err("this needs docker, dockerd, unshare and busybox");
        }
    }
    Ok(())
}

#[test]
fn prints_what_docker_prints() {
    if let Err(why) = available() {
        eprintln!("SKIPPED prints_what_docker_prints: {why}");
        return;
    }
    let Some(daemon) = Daemon::start() else {
        eprintln!("SKIPPED prints_what_docker_prints: dockerd does not start here");
        return;
    };
    let Some(ours) = ours(daemon.directory.path()) else {
        eprintln!("SKIPPED prints_what_docker_prints: the example gantry-cli is not built");
        return;
    };
    daemon.furnish();
    let mut differences = Vec::new();
    let all: Vec<&str> = LINES.iter().copied().chain(MORE.lines()).collect();
    for &line in &all {
        // Ages tick while the two run, so a difference must show twice.
        let differs = || {
            let (theirs, ours) = (daemon.docker(line), daemon.run(&ours, line));
            (theirs != ours).then(|| format!("## {line}\n-- docker {theirs:?}\n-- ours {ours:?}"))
        };
        if differs().is_some()
            && let Some(difference) = differs()
        {
            differences.push(difference);
        }
    }
    let _ = daemon.docker("rm -f web done");
    assert!(
        differences.is_empty(),
        "{} of {} differ\n{}",
        differences.len(),
        all.len(),
        differences.join("\n")
    );
}
