//! The control group trees of this host.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;
use std::{fs, io};

use gantry_oci::runtime::Resources;

use crate::{Cgroup, CgroupError, Features, files, v2};

/// Which kind of control group tree a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy a controller.
    V1,
    /// The controllers are in v1 hierarchies; a v2 tree without controllers is mounted too.
    Hybrid,
    /// One tree for all controllers.
    V2,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Controllers, such as `cpu`, or `name=systemd`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// The control group trees of this host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Host(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    version: Version,
    hierarchies: Vec<Hierarchy>,
    controllers: BTreeSet<String>,
    unified: Option<PathBuf>,
}

/// The tree of `name=systemd`, the only named one that containers get a group in.
const SYSTEMD: &str = "name=systemd";

impl Host {
    /// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`.
    ///
    /// # Errors
    /// [`CgroupError::Detect`] when one cannot be read, [`CgroupError::NotMounted`] without a tree.
    pub fn detect() -> Result<Host, CgroupError> {
        let read = |path: &str| {
            fs::read_to_string(path)
                .map_err(|source| CgroupError::Detect { path: path.into(), source })
        };
        Host::from_texts(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?)
    }

    /// The trees that a `mountinfo` text tells of; `own` is the text of `/proc/self/cgroup`, which
    /// names all controllers that are bound to v1 hierarchies.
    ///
    /// # Errors
    /// [`CgroupError::NotMounted`] without a tree.
    pub fn from_texts(mountinfo: &str, own: &str) -> Result<Host, CgroupError> {
        let bound: BTreeSet<&str> = own
            .lines()
            .filter_map(|line| line.split(':').nth(1))
            .flat_map(|list| list.split(','))
            .filter(|name| !name.is_empty())
            .collect();
        let mut hierarchies: Vec<Hierarchy> = Vec::new();
        let mut unified = None;
        for (kind, mount, options) in mountinfo.lines().filter_map(parse_mount) {
            if kind == "cgroup2" {
                unified.get_or_insert(mount);
                continue;
            }
            let controllers: Vec<String> = options
                .split(',')
                .filter(|name| bound.contains(name) && (!name.contains('=') || *name == SYSTEMD))
                .map(str::to_owned)
                .collect();
            let known = hierarchies.iter().any(|one| one.controllers == controllers);
            if !controllers.is_empty() && !known {
                hierarchies.push(Hierarchy { controllers, mount });
            }
        }
        let has_v1 =
            hierarchies.iter().flat_map(|one| &one.controllers).any(|name| name != SYSTEMD);
        let version = match (has_v1, &unified) {
            (true, None) => Version::V1,
            (true, Some(_)) => Version::Hybrid,
            (false, Some(_)) => Version::V2,
            (false, None) => return Err(CgroupError::NotMounted),
        };
        if let (Version::V2, Some(mount)) = (version, &unified) {
            let text = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
            let controllers = text.split_whitespace().map(str::to_owned).collect();
            hierarchies = vec![Hierarchy { controllers, mount: mount.clone() }];
        }
        let controllers = hierarchies.iter().flat_map(|one| one.controllers.clone()).collect();
        Ok(Host(Arc::new(Inner { version, hierarchies, controllers, unified })))
    }

    /// Which kind of tree.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version
    }

    /// Names of all usable controllers.
    #[must_use]
    pub fn controllers(&self) -> &BTreeSet<String> {
        &self.0.controllers
    }

    /// The mounted hierarchies that groups are made in; on v2 the only one.
    #[must_use]
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.0.hierarchies
    }

    /// Where the v2 tree is mounted, on hybrid hosts too.
    #[must_use]
    pub fn unified_mount(&self) -> Option<&Path> {
        self.0.unified.as_deref()
    }

    /// What the controllers can do, for `/info` and for warnings.
    #[must_use]
    pub fn features(&self) -> Features {
        Features::of(self)
    }

    /// Where the hierarchy of a controller is mounted.
    #[must_use]
    pub fn mount_of(&self, controller: &str) -> Option<&Path> {
        let has = |one: &&Hierarchy| one.controllers.iter().any(|name| name == controller);
        self.0.hierarchies.iter().find(has).map(|one| one.mount.as_path())
    }

    /// Makes a group with limits: `path` such as `/gantry/<id>`, below each mount point. A group
    /// that exists is taken over when no process is in it.
    ///
    /// # Errors
    /// The first step that failed; what was made is removed again.
    pub fn create(&self, path: &str, resources: &Resources) -> Result<Cgroup, CgroupError> {
        let relative = clean(path)?;
        let mut group = self.group(relative);
        let mut made = Vec::new();
        let result = self.make(&group, &mut made).and_then(|()| group.prepare(resources));
        match result {
            Ok(ignored) => {
                group.set_ignored(ignored);
                Ok(group)
            }
            Err(error) => {
                for path in made.iter().rev() {
                    // The error that led here is the one to tell; what cannot be removed is in use.
                    let _ = fs::remove_dir(path);
                }
                Err(error)
            }
        }
    }

    /// A group that exists, or that may exist: nothing is looked at.
    #[must_use]
    pub fn open(&self, path: &str) -> Cgroup {
        let relative = Path::new(path)
            .components()
            .filter(|part| matches!(part, Component::Normal(_)))
            .collect();
        self.group(relative)
    }

    fn group(&self, relative: PathBuf) -> Cgroup {
        let directories = self.0.hierarchies.iter().map(|one| one.mount.join(&relative)).collect();
        Cgroup::new(self.clone(), &relative, directories)
    }

    fn make(&self, group: &Cgroup, made: &mut Vec<PathBuf>) -> Result<(), CgroupError> {
        for (hierarchy, directory) in self.0.hierarchies.iter().zip(group.roots()) {
            if self.version() == Version::V2 {
                v2::delegate(&hierarchy.mount, directory, made)?;
            }
            make_directories(&hierarchy.mount, directory, made)?;
            let busy = || files::read(&directory.join("cgroup.procs"));
            if !made.contains(directory) && !busy()?.trim().is_empty() {
                return Err(CgroupError::Create {
                    path: directory.clone(),
                    source: io::ErrorKind::AlreadyExists.into(),
                });
            }
        }
        Ok(())
    }
}

/// Makes a directory and those above it up to the mount point, and writes down which are new.
pub(crate) fn make_directories(
    mount: &Path,
    directory: &Path,
    made: &mut Vec<PathBuf>,
) -> Result<(), CgroupError> {
    match fs::create_dir(directory) {
        Ok(()) => {
            made.push(directory.to_owned());
            Ok(())
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && directory != mount => {
            let above = directory.parent().unwrap_or(mount);
            make_directories(mount, above, made)?;
            make_directories(mount, directory, made)
        }
        Err(source) => Err(CgroupError::Create { path: directory.to_owned(), source }),
    }
}

/// A group's path without its leading slash; never the root, never out of the tree.
fn clean(path: &str) -> Result<PathBuf, CgroupError> {
    let mut relative = PathBuf::new();
    for part in Path::new(path).components() {
        match part {
            Component::Normal(name) => relative.push(name),
            Component::RootDir | Component::CurDir => {}
            Component::ParentDir | Component::Prefix(_) => {
                return Err(CgroupError::InvalidPath(path.to_owned()));
            }
        }
    }
    if relative.as_os_str().is_empty() || path.contains(['\n', '\0']) {
        return Err(CgroupError::InvalidPath(path.to_owned()));
    }
    Ok(relative)
}

/// Type, mount point and super block options of a control group mount: proc(5), "mountinfo".
fn parse_mount(line: &str) -> Option<(&str, PathBuf, &str)> {
    let (before, after) = line.split_once(" - ")?;
    let mut after = after.split(' ');
    let kind = after.next().filter(|kind| kind.starts_with("cgroup"))?;
    let options = after.nth(1)?;
    let mount = before.split(' ').nth(4)?;
    // Only the four characters that the kernel escapes there can follow a backslash.
    let mount = mount.replace("\\040", " ").replace("\\011", "\t").replace("\\134", "\\");
    Some((kind, PathBuf::from(mount), options))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
44 31 0:40 / /run/other rw,relatime - cgroup cgroup rw,name=gantry
45 31 0:32 / /run/again rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";
    const OWN: &str = "4:name=gantry:/\n3:name=systemd:/\n2:memory:/a\n1:cpu,cpuacct:/\n0::/\n";

    #[test]
    fn mounts_become_hierarchies() {
        let host = Host::from_texts(HYBRID, OWN).unwrap();
        assert_eq!(host.version(), Version::Hybrid);
        let names: Vec<_> =
            host.hierarchies().iter().map(|one| one.controllers.join(",")).collect();
        assert_eq!(names, ["cpu,cpuacct", "memory", "name=systemd"]);
        assert_eq!(host.mount_of("cpuacct"), Some(Path::new("/sys/fs/cgroup/cpu,cpuacct")));
        assert_eq!(host.mount_of("memory"), Some(Path::new("/sys/fs/cgroup/memory")));
        assert_eq!(host.unified_mount(), Some(Path::new("/sys/fs/cgroup/unified")));
    }

    #[test]
    fn the_version_follows_what_is_mounted() {
        let lines = |wanted: &[&str]| -> String {
            let wanted = |line: &&str| wanted.iter().any(|part| line.contains(part));
            HYBRID.lines().filter(wanted).map(|line| format!("{line}\n")).collect()
        };
        let version = |text: &str| Host::from_texts(text, OWN).map(|host| host.version());
        assert_eq!(version(&lines(&["rw,memory"])).unwrap(), Version::V1);
        assert_eq!(version(&lines(&["cgroup2"])).unwrap(), Version::V2);
        assert_eq!(version(&lines(&["cgroup2", "systemd"])).unwrap(), Version::V2);
        assert!(matches!(version(&lines(&["tmpfs"])), Err(CgroupError::NotMounted)));
    }

    #[test]
    fn paths_stay_inside() {
        for (path, want) in [
            ("/gantry/a", Some("gantry/a")),
            ("gantry//b/", Some("gantry/b")),
            ("/gantry/../x", None),
            ("/", None),
            ("", None),
            ("a\nb", None),
        ] {
            assert_eq!(clean(path).ok(), want.map(PathBuf::from), "{path:?}");
        }
    }
}
