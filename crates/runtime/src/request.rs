//! What a caller asks for.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_cgroup::Cgroup;
use gantry_oci::runtime::{Process, Spec};

/// Where the container's files come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rootfs {
    /// A directory, bound on itself.
    Path(PathBuf),
    /// An overlay, mounted inside the container's own mount namespace: the host never sees it.
    Overlay {
        /// Read-only directories, the topmost first.
        lower: Vec<PathBuf>,
        /// The directory that takes the changes.
        upper: PathBuf,
        /// Overlayfs' own directory, on the file system of `upper`.
        work: PathBuf,
        /// Nothing is brought to disk: for changes that are of no use after a power cut.
        volatile: bool,
    },
}

/// Where standard input, output and error of a process go.
#[derive(Debug)]
pub enum Stdio {
    /// To those of the calling process.
    Inherit,
    /// To these.
    Fds {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// To a new terminal in the container's `devpts`, whose master side the caller gets.
    Terminal,
}

/// Which control group the container lives in.
#[derive(Debug, Clone)]
pub enum CgroupChoice {
    /// A new one: `linux.cgroupsPath`, or `/<id>` without one.
    Spec,
    /// A new one at this path below each hierarchy.
    Path(String),
    /// One that the caller made; it is left alone when the creation fails.
    Existing(Cgroup),
}

/// How the caller tells the created container to start.
#[derive(Debug)]
pub enum StartGate {
    /// By [`crate::Created::start`], from the same process.
    Pair,
    /// By whoever connects to this listening `SOCK_SEQPACKET` socket; see [`crate::start_through`].
    Listener(OwnedFd),
}

/// A container to make.
#[derive(Debug)]
pub struct CreateRequest<'a> {
    /// The container's id.
    pub id: &'a str,
    /// The bundle's directory, absolute: relative paths of the specification start there.
    pub bundle: &'a Path,
    /// The configuration.
    pub spec: &'a Spec,
    /// The files.
    pub rootfs: Rootfs,
    /// Standard input, output and error.
    pub stdio: Stdio,
    /// A network namespace to join instead of what the specification says.
    pub network: Option<BorrowedFd<'a>>,
    /// A mount namespace that holds nothing ([`gantry_sys::mntns::empty`]), for the container's to
    /// be a copy of. Without it, or where the specification does not allow it, the container's is
    /// a copy of the caller's, and `pivot_root(2)` leaves behind what came with it.
    pub empty_mounts: Option<BorrowedFd<'a>>,
    /// A compiled system call filter; `None` compiles `linux.seccomp`.
    pub seccomp: Option<&'a [u8]>,
    /// Flags of that filter (`SECCOMP_FILTER_FLAG_*`).
    pub seccomp_flags: u32,
    /// The control group.
    pub cgroup: CgroupChoice,
    /// The host's readiness socket (`sd_notify(3)`): it is bound into the container, whose
    /// `NOTIFY_SOCKET` names it.
    pub notify_socket: Option<&'a Path>,
    /// How many descriptors from 3 on the program keeps.
    pub preserve_fds: u32,
    /// How the start is told.
    pub start: StartGate,
    /// Whether [`crate::HeldNamespaces`] are taken.
    pub hold_namespaces: bool,
    /// `MS_MOVE` and `chroot` in place of `pivot_root`, for roots on a RAM disk.
    pub no_pivot: bool,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
    /// Have the kernel kill the first process when the caller ends (`PR_SET_PDEATHSIG`). A program
    /// with set-user-ID or file capabilities sheds this when it is executed.
    pub dies_with_parent: bool,
}

impl<'a> CreateRequest<'a> {
    /// A request with the usual choices: root from the specification, the caller's stdio, a new
    /// control group.
    #[must_use]
    pub fn new(id: &'a str, bundle: &'a Path, spec: &'a Spec) -> Self {
        let root = spec.root.as_ref().map_or(Path::new("rootfs"), |root| root.path.as_path());
        CreateRequest {
            id,
            bundle,
            spec,
            rootfs: Rootfs::Path(bundle.join(root)),
            stdio: Stdio::Inherit,
            network: None,
            empty_mounts: None,
            seccomp: None,
            seccomp_flags: 0,
            cgroup: CgroupChoice::Spec,
            notify_socket: None,
            preserve_fds: 0,
            start: StartGate::Pair,
            hold_namespaces: false,
            no_pivot: false,
            no_new_keyring: false,
            dies_with_parent: false,
        }
    }
}

/// A further process to run inside a container.
#[derive(Debug)]
pub struct ExecRequest<'a> {
    /// The container's id, for the session keyring's name.
    pub id: &'a str,
    /// The container's first process.
    pub pid: u32,
    /// The same as a descriptor.
    pub pidfd: BorrowedFd<'a>,
    /// What to run.
    pub process: &'a Process,
    /// Standard input, output and error.
    pub stdio: Stdio,
    /// The container's control group; `None` stays in the caller's.
    pub cgroup: Option<&'a Cgroup>,
    /// A compiled system call filter.
    pub seccomp: Option<&'a [u8]>,
    /// Flags of that filter (`SECCOMP_FILTER_FLAG_*`).
    pub seccomp_flags: u32,
    /// How many descriptors from 3 on the program keeps.
    pub preserve_fds: u32,
    /// Keep the caller's session keyring.
    pub no_new_keyring: bool,
}
