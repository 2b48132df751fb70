//! Mounting inside the container's root, each by descriptors from end to end.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_sys::mount::Change;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, MoveMountFlags, OpenTreeFlags};

use crate::channel::{During, Failure};
use crate::mount_options::{Attributes, Options};
use crate::mount_plan::{Kind, MountPlan};
use crate::resolve::{self, Want};

/// Files of procfs that may be covered: what tools for resource views (lxcfs) replace.
const COVERABLE_IN_PROC: [&str; 11] = [
    "proc/cpuinfo",
    "proc/diskstats",
    "proc/meminfo",
    "proc/stat",
    "proc/swaps",
    "proc/uptime",
    "proc/loadavg",
    "proc/slabinfo",
    "proc/net/dev",
    "proc/sys/kernel/ns_last_pid",
    "proc/sys/crypto/fips_enabled",
];

/// File systems that no device backs: the read-only flag of their mount says everything. Others get
/// it for the superblock too.
const VIRTUAL: [&str; 7] = ["proc", "sysfs", "tmpfs", "devpts", "mqueue", "ramfs", "overlay"];

/// The container's root while it is being furnished.
#[derive(Debug)]
pub(super) struct Furnisher<'a> {
    pub(super) root: BorrowedFd<'a>,
    pub(super) has_user_namespace: bool,
    pub(super) label: Option<&'a str>,
    /// Mounts that become read-only when everything below them is there.
    pub(super) read_only_later: Vec<OwnedFd>,
}

impl Furnisher<'_> {
    /// Mounts anything but the control groups.
    pub(super) fn mount(&mut self, plan: &MountPlan<'_>) -> Result<(), Failure> {
        match &plan.kind {
            Kind::Bind(source) => self.bind(plan, source, None),
            Kind::Cloned { tree, source } => self.bind(plan, source, Some(tree.as_fd())),
            Kind::FileSystem { name, source } => self.file_system(plan, name, source),
            Kind::Cgroup(_) => Ok(()),
        }
        .map_err(|failure| mounting(plan, failure))
    }

    fn bind(
        &mut self,
        plan: &MountPlan<'_>,
        source: &Path,
        tree: Option<BorrowedFd<'_>>,
    ) -> Result<(), Failure> {
        let cloned;
        let tree = match tree {
            Some(tree) => tree,
            None => {
                cloned = clone_source(source, &plan.options)?;
                cloned.as_fd()
            }
        };
        let directory = resolve::is_directory(tree).during(|| "looking at the source")?;
        let want = if directory { Want::Directory } else { Want::File };
        let target = resolve::ensure(self.root, plan.destination, want)
            .during(|| "creating the mount point")?;
        if resolve::is_directory(&target).during(|| "looking at the mount point")? != directory {
            return Err(Failure::new(
                "not a directory: are you trying to mount a directory onto a file (or vice-versa)?",
            ));
        }
        refuse_in_proc(&target, plan.destination)?;
        change_attributes(tree, &plan.options)?;
        attach(tree, target.as_fd())?;
        change_propagation(tree, &plan.options)
    }

    fn file_system(
        &mut self,
        plan: &MountPlan<'_>,
        name: &str,
        source: &Path,
    ) -> Result<(), Failure> {
        let options = &plan.options;
        let tmpfs = name == "tmpfs";
        // One that is made for it says nothing of the mode that is wanted.
        let covers = tmpfs && self.is_there(plan.destination);
        let target = self.mount_point(plan.destination, name)?;
        let mode = if covers { inherited_mode(&target, options)? } else { None };
        let later = tmpfs && options.attributes.read_only();
        let attributes = if later { options.attributes.writable() } else { options.attributes };
        let tree = match self.create(name, source, options, attributes, mode) {
            // A user namespace without a network namespace of its own may not have a sysfs: it gets
            // the host's, as other runtimes do.
            Err(failure) if self.may_bind_sys(name, failure.errno) => {
                let tree = clone(Path::new("/sys"), true).during(|| "binding /sys")?;
                change_attributes(tree.as_fd(), options)?;
                tree
            }
            other => other?,
        };
        if options.copy_up {
            super::copy_up::copy(target.as_fd(), tree.as_fd()).during(|| "tmpcopyup")?;
        }
        if !options.recursive_attributes.is_empty() {
            let change = options.recursive_attributes.change();
            gantry_sys::mount::change(tree.as_fd(), change, true)
                .during(|| "setting attributes")?;
        }
        attach(tree.as_fd(), target.as_fd())?;
        change_propagation(tree.as_fd(), options)?;
        if later {
            self.read_only_later.push(tree);
        }
        Ok(())
    }

    fn is_there(&self, destination: &Path) -> bool {
        resolve::open(self.root, &resolve::normal(destination), OFlags::PATH).is_ok()
    }

    fn may_bind_sys(&self, name: &str, errno: i32) -> bool {
        name == "sysfs" && self.has_user_namespace && errno == Errno::PERM.raw_os_error()
    }

    /// Where a file system is mounted. For those that others rely on no link may be on the way: an
    /// image with `/proc -> /elsewhere` would otherwise keep the true one out of sight.
    fn mount_point(&self, destination: &Path, name: &str) -> Result<OwnedFd, Failure> {
        let text = || "creating the mount point";
        let target = resolve::ensure(self.root, destination, Want::Directory).during(text)?;
        if name == "proc" || name == "sysfs" {
            let names = resolve::normal(destination);
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW;
            return resolve::open_plain(self.root, &names, flags)
                .during(|| format!("filesystem {name:?} must be mounted on ordinary directory"));
        }
        refuse_in_proc(&target, destination)?;
        Ok(target)
    }

    /// A new instance of a file system, not yet attached.
    fn create(
        &self,
        name: &str,
        source: &Path,
        options: &Options,
        attributes: Attributes,
        mode: Option<String>,
    ) -> Result<OwnedFd, Failure> {
        let text = || format!("creating a {name} file system");
        let fs = rustix::mount::fsopen(name, FsOpenFlags::FSOPEN_CLOEXEC).during(text)?;
        if !source.as_os_str().is_empty() {
            rustix::mount::fsconfig_set_string(&fs, "source", source).during(text)?;
        }
        for (key, value) in &options.data {
            match value {
                Some(value) => rustix::mount::fsconfig_set_string(&fs, key, value),
                None => rustix::mount::fsconfig_set_flag(&fs, key),
            }
            .during(|| format!("mount option {key:?}"))?;
        }
        if let Some(mode) = mode {
            rustix::mount::fsconfig_set_string(&fs, "mode", mode).during(text)?;
        }
        if let Some(label) = self.label {
            rustix::mount::fsconfig_set_string(&fs, "context", label).during(text)?;
        }
        if attributes.read_only() && !VIRTUAL.contains(&name) {
            rustix::mount::fsconfig_set_flag(&fs, "ro").during(text)?;
        }
        rustix::mount::fsconfig_create(&fs).during(text)?;
        let bits = u32::try_from(attributes.set).unwrap_or(0);
        let attributes = MountAttrFlags::from_bits_retain(bits);
        rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes).during(text)
    }

    /// Makes read-only what had to stay writable for a while.
    pub(super) fn finish(&mut self) -> Result<(), Failure> {
        let change = Change { set: gantry_sys::mount::RDONLY, ..Change::default() };
        for mount in self.read_only_later.drain(..) {
            gantry_sys::mount::change(mount.as_fd(), change, false)
                .during(|| "making a tmpfs read-only")?;
        }
        Ok(())
    }
}

/// What failed, with the mount that it failed for.
pub(super) fn mounting(plan: &MountPlan<'_>, mut failure: Failure) -> Failure {
    let what = match &plan.kind {
        Kind::Bind(source) | Kind::Cloned { source, .. } => source.display().to_string(),
        Kind::FileSystem { name, .. } => (*name).to_owned(),
        Kind::Cgroup(_) => "cgroup".to_owned(),
    };
    let at = plan.destination.display();
    failure.text = format!("error mounting {what:?} to rootfs at \"{at}\": {}", failure.text);
    failure
}

/// Whether a file system is made of nothing that the host has mounted.
pub(super) fn is_virtual(name: &str) -> bool {
    name != "overlay" && VIRTUAL.contains(&name)
}

/// A tmpfs takes the mode of the directory that it covers, unless told another.
fn inherited_mode(target: &OwnedFd, options: &Options) -> Result<Option<String>, Failure> {
    if options.data.iter().any(|(key, _)| key == "mode") {
        return Ok(None);
    }
    let stat = rustix::fs::fstat(target).during(|| "looking at the mount point")?;
    Ok(Some(format!("{:o}", stat.st_mode & 0o7777)))
}

/// Refuses to cover anything of procfs but the few files that may be.
fn refuse_in_proc(target: &OwnedFd, destination: &Path) -> Result<(), Failure> {
    let stat = rustix::fs::fstatfs(target).during(|| "looking at the mount point")?;
    let names = resolve::normal(destination);
    if stat.f_type != resolve::PROC_MAGIC
        || COVERABLE_IN_PROC.iter().any(|allowed| names == Path::new(allowed))
        || names == Path::new("proc")
    {
        return Ok(());
    }
    Err(Failure::new(format!(
        "{} cannot be mounted because it is inside /proc",
        destination.display()
    )))
}

/// A detached copy of what a bind mount shows.
pub(super) fn clone_source(source: &Path, options: &Options) -> Result<OwnedFd, Failure> {
    clone(source, options.recursive).during(|| format!("stat {}", source.display()))
}

/// A detached copy of a mount of the host.
pub(super) fn clone(source: &Path, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(CWD, source, flags)
}

/// A detached copy of what a descriptor is of.
pub(super) fn clone_fd(source: BorrowedFd<'_>, recursive: bool) -> Result<OwnedFd, Errno> {
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH;
    if recursive {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    rustix::mount::open_tree(source, "", flags)
}

/// Puts a detached mount onto the very file or directory that a descriptor is of.
pub(super) fn attach(tree: BorrowedFd<'_>, target: BorrowedFd<'_>) -> Result<(), Failure> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    rustix::mount::move_mount(tree, "", target, "", flags).during(|| "mounting")
}

fn change_attributes(tree: BorrowedFd<'_>, options: &Options) -> Result<(), Failure> {
    for (attributes, recursive) in
        [(options.attributes, false), (options.recursive_attributes, true)]
    {
        if !attributes.is_empty() {
            gantry_sys::mount::change(tree, attributes.change(), recursive)
                .during(|| "setting attributes")?;
        }
    }
    Ok(())
}

fn change_propagation(tree: BorrowedFd<'_>, options: &Options) -> Result<(), Failure> {
    for (propagation, recursive) in &options.propagation {
        let change = Change { propagation: Some(*propagation), ..Change::default() };
        gantry_sys::mount::change(tree, change, *recursive).during(|| "setting propagation")?;
    }
    Ok(())
}

/// Opens a file of the host for binding.
pub(super) fn open_host(path: &Path) -> Result<OwnedFd, Errno> {
    rustix::fs::openat(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}
