//! Namespaces.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
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

/// Opens a namespace of a process: `ioctl_pidfd(2)`, or before Linux 6.11 by `/proc`.
///
/// # Errors
/// `ESRCH` when the process has ended, `EPERM` or `EACCES` without the right to trace it.
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
        let error = io::Error::last_os_error();
        return match error.raw_os_error() {
            Some(libc::ENOTTY) => of_process_by_proc(pidfd, kind),
            _ => Err(error),
        };
    }
    // SAFETY: the kernel made this descriptor for this call; nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The same by the process's number, which is its own as long as the process is not waited for.
fn of_process_by_proc(pidfd: BorrowedFd<'_>, kind: Kind) -> io::Result<OwnedFd> {
    let name = match kind {
        Kind::Cgroup => "cgroup",
        Kind::Ipc => "ipc",
        Kind::Mount => "mnt",
        Kind::Network => "net",
        Kind::Pid => "pid",
        Kind::Time => "time",
        Kind::User => "user",
        Kind::Uts => "uts",
    };
    let path = format!("/proc/{}/ns/{name}", process_id(pidfd)?);
    let opened = rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty());
    // Asked afterwards: if the process is there now, the number was its own all the time.
    match crate::kill::send(pidfd, 0) {
        Err(error) if error.raw_os_error() != Some(libc::EPERM) => return Err(error),
        _ => {}
    }
    match opened {
        // One that has ended, but is not waited for, has no namespaces.
        Err(Errno::NOENT) => Err(io::Error::from_raw_os_error(libc::ESRCH)),
        opened => Ok(opened?),
    }
}

/// The number behind a pidfd, in the pid namespace of the mounted `/proc`.
///
/// # Errors
/// `ESRCH` when the process has ended and was waited for, or has no number there; `ENOENT` without
/// `/proc`.
pub fn process_id(pidfd: BorrowedFd<'_>) -> io::Result<u32> {
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd()))?;
    let number = info.lines().find_map(|line| line.strip_prefix("Pid:"));
    // -1 stands for a process that is gone, 0 for one of elsewhere.
    let number = number.and_then(|text| text.trim().parse().ok()).filter(|number| *number > 0);
    number.ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))
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

#[cfg(test)]
mod tests {
    use std::os::fd::AsFd;
    use std::os::unix::fs::MetadataExt;
    use std::process::{Child, Command};

    use rustix::process::{Pid, PidfdFlags, pidfd_open};

    use super::*;

    const KINDS: [(Kind, &str); 8] = [
        (Kind::Cgroup, "cgroup"),
        (Kind::Ipc, "ipc"),
        (Kind::Mount, "mnt"),
        (Kind::Network, "net"),
        (Kind::Pid, "pid"),
        (Kind::Time, "time"),
        (Kind::User, "user"),
        (Kind::Uts, "uts"),
    ];

    fn process_of(child: &Child) -> OwnedFd {
        let id = Pid::from_raw(child.id().cast_signed()).unwrap();
        pidfd_open(id, PidfdFlags::empty()).unwrap()
    }

    #[test]
    fn both_ways_open_the_same_namespaces() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let process = process_of(&child);
        let id = process_id(process.as_fd()).unwrap();
        for (kind, name) in KINDS {
            let want = std::fs::metadata(format!("/proc/self/ns/{name}")).unwrap().ino();
            for way in [of_process, of_process_by_proc] {
                let opened = rustix::fs::fstat(way(process.as_fd(), kind).unwrap()).unwrap();
                assert_eq!(opened.st_ino, want, "{name}");
            }
        }
        assert_eq!(id, child.id());
        child.kill().unwrap();
        child.wait().unwrap();
        for way in [of_process, of_process_by_proc] {
            let error = way(process.as_fd(), Kind::Pid).unwrap_err();
            assert_eq!(error.raw_os_error(), Some(libc::ESRCH));
        }
    }
}
