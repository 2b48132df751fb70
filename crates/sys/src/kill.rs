//! Sending any signal, real-time ones too, which `rustix` has no safe type for.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use crate::check;

/// Sends a signal by number: `pidfd_send_signal(2)`, Linux 5.1.
///
/// # Errors
/// `ESRCH` when the process has ended, `EINVAL` for a number that is no signal.
pub fn send(pidfd: BorrowedFd<'_>, signal: i32) -> io::Result<()> {
    // SAFETY: `pidfd` stays open for the call; no information is passed, as with `kill(2)`.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal,
            std::ptr::null::<libc::siginfo_t>(),
            0,
        )
    };
    check(rc).map(drop)
}
