//! Registries as processes, which end with their test.

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use tempfile::TempDir;

use crate::{
    http::At,
    s3::{self, S3},
};

/// How long a registry may take to listen.
const START_LIMIT: Duration = Duration::from_secs(30);
/// Debian's registry.
const REFERENCE: &str = "/usr/bin/docker-registry";

/// A registry that runs.
pub(crate) struct Running {
    child: Child,
    pub(crate) at: At,
}

impl Running {
    /// This registry, with these options, keeping everything in `root`.
    pub(crate) fn ours(root: &Path, options: &[&str]) -> Self {
        Self::listening(root, "127.0.0.1:0", options)
    }

    /// The same at an address that others know.
    pub(crate) fn listening(root: &Path, address: &str, options: &[&str]) -> Self {
        let mut command = Command::new(program());
        command.args(["serve", "--listen", address, "--root"]).arg(root).args(options);
        Self::start(command, "address=")
    }

    /// Ends it at once, as a crash does.
    pub(crate) fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("waited for");
    }

    /// Tells it to end and waits; returns its exit code.
    pub(crate) fn terminate(mut self) -> Option<i32> {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("told");
        self.child.wait().expect("waited for").code()
    }

    /// The most memory that it ever had, in KiB.
    pub(crate) fn peak_memory_kib(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("read");
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).expect("a line");
        line.split_whitespace().nth(1).expect("a number").parse().expect("a number")
    }

    fn start(mut command: Command, before: &'static str) -> Self {
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = BufReader::new(child.stderr.take().expect("a pipe"));
        let (told, listens) = mpsc::channel();
        // Reads to the end, so that the registry never waits for room in the pipe.
        std::thread::spawn(move || {
            let mut seen = String::new();
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, rest)) = line.split_once(before) {
                    let address = rest.split([' ', '"']).next().unwrap_or_default();
                    drop(told.send(Ok(address.to_owned())));
                }
                if seen.len() < 10_000 {
                    seen.push_str(&line);
                    seen.push('\n');
                }
                if std::env::var_os("REGISTRY_LOG").is_some() {
                    eprintln!("{line}");
                }
            }
            drop(told.send(Err(seen)));
        });
        let address = match listens.recv_timeout(START_LIMIT) {
            Ok(Ok(address)) => address,
            Ok(Err(log)) => panic!("the registry ended: {log}"),
            Err(_) => panic!("the registry does not listen"),
        };
        Self { child, at: At::new(&address) }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port that nobody listens on now.
pub(crate) fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("an address").port()
}

/// Cargo builds examples with tests, beside them.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a path");
    let target = test.parent().and_then(Path::parent).expect("below the target directory");
    target.join("examples/registry")
}

/// Runs a test against this registry.
pub(crate) fn with_ours(test: fn(&At)) {
    let root = TempDir::new().expect("a directory");
    let running = Running::ours(root.path(), &[]);
    test(&running.at);
}

/// Runs a test against this registry over a bucket: of the small server of these tests, or of the
/// one whose URL `GANTRY_TEST_S3` says, which has a bucket `images` and asks no one who he is.
pub(crate) fn with_bucket(test: fn(&At)) {
    let (root, s3) = (TempDir::new().expect("a directory"), S3::start());
    let text = match std::env::var("GANTRY_TEST_S3") {
        Ok(endpoint) => {
            // Each test has a part of the bucket for itself.
            let place = root.path().file_name().expect("a name").to_string_lossy().into_owned();
            s3::config(&endpoint, place.trim_start_matches('.'))
        }
        Err(_) => s3.config(),
    };
    let config = root.path().join("config.toml");
    fs::write(&config, text).expect("written");
    let config = config.display().to_string();
    let running = Running::ours(&root.path().join("data"), &["--config", &config]);
    test(&running.at);
}

/// Runs a test against Debian's registry, if that is installed.
pub(crate) fn with_reference(test: fn(&At)) {
    if !Path::new(REFERENCE).exists() {
        eprintln!("skipped: {REFERENCE} is not installed");
        return;
    }
    let root = TempDir::new().expect("a directory");
    let config = root.path().join("config.yml");
    let data = root.path().join("data");
    let text = format!(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: 127.0.0.1:0\nvalidation:\n  manifests:\n    urls:\n      allow: [^https]\n",
        data.display()
    );
    fs::write(&config, text).expect("written");
    let mut command = Command::new(REFERENCE);
    command.arg("serve").arg(&config).env_clear();
    let running = Running::start(command, "listening on ");
    test(&running.at);
}
