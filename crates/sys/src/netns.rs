//! Network namespaces.

use std::io;

use rustix::thread::UnshareFlags;

/// Moves the calling thread into a network namespace of its own: `unshare(2)`, `CLONE_NEWNET`.
///
/// Only this thread and threads that it spawns from now on are moved. Sockets opened before stay
/// in the namespace they were opened in.
///
/// # Errors
/// `EPERM` without `CAP_SYS_ADMIN`; `ENOSPC` over the limit of `max_net_namespaces`.
pub fn unshare_network() -> io::Result<()> {
    // SAFETY: the call is unsafe for `CLONE_FILES`, which would make descriptors mean different
    // files in different threads. `CLONE_NEWNET` alone leaves descriptors and memory as they are.
    unsafe { rustix::thread::unshare_unsafe(UnshareFlags::NEWNET) }?;
    Ok(())
}
