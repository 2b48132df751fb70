//! The program under its other names: `docker-init`, `hello`, `gantry-compress`.

use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn called(name: &str) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_gantry-shim"));
    command.arg0(name);
    command
}

#[test]
fn init_ends_as_its_command() {
    for (script, want) in
        [("exit 0", 0), ("exit 42", 42), ("kill -9 $$", 137), ("kill -15 $$", 143)]
    {
        let status = called("/sbin/docker-init")
            .args(["--", "/bin/sh", "-c", script])
            .status()
            .expect("run");
        assert_eq!(status.code(), Some(want), "{script}");
    }
    for (program, want) in [("no-such-program", 127), ("/no/such/program", 127), ("/etc", 126)] {
        let output = called("docker-init").args(["--", program]).output().expect("run");
        assert_eq!(output.status.code(), Some(want), "{program}");
        assert!(!output.stderr.is_empty(), "{program}");
    }
    let output = called("docker-init").output().expect("run");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn init_passes_signals_on() {
    for (name, number) in
        [("TERM", rustix::process::Signal::TERM), ("USR1", rustix::process::Signal::USR1)]
    {
        let script = format!("trap 'exit 5' {name}; echo up; while :; do sleep 0.05; done");
        let mut child = called("docker-init")
            .args(["--", "/bin/sh", "-c", &script])
            .stdout(Stdio::piped())
            .spawn()
            .expect("run");
        let mut up = [0; 3];
        let mut output = child.stdout.take().expect("piped");
        std::io::Read::read_exact(&mut output, &mut up).expect("read");
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), number)
            .expect("kill");
        let status = child.wait().expect("wait");
        assert_eq!(status.code(), Some(5), "{name}: {:?}", status.signal());
    }
}

#[test]
fn init_reaps_orphans() {
    let script = "(sleep 0.1 & exec true) ; sleep 0.5; for f in /proc/[0-9]*/stat; do \
                  read -r line < $f && case $line in *\" Z $PPID \"*) echo zombie;; esac; done 2>/dev/null; exit 0";
    let output = called("docker-init").args(["--", "/bin/sh", "-c", script]).output().expect("run");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "");
    assert!(output.status.success());
}

#[test]
fn hello_shows_where_it_runs() {
    let output = called("/hello").output().expect("run");
    let text = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success());
    for word in
        ["Hello from Gantry!", "process id", "namespaces", "memory limit", "seccomp", "root"]
    {
        assert!(text.contains(word), "{word} in {text}");
    }
    assert!(!text.contains('\x1b'), "no colour into a pipe");
    for line in text.lines() {
        assert!(line.chars().count() <= 80 || line.contains("address"), "{line}");
    }
}

#[test]
fn a_shim_without_its_daemon_ends() {
    let directory = tempfile::tempdir().expect("directory");
    let begin = Instant::now();
    let output = called("gantry-shim")
        .arg("id")
        .current_dir(&directory)
        .stdin(Stdio::null())
        .output()
        .expect("run");
    assert!(begin.elapsed() < Duration::from_secs(5), "{output:?}");
    let output = called("gantry-shim").output().expect("run");
    assert_eq!(output.status.code(), Some(1));
}

#[test]
fn compress_replaces_the_file() {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("c.log.1");
    std::fs::write(&path, "text").expect("write");
    assert!(called("gantry-compress").arg(&path).status().expect("run").success());
    let names: Vec<_> = std::fs::read_dir(&directory).expect("list").flatten().collect();
    assert_eq!(names.len(), 1);
    assert_eq!(names[0].file_name(), "c.log.1.gz");
}
