//! `gantry build` from the command line to the kernel.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use gantry_rig::daemon::gantry_binary;
use gantry_rig::{Client, Daemon, Ran};

/// A daemon, and a directory for contexts.
pub(crate) struct Bench {
    pub(crate) daemon: Daemon,
    pub(crate) client: Client,
}

pub(crate) fn bench() -> Bench {
    let daemon = crate::gantry();
    let client = daemon.client();
    Bench { daemon, client }
}

impl Bench {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.daemon.root.join("work").join(name)
    }

    pub(crate) fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes files; gives the directory's path.
    pub(crate) fn context(&self, name: &str, files: &[(&str, &str)]) -> String {
        for (file, content) in files {
            let path = self.path(name).join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        self.text(name)
    }

    pub(crate) fn gantry(&self, args: &[&str], stdin: Option<&[u8]>) -> Ran {
        self.client.run(&gantry_binary().unwrap(), args, stdin)
    }

    pub(crate) fn build(&self, args: &[&str]) -> Ran {
        self.gantry(&[&["build", "--progress", "plain"], args].concat(), None)
    }

    /// What a command prints in an image.
    pub(crate) fn cat(&self, image: &str, command: &[&str]) -> String {
        let run = ["run", "--rm", "--network", "none", image];
        self.gantry(&[&run, command].concat(), None).ok().to_owned()
    }
}

/// Lines of a build's output for the step whose name has this in it, without their number.
pub(crate) fn step<'a>(ran: &'a Ran, name: &str) -> Vec<&'a str> {
    let head = |line: &&str| line.starts_with('#') && line.contains(name);
    let Some(number) = ran.stderr.lines().find(head).and_then(|line| line.split(' ').next()) else {
        panic!("no step {name}: {}", ran.stderr);
    };
    let own = ran.stderr.lines().filter_map(|line| line.strip_prefix(number)?.strip_prefix(' '));
    own.collect()
}

#[test]
fn an_image_is_built_and_built_again() {
    let bench = bench();
    let text = "FROM busybox AS first\nRUN echo one > /one; echo said\nFROM busybox\n\
                COPY --from=first /one /one\nCOPY sub /sub\nLABEL a=b\nCMD cat /one /sub/file\n";
    let context = bench.context("ctx", &[("Dockerfile", text), ("sub/file", "two\n")]);
    let id_file = bench.text("id");
    let ran = bench.build(&["-t", "made:1", "--label", "c=d", "--iidfile", &id_file, &context]);
    let _ = ran.ok();
    assert_eq!(ran.stdout, "");
    assert!(step(&ran, "RUN echo one").iter().any(|line| line.ends_with(" said")), "{ran:?}");
    assert_eq!(bench.cat("made:1", &[]), "one\ntwo");
    let image = bench.client.inspect("made:1");
    assert_eq!(image["Id"].as_str().unwrap(), fs::read_to_string(&id_file).unwrap());
    assert_eq!(image["Config"]["Labels"], serde_json::json!({"a": "b", "c": "d"}));
    let again = bench.build(&["-t", "made:1", "--label", "c=d", &context]);
    let _ = again.ok();
    for name in ["RUN echo one", "COPY --from=first", "COPY sub"] {
        assert_eq!(step(&again, name).last(), Some(&"CACHED"), "{name}: {}", again.stderr);
    }
    assert_eq!(bench.client.inspect("made:1")["Id"], image["Id"]);
    let quiet = bench.gantry(&["build", "-q", "--label", "c=d", &context], None);
    assert_eq!((quiet.ok(), quiet.stderr.as_str()), (image["Id"].as_str().unwrap(), ""));
    fs::write(bench.path("ctx/sub/file"), "three\n").unwrap();
    let changed = bench.build(&["-t", "made:2", "--explain", &context]);
    let _ = changed.ok();
    assert_eq!(step(&changed, "RUN echo one").last(), Some(&"CACHED"));
    let copied = step(&changed, "COPY sub");
    assert!(copied.last().unwrap().starts_with("DONE"), "{copied:?}");
    assert!(copied.iter().any(|line| line.starts_with("cache: ")), "{copied:?}");
    assert_eq!(bench.cat("made:2", &[]), "one\nthree");
}

#[test]
fn only_what_is_needed_is_sent() {
    let bench = bench();
    let text = "FROM busybox\nCOPY src /src\nRUN test $(ls /src | wc -l) = 300\n";
    let mut files: Vec<(String, String)> =
        (0..300).map(|n| (format!("src/{n}"), "x".repeat(1000) + &n.to_string())).collect();
    // Nobody asks for these.
    files.extend((0..300).map(|n| (format!("other/{n}"), "y".repeat(1000))));
    files.push(("Dockerfile".into(), text.into()));
    let files: Vec<(&str, &str)> = files.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    let context = bench.context("ctx", &files);
    let sent = |ran: &Ran| -> f64 {
        let lines = step(ran, "load build context");
        let line = lines.iter().rev().find_map(|l| l.strip_prefix("transferring context: "));
        let amount = line.unwrap_or_else(|| panic!("{lines:?}")).split(' ').next().unwrap();
        let digits = amount.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let scale = match &amount[digits.len()..] {
            "B" => 1.0,
            "kB" => 1e3,
            unit => panic!("{unit} of {amount}"),
        };
        digits.parse::<f64>().unwrap() * scale
    };
    let first = bench.build(&[&context]);
    let _ = first.ok();
    let all = sent(&first);
    assert!((300_000.0..500_000.0).contains(&all), "{all}");
    fs::write(bench.path("ctx/src/7"), "changed").unwrap();
    let second = bench.build(&[&context]);
    let _ = second.ok();
    let some = sent(&second);
    assert!(some < all / 3.0, "{some} of {all}");
}

#[test]
fn what_is_ignored_or_outside_stays_out() {
    let bench = bench();
    let text = "FROM busybox\nCOPY . /all\nRUN cd /all && find . | sort > /list\n";
    let files = [
        ("Dockerfile", text),
        ("keep", "kept"),
        ("x.log", "secret"),
        ("deep/y.log", "secret"),
        ("vendor/theirs", "secret"),
        ("vendor/ours", "kept"),
        (".dockerignore", "**/*.log\nvendor\n!vendor/ours\nDockerfile\n.dockerignore\n"),
    ];
    let context = bench.context("ctx", &files);
    fs::write(bench.path("outside"), "secret").unwrap();
    symlink("../outside", bench.path("ctx/link")).unwrap();
    symlink("/etc/hostname", bench.path("ctx/absolute")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("ctx/socket")).unwrap();
    let ran = bench.build(&["-t", "out", &context]);
    let _ = ran.ok();
    let want = ".\n./absolute\n./deep\n./keep\n./link\n./vendor\n./vendor/ours";
    assert_eq!(bench.cat("out", &["cat", "/list"]), want);
    assert_eq!(bench.cat("out", &["readlink", "/all/link"]), "../outside");
    assert!(ran.stderr.contains("the socket socket is left out"), "{}", ran.stderr);
    // A link that leads out leads to what is there in the context's own root, and that is nothing.
    let text = "FROM busybox\nCOPY link /x\n";
    let dockerfile = bench.context("more", &[("Dockerfile", text)]) + "/Dockerfile";
    let ran = bench.build(&["-f", &dockerfile, &context]);
    assert_eq!(ran.code, 1);
    assert!(!ran.stderr.contains("secret"), "{}", ran.stderr);
}

#[test]
fn contexts_come_in_all_forms() {
    let bench = bench();
    let text = b"FROM busybox\nRUN echo from stdin > /f\n";
    let ran = bench.gantry(&["build", "-t", "f:1", "-"], Some(text));
    let _ = ran.ok();
    assert_eq!(bench.cat("f:1", &["cat", "/f"]), "from stdin");
    let files = [("D", "FROM busybox\nCOPY a sub/b /\n"), ("a", "in a tar"), ("sub/b", "deep")];
    let context = bench.context("tar", &files);
    for compression in ["", "z", "j", "J"] {
        let tar = Command::new("tar")
            .args(["-C", &context, &format!("-c{compression}"), "."])
            .output()
            .unwrap();
        let tag = format!("f:2{}", compression.to_lowercase());
        let ran = bench.gantry(&["build", "-t", &tag, "-f", "D", "-"], Some(&tar.stdout));
        let _ = ran.ok();
        assert_eq!(bench.cat(&tag, &["cat", "/a", "/b"]), "in a tardeep", "{compression}");
    }
    let text = b"FROM busybox\nCOPY a /\n";
    let _ = bench.gantry(&["build", "-t", "f:3", "-f", "-", &context], Some(text)).ok();
    assert_eq!(bench.cat("f:3", &["cat", "/a"]), "in a tar");
    let text =
        "FROM base AS x\nCOPY --from=more /m /\nRUN --mount=from=more,target=/mnt cp /mnt/m /n\n";
    let dockerfile = bench.context("elsewhere", &[("Other", text)]) + "/Other";
    let more =
        bench.context("more", &[("m", "of more"), ("hidden", "x"), (".dockerignore", "hidden")]);
    let more = format!("more={more}");
    let args = ["--build-context", &more, "--build-context", "base=docker-image://busybox"];
    let args = [&args[..], &["-t", "f:4", "-f", &dockerfile, &context]].concat();
    let _ = bench.build(&args).ok();
    assert_eq!(bench.cat("f:4", &["cat", "/m", "/n"]), "of moreof more");
    let hidden =
        bench.context("hidden", &[("D", "FROM busybox\nCOPY --from=more /hidden /\n")]) + "/D";
    let ran = bench.build(&["--build-context", &more, "-f", &hidden, &context]);
    assert!(ran.stderr.contains("not found"), "{}", ran.stderr);
}

#[test]
fn secrets_stay_secret() {
    let bench = bench();
    let text = "FROM busybox\n\
                RUN --mount=type=secret,id=f cat /run/secrets/f | md5sum > /f\n\
                RUN --mount=type=secret,id=e,env=IN_ENV,target=/there sh -c 'cat /there; echo $IN_ENV' | md5sum > /e\n\
                RUN --mount=type=secret,id=absent test ! -e /run/secrets/absent\n";
    let context = bench.context("ctx", &[("Dockerfile", text)]);
    let secret = bench.context("keys", &[("key", "do-not-tell")]) + "/key";
    let mut command = bench.client.command(&gantry_binary().unwrap());
    command.env("FROM_ENV", "do-not-tell-either").stdin(Stdio::null());
    command.args(["build", "--progress", "plain", "-t", "s"]);
    command.args(["--secret", &format!("id=f,src={secret}"), "--secret", "id=e,env=FROM_ENV"]);
    command.arg(&context);
    let ran = gantry_rig::client::finish(command, None);
    let _ = ran.ok();
    let sums = bench.cat("s", &["cat", "/f", "/e"]);
    let sum = |text: &str| {
        let script = format!("printf '{text}' | md5sum");
        let output = Command::new("sh").args(["-c", &script]).output().unwrap();
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let want = [sum("do-not-tell"), sum("do-not-tell-eitherdo-not-tell-either\\n")].join("\n");
    assert_eq!(sums, want);
    assert!(!ran.stderr.contains("do-not-tell"));
    let data = bench.daemon.root.join("data");
    let grep = Command::new("grep").args(["-rqaF", "do-not-tell"]).arg(data).status();
    let found = grep.unwrap();
    assert_eq!(found.code(), Some(1), "a secret is on the daemon's disk");
    let needs = "FROM busybox\nRUN --mount=type=secret,id=x,required=true true\n";
    let needs = bench.context("needs", &[("Dockerfile", needs)]);
    let ran = bench.build(&[&needs]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("secret x: not found"), "{}", ran.stderr);
}

#[test]
fn agents_are_forwarded() {
    let bench = bench();
    let key = bench.path("key");
    fs::create_dir_all(key.parent().unwrap()).unwrap();
    let made =
        Command::new("ssh-keygen").args(["-q", "-N", "", "-t", "ed25519", "-f"]).arg(&key).status();
    if !made.is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED agents_are_forwarded: this needs ssh-keygen");
        return;
    }
    let text = "FROM busybox\nRUN --mount=type=ssh test -S $SSH_AUTH_SOCK && echo $SSH_AUTH_SOCK > /s\n\
                RUN test -z \"$SSH_AUTH_SOCK\"\n";
    let context = bench.context("ctx", &[("Dockerfile", text)]);
    let ssh = format!("default={}", key.display());
    let _ = bench.build(&["-t", "ssh", "--ssh", &ssh, &context]).ok();
    assert!(bench.cat("ssh", &["cat", "/s"]).starts_with("/run/buildkit/ssh_agent."));
}

#[test]
fn results_are_written_here() {
    let bench = bench();
    let text = "FROM busybox AS b\nRUN mkdir -p /out/d && echo made > /out/d/f && chmod 750 /out/d/f\n\
                FROM scratch\nCOPY --from=b /out /\n";
    let context = bench.context("ctx", &[("Dockerfile", text)]);
    let (directory, tar, oci) = (bench.text("out"), bench.text("o.tar"), bench.text("oci.tar"));
    let args = [
        "-o",
        &directory,
        "-o",
        &format!("type=tar,dest={tar}"),
        "-o",
        &format!("type=oci,dest={oci}"),
        &context,
    ];
    let _ = bench.build(&args).ok();
    assert_eq!(fs::read_to_string(bench.path("out/d/f")).unwrap(), "made\n");
    let mode = fs::metadata(bench.path("out/d/f")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode.permissions()) & 0o777, 0o750);
    let list = |path: &str| {
        let output = Command::new("tar").args(["-tf", path]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(list(&tar).lines().any(|line| line.trim_start_matches("./") == "d/f"));
    let layout = list(&oci);
    for name in ["index.json", "oci-layout", "blobs/sha256/"] {
        assert!(layout.contains(name), "{name} in {layout}");
    }
    let mut command = bench.client.command(&gantry_binary().unwrap());
    command.args(["build", "-o", "-", &context]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert!(output.status.success());
    fs::write(bench.path("stdout.tar"), &output.stdout).unwrap();
    assert_eq!(list(&bench.text("stdout.tar")), list(&tar));
    assert_eq!(bench.client.docker(&["images", "-aq"]).ok().lines().count(), 2, "no result is one");
    let cache = bench.text("cache");
    let to = format!("type=local,dest={cache},mode=max");
    let _ = bench.build(&["--cache-to", &to, &context]).ok();
    let _ = bench.gantry(&["builder", "prune", "-af"], None).ok();
    let from = format!("type=local,src={cache}");
    let again = bench.build(&["--cache-from", &from, &context]);
    let _ = again.ok();
    assert_eq!(step(&again, "RUN mkdir").last(), Some(&"CACHED"), "{}", again.stderr);
}

#[test]
fn failures_show_where_and_what() {
    let bench = bench();
    let text =
        "FROM busybox\n\nRUN echo a && \\\n    echo oops >&2 && \\\n    exit 3\n\nRUN true\n";
    let context = bench.context("ctx", &[("Dockerfile", text)]);
    let ran = bench.build(&["--iidfile", &bench.text("id"), &context]);
    assert_eq!((ran.code, ran.stdout.as_str()), (1, ""));
    for want in [
        "ERROR: process \"/bin/sh -c echo a &&     echo oops >&2 &&     exit 3\" did not complete successfully: exit code: 3\n",
        "------\n > [2/3] RUN echo a &&     echo oops >&2 &&     exit 3:\n",
        " oops\n------\n",
        "Dockerfile:3\n--------------------\n   2 |     \n   3 | >>> RUN echo a && \\\n   4 | >>>     echo oops >&2 && \\\n   5 | >>>     exit 3\n   6 |     \n--------------------\nERROR: failed to solve: process ",
    ] {
        assert!(ran.stderr.contains(want), "{want:?} in {}", ran.stderr);
    }
    assert!(!bench.path("id").exists());
    for (text, words) in [
        ("FROM busybox\nFOO bar\n", "unknown instruction: FOO"),
        ("FROM busybox\nCOPY nosuch /\n", "\"/nosuch\": not found"),
        ("FROM busybox AS a\nCOPY --from=b /x /\nFROM b\n", "ERROR: failed to solve: "),
        ("", "ERROR: failed to solve: "),
    ] {
        let ran = bench.gantry(&["build", "-"], Some(format!("{text}\n").as_bytes()));
        assert_eq!(ran.code, 1, "{text}");
        assert!(ran.stderr.contains(words), "{words:?} in {}", ran.stderr);
    }
}

#[test]
fn a_shell_opens_in_what_a_step_left() {
    let bench = bench();
    let text = "FROM busybox\nENV WHO=me\nWORKDIR /w\nRUN echo left > file; echo ready; exit 3\n";
    let context = bench.context("ctx", &[("Dockerfile", text)]);
    let program = gantry_binary().unwrap();
    let command = [program.to_str().unwrap(), "build", "--on-error=shell", &context];
    let send = "echo saw-$(cat file)-$WHO-$((6*7)); exit\\n";
    let seen = crate::terminal::in_a_terminal(&bench.client, send, &command);
    assert!(seen.contains("saw-left-me-42"), "{seen}");
    assert!(seen.ends_with("exit 1\n") || seen.ends_with("exit 1"), "{seen}");
    assert_eq!(bench.client.docker(&["ps", "-aq"]).ok(), "");
    bench.client.eventually("nothing is kept", Duration::from_secs(5), |client| {
        client.docker(&["images", "-aq"]).ok().lines().count() == 2
    });
}

#[test]
fn interrupts_end_what_runs() {
    let bench = bench();
    let text = "FROM busybox\nRUN echo begun; trap '' TERM INT; sleep 1000 & sleep 1000\n";
    let context = bench.context("ctx", &[("Dockerfile", text)]);
    let tasks = bench.daemon.root.join("exec/tasks");
    let running = || fs::read_dir(&tasks).map_or(0, Iterator::count);
    for signal in ["INT", "TERM", "KILL"] {
        let mut command = bench.client.command(&gantry_binary().unwrap());
        command.args(["build", "--progress", "plain", &context]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let limit = Duration::from_secs(20);
        bench.client.eventually("the step runs", limit, |_| running() == 1);
        std::thread::sleep(Duration::from_millis(300));
        let begin = Instant::now();
        let pid = child.id().to_string();
        assert!(Command::new("kill").args(["-s", signal, &pid]).status().unwrap().success());
        let status = child.wait().unwrap();
        bench.client.eventually("the step has ended", Duration::from_secs(1), |_| running() == 0);
        let took = begin.elapsed();
        assert!(took < Duration::from_millis(1200), "{signal}: {took:?}");
        if signal != "KILL" {
            assert_eq!(status.code(), Some(130), "{signal}");
        }
    }
}

#[test]
fn long_logs_arrive_whole() {
    let bench = bench();
    let text = "FROM busybox\nRUN seq 50000\nRUN seq 50000 && false\n";
    let context = bench.context("ctx", &[("Dockerfile", text)]);
    let begin = Instant::now();
    let ran = bench.build(&[&context]);
    assert_eq!(ran.code, 1);
    for name in ["[2/3] RUN seq", "[3/3] RUN seq"] {
        let lines = step(&ran, name);
        let numbers = lines.iter().filter_map(|line| line.split_once(' ')?.1.parse::<u32>().ok());
        assert!(numbers.eq(1..=50_000), "{name}");
    }
    eprintln!("100,000 lines: {:?}", begin.elapsed());
}

#[test]
fn questions_are_answered() {
    let bench = bench();
    let text = "# first of all\nARG VERSION=1\n# base all that others need\nFROM busybox AS base\n\
                FROM base AS App\nARG VERSION\nRUN --mount=type=secret,id=token true\n";
    let context = bench.context("ctx", &[("Dockerfile", text)]);
    let check = bench.gantry(&["build", "--check", &context], None);
    assert_eq!(check.code, 1, "{}", check.stderr);
    assert!(
        check.stdout.starts_with(
            "Check complete, 1 warning has been found!\n\nWARNING: StageNameCasing - "
        )
    );
    assert!(check.stdout.contains(">>> FROM base AS App\n"), "{}", check.stdout);
    let targets = bench.gantry(&["build", "--call=targets", &context], None);
    assert!(targets.ok().contains("(default)"), "{}", targets.stdout);
    let outline = bench.gantry(&["build", "--call=outline", &context], None);
    assert!(
        outline.ok().contains("VERSION") && outline.stdout.contains("token"),
        "{}",
        outline.stdout
    );
    let json = bench.gantry(&["build", "--call=outline,format=json", &context], None);
    let _: serde_json::Value = serde_json::from_str(json.ok()).unwrap();
    let built = bench.build(&["-t", "warned", &context]);
    let _ = built.ok();
    assert!(
        built
            .stderr
            .contains("\n 1 warning found (use gantry --debug to expand):\n - StageNameCasing: ")
    );
}

#[test]
fn the_cache_is_shown_and_removed() {
    let bench = bench();
    let text = "FROM busybox\nRUN dd if=/dev/zero of=/big bs=1M count=3\nRUN rm /big\n";
    let context = bench.context("ctx", &[("Dockerfile", text)]);
    let _ = bench.build(&[&context]).ok();
    let usage = bench.gantry(&["buildx", "du"], None);
    assert!(usage.ok().starts_with("ID ") && usage.stdout.contains("Total:"), "{}", usage.stdout);
    let verbose = bench.gantry(&["buildx", "du", "--verbose"], None);
    assert!(verbose.ok().contains("Description:"), "{}", verbose.stdout);
    let df = bench.gantry(&["system", "df", "--format", "{{.Type}} {{.TotalCount}}"], None);
    let count = df.ok().lines().find_map(|line| line.strip_prefix("Build Cache ")).unwrap();
    assert!(count.parse::<u32>().unwrap() >= 2, "{}", df.stdout);
    let kept = bench.gantry(&["builder", "prune", "-af", "--filter", "until=24h"], None);
    assert_eq!(kept.ok(), "Total reclaimed space: 0B");
    let _ = bench.gantry(&["image", "prune", "-af"], None).ok();
    let removed = bench.gantry(&["buildx", "prune", "-af"], None);
    assert!(removed.ok().contains("Total:"), "{}", removed.stdout);
    let empty = bench.gantry(&["buildx", "du"], None);
    assert!(empty.ok().ends_with("0B"), "{}", empty.stdout);
}

#[test]
fn a_context_that_changes_meanwhile_is_no_harm() {
    let bench = bench();
    let text = "FROM busybox\nCOPY . /all\n";
    let context = bench.context("ctx", &[("Dockerfile", text), ("log", ""), ("inside/x", "x")]);
    fs::write(bench.path("secret"), "secret").unwrap();
    let path = bench.path("ctx");
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = std::sync::Arc::clone(&stop);
    let racer = std::thread::spawn(move || {
        let other = path.with_file_name("other");
        symlink("..", &other).unwrap();
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            let flags = rustix::fs::RenameFlags::EXCHANGE;
            let cwd = rustix::fs::CWD;
            let _ = rustix::fs::renameat_with(cwd, path.join("inside"), cwd, &other, flags);
        }
    });
    for _ in 0..30 {
        let ran = bench.build(&["-t", "raced", "--no-cache", &context]);
        // It may fail, but never with what is outside.
        if ran.code == 0 {
            let found = bench.cat("raced", &["find", "/all", "-name", "secret"]);
            assert_eq!(found, "");
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    racer.join().unwrap();
    assert!(Path::new(&context).exists());
}
