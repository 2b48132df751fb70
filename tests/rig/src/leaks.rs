//! What a daemon may leave on the host, counted before and after.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;

use crate::daemon::{Daemon, cgroups_named, processes_of};

/// Everything that containers of one daemon may leave.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Left {
    /// Mount points below the daemon's directory.
    pub mounts: BTreeSet<String>,
    /// Control groups of containers.
    pub cgroups: BTreeSet<PathBuf>,
    /// Processes that name the daemon's directory, other than the daemon.
    pub processes: BTreeSet<String>,
    /// Task directories.
    pub tasks: BTreeSet<PathBuf>,
    /// Directories of containers and their snapshots.
    pub directories: BTreeSet<PathBuf>,
    /// Published ports in the rule set.
    pub published: usize,
}

impl Left {
    /// Looks at the host.
    #[must_use]
    pub fn of(daemon: &Daemon) -> Self {
        let root = daemon.root.display().to_string();
        let own = daemon.pids();
        Self {
            mounts: mounts_below(&root),
            cgroups: cgroups_named(&daemon.name)
                .into_iter()
                .flat_map(|path| fs::read_dir(path).into_iter().flatten().flatten())
                .map(|entry| entry.path())
                .filter(|path| path.is_dir())
                .collect(),
            processes: processes_of(&daemon.root)
                .into_iter()
                .filter(|pid| !own.contains(pid) && Some(*pid) != daemon.netns_pid())
                .map(|pid| {
                    let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
                    format!("{pid} {}", String::from_utf8_lossy(&line).replace('\0', " "))
                })
                .collect(),
            tasks: listed(&daemon.root.join("exec/tasks")),
            directories: ["data/containers", "data/snapshots/containers"]
                .iter()
                .flat_map(|name| listed(&daemon.root.join(name)))
                .collect(),
            published: published(daemon),
        }
    }

    /// Whether nothing is left.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
}

/// What a daemon holds, to compare before and after much work.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Held {
    /// Its open descriptors.
    pub descriptors: usize,
    /// Its threads.
    pub threads: usize,
    /// Mount points below its directory.
    pub mounts: usize,
    /// Interfaces in its network namespace.
    pub interfaces: usize,
    /// Elements of the sets and maps there.
    pub elements: usize,
    /// Network namespaces that its processes hold open.
    pub namespaces: usize,
}

impl Held {
    /// Looks at the daemon and its surroundings.
    #[must_use]
    pub fn of(daemon: &Daemon) -> Self {
        let pid = daemon.pid().unwrap_or(0);
        let count = |path: &str| listed(std::path::Path::new(path)).len();
        let descriptors = listed(std::path::Path::new(&format!("/proc/{pid}/fd")));
        let links = descriptors.iter().filter_map(|path| fs::read_link(path).ok());
        let namespaces = links.filter(|link| link.to_string_lossy().starts_with("net:["));
        let text = |program: &str, args: &[&str]| {
            let path = crate::daemon::program(program);
            let output = path.and_then(|path| daemon.inside(&path).args(args).output().ok());
            output.map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default()
        };
        let rules = text("nft", &["-j", "list", "ruleset"]);
        let rules: serde_json::Value = serde_json::from_str(&rules).unwrap_or_default();
        let lists = rules["nftables"].as_array().into_iter().flatten();
        let sets = lists.filter_map(|entry| entry.get("set").or_else(|| entry.get("map")));
        Self {
            namespaces: namespaces.count(),
            descriptors: descriptors.len(),
            threads: count(&format!("/proc/{pid}/task")),
            mounts: mounts_below(&daemon.root.display().to_string()).len(),
            interfaces: text("ip", &["-o", "link"]).lines().count(),
            elements: sets.filter_map(|set| set["elem"].as_array()).map(Vec::len).sum(),
        }
    }

    /// Whether no figure is above what it was.
    #[must_use]
    pub fn is_within(&self, before: &Self) -> bool {
        self.descriptors <= before.descriptors
            && self.threads <= before.threads
            && self.mounts <= before.mounts
            && self.interfaces <= before.interfaces
            && self.elements <= before.elements
            && self.namespaces <= before.namespaces
    }
}

fn mounts_below(root: &str) -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
    let points = mounts.lines().filter_map(|line| line.split(' ').nth(1));
    points.filter(|point| point.starts_with(root)).map(str::to_owned).collect()
}

fn listed(directory: &std::path::Path) -> BTreeSet<PathBuf> {
    fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Counts DNAT elements in the daemon's network namespace.
fn published(daemon: &Daemon) -> usize {
    let Some(nft) = crate::daemon::program("nft") else { return 0 };
    let output = daemon.inside(&nft).args(["list", "maps"]).output();
    output.map_or(0, |output| {
        String::from_utf8_lossy(&output.stdout).matches(" . 172.").count()
            + String::from_utf8_lossy(&output.stdout).matches(": 172.").count()
    })
}
