//! Namespaces.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::thread::UnshareFlags;

/// A kind of namespace that a pidfd can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// View of the cgroup tree.
    Cgroup,
    /// System V IPC and message queues.
    Ipc,
    /// Mounts.
    Mount,
    /// Network.
    Network,
    /// Process ids.
    Pid,
    /// Clocks.
    Time,
    /// User ids.
    User,
    /// Host name.
    Uts,
}

/// Opens a namespace of a process: `ioctl_pidfd(2)`, Linux 6.11. No `/proc` is needed.
///
/// # Errors
/// `ENOTTY` on an older kernel, `ESRCH` when the process has ended, `EPERM` without the right to
/// trace it.
pub fn of_process(pidfd: BorrowedFd<'_>, kind: Kind) -> io::Result<OwnedFd> {
    let request = match kind {
        Kind::Cgroup => libc::PIDFD_GET_CGROUP_NAMESPACE,
        Kind::Ipc => libc::PIDFD_GET_IPC_NAMESPACE,
        Kind::Mount => libc::PIDFD_GET_MNT_NAMESPACE,
        Kind::Network => libc::PIDFD_GET_NET_NAMESPACE,
        Kind::Pid => libc::PIDFD_GET_PID_NAMESPACE,
        Kind::Time => libc::PIDFD_GET_TIME_NAMESPACE,
        Kind::User => libc::PIDFD_GET_USER_NAMESPACE,
        Kind::Uts => libc::PIDFD_GET_UTS_NAMESPACE,
    };
    // SAFETY: `pidfd` stays open for the call; these requests take no argument.
    let fd = unsafe { libc::ioctl(pidfd.as_raw_fd(), request, 0) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel made this descriptor for this call; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Leaves shared namespaces: `unshare(2)`, namespace flags only.
///
/// # Errors
/// `EINVAL` for other flags; `EPERM` without `CAP_SYS_ADMIN`.
pub fn unshare(flags: UnshareFlags) -> io::Result<()> {
    if flags.intersects(UnshareFlags::FILES) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    // SAFETY: without `CLONE_FILES` no thread gets a descriptor table that others do not see.
    unsafe { rustix::thread::unshare_unsafe(flags) }.map_err(io::Error::from)
}

/// Brings the loopback interface of the current network namespace up.
///
/// # Errors
/// `EPERM` without `CAP_NET_ADMIN` over the namespace.
pub fn loopback_up() -> io::Result<()> {
    let socket = rustix::net::socket_with(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::DGRAM,
        rustix::net::SocketFlags::CLOEXEC,
        None,
    )?;
    // SAFETY: `ifreq` is plain data for which all zeroes are valid.
    let mut request: libc::ifreq = unsafe { mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        // The letters are ASCII.
        *to = from.cast_signed();
    }
    let up = libc::IFF_UP | libc::IFF_LOOPBACK | libc::IFF_RUNNING;
    request.ifr_ifru.ifru_flags = libc::c_short::try_from(up).unwrap_or(1);
    // SAFETY: `socket` stays open; `request` is initialised and outlives the call.
    let rc = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS, &raw const request) };
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(()) }
}
