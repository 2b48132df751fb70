//! The root file system: making it, and making it the root.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_oci::runtime::NamespaceKind;
use gantry_sys::mount::{Change, Propagation};
use gantry_sys::overlay::{Overlay, mount_detached};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxAttributes, StatxFlags};
use rustix::mount::{
    MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags, UnmountFlags,
};
use rustix::thread::UnshareFlags;

use crate::channel::{During, Failure};
use crate::{Rootfs, namespaces};

/// Sets how the mounts of the new namespace hear of the host's, and mounts the root.
///
/// Answers a descriptor of the root's top directory.
pub(super) fn prepare(rootfs: &Rootfs, propagation: Option<&str>) -> Result<OwnedFd, Failure> {
    let (kind, recursive) = match propagation {
        None | Some("") => (Propagation::Slave, true),
        Some(word) => crate::mount_options::propagation(word)
            .ok_or_else(|| Failure::new(format!("rootfsPropagation={word} is not supported")))?,
    };
    set_propagation("/", kind, recursive)?;
    let at = match rootfs {
        Rootfs::Path(path) => path.clone(),
        // Nobody sees this mount but the container, so any place is good: on top of the root.
        Rootfs::Overlay { .. } => PathBuf::from("/"),
    };
    if kind == Propagation::Shared {
        isolate(&at)?;
    }
    let tree = detached(rootfs)?;
    attach(&tree, &at)?;
    Ok(tree)
}

/// Leaves the host's mounts for a copy of an empty namespace, with the root alone in it. What else
/// is wanted of the host's must be open by now.
///
/// The empty directory below the root cannot be seen: the kernel takes what lies on top of it for
/// the namespace's root. It is the same with every system that has left an initial RAM disk.
pub(super) fn start_from(empty: BorrowedFd<'_>, tree: &OwnedFd) -> Result<(), Failure> {
    let text = || "starting from an empty mount namespace";
    namespaces::enter(empty, NamespaceKind::Mount).during(text)?;
    gantry_sys::namespace::unshare(UnshareFlags::NEWNS).during(text)?;
    attach(tree, Path::new("/"))?;
    rustix::process::fchdir(tree).during(text)?;
    rustix::process::chroot(".").during(text)
}

/// The root file system as a mount that is attached nowhere.
pub(super) fn detached(rootfs: &Rootfs) -> Result<OwnedFd, Failure> {
    match rootfs {
        Rootfs::Path(path) => clone_tree(path),
        Rootfs::Overlay { lower, upper, work, volatile } => overlay(Overlay {
            lower,
            upper: Some((upper, work)),
            attributes: MountAttrFlags::empty(),
            volatile: *volatile,
        }),
    }
}

fn attach(tree: &OwnedFd, at: &Path) -> Result<(), Failure> {
    rustix::mount::move_mount(tree, "", CWD, at, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .during(|| format!("mounting rootfs on {}", at.display()))
}

fn set_propagation(at: &str, kind: Propagation, recursive: bool) -> Result<(), Failure> {
    let mut flags = match kind {
        Propagation::Private => MountPropagationFlags::PRIVATE,
        Propagation::Shared => MountPropagationFlags::SHARED,
        Propagation::Slave => MountPropagationFlags::DOWNSTREAM,
        Propagation::Unbindable => MountPropagationFlags::UNBINDABLE,
    };
    if recursive {
        flags |= MountPropagationFlags::REC;
    }
    rustix::mount::mount_change(at, flags).during(|| format!("setting propagation of {at}"))
}

/// Makes the mount that holds `path` private, so that what is mounted there stays here.
fn isolate(path: &Path) -> Result<(), Failure> {
    for ancestor in path.ancestors() {
        let text = || format!("looking at {}", ancestor.display());
        let stat =
            rustix::fs::statx(CWD, ancestor, AtFlags::empty(), StatxFlags::empty()).during(text)?;
        if stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT) {
            return rustix::mount::mount_change(ancestor, MountPropagationFlags::PRIVATE)
                .during(|| format!("making {} private", ancestor.display()));
        }
    }
    Ok(())
}

fn clone_tree(path: &Path) -> Result<OwnedFd, Failure> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_RECURSIVE;
    let tree = rustix::mount::open_tree(CWD, path, flags)
        .during(|| format!("opening rootfs {}", path.display()))?;
    if !crate::resolve::is_directory(&tree).during(|| "looking at rootfs")? {
        return Err(Failure::new(format!("rootfs {} is not a directory", path.display())));
    }
    Ok(tree)
}

fn overlay(overlay: Overlay<'_>) -> Result<OwnedFd, Failure> {
    mount_detached(overlay).or_else(|refused| {
        let text = refused.to_string();
        Err(refused.source).during(|| text)
    })
}

/// Makes `root` the root and lets go of everything else.
pub(super) fn pivot(root: BorrowedFd<'_>, shared: bool) -> Result<(), Failure> {
    let text = || "pivot_root";
    let old = match shared {
        true => Some(
            rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty()).during(text)?,
        ),
        false => None,
    };
    rustix::process::fchdir(root).during(text)?;
    // Old root and new root at the same place: the old one ends up on top, and no directory of the
    // image is needed to hold it (`pivot_root(2)`, notes).
    rustix::process::pivot_root(".", ".").during(text)?;
    if let Some(old) = old {
        // Letting go must not let go on the host too. "." is the new root still, whatever lies on
        // top of it: only unmounting looks there.
        rustix::process::fchdir(old).during(text)?;
        let flags = MountPropagationFlags::DOWNSTREAM | MountPropagationFlags::REC;
        rustix::mount::mount_change(".", flags).during(text)?;
    }
    rustix::mount::unmount(".", UnmountFlags::DETACH).during(|| "unmounting the old root")?;
    rustix::process::chdir("/").during(|| "chdir to the new root")
}

/// The same by moving the mount and `chroot(2)`, for hosts whose root is the initial RAM disk.
pub(super) fn move_root(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let text = || "moving the root";
    rustix::process::fchdir(root).during(text)?;
    // What else the host has mounted must not be reachable: take away all that can be.
    let mounts = std::fs::read_to_string("/proc/self/mountinfo").during(text)?;
    let own = std::env::current_dir().during(text)?;
    for mount in mounts.lines().rev().filter_map(|line| line.split(' ').nth(4)) {
        let inside = Path::new(mount).starts_with(&own);
        if !inside && (mount.starts_with("/proc") || mount.starts_with("/sys")) {
            let _ = rustix::mount::unmount(mount, UnmountFlags::DETACH);
        }
    }
    rustix::mount::mount_move(".", "/").during(text)?;
    rustix::process::chroot(".").during(text)?;
    rustix::process::chdir("/").during(text)
}

/// Makes the root's mount read-only, but not what is mounted below it.
pub(super) fn set_read_only(root: BorrowedFd<'_>) -> Result<(), Failure> {
    let change = Change { set: gantry_sys::mount::RDONLY, ..Change::default() };
    gantry_sys::mount::change(root, change, false).during(|| "making rootfs read-only")
}

/// Gives the container's root the propagation that was asked for, after the pivot.
pub(super) fn finish_propagation(propagation: Option<&str>) -> Result<(), Failure> {
    let Some((kind, recursive)) = propagation.and_then(crate::mount_options::propagation) else {
        return Ok(());
    };
    if kind == Propagation::Slave {
        return Ok(());
    }
    let root = rustix::fs::open("/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .during(|| "opening the root")?;
    let change = Change { propagation: Some(kind), ..Change::default() };
    gantry_sys::mount::change(root.as_fd(), change, recursive)
        .during(|| "setting propagation of rootfs")
}
