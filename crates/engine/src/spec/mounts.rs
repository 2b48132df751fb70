//! The mounts of a container, in the order they are made.

use std::path::{Path, PathBuf};

use gantry_api_types::host_config::HostConfig;
use gantry_oci::runtime::{IdMapping, Mount};

use crate::record::{MountKind, MountRecord};

/// `/dev/shm` of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Shm {
    /// Its own, of this size in bytes.
    Own(i64),
    /// A directory of the host: the host's own or that of another container.
    Bind(PathBuf),
    /// None.
    None,
}

/// What the list of mounts is made from.
#[derive(Debug)]
pub(crate) struct MountInput<'a> {
    /// Host side of the container.
    pub(crate) host: &'a HostConfig,
    /// Mounts asked for, with the host path of each bind and volume.
    pub(crate) asked: &'a [(MountRecord, PathBuf)],
    /// User and group that the container starts with.
    pub(crate) user: (u32, u32),
    /// Files of the network (`/etc/hosts`, ...) by path in the container.
    pub(crate) files: &'a [(&'static str, PathBuf)],
    /// `/dev/shm`.
    pub(crate) shm: Shm,
    /// Whether `/dev/mqueue` is the host's.
    pub(crate) host_mqueue: bool,
    /// Whether control groups are writable.
    pub(crate) writable_cgroups: bool,
    /// The init to bind to [`INIT_PATH`].
    pub(crate) init: Option<&'a Path>,
}

/// Where `--init` puts its program.
pub(crate) const INIT_PATH: &str = "/sbin/docker-init";

/// All mounts, parents before children.
pub(crate) fn build(input: &MountInput<'_>) -> Vec<Mount> {
    let mut mounts = Vec::new();
    for default in defaults(input) {
        if !covered(&default.destination, input) {
            mounts.push(default);
        }
    }
    if let Some(init) = input.init {
        mounts.push(bind(INIT_PATH.into(), init.to_owned(), &["bind", "ro"]));
    }
    let mut wanted: Vec<Mount> =
        input.asked.iter().map(|(record, path)| asked(record, path, input.user)).collect();
    wanted.extend(input.host.tmpfs.iter().map(|(path, options)| tmpfs(path, &split(options))));
    for (target, source) in input.files {
        if !has(&wanted, Path::new(target)) {
            let mut options = vec!["rbind", "rprivate"];
            options.extend(input.host.readonly_rootfs.then_some("ro"));
            wanted.push(bind(target.into(), source.clone(), &options));
        }
    }
    // A stable sort by depth keeps the order of equals and makes parents first.
    wanted.sort_by_key(|mount| mount.destination.components().count());
    mounts.extend(wanted);
    mounts
}

fn defaults(input: &MountInput<'_>) -> Vec<Mount> {
    let open = input.host.privileged;
    let access = |open: bool| if open { "rw" } else { "ro" };
    let mut mounts = vec![
        mount("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
        mount("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
        mount(
            "/dev/pts",
            "devpts",
            "devpts",
            &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
        ),
        mount("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", access(open)]),
        mount(
            "/sys/fs/cgroup",
            "cgroup",
            "cgroup",
            &[access(open || input.writable_cgroups), "nosuid", "noexec", "nodev"],
        ),
    ];
    mounts.push(if input.host_mqueue {
        bind("/dev/mqueue".into(), "/dev/mqueue".into(), &["rbind", "nosuid", "noexec", "nodev"])
    } else {
        mount("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"])
    });
    match &input.shm {
        Shm::Own(bytes) => {
            let size = format!("size={bytes}");
            mounts.push(mount(
                "/dev/shm",
                "tmpfs",
                "shm",
                &["nosuid", "noexec", "nodev", "mode=1777", &size],
            ));
        }
        Shm::Bind(path) => {
            mounts.push(bind("/dev/shm".into(), path.clone(), &["rbind", "rprivate"]));
        }
        Shm::None => {}
    }
    mounts
}

/// Whether the user mounts something at a default mount's place, or over `/dev` around it.
fn covered(destination: &Path, input: &MountInput<'_>) -> bool {
    let targets = input.asked.iter().map(|(record, _)| record.target.as_str());
    targets.chain(input.host.tmpfs.keys().map(String::as_str)).any(|target| {
        let target = Path::new(target);
        target == destination || (target == Path::new("/dev") && destination.starts_with("/dev"))
    })
}

fn has(mounts: &[Mount], destination: &Path) -> bool {
    mounts.iter().any(|mount| mount.destination == destination)
}

fn asked(record: &MountRecord, path: &Path, user: (u32, u32)) -> Mount {
    if record.kind == MountKind::Tmpfs {
        let mut options = record.tmpfs_options.clone();
        if record.read_only {
            options.push("ro".to_owned());
        }
        return tmpfs(&record.target, &options);
    }
    let recursive = !record.non_recursive;
    let propagation = match record.propagation.as_str() {
        "" => "rprivate",
        named => named,
    };
    let kind = if recursive { "rbind" } else { "bind" };
    let mut options = vec![kind];
    // Never "rw": what the host has mounted read-only stays so.
    match (record.read_only, recursive && !record.read_only_non_recursive) {
        (false, _) => {}
        (true, true) => options.push("rro"),
        (true, false) => options.push("ro"),
    }
    options.push(propagation);
    let maps = record.id_map.map(|map| (mappings(map.uid, user.0), mappings(map.gid, user.1)));
    if maps.is_some() {
        options.push(if recursive { "ridmap" } else { "idmap" });
    }
    let (uid_mappings, gid_mappings) = maps.unwrap_or_default();
    let mount = bind(PathBuf::from(&record.target), path.to_owned(), &options);
    Mount { uid_mappings, gid_mappings, ..mount }
}

/// Mappings that make what is `host`'s on the host `inside`'s in the container, and back. Other ids
/// stay as they are, but `inside`'s own on the host: it has no name in the container, and nobody
/// there can make files that are its. With root inside, that is what the mapping is for.
fn mappings(host: u32, inside: u32) -> Vec<IdMapping> {
    // The highest id stands for "none" in the kernel.
    const END: u32 = u32::MAX;
    let one = |container_id, host_id| IdMapping { container_id, host_id, size: 1 };
    let (low, high) = (host.min(inside), host.max(inside));
    let mut mappings = vec![one(host, inside)];
    for (first, end) in [(0, low), (low + 1, high), (high + 1, END)] {
        if first < end {
            let size = end - first;
            mappings.push(IdMapping { container_id: first, host_id: first, size });
        }
    }
    mappings
}

fn tmpfs(target: &str, options: &[String]) -> Mount {
    // Each default stands unless its opposite is asked for.
    let defaults = [("noexec", "exec"), ("nosuid", "suid"), ("nodev", "dev")];
    let mut merged: Vec<&str> = Vec::new();
    for (default, opposite) in defaults {
        if !options.iter().any(|option| option == opposite || option == default) {
            merged.push(default);
        }
    }
    merged.extend(options.iter().map(String::as_str));
    mount(target, "tmpfs", "tmpfs", &merged)
}

fn split(options: &str) -> Vec<String> {
    options.split(',').filter(|option| !option.is_empty()).map(str::to_owned).collect()
}

fn mount(target: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    Mount {
        destination: target.into(),
        kind: Some(kind.to_owned()),
        source: Some(source.into()),
        options: options.iter().map(ToString::to_string).collect(),
        ..Mount::default()
    }
}

fn bind(target: PathBuf, source: PathBuf, options: &[&str]) -> Mount {
    Mount {
        destination: target,
        kind: Some("bind".to_owned()),
        source: Some(source),
        options: options.iter().map(ToString::to_string).collect(),
        ..Mount::default()
    }
}

/// The propagation that the root needs so that a mount below it can have its own.
pub(crate) fn root_propagation(records: &[MountRecord]) -> Option<String> {
    let any = |words: [&str; 2]| records.iter().any(|m| words.contains(&m.propagation.as_str()));
    if any(["shared", "rshared"]) {
        Some("shared".to_owned())
    } else if any(["slave", "rslave"]) {
        Some("rslave".to_owned())
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::IdMap;

    fn input<'a>(host: &'a HostConfig, asked: &'a [(MountRecord, PathBuf)]) -> MountInput<'a> {
        MountInput {
            host,
            asked,
            user: (0, 0),
            files: &[],
            shm: Shm::Own(1024),
            host_mqueue: false,
            writable_cgroups: false,
            init: None,
        }
    }

    fn places(mounts: &[Mount]) -> Vec<String> {
        mounts.iter().map(|mount| mount.destination.display().to_string()).collect()
    }

    #[test]
    fn users_mounts_replace_defaults_and_parents_come_first() {
        let record = |target: &str| MountRecord { target: target.into(), ..MountRecord::default() };
        let asked = [
            (record("/a/b/c"), PathBuf::from("/x")),
            (record("/a"), PathBuf::from("/y")),
            (record("/dev/shm"), PathBuf::from("/z")),
        ];
        let host = HostConfig::default();
        let got = places(&build(&input(&host, &asked)));
        assert_eq!(
            got,
            [
                "/proc",
                "/dev",
                "/dev/pts",
                "/sys",
                "/sys/fs/cgroup",
                "/dev/mqueue",
                "/a",
                "/dev/shm",
                "/a/b/c"
            ]
        );
        let dev = [(record("/dev"), PathBuf::from("/dev"))];
        let got = places(&build(&input(&host, &dev)));
        assert_eq!(got, ["/proc", "/sys", "/sys/fs/cgroup", "/dev"]);
    }

    #[test]
    fn tmpfs_defaults_give_way_to_their_opposites() {
        let host = HostConfig {
            tmpfs: [("/t".to_owned(), "exec,size=64m".to_owned())].into(),
            ..HostConfig::default()
        };
        let mounts = build(&input(&host, &[]));
        let options = &mounts.last().unwrap().options;
        assert_eq!(options, &["nosuid", "nodev", "exec", "size=64m"]);
    }

    #[test]
    fn read_only_binds_are_so_recursively() {
        let record = MountRecord { target: "/r".into(), read_only: true, ..Default::default() };
        let options = |record: &MountRecord| asked(record, Path::new("/s"), (0, 0)).options;
        assert_eq!(options(&record), ["rbind", "rro", "rprivate"]);
        let top = MountRecord { read_only_non_recursive: true, ..record };
        assert_eq!(options(&top), ["rbind", "ro", "rprivate"]);
    }

    #[test]
    fn mapped_binds_name_every_id_but_the_users_own() {
        let record = MountRecord {
            target: "/r".into(),
            id_map: Some(IdMap { uid: 1000, gid: 0 }),
            ..MountRecord::default()
        };
        let mount = asked(&record, Path::new("/s"), (0, 0));
        assert_eq!(mount.options, ["rbind", "rprivate", "ridmap"]);
        let of = |mappings: &[IdMapping]| -> Vec<(u32, u32, u32)> {
            mappings.iter().map(|m| (m.container_id, m.host_id, m.size)).collect()
        };
        assert_eq!(
            of(&mount.uid_mappings),
            [(1000, 0, 1), (1, 1, 999), (1001, 1001, u32::MAX - 1001)]
        );
        assert_eq!(of(&mount.gid_mappings), [(0, 0, 1), (1, 1, u32::MAX - 1)]);
        let user = asked(&record, Path::new("/s"), (5, 0));
        let want = [(1000, 5, 1), (0, 0, 5), (6, 6, 994), (1001, 1001, u32::MAX - 1001)];
        assert_eq!(of(&user.uid_mappings), want);
    }
}
