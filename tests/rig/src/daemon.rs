//! Daemons under test: started with roots of their own, ended with all that they made.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::client::Client;

/// Longest wait for a daemon's first answer.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for a daemon to end when asked.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How long control groups may take to be empty when their processes have ended.
const GROUPS_LIMIT: Duration = Duration::from_secs(2);

/// Which daemon.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Debian's docker.io.
    Docker,
    /// Ours.
    Gantry,
}

/// Where a daemon's network lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Net {
    /// A network namespace of its own, with nothing but loopback.
    Private,
    /// That of this process: for daemons side by side.
    Of(u32),
    /// The host's, for tests that reach the outside.
    Host,
}

/// A daemon that this rig started.
#[derive(Debug)]
pub struct Daemon {
    /// Which one.
    pub kind: Kind,
    /// Everything it keeps is below here.
    pub root: PathBuf,
    net: Net,
    binary: PathBuf,
    extra: Vec<String>,
    /// Name of its bridge and of its parent control group.
    pub name: String,
    /// Holds the network namespace while the daemon is dead.
    holder: Option<Namespace>,
    child: Option<Child>,
}

static COUNT: AtomicU32 = AtomicU32::new(0);

impl Daemon {
    /// Starts a daemon and waits for its first answer.
    ///
    /// # Errors
    /// When a program is missing, or no answer comes in time: then with the end of its log.
    pub fn start(kind: Kind, net: Net, extra: &[&str]) -> io::Result<Self> {
        let mut daemon = Self::prepare(kind, net, extra)?;
        daemon.launch()?;
        Ok(daemon)
    }

    /// Makes the directory and the namespace; starts nothing yet.
    ///
    /// # Errors
    /// When a program is missing or a directory cannot be made.
    pub fn prepare(kind: Kind, net: Net, extra: &[&str]) -> io::Result<Self> {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        // Interface names have at most 15 characters.
        let name = format!("gtr{}x{number}", std::process::id() % 100_000);
        let root = std::env::temp_dir().join(&name);
        let binary = match kind {
            Kind::Docker => program("dockerd").ok_or_else(|| missing("dockerd"))?,
            Kind::Gantry => gantry_binary()?,
        };
        fs::create_dir_all(&root)?;
        let holder = match net {
            Net::Host | Net::Of(_) => None,
            Net::Private => Some(Namespace::new()?),
        };
        let extra = extra.iter().map(|&text| text.to_owned()).collect();
        Ok(Self { kind, root, net, binary, extra, name, holder, child: None })
    }

    /// Starts the daemon, again if need be, and waits for its first answer.
    ///
    /// # Errors
    /// As [`Daemon::start`].
    pub fn launch(&mut self) -> io::Result<Duration> {
        let log = File::options().create(true).append(true).open(self.root.join("daemon.log"))?;
        let mut command = self.inside(&self.binary);
        if self.kind == Kind::Gantry {
            command.arg("daemon");
        }
        let path = |name: &str| self.root.join(name).display().to_string();
        command
            .args(["--data-root", &path("data"), "--exec-root", &path("exec")])
            .args(["--pidfile", &path("pid"), "-H", &format!("unix://{}", path("sock"))])
            .args(["--config-file", &path("daemon.json"), "--cgroup-parent", &self.name])
            .args(&self.extra)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        if self.kind == Kind::Gantry && !self.extra.iter().any(|arg| arg.starts_with("--bridge")) {
            command.args(["--bridge", &self.name]);
        }
        fs::write(self.root.join("daemon.json"), "{}")?;
        let begin = Instant::now();
        self.child = Some(command.spawn()?);
        while begin.elapsed() < START_LIMIT {
            if self.client().ping() {
                return Ok(begin.elapsed());
            }
            if let Some(child) = &mut self.child
                && let Some(status) = child.try_wait()?
            {
                return Err(io::Error::other(format!("{status}: {}", self.log_tail())));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Err(io::Error::other(format!("no answer in {START_LIMIT:?}: {}", self.log_tail())))
    }

    /// More options for the next launch.
    pub fn options(&mut self, more: &[&str]) {
        self.extra.extend(more.iter().map(|&text| text.to_owned()));
    }

    /// A client of this daemon.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::new(self.root.join("sock"), self.netns_pid())
    }

    /// The daemon's process id.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Every process that belongs to the daemon: itself, and for dockerd its containerd.
    #[must_use]
    pub fn pids(&self) -> Vec<u32> {
        let Some(pid) = self.pid() else { return Vec::new() };
        let mut pids = vec![pid];
        pids.extend(children(pid));
        pids
    }

    /// The process that holds the daemon's network namespace.
    #[must_use]
    pub fn netns_pid(&self) -> Option<u32> {
        match self.net {
            Net::Of(pid) => Some(pid),
            Net::Private | Net::Host => self.holder.as_ref().map(Namespace::pid),
        }
    }

    /// A command that runs in the daemon's network namespace.
    #[must_use]
    pub fn inside(&self, program: &Path) -> Command {
        inside(self.netns_pid(), program)
    }

    /// Kills the daemon as a crash would; what it started runs on.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks the daemon to end and waits.
    ///
    /// # Errors
    /// When it does not end in time; then it is killed.
    pub fn stop(&mut self) -> io::Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        signal(child.id(), Signal::TERM);
        let begin = Instant::now();
        while begin.elapsed() < STOP_LIMIT {
            if child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        child.kill()?;
        child.wait()?;
        Err(io::Error::other(format!("the daemon did not end in {STOP_LIMIT:?}")))
    }

    /// The last lines of the daemon's log.
    #[must_use]
    pub fn log_tail(&self) -> String {
        let log = fs::read_to_string(self.root.join("daemon.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(30).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    /// Removes every container, so that nothing of them is left when the daemon ends.
    pub fn remove_containers(&self) {
        let client = self.client();
        let ids = client.docker(&["ps", "-aq"]).stdout;
        let ids: Vec<_> = ids.split_whitespace().collect();
        if !ids.is_empty() {
            let _ = client.docker(&[&["rm", "-fv"], &ids[..]].concat());
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if self.child.is_none() {
            let _ = self.launch();
        }
        if self.child.is_some() {
            self.remove_containers();
        }
        let _ = self.stop();
        end_processes_of(&self.root);
        drop(self.holder.take());
        if self.net == Net::Host && self.kind == Kind::Gantry {
            let _ = Command::new("ip")
                .args(["link", "delete", &self.name])
                .stderr(Stdio::null())
                .status();
            let table = format!("gantry-{}", self.name);
            for family in ["ip", "ip6", "inet", "bridge"] {
                let _ = Command::new("nft")
                    .args(["delete", "table", family, &table])
                    .stderr(Stdio::null())
                    .status();
            }
        }
        unmount_below(&self.root);
        remove_cgroups(&self.name);
        let _ = fs::remove_dir_all(&self.root);
    }
}

/// Finds a program in `PATH` and the system's directories.
#[must_use]
pub fn program(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from))
        .map(|directory| directory.join(name))
        .find(|candidate| candidate.is_file())
}

/// The `gantry` under test: `GANTRY`, or the one that cargo built beside this test.
///
/// # Errors
/// When there is none.
pub fn gantry_binary() -> io::Result<PathBuf> {
    if let Some(path) = std::env::var_os("GANTRY") {
        return Ok(PathBuf::from(path));
    }
    let here = std::env::current_exe()?;
    here.ancestors()
        .map(|directory| directory.join("gantry"))
        .find(|candidate| candidate.is_file())
        .ok_or_else(|| missing("gantry (build it with `cargo build`, or set GANTRY)"))
}

/// A command that runs in the network namespace of process `netns_pid`, or here.
#[must_use]
pub fn inside(netns_pid: Option<u32>, program: &Path) -> Command {
    match netns_pid {
        None => Command::new(program),
        Some(pid) => {
            let mut command = Command::new("nsenter");
            command.arg(format!("--net=/proc/{pid}/ns/net")).arg("--").arg(program);
            command
        }
    }
}

fn missing(name: &str) -> io::Error {
    io::Error::new(io::ErrorKind::NotFound, format!("{name} is not installed"))
}

/// A network namespace with nothing but loopback, held by a process; gone when dropped.
#[derive(Debug)]
pub struct Namespace {
    holder: Child,
}

impl Namespace {
    /// Makes it.
    ///
    /// # Errors
    /// Without root, or without iproute2.
    pub fn new() -> io::Result<Self> {
        let mut holder = Command::new("unshare")
            .args(["--net", "--", "sh", "-c", "ip link set lo up && echo up && exec sleep 100000"])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        if let Some(stdout) = holder.stdout.take() {
            io::BufRead::read_line(&mut io::BufReader::new(stdout), &mut line)?;
        }
        let made = Self { holder };
        if line.trim() == "up" {
            return Ok(made);
        }
        Err(io::Error::other("cannot make a network namespace (root and iproute2 needed)"))
    }

    /// The process that holds it.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.holder.id()
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// Sends a signal, if the process is still there.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = kill_process(pid, signal);
    }
}

/// Whether a process runs: one that has ended and only waits for its parent does not.
#[must_use]
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let state = stat.rsplit_once(") ").and_then(|(_, rest)| rest.chars().next());
    state.is_some_and(|state| !matches!(state, 'Z' | 'X'))
}

/// Direct and indirect children of a process.
#[must_use]
pub fn children(pid: u32) -> Vec<u32> {
    let mut found = Vec::new();
    let tasks = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    for task in tasks {
        let list = fs::read_to_string(task.path().join("children")).unwrap_or_default();
        for child in list.split_whitespace().filter_map(|text| text.parse().ok()) {
            found.push(child);
            found.extend(children(child));
        }
    }
    found
}

/// Processes whose command line names `root`.
#[must_use]
pub fn processes_of(root: &Path) -> Vec<u32> {
    let needle = root.display().to_string();
    let own = std::process::id();
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let cwd = fs::read_link(format!("/proc/{pid}/cwd")).unwrap_or_default();
            names(&String::from_utf8_lossy(&line), &needle) || cwd.starts_with(root)
        })
        .collect()
}

/// Whether a command line names a path, and not just another that begins like it.
fn names(line: &str, path: &str) -> bool {
    let ends = |(at, _): (usize, &str)| {
        !line[at + path.len()..].starts_with(|next: char| next.is_ascii_alphanumeric())
    };
    line.match_indices(path).any(ends)
}

fn end_processes_of(root: &Path) {
    for _ in 0..50 {
        let pids = processes_of(root);
        if pids.is_empty() {
            return;
        }
        for pid in pids {
            signal(pid, Signal::KILL);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn unmount_below(root: &Path) {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points: Vec<_> = mounts
        .lines()
        .filter_map(|line| line.split(' ').nth(1))
        .filter(|point| Path::new(point).starts_with(root))
        .collect();
    for point in points.into_iter().rev() {
        let _ = rustix::mount::unmount(point, rustix::mount::UnmountFlags::DETACH);
    }
}

/// Control groups named `name`, in every hierarchy.
#[must_use]
pub fn cgroups_named(name: &str) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    hierarchies
        .map(|hierarchy| hierarchy.path().join(name))
        .chain([Path::new("/sys/fs/cgroup").join(name)])
        .filter(|path| path.is_dir())
        .collect()
}

/// Removes them. A group stays for as long as the last of its processes takes to go.
fn remove_cgroups(name: &str) {
    let begun = Instant::now();
    loop {
        remove_cgroups_once(name);
        if cgroups_named(name).is_empty() || begun.elapsed() > GROUPS_LIMIT {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn remove_cgroups_once(name: &str) {
    fn remove(path: &Path) {
        for entry in fs::read_dir(path).into_iter().flatten().flatten() {
            if entry.path().is_dir() {
                remove(&entry.path());
            }
        }
        let _ = fs::remove_dir(path);
    }
    for path in cgroups_named(name) {
        remove(&path);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_named_whole() {
        for (line, want) in [
            ("gantry\0--data-root\0/tmp/x1/data", true),
            ("gantry\0-H\0unix:///tmp/x1", true),
            ("gantry\0--data-root\0/tmp/x15/data\0/tmp/x1", true),
            ("gantry\0--data-root\0/tmp/x15/data", false),
        ] {
            assert_eq!(names(line, "/tmp/x1"), want, "{line:?}");
        }
    }
}
