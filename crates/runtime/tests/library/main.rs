//! The library as the shim uses it. No test harness: it runs tests in threads, and a container is
//! made by a process with a single one.
#![allow(clippy::unwrap_used, clippy::print_stdout)]

use std::fs;
use std::io::Read;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_oci::runtime::Spec;
use gantry_runtime::{
    CgroupChoice, CreateError, CreateRequest, ExecRequest, Rootfs, Running, StartError, Stdio,
};
use rustix::process::{WaitId, WaitIdOptions};
use serde_json::json;

/// A directory that is removed with all it holds.
struct Place(tempfile::TempDir);

impl Place {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Layers as an image has them: busybox below, a file above.
    fn overlay(&self) -> Rootfs {
        for name in ["base/bin", "base/proc", "base/dev", "base/sys", "top/etc", "upper", "work"] {
            fs::create_dir_all(self.path(name)).unwrap();
        }
        fs::copy("/usr/bin/busybox", self.path("base/bin/busybox")).unwrap();
        fs::write(self.path("base/hidden"), "base").unwrap();
        fs::write(self.path("top/hidden"), "top").unwrap();
        Rootfs::Overlay {
            lower: vec![self.path("top"), self.path("base")],
            upper: self.path("upper"),
            work: self.path("work"),
            volatile: false,
        }
    }
}

fn spec(script: &str, terminal: bool) -> Spec {
    serde_json::from_value(json!({
        "ociVersion": "1.2.0",
        "process": {
            "terminal": terminal, "user": {"uid": 0, "gid": 0}, "cwd": "/", "env": ["PATH=/bin"],
            "args": ["/bin/busybox", "sh", "-c", script]
        },
        "root": {"path": "rootfs"},
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs", "options": ["mode=755"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts", "options": ["newinstance", "ptmxmode=0666"]}
        ],
        "linux": {
            "cgroupsPath": format!("/gantry-library-{}", std::process::id()),
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}
            ],
            "maskedPaths": ["/proc/keys"]
        }
    }))
    .unwrap()
}

fn pipe_as_output() -> (Stdio, OwnedFd) {
    let flags = rustix::pipe::PipeFlags::CLOEXEC;
    let (read, write) = rustix::pipe::pipe_with(flags).unwrap();
    let stdin = fs::File::open("/dev/null").unwrap().into();
    (Stdio::Fds { stdin, stdout: write.try_clone().unwrap(), stderr: write }, read)
}

fn read(fd: OwnedFd) -> String {
    let mut text = Vec::new();
    // A terminal ends with an error.
    let _ = fs::File::from(fd).read_to_end(&mut text);
    String::from_utf8_lossy(&text).replace('\r', "")
}

fn code(running: &Running) -> Option<i32> {
    let id = WaitId::PidFd(running.pidfd.as_fd());
    rustix::process::waitid(id, WaitIdOptions::EXITED).unwrap().unwrap().exit_status()
}

fn overlays_are_seen_by_nobody_else(place: &Place) {
    let spec = spec("cat /hidden; echo new > /made; exit 9", false);
    let (stdio, output) = pipe_as_output();
    let mut request = CreateRequest::new("overlay", place.0.path(), &spec);
    request.rootfs = place.overlay();
    request.stdio = stdio;
    request.hold_namespaces = true;
    let created = gantry_runtime::create(request).unwrap();
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(!mounts.contains(place.0.path().to_str().unwrap()), "the host sees the overlay");
    assert_eq!(created.namespaces.fds.len(), 4);
    let mut running = created.start().unwrap();
    // The output ends with the program: the runtime keeps no end of its pipes.
    assert_eq!(read(output), "top");
    assert_eq!(code(&running), Some(9));
    assert_eq!(fs::read_to_string(place.path("upper/made")).unwrap(), "new\n");
    running.cgroup.take().unwrap().remove().unwrap();
}

fn terminals_come_with_the_container(place: &Place) {
    let spec = spec("busybox tty; busybox stty size", true);
    let mut request = CreateRequest::new("terminal", place.0.path(), &spec);
    request.rootfs = place.overlay();
    request.stdio = Stdio::Terminal;
    let mut created = gantry_runtime::create(request).unwrap();
    let terminal = created.terminal.take().unwrap();
    let size = rustix::termios::Winsize { ws_row: 12, ws_col: 34, ws_xpixel: 0, ws_ypixel: 0 };
    rustix::termios::tcsetwinsize(&terminal, size).unwrap();
    let running = created.start().unwrap();
    assert_eq!(read(terminal), "/dev/pts/0\n12 34\n");
    assert_eq!(code(&running), Some(0));
    running.cgroup.unwrap().remove().unwrap();
}

fn programs_that_cannot_run_are_told_apart(place: &Place) {
    let rootfs = place.overlay();
    let plain = place.path("upper/plain");
    fs::write(&plain, "no program").unwrap();
    for (program, errno, mode) in [
        ("nope", libc::ENOENT, 0o644),
        ("/nope", libc::ENOENT, 0o644),
        ("/plain", libc::EACCES, 0o644),
        ("/bin", libc::EISDIR, 0o644),
        ("/plain", libc::ENOEXEC, 0o755),
    ] {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(&plain, fs::Permissions::from_mode(mode)).unwrap();
        let mut spec = spec("", false);
        spec.process.as_mut().unwrap().args = vec![program.to_owned()];
        let mut request = CreateRequest::new("program", place.0.path(), &spec);
        request.rootfs = rootfs.clone();
        let got = match gantry_runtime::create(request) {
            Err(CreateError::Program { errno, .. }) => errno,
            Err(other) => panic!("{program}: {other}"),
            Ok(created) => match created.start() {
                Err(StartError::Exec { errno, .. }) => errno,
                other => panic!("{program}: {other:?}"),
            },
        };
        assert_eq!(got, errno, "{program} with mode {mode:o}");
    }
}

fn execs_share_the_container(place: &Place) {
    let spec = spec("sleep 600", false);
    let mut request = CreateRequest::new("exec", place.0.path(), &spec);
    request.rootfs = place.overlay();
    request.cgroup = CgroupChoice::Path(format!("/gantry-library-{}-exec", std::process::id()));
    let running = gantry_runtime::create(request).unwrap().start().unwrap();
    let (stdio, output) = pipe_as_output();
    let process = self::spec("cat /hidden /proc/1/comm; exit 5", false).process.unwrap();
    let exec = gantry_runtime::exec(ExecRequest {
        id: "exec",
        pid: running.pid,
        pidfd: running.pidfd.as_fd(),
        process: &process,
        stdio,
        cgroup: running.cgroup.as_ref(),
        seccomp: None,
        seccomp_flags: 0,
        preserve_fds: 0,
        no_new_keyring: false,
    })
    .unwrap();
    assert_eq!(read(output), "topsleep\n");
    assert_eq!(code(&exec), Some(5));
    rustix::process::pidfd_send_signal(&running.pidfd, rustix::process::Signal::KILL).unwrap();
    assert_eq!(code(&running), None);
    running.cgroup.unwrap().remove().unwrap();
}

fn an_aborted_container_leaves_nothing(place: &Place) {
    let spec = spec("true", false);
    let mut request = CreateRequest::new("abort", place.0.path(), &spec);
    request.rootfs = place.overlay();
    let created = gantry_runtime::create(request).unwrap();
    let (pid, group) = (created.pid, created.cgroup.clone());
    created.abort();
    assert!(!Path::new(&format!("/proc/{pid}")).exists());
    assert!(!group.exists());
}

/// A test's name and the test.
type Test = (&'static str, fn(&Place));

fn main() {
    assert!(rustix::process::geteuid().is_root(), "these tests make containers: run them as root");
    let tests: [Test; 5] = [
        ("overlays_are_seen_by_nobody_else", overlays_are_seen_by_nobody_else),
        ("terminals_come_with_the_container", terminals_come_with_the_container),
        ("programs_that_cannot_run_are_told_apart", programs_that_cannot_run_are_told_apart),
        ("execs_share_the_container", execs_share_the_container),
        ("an_aborted_container_leaves_nothing", an_aborted_container_leaves_nothing),
    ];
    for (name, test) in tests {
        let place = Place(tempfile::Builder::new().prefix("gantry-library-").tempdir().unwrap());
        test(&place);
        println!("test {name} ... ok");
    }
}
