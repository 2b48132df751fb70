//! The container's view of its control groups.

use std::ffi::OsString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_cgroup::{Cgroup, Host, Version};
use gantry_sys::mount::{Change, NODEV, NOEXEC, NOSUID, RDONLY};
use rustix::fs::Mode;
use rustix::io::Errno;
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags};

use super::mounts::{attach, clone};
use crate::channel::{During, Failure};
use crate::mount_options::Options;
use crate::resolve::{self, Want};

/// What a view shows of the host: directories by their names in the view, not yet attached.
#[derive(Debug)]
pub(crate) struct Sources(Vec<(OsString, OwnedFd)>);

impl Sources {
    /// Of a container's group; on v2 there are none if the container has a namespace of its own.
    pub(super) fn gather(
        host: &Host,
        cgroup: Option<&Cgroup>,
        own_namespace: bool,
        options: &Options,
    ) -> Result<Sources, Failure> {
        let read_only = options.attributes.read_only();
        let Some(cgroup) = cgroup else { return Ok(Sources(Vec::new())) };
        if host.version() != Version::V2 {
            return controllers(cgroup, read_only);
        }
        let groups = if own_namespace { Vec::new() } else { vec![bind_group(cgroup, read_only)?] };
        Ok(Sources(groups.into_iter().map(|tree| (OsString::new(), tree)).collect()))
    }
}

/// Mounts the view: on v2 the container's own tree; on v1 a tmpfs with the container's own
/// directory of every hierarchy. Nothing of other groups can be seen.
pub(super) fn mount(
    root: BorrowedFd<'_>,
    (destination, options): (&Path, &Options),
    host: &Host,
    Sources(mut groups): Sources,
) -> Result<(), Failure> {
    let text = || format!("error mounting \"cgroup\" to rootfs at {destination:?}");
    let target = resolve::ensure(root, destination, Want::Directory).during(text)?;
    let read_only = options.attributes.read_only();
    if host.version() == Version::V2 {
        let tree = match groups.pop() {
            Some((_, tree)) => tree,
            None => unified(options.attributes.set).during(text)?,
        };
        return attach(tree.as_fd(), target.as_fd());
    }
    let tree = tmpfs().during(text)?;
    attach(tree.as_fd(), target.as_fd())?;
    for (name, group) in &groups {
        let text = || format!("mounting the view of {}", name.display());
        let target =
            resolve::ensure(tree.as_fd(), Path::new(name), Want::Directory).during(text)?;
        attach(group.as_fd(), target.as_fd())?;
    }
    if !groups.is_empty() {
        for hierarchy in host.hierarchies() {
            link_names(tree.as_fd(), &hierarchy.controllers, &hierarchy.mount)?;
        }
    }
    if read_only {
        let change = Change { set: RDONLY, ..Change::default() };
        gantry_sys::mount::change(tree.as_fd(), change, false).during(text)?;
    }
    Ok(())
}

fn unified(attributes: u64) -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", "cgroup")?;
    rustix::mount::fsconfig_create(&fs)?;
    let bits = u32::try_from(attributes).unwrap_or(0);
    let attributes = MountAttrFlags::from_bits_retain(bits);
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn tmpfs() -> Result<OwnedFd, Errno> {
    let fs = rustix::mount::fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC)?;
    rustix::mount::fsconfig_set_string(&fs, "source", "tmpfs")?;
    rustix::mount::fsconfig_set_string(&fs, "mode", "755")?;
    rustix::mount::fsconfig_create(&fs)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NODEV
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    rustix::mount::fsmount(&fs, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
}

fn bind_group(cgroup: &Cgroup, read_only: bool) -> Result<OwnedFd, Failure> {
    let directory = cgroup.directories().into_iter().next().map(|(_, group)| group);
    let directory = directory.ok_or_else(|| Failure::new("the control group has no directory"))?;
    copy(&directory, read_only)
}

fn copy(directory: &Path, read_only: bool) -> Result<OwnedFd, Failure> {
    let text = || format!("binding {}", directory.display());
    let tree = clone(directory, false).during(text)?;
    let read_only = if read_only { RDONLY } else { 0 };
    let change = Change { set: NOSUID | NODEV | NOEXEC | read_only, ..Change::default() };
    gantry_sys::mount::change(tree.as_fd(), change, false).during(text)?;
    Ok(tree)
}

fn controllers(cgroup: &Cgroup, read_only: bool) -> Result<Sources, Failure> {
    let mut groups = Vec::new();
    for (mount, group) in cgroup.directories() {
        // A hierarchy in which the group was not made has nothing to show.
        if let Some(name) = mount.file_name().filter(|_| group.is_dir()) {
            groups.push((name.to_owned(), copy(&group, read_only)?));
        }
    }
    Ok(Sources(groups))
}

/// Links of single controllers to the hierarchy that holds several (`cpu -> cpu,cpuacct`).
fn link_names(view: BorrowedFd<'_>, names: &[String], mount: &Path) -> Result<(), Failure> {
    let Some(directory) = mount.file_name().map(Path::new) else {
        return Ok(());
    };
    if names.len() < 2 {
        return Ok(());
    }
    for name in names.iter().filter(|name| Path::new(name) != directory) {
        match rustix::fs::symlinkat(directory, view, name) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(errno).during(|| format!("linking controller {name}")),
        }
    }
    // The view's directory modes do not depend on the caller's mask.
    rustix::fs::chmodat(view, ".", Mode::from(0o755), rustix::fs::AtFlags::empty())
        .during(|| "setting the view's mode")
}
