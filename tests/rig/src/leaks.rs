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
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let own = daemon.pids();
        Self {
            mounts: mounts
                .lines()
                .filter_map(|line| line.split(' ').nth(1))
                .filter(|point| point.starts_with(&root))
                .map(str::to_owned)
                .collect(),
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
