//! Bundles made from busybox, and runtimes to put them through.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

/// A runtime under test or beside it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Runtime {
    Gantry,
    Runc,
    Crun,
}

impl Runtime {
    /// Ours and those that are installed.
    pub(crate) fn installed() -> Vec<Runtime> {
        let mut all = vec![Runtime::Gantry];
        for (runtime, path) in [(Runtime::Runc, "/usr/sbin/runc"), (Runtime::Crun, "/usr/bin/crun")]
        {
            if Path::new(path).exists() {
                all.push(runtime);
            }
        }
        all
    }
}

/// What a call answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Answer {
    fn from(output: Output) -> Answer {
        Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// Fails, saying so, without root.
pub(crate) fn need_root() {
    assert!(rustix::process::geteuid().is_root(), "these tests make containers: run them as root");
}

static COUNT: AtomicU32 = AtomicU32::new(0);

/// A directory with one bundle and the runtimes' state.
pub(crate) struct House {
    directory: tempfile::TempDir,
    name: String,
}

impl House {
    pub(crate) fn new(name: &str) -> House {
        need_root();
        // What `nohup` and a shell's `&` have the tests ignore, runtimes pass on differently.
        for signal in [libc::SIGHUP, libc::SIGINT, libc::SIGQUIT] {
            gantry_sys::signal::set_default(signal).unwrap();
        }
        let directory = tempfile::Builder::new().prefix("gantry-runtime-").tempdir().unwrap();
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("gantry-it-{}-{number}-{name}", std::process::id());
        let house = House { directory, name };
        let root = house.rootfs();
        for path in ["bin", "etc", "proc", "sys", "dev", "tmp", "data", "home/user"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::copy("/usr/bin/busybox", root.join("bin/busybox")).unwrap();
        for name in [
            "sh", "ls", "cat", "true", "false", "id", "mount", "sleep", "stat", "hostname", "grep",
            "touch", "mkdir", "env", "echo", "pwd", "tty", "stty", "kill", "readlink", "seq",
            "umask", "date", "sort", "wc", "mknod", "rm", "ip", "head", "awk", "chown", "dd",
        ] {
            symlink("busybox", root.join("bin").join(name)).unwrap();
        }
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nuser:x:1000:1000::/home/user:/bin/sh\n",
        )
        .unwrap();
        house
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn rootfs(&self) -> PathBuf {
        self.path().join("rootfs")
    }

    /// The id of this house's container with a runtime.
    pub(crate) fn id(&self, runtime: Runtime) -> String {
        format!("{}-{runtime:?}", self.name).to_lowercase()
    }

    fn state_root(&self, runtime: Runtime) -> PathBuf {
        self.path().join(format!("state-{runtime:?}"))
    }

    /// Writes `config.json`.
    pub(crate) fn configure(&self, runtime: Runtime, edit: impl FnOnce(&mut Value)) {
        let mut spec = base();
        spec["linux"]["cgroupsPath"] = json!(format!("/{}", self.id(runtime)));
        edit(&mut spec);
        fs::write(self.path().join("config.json"), spec.to_string()).unwrap();
    }

    /// A call of a runtime, not yet made.
    pub(crate) fn command(&self, runtime: Runtime, args: &[&str]) -> Command {
        let root = self.state_root(runtime);
        let mut command = match runtime {
            Runtime::Gantry => Command::new(ours()),
            Runtime::Runc => Command::new("/usr/sbin/runc"),
            Runtime::Crun => {
                // crun takes no hybrid hierarchy: it gets a mount namespace without the empty one.
                let mut command = Command::new("unshare");
                let script = "umount /sys/fs/cgroup/unified 2>/dev/null; exec crun \"$@\"";
                command.args(["-m", "--propagation", "private", "sh", "-c", script, "crun"]);
                command
            }
        };
        command.arg("--root").arg(root).args(args).current_dir(self.path());
        command.env_remove("NOTIFY_SOCKET").env_remove("LISTEN_FDS");
        command
    }

    /// Makes a call.
    pub(crate) fn call(&self, runtime: Runtime, args: &[&str]) -> Answer {
        self.command(runtime, args).stdin(Stdio::null()).output().unwrap().into()
    }

    /// Makes a call whose process lives on: its output goes to files, so that no pipe stays open.
    pub(crate) fn call_detached(&self, runtime: Runtime, args: &[&str]) -> Answer {
        let file = |name: &str| fs::File::create(self.path().join(name)).unwrap();
        let mut command = self.command(runtime, args);
        let status =
            command.stdin(Stdio::null()).stdout(file("out")).stderr(file("err")).status().unwrap();
        Answer {
            code: status.code().unwrap_or(-1),
            stdout: self.said("out"),
            stderr: self.said("err"),
        }
    }

    /// What a detached process has written.
    pub(crate) fn said(&self, name: &str) -> String {
        fs::read_to_string(self.path().join(name)).unwrap_or_default()
    }

    /// Configures and runs in the foreground.
    pub(crate) fn run(&self, runtime: Runtime, edit: impl FnOnce(&mut Value)) -> Answer {
        self.configure(runtime, edit);
        let id = self.id(runtime);
        let answer = self.call(runtime, &["run", &id]);
        // Others leave a failed container behind sometimes.
        self.call(runtime, &["delete", "--force", &id]);
        answer
    }

    /// Control groups of this house that exist.
    pub(crate) fn groups(&self) -> Vec<String> {
        let mut found = Vec::new();
        for hierarchy in fs::read_dir("/sys/fs/cgroup").unwrap().flatten() {
            let Ok(groups) = fs::read_dir(hierarchy.path()) else { continue };
            for group in groups.flatten() {
                if group.file_name().to_string_lossy().starts_with(&self.name) {
                    found.push(group.path().display().to_string());
                }
            }
        }
        found
    }

    /// State directories that our runtime has left.
    pub(crate) fn states(&self) -> Vec<String> {
        fs::read_dir(self.state_root(Runtime::Gantry))
            .map(|entries| {
                entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
            })
            .unwrap_or_default()
    }
}

impl Drop for House {
    fn drop(&mut self) {
        for runtime in Runtime::installed() {
            if self.state_root(runtime).exists() {
                self.call(runtime, &["delete", "--force", &self.id(runtime)]);
            }
        }
        for group in self.groups() {
            let _ = fs::remove_dir(group);
        }
    }
}

/// The command line as a program of its own.
pub(crate) fn ours() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_gantry-oci"))
}

/// Mounts that this process sees, and processes called after our runtime.
pub(crate) fn leftovers() -> usize {
    fs::read_to_string("/proc/self/mountinfo")
        .unwrap()
        .lines()
        .filter(|line| line.contains("gantry-runtime-"))
        .count()
}

/// The configuration that every case starts from.
fn base() -> Value {
    let caps = json!([
        "CAP_CHOWN",
        "CAP_KILL",
        "CAP_NET_BIND_SERVICE",
        "CAP_SETUID",
        "CAP_SETGID",
        "CAP_DAC_OVERRIDE"
    ]);
    json!({
        "ociVersion": "1.0.2",
        "process": {
            "user": {"uid": 0, "gid": 0},
            "args": ["/bin/true"],
            "env": ["PATH=/bin", "TERM=xterm", "HOME=/"],
            "cwd": "/",
            "capabilities": {"bounding": caps, "effective": caps, "permitted": caps},
            "noNewPrivileges": true
        },
        "root": {"path": "rootfs"},
        "hostname": "box",
        "mounts": [
            {"destination": "/proc", "type": "proc", "source": "proc"},
            {"destination": "/dev", "type": "tmpfs", "source": "tmpfs",
             "options": ["nosuid", "strictatime", "mode=755", "size=65536k"]},
            {"destination": "/dev/pts", "type": "devpts", "source": "devpts",
             "options": ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"]},
            {"destination": "/dev/shm", "type": "tmpfs", "source": "shm",
             "options": ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]},
            {"destination": "/sys", "type": "sysfs", "source": "sysfs",
             "options": ["nosuid", "noexec", "nodev", "ro"]}
        ],
        "linux": {
            "resources": {"devices": [{"allow": false, "access": "rwm"}]},
            "namespaces": [
                {"type": "pid"}, {"type": "network"}, {"type": "ipc"}, {"type": "uts"}, {"type": "mount"}
            ],
            "maskedPaths": ["/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware"],
            "readonlyPaths": ["/proc/bus", "/proc/sys", "/proc/sysrq-trigger"]
        }
    })
}
