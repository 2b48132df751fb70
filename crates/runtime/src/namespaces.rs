//! Which namespaces a container gets, and in which order they are made and joined.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_oci::runtime::{Linux, NamespaceKind};
use rustix::fs::{CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{LinkNameSpaceType, UnshareFlags};

use crate::CreateError;
use crate::channel::{During, Failure};

/// What is done about each kind of namespace.
#[derive(Debug)]
pub(crate) struct NamespacePlan {
    /// Made by `clone3` at once.
    pub(crate) new: UnshareFlags,
    /// A new cgroup namespace: made once the process is in its group, which becomes the root of it.
    pub(crate) new_cgroup: bool,
    /// A new time namespace: made by the process itself, since its offsets are fixed by entering it.
    pub(crate) new_time: bool,
    /// An empty mount namespace that the new one is made a copy of, in place of the caller's: by
    /// the process itself, once it has all that it needs of the host.
    pub(crate) empty_mounts: Option<OwnedFd>,
    /// To be joined, in order, by the new process.
    pub(crate) join: Vec<(NamespaceKind, OwnedFd)>,
    /// A user namespace to be joined before the others are made.
    pub(crate) join_user: Option<OwnedFd>,
    /// A pid namespace to be joined: it takes effect for children only.
    pub(crate) join_pid: Option<OwnedFd>,
}

/// The flag of a kind.
pub(crate) fn flag(kind: NamespaceKind) -> UnshareFlags {
    match kind {
        NamespaceKind::Pid => UnshareFlags::NEWPID,
        NamespaceKind::Network => UnshareFlags::NEWNET,
        NamespaceKind::Mount => UnshareFlags::NEWNS,
        NamespaceKind::Ipc => UnshareFlags::NEWIPC,
        NamespaceKind::Uts => UnshareFlags::NEWUTS,
        NamespaceKind::User => UnshareFlags::NEWUSER,
        NamespaceKind::Cgroup => UnshareFlags::NEWCGROUP,
        NamespaceKind::Time => UnshareFlags::NEWTIME,
    }
}

fn link_type(kind: NamespaceKind) -> LinkNameSpaceType {
    match kind {
        NamespaceKind::Pid => LinkNameSpaceType::ProcessID,
        NamespaceKind::Network => LinkNameSpaceType::Network,
        NamespaceKind::Mount => LinkNameSpaceType::Mount,
        NamespaceKind::Ipc => LinkNameSpaceType::InterProcessCommunication,
        NamespaceKind::Uts => LinkNameSpaceType::HostNameAndNISDomainName,
        NamespaceKind::User => LinkNameSpaceType::User,
        NamespaceKind::Cgroup => LinkNameSpaceType::ControlGroup,
        NamespaceKind::Time => LinkNameSpaceType::Time,
    }
}

impl NamespacePlan {
    /// Sorts the namespaces of a specification and opens those to join.
    pub(crate) fn new(
        linux: &Linux,
        network: Option<BorrowedFd<'_>>,
    ) -> Result<NamespacePlan, CreateError> {
        let mut plan = NamespacePlan {
            new: UnshareFlags::empty(),
            new_cgroup: false,
            new_time: false,
            empty_mounts: None,
            join: Vec::new(),
            join_user: None,
            join_pid: None,
        };
        let mut seen = Vec::new();
        for namespace in &linux.namespaces {
            let kind = namespace.kind;
            if seen.contains(&kind) {
                return Err(CreateError::Invalid(format!(
                    "malformed spec file: duplicated ns {namespace:?}"
                )));
            }
            seen.push(kind);
            if kind == NamespaceKind::Network && network.is_some() {
                continue;
            }
            match &namespace.path {
                Some(path) if !path.as_os_str().is_empty() => plan.will_join(kind, open(path)?),
                _ => plan.will_make(kind),
            }
        }
        if let Some(fd) = network {
            plan.will_join(NamespaceKind::Network, copy(fd)?);
        }
        Ok(plan)
    }

    /// Has the new mount namespace be a copy of an empty one.
    pub(crate) fn start_from(&mut self, empty_mounts: BorrowedFd<'_>) -> Result<(), CreateError> {
        self.new -= UnshareFlags::NEWNS;
        self.empty_mounts = Some(copy(empty_mounts)?);
        Ok(())
    }

    fn will_make(&mut self, kind: NamespaceKind) {
        match kind {
            NamespaceKind::Cgroup => self.new_cgroup = true,
            NamespaceKind::Time => self.new_time = true,
            _ => self.new |= flag(kind),
        }
    }

    fn will_join(&mut self, kind: NamespaceKind, fd: OwnedFd) {
        match kind {
            NamespaceKind::User => self.join_user = Some(fd),
            NamespaceKind::Pid => self.join_pid = Some(fd),
            _ => self.join.push((kind, fd)),
        }
        // A mount namespace changes what every path means: it comes last.
        self.join.sort_by_key(|(kind, _)| *kind == NamespaceKind::Mount);
    }

    /// Whether the container gets a mount namespace that is made for it.
    pub(crate) fn makes_mounts(&self) -> bool {
        self.new.contains(UnshareFlags::NEWNS) || self.empty_mounts.is_some()
    }

    /// Whether the container gets a user namespace that is not the caller's.
    pub(crate) fn has_user(&self) -> bool {
        self.new.contains(UnshareFlags::NEWUSER) || self.join_user.is_some()
    }

    /// Whether a kind is new or joined.
    pub(crate) fn is_own(&self, kind: NamespaceKind) -> bool {
        match kind {
            NamespaceKind::Cgroup if self.new_cgroup => true,
            NamespaceKind::Time if self.new_time => true,
            NamespaceKind::Mount if self.empty_mounts.is_some() => true,
            NamespaceKind::User => self.has_user(),
            NamespaceKind::Pid if self.join_pid.is_some() => true,
            kind => self.new.contains(flag(kind)) || self.joins(kind),
        }
    }

    /// Whether a kind is joined.
    pub(crate) fn joins(&self, kind: NamespaceKind) -> bool {
        self.join.iter().any(|(joined, _)| *joined == kind)
    }

    /// Enters the namespaces to join.
    pub(crate) fn enter(&self) -> Result<(), Failure> {
        for (kind, fd) in &self.join {
            enter(fd.as_fd(), *kind).during(|| format!("joining the {kind:?} namespace"))?;
        }
        Ok(())
    }
}

fn copy(fd: BorrowedFd<'_>) -> Result<OwnedFd, CreateError> {
    fd.try_clone_to_owned().map_err(|source| CreateError::Prepare {
        what: "duplicating a namespace's descriptor".to_owned(),
        source,
    })
}

/// Enters one namespace.
pub(crate) fn enter(fd: BorrowedFd<'_>, kind: NamespaceKind) -> Result<(), Errno> {
    rustix::thread::move_into_link_name_space(fd, Some(link_type(kind)))
}

fn open(path: &Path) -> Result<OwnedFd, CreateError> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty()).map_err(|errno| CreateError::Prepare {
        what: format!("failed to open namespace {}", path.display()),
        source: errno.into(),
    })
}
