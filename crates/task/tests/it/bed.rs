//! A place to run tasks in: a shim, a root file system with busybox, a tasks directory.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use gantry_logs::{LogConfig, LogFile, Query, Reader};
use gantry_oci::runtime::{
    Capabilities, Linux, Mount, Namespace, NamespaceKind, Process, Root, Spec,
};
use gantry_task::{
    AttachOptions, AttachStream, Attachment, ExecTask, Exit, ForeignRuntime, RootfsMount, RunTask,
    StdioConfig, Task, Tasks, TasksConfig, attachment,
};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

/// Nothing here takes longer.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The runtimes to test with; the empty name is the built-in one.
pub(crate) fn runtimes() -> Vec<String> {
    if let Ok(list) = std::env::var("GANTRY_TEST_RUNTIMES") {
        return list.split(',').map(|name| name.replace("built-in", "")).collect();
    }
    let mut found = vec![String::new()];
    for name in ["runc", "crun"] {
        if program(name).is_some() {
            found.push(name.to_owned());
        }
    }
    found
}

/// Whether tasks can run here; says so if not.
pub(crate) fn possible() -> bool {
    let root = rustix::process::geteuid().is_root();
    let busybox = program("busybox").is_some();
    if !root || !busybox {
        eprintln!("skipped: needs root and a static busybox");
    }
    root && busybox
}

fn program(name: &str) -> Option<PathBuf> {
    let folders = ["/bin", "/usr/bin", "/usr/sbin", "/sbin"];
    folders.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.is_file())
}

/// The shim, built once.
fn shim() -> PathBuf {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT
        .get_or_init(|| {
            if let Some(path) = std::env::var_os("GANTRY_SHIM_BINARY") {
                return path.into();
            }
            let status = Command::new(env!("CARGO"))
                .args(["build", "--quiet", "--package", "gantry-shim"])
                .status()
                .expect("cargo");
            assert!(status.success(), "building the shim");
            let test = std::env::current_exe().expect("own path");
            test.parent().and_then(Path::parent).expect("target").join("gantry-shim")
        })
        .clone()
}

/// One exec root with one root file system.
pub(crate) struct Bed {
    pub(crate) tasks: Tasks,
    pub(crate) runtime: Option<String>,
    pub(crate) directory: TempDir,
    prefix: String,
}

impl Bed {
    pub(crate) fn new(runtime: &str) -> Bed {
        let directory = tempfile::tempdir().expect("directory");
        let bin = directory.path().join("lower/bin");
        fs::create_dir_all(&bin).expect("lower");
        fs::copy(program("busybox").expect("busybox"), bin.join("busybox")).expect("copy");
        for name in ["sh", "cat", "echo", "sleep", "true", "kill", "stty", "seq", "head", "id"] {
            symlink("busybox", bin.join(name)).expect("link");
        }
        for name in ["proc", "dev", "sys", "tmp", "etc"] {
            fs::create_dir(directory.path().join("lower").join(name)).expect("folder");
        }
        let unique = directory.path().file_name().expect("name").to_string_lossy().replace('.', "");
        let runtime = (!runtime.is_empty()).then(|| runtime.to_owned());
        Bed { tasks: open(directory.path()), runtime, directory, prefix: unique }
    }

    /// Another daemon on the same exec root.
    pub(crate) fn second_daemon(&self) -> Tasks {
        open(self.directory.path())
    }

    pub(crate) fn id(&self, name: &str) -> String {
        format!("{}-{name}", self.prefix)
    }

    pub(crate) fn log(&self, name: &str) -> LogConfig {
        let path = self.directory.path().join(format!("{name}.log"));
        LogConfig::JsonFile(LogFile { path, max_files: 1, ..LogFile::default() })
    }

    /// A task that runs a shell script.
    pub(crate) fn request(&self, name: &str, script: &str) -> RunTask {
        let part = |folder: &str| {
            let path = self.directory.path().join(folder).join(name);
            fs::create_dir_all(&path).expect("layer");
            path
        };
        RunTask {
            id: self.id(name),
            spec: spec(&self.id(name), script),
            rootfs: RootfsMount {
                lower: vec![self.directory.path().join("lower")],
                upper: part("upper"),
                work: part("work"),
                volatile: false,
            },
            netns: None,
            stdio: StdioConfig::default(),
            log: self.log(name),
            runtime: self.runtime.clone(),
            seccomp_bpf: None,
            attachments: Vec::new(),
        }
    }

    pub(crate) async fn run(&self, request: RunTask) -> Task {
        tokio::time::timeout(LIMIT, self.tasks.run(request)).await.expect("in time").expect("run")
    }

    /// All lines of a task's log.
    pub(crate) fn lines(&self, name: &str) -> Vec<String> {
        let mut reader = Reader::open(&self.log(name), Query::default()).expect("log");
        let mut lines = Vec::new();
        while let Some(entry) = reader.next().expect("line") {
            lines.push(String::from_utf8_lossy(entry.line).into_owned());
        }
        lines
    }

    pub(crate) fn task_directory(&self, name: &str) -> PathBuf {
        self.directory.path().join("run/tasks").join(self.id(name))
    }
}

impl Drop for Bed {
    /// What a failed test left behind is ended: first the processes, then their groups.
    fn drop(&mut self) {
        let Ok(host) = gantry_cgroup::Host::detect() else { return };
        for id in self.tasks.leftovers().unwrap_or_default() {
            let group = host.open(&format!("/gantry-test/{id}"));
            let _ = group.kill_all(9);
            let shim_ends = std::time::Instant::now() + Duration::from_secs(2);
            let exit = self.directory.path().join("run/tasks").join(&id).join("exit.json");
            while !exit.exists() && std::time::Instant::now() < shim_ends {
                std::thread::sleep(Duration::from_millis(5));
            }
            let _ = group.remove();
        }
        // Stays while other tests have groups in it.
        for hierarchy in fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten() {
            let _ = fs::remove_dir(hierarchy.path().join("gantry-test"));
        }
    }
}

fn open(directory: &Path) -> Tasks {
    let runtime =
        |name: &str, path: PathBuf| (name.to_owned(), ForeignRuntime { path, args: Vec::new() });
    let runtimes =
        BTreeMap::from([runtime("runc", "runc".into()), runtime("crun", crun(directory))]);
    let config = TasksConfig { exec_root: directory.join("run"), shim: shim(), runtimes };
    Tasks::open(config).expect("tasks")
}

/// crun runs on no hybrid tree whose version 2 part has controllers; there it gets a view without.
fn crun(directory: &Path) -> PathBuf {
    let controllers = fs::read_to_string("/sys/fs/cgroup/unified/cgroup.controllers");
    if controllers.is_ok_and(|names| names.trim().is_empty()) {
        return "crun".into();
    }
    let path = directory.join("crun");
    let cover = "mount -t tmpfs none /sys/fs/cgroup/unified && exec crun \"$@\"";
    let script = format!("#!/bin/sh\nexec unshare -m sh -c '{cover}' crun \"$@\"\n");
    if !path.exists() {
        fs::write(&path, script).expect("script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("mode");
    }
    path
}

pub(crate) fn process(script: &str) -> Process {
    let capabilities: Vec<String> =
        ["CAP_KILL", "CAP_CHOWN", "CAP_SETUID", "CAP_SETGID"].map(str::to_owned).to_vec();
    Process {
        args: ["/bin/sh", "-c", script].map(str::to_owned).to_vec(),
        env: vec!["PATH=/bin".to_owned()],
        cwd: "/".to_owned(),
        capabilities: Some(Capabilities {
            bounding: capabilities.clone(),
            effective: capabilities.clone(),
            permitted: capabilities,
            ..Capabilities::default()
        }),
        ..Process::default()
    }
}

fn spec(id: &str, script: &str) -> Spec {
    let mount = |destination: &str, kind: &str, options: &[&str]| Mount {
        destination: destination.into(),
        kind: Some(kind.to_owned()),
        source: Some(kind.into()),
        options: options.iter().map(|option| (*option).to_owned()).collect(),
        ..Mount::default()
    };
    let kinds = [
        NamespaceKind::Pid,
        NamespaceKind::Mount,
        NamespaceKind::Ipc,
        NamespaceKind::Uts,
        NamespaceKind::Network,
    ];
    Spec {
        oci_version: "1.0.2".to_owned(),
        process: Some(process(script)),
        root: Some(Root { path: "rootfs".into(), readonly: false }),
        hostname: Some("bed".to_owned()),
        mounts: vec![
            mount("/proc", "proc", &["nosuid", "noexec", "nodev"]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755", "size=65536k"]),
            mount("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]),
        ],
        linux: Some(Linux {
            cgroups_path: Some(format!("/gantry-test/{id}")),
            namespaces: kinds.iter().map(|kind| Namespace { kind: *kind, path: None }).collect(),
            ..Linux::default()
        }),
        ..Spec::default()
    }
}

/// A client of both outputs, and of the input if asked for.
pub(crate) fn client(stdin: bool) -> (Attachment, AttachStream) {
    attachment(AttachOptions { stdin, stdout: true, stderr: true }).expect("attachment")
}

pub(crate) fn exec(id: &str, script: &str, attachments: Vec<Attachment>) -> ExecTask {
    ExecTask {
        id: id.to_owned(),
        process: process(script),
        stdio: StdioConfig { open_stdin: true, ..StdioConfig::default() },
        attachments,
        seccomp_bpf: None,
    }
}

pub(crate) async fn exit(mut exit: tokio::sync::watch::Receiver<Option<Exit>>) -> Exit {
    let ended = tokio::time::timeout(LIMIT, exit.wait_for(Option::is_some)).await;
    ended.expect("in time").expect("exit").expect("some")
}

pub(crate) async fn read_all(stream: &mut AttachStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let read = tokio::time::timeout(LIMIT, stream.read_to_end(&mut bytes)).await;
    read.expect("in time").expect("read");
    bytes
}

/// Takes Docker's frames apart: what came on standard output and error.
pub(crate) fn unframe(mut bytes: &[u8]) -> (String, String) {
    let mut outputs = [Vec::new(), Vec::new()];
    while let Some((header, rest)) = bytes.split_first_chunk::<8>() {
        let length = u32::from_be_bytes([header[4], header[5], header[6], header[7]]) as usize;
        outputs[usize::from(header[0]) - 1].extend_from_slice(&rest[..length]);
        bytes = &rest[length..];
    }
    let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
    (text(&outputs[0]), text(&outputs[1]))
}
