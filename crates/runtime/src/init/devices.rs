//! `/dev`: device nodes, the links that programs expect, and the console.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_oci::runtime::Device;
use rustix::fs::{AtFlags, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;

use super::mounts;
use crate::channel::{During, Failure};
use crate::resolve::{self, Want};

/// Nodes that every container has: runtime-spec, "Default Devices".
const DEFAULT: [(&str, u32, u32); 6] = [
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Links that every container has: runtime-spec, "Dev symbolic links".
const LINKS: [(&str, &str); 4] = [
    ("/proc/self/fd", "fd"),
    ("/proc/self/fd/0", "stdin"),
    ("/proc/self/fd/1", "stdout"),
    ("/proc/self/fd/2", "stderr"),
];

/// Makes nodes and links.
pub(super) fn furnish(
    root: BorrowedFd<'_>,
    devices: &[Device],
    bind_only: bool,
) -> Result<(), Failure> {
    let dev =
        resolve::ensure(root, Path::new("/dev"), Want::Directory).during(|| "opening /dev")?;
    let maker = Maker { bind_only };
    for (name, major, minor) in DEFAULT {
        let asked_for =
            |d: &Device| d.path.strip_prefix("/dev").is_ok_and(|n| n == Path::new(name));
        if devices.iter().any(asked_for) {
            continue;
        }
        let node = Node::character(major, minor);
        maker.make(dev.as_fd(), Path::new(name), &node, &Path::new("/dev").join(name))?;
    }
    for device in devices {
        let node = Node::parse(device)?;
        let (parent, name) = resolve::ensure_parent(root, &device.path)
            .during(|| format!("creating device node {}", device.path.display()))?;
        maker.make(parent.as_fd(), Path::new(&name), &node, &device.path)?;
    }
    for (target, name) in LINKS {
        link(dev.as_fd(), target, name)?;
    }
    if Path::new("/proc/kcore").exists() {
        link(dev.as_fd(), "/proc/kcore", "core")?;
    }
    // The terminals' multiplexer is the container's own, whatever the image has there.
    match rustix::fs::unlinkat(&dev, "ptmx", AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(errno) => return Err(errno).during(|| "removing /dev/ptmx"),
    }
    link(dev.as_fd(), "pts/ptmx", "ptmx")
}

fn link(dev: BorrowedFd<'_>, target: &str, name: &str) -> Result<(), Failure> {
    match rustix::fs::symlinkat(target, dev, name) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(errno) => Err(errno).during(|| format!("symlink /dev/{name}")),
    }
}

/// A node to make.
struct Node {
    kind: FileType,
    device: u64,
    mode: Mode,
    owner: Option<(u32, u32)>,
}

impl Node {
    fn character(major: u32, minor: u32) -> Node {
        Node {
            kind: FileType::CharacterDevice,
            device: rustix::fs::makedev(major, minor),
            mode: Mode::from(0o666),
            owner: None,
        }
    }

    fn parse(device: &Device) -> Result<Node, Failure> {
        let bad = |what: &str| {
            Failure::new(format!("device node {}: invalid {what}", device.path.display()))
        };
        let kind = match device.kind.as_str() {
            "c" | "u" => FileType::CharacterDevice,
            "b" => FileType::BlockDevice,
            "p" => FileType::Fifo,
            _ => return Err(bad("type")),
        };
        let number = |value| u32::try_from(value).map_err(|_| bad("number"));
        let number = if kind == FileType::Fifo {
            0
        } else {
            rustix::fs::makedev(number(device.major)?, number(device.minor)?)
        };
        let owner = (device.uid.unwrap_or(0), device.gid.unwrap_or(0));
        Ok(Node {
            kind,
            device: number,
            mode: Mode::from(device.file_mode.unwrap_or(0o666) & 0o7777),
            owner: (owner != (0, 0)).then_some(owner),
        })
    }

    /// Whether what is there already is this node.
    fn is_at(&self, at: BorrowedFd<'_>, name: &Path) -> Result<bool, Errno> {
        let stat = rustix::fs::statat(at, name, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(FileType::from_raw_mode(stat.st_mode) == self.kind
            && (self.kind == FileType::Fifo || stat.st_rdev == self.device))
    }
}

struct Maker {
    /// Inside a user namespace no node can be made: the host's are bound.
    bind_only: bool,
}

impl Maker {
    fn make(
        &self,
        at: BorrowedFd<'_>,
        name: &Path,
        node: &Node,
        path: &Path,
    ) -> Result<(), Failure> {
        let text = || format!("creating device node {}", path.display());
        if self.bind_only {
            return bind(at, name, node, path);
        }
        match rustix::fs::mknodat(at, name, node.kind, node.mode, node.device) {
            Ok(()) => {}
            Err(Errno::EXIST) if node.is_at(at, name).during(text)? => return Ok(()),
            // The image has something else under this name; it must not pass for the device.
            Err(Errno::EXIST) => {
                rustix::fs::unlinkat(at, name, AtFlags::empty()).during(text)?;
                rustix::fs::mknodat(at, name, node.kind, node.mode, node.device).during(text)?;
            }
            Err(Errno::PERM) => return bind(at, name, node, path),
            Err(errno) => return Err(errno).during(text),
        }
        if let Some((uid, gid)) = node.owner {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            let flags = AtFlags::SYMLINK_NOFOLLOW;
            rustix::fs::chownat(at, name, Some(uid), Some(gid), flags).during(text)?;
        }
        Ok(())
    }
}

fn bind(at: BorrowedFd<'_>, name: &Path, node: &Node, path: &Path) -> Result<(), Failure> {
    let text = || format!("bind device node {}", path.display());
    let host = mounts::open_host(path).during(text)?;
    let stat = rustix::fs::fstat(&host).during(text)?;
    if stat.st_rdev != node.device || FileType::from_raw_mode(stat.st_mode) != node.kind {
        return Err(Failure::new(format!("{}: the host has another device there", text())));
    }
    let tree = mounts::clone_fd(host.as_fd(), false).during(text)?;
    let target = file(at, name).during(text)?;
    mounts::attach(tree.as_fd(), target.as_fd())
}

/// Opens a plain file, made if it is missing.
fn file(at: BorrowedFd<'_>, name: &Path) -> Result<OwnedFd, Errno> {
    let flags = OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::WRONLY;
    match rustix::fs::openat(at, name, flags | OFlags::EXCL, Mode::empty()) {
        Ok(_) | Err(Errno::EXIST) => {}
        Err(errno) => return Err(errno),
    }
    resolve::open_plain(at, name, OFlags::PATH | OFlags::NOFOLLOW)
}

/// Binds a terminal at `/dev/console`.
pub(super) fn console(root: BorrowedFd<'_>, terminal: BorrowedFd<'_>) -> Result<(), Failure> {
    let text = || "creating /dev/console";
    let dev = resolve::ensure(root, Path::new("/dev"), Want::Directory).during(text)?;
    let target = file(dev.as_fd(), Path::new("console")).during(text)?;
    // The descriptor comes from the kernel itself (`TIOCGPTPEER`): no name in `/dev/pts` is trusted.
    let tree = mounts::clone_fd(terminal, false).during(text)?;
    mounts::attach(tree.as_fd(), target.as_fd())
}
