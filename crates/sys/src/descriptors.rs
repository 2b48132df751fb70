//! Descriptor tables.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::check;

/// Marks every descriptor from `first` on as closed at exec: `close_range(2)`, Linux 5.11.
///
/// # Errors
/// `ENOSYS` or `EINVAL` on an older kernel.
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: the call takes numbers only; it closes nothing now, so no owner loses a descriptor.
    let rc = unsafe {
        libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC)
    };
    check(rc).map(drop)
}

/// Takes a descriptor that this process was started with, such as one of `LISTEN_FDS`.
///
/// The descriptor is duplicated with `O_CLOEXEC`; the inherited number stays open, so that taking
/// one twice is no error.
///
/// # Errors
/// `EBADF` when nothing is open there.
pub fn duplicate_inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: `fcntl` takes numbers only and answers a descriptor that nobody else owns.
    let fd = unsafe { libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3) };
    if fd == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: `fd` was made by the call above and is owned by nobody.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Whether a descriptor with this number is open.
#[must_use]
pub fn is_open(number: RawFd) -> bool {
    // SAFETY: `F_GETFD` reads flags; it takes numbers only.
    unsafe { libc::fcntl(number, libc::F_GETFD) != -1 }
}

/// Lets descriptor `number` survive an exec.
///
/// # Errors
/// `EBADF` when nothing is open there.
pub fn keep_over_exec(number: RawFd) -> io::Result<()> {
    // SAFETY: `F_SETFD` changes the close-on-exec flag only; it takes numbers only.
    let rc = unsafe { libc::fcntl(number, libc::F_SETFD, 0) };
    check(libc::c_long::from(rc)).map(drop)
}
