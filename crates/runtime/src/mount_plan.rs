//! The mounts of a container, parsed before the fork.
//!
//! What needs the host's rights over a file system is done here: id-mapped binds are made by the
//! parent, since inside a user namespace the kernel would not allow them.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_oci::runtime::{IdMapping, Mount, Spec};
use gantry_sys::kernel::Version;
use gantry_sys::mount::Change;
use gantry_sys::process::{Fork, Forked, Namespaces};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::mount::OpenTreeFlags;
use rustix::thread::UnshareFlags;

use crate::CreateError;
use crate::init::cgroup_view;
use crate::mount_options::{self, Options};

/// One mount, parsed.
#[derive(Debug)]
pub(crate) struct MountPlan<'a> {
    pub(crate) destination: &'a Path,
    pub(crate) kind: Kind<'a>,
    pub(crate) options: Options,
}

/// What is mounted.
#[derive(Debug)]
pub(crate) enum Kind<'a> {
    /// A file or directory of the host, by its path.
    Bind(PathBuf),
    /// The same, cloned already.
    Cloned { tree: OwnedFd, source: PathBuf },
    /// The container's view of the control groups, with what it is made of if that is cloned
    /// already.
    Cgroup(Option<cgroup_view::Sources>),
    /// A new instance of a file system.
    FileSystem { name: &'a str, source: &'a Path },
}

impl Kind<'_> {
    /// Notes the copy of what is to be bound.
    pub(crate) fn hold(&mut self, tree: OwnedFd) {
        if let Kind::Bind(source) = self {
            *self = Kind::Cloned { tree, source: std::mem::take(source) };
        }
    }
}

/// Parses all mounts of a specification.
pub(crate) fn parse<'a>(spec: &'a Spec, bundle: &Path) -> Result<Vec<MountPlan<'a>>, CreateError> {
    spec.mounts.iter().map(|mount| parse_one(spec, mount, bundle)).collect()
}

fn parse_one<'a>(
    spec: &'a Spec,
    mount: &'a Mount,
    bundle: &Path,
) -> Result<MountPlan<'a>, CreateError> {
    let destination = mount.destination.as_path();
    if destination.as_os_str().is_empty() {
        return Err(CreateError::Invalid("mount destination must not be empty".to_owned()));
    }
    let options = mount_options::parse(&mount.options);
    let name = mount.kind.as_deref().unwrap_or("");
    let source = mount.source.as_deref().unwrap_or(Path::new(""));
    let kind = if options.bind || name == "bind" {
        // A relative source starts at the bundle.
        let source = bundle.join(source);
        match options.idmap {
            None => Kind::Bind(source),
            Some(recursive) => {
                let tree = mapped_tree(spec, mount, &source, options.recursive, recursive)?;
                Kind::Cloned { tree, source }
            }
        }
    } else if options.idmap.is_some() {
        return Err(invalid(mount, "only bind mounts can be id-mapped"));
    } else if name.is_empty() {
        return Err(invalid(mount, "it has neither a type nor a bind option"));
    } else if name == "cgroup" || name == "cgroup2" {
        Kind::Cgroup(None)
    } else {
        Kind::FileSystem { name, source }
    };
    Ok(MountPlan { destination, kind, options })
}

fn invalid(mount: &Mount, why: &str) -> CreateError {
    CreateError::Invalid(format!("invalid mount {}: {why}", mount.destination.display()))
}

/// A clone of a host directory whose ids are shifted by the mappings of the mount, or of the
/// container's user namespace.
fn mapped_tree(
    spec: &Spec,
    mount: &Mount,
    source: &Path,
    recursive_bind: bool,
    recursive_map: bool,
) -> Result<OwnedFd, CreateError> {
    let linux = spec.linux.as_ref();
    let (uids, gids) = if mount.uid_mappings.is_empty() && mount.gid_mappings.is_empty() {
        linux.map(|l| (l.uid_mappings.as_slice(), l.gid_mappings.as_slice())).unwrap_or_default()
    } else {
        (mount.uid_mappings.as_slice(), mount.gid_mappings.as_slice())
    };
    if uids.is_empty() || gids.is_empty() {
        return Err(invalid(mount, "an id-mapped mount needs uid and gid mappings"));
    }
    let during = |source_error: std::io::Error| CreateError::Prepare {
        what: format!("id-mapping {} for {}", source.display(), mount.destination.display()),
        source: source_error,
    };
    let mut flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive_bind {
        flags |= OpenTreeFlags::AT_RECURSIVE;
    }
    let tree = rustix::mount::open_tree(CWD, source, flags).map_err(|e| during(e.into()))?;
    let userns = user_namespace(uids, gids).map_err(during)?;
    let change = Change { idmap: Some(userns.as_fd()), ..Change::default() };
    gantry_sys::mount::change(tree.as_fd(), change, recursive_map)
        .map_err(|error| {
            // File systems learnt it one by one: overlayfs in 5.19, tmpfs in 6.3.
            match error.raw_os_error() {
                Some(libc::EINVAL) => std::io::Error::new(
                    error.kind(),
                    format!("the file system cannot be id-mapped{}", Version(6, 3).needed()),
                ),
                _ => error,
            }
        })
        .map_err(during)?;
    Ok(tree)
}

/// A user namespace with these mappings, held by its descriptor alone.
fn user_namespace(uids: &[IdMapping], gids: &[IdMapping]) -> std::io::Result<OwnedFd> {
    let namespaces = Namespaces(UnshareFlags::NEWUSER);
    let holder = match gantry_sys::process::fork(Fork { namespaces, ..Fork::default() })? {
        Forked::Child => loop {
            // Ended by the parent below; by the kernel should the parent vanish before.
            let _ = rustix::process::set_parent_process_death_signal(Some(
                rustix::process::Signal::KILL,
            ));
            rustix::event::pause();
        },
        Forked::Parent { pid, pidfd } => (pid, pidfd),
    };
    let made = write_mappings(holder.0, uids, gids).and_then(|()| {
        let path = format!("/proc/{}/ns/user", holder.0);
        Ok(rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?)
    });
    end(holder.1.as_fd());
    made
}

/// Kills a child and waits for it.
pub(crate) fn end(pidfd: std::os::fd::BorrowedFd<'_>) {
    use rustix::process::{Signal, WaitId, WaitIdOptions};
    let _ = rustix::process::pidfd_send_signal(pidfd, Signal::KILL);
    let _ = rustix::io::retry_on_intr(|| {
        rustix::process::waitid(WaitId::PidFd(pidfd), WaitIdOptions::EXITED)
    });
}

/// Writes the mappings of a process's new user namespace.
pub(crate) fn write_mappings(
    pid: u32,
    uids: &[IdMapping],
    gids: &[IdMapping],
) -> std::io::Result<()> {
    let lines = |mappings: &[IdMapping]| -> String {
        mappings.iter().map(|m| format!("{} {} {}\n", m.container_id, m.host_id, m.size)).collect()
    };
    std::fs::write(format!("/proc/{pid}/gid_map"), lines(gids))?;
    std::fs::write(format!("/proc/{pid}/uid_map"), lines(uids))
}
