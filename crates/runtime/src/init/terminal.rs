//! A terminal in the container's own `devpts`.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_oci::runtime::Process;
use rustix::fs::{Mode, OFlags};
use rustix::pty::OpenptFlags;
use rustix::termios::Winsize;

use crate::channel::{During, Failure};
use crate::resolve;

/// Both sides of a terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    /// The side that the runtime's caller gets.
    pub(crate) master: OwnedFd,
    /// The side that the process gets.
    pub(crate) slave: OwnedFd,
}

/// Makes a terminal beneath `root`.
///
/// The multiplexer is opened without following links and checked to be devpts' own; the other side
/// comes from the kernel by `TIOCGPTPEER` and not by its name in `/dev/pts`, which may lie.
pub(crate) fn open(root: BorrowedFd<'_>, process: &Process) -> Result<Terminal, Failure> {
    let flags = OFlags::RDWR | OFlags::NOCTTY;
    let master = resolve::open_plain(root, Path::new("dev/pts/ptmx"), flags)
        .during(|| "opening /dev/pts/ptmx for the terminal")?;
    let text = || "making the terminal";
    if rustix::fs::fstatfs(&master).during(text)?.f_type != resolve::DEVPTS_MAGIC {
        return Err(Failure::new("/dev/pts is no devpts: a terminal needs one in the mounts"));
    }
    rustix::pty::unlockpt(&master).during(text)?;
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let slave = rustix::pty::ioctl_tiocgptpeer(&master, flags).during(text)?;
    if let Some(size) = process.console_size {
        let size = Winsize { ws_row: size.height, ws_col: size.width, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(&master, size).during(text)?;
    }
    Ok(Terminal { master, slave })
}

/// The same when this process's root is the container's already.
pub(crate) fn open_in_own_root(process: &Process) -> Result<Terminal, Failure> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open("/", flags, Mode::empty()).during(|| "opening the root")?;
    open(root.as_fd(), process)
}
