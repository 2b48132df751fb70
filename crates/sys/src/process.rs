//! Processes: `clone3(2)` and attributes that `rustix` has no safe setter for.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use rustix::thread::UnshareFlags;

use crate::check;

/// What a new process shares with this one, and where it starts.
#[derive(Debug, Clone, Copy, Default)]
pub struct Fork<'fd> {
    /// Namespaces to make (`CLONE_NEW*`), all at once.
    pub namespaces: Namespaces,
    /// A cgroup v2 directory to start in (`CLONE_INTO_CGROUP`, Linux 5.7).
    pub cgroup: Option<BorrowedFd<'fd>>,
    /// Make the new process a sibling, not a child (`CLONE_PARENT`).
    pub sibling: bool,
}

/// Flags of new namespaces.
#[derive(Debug, Clone, Copy)]
pub struct Namespaces(pub UnshareFlags);

impl Default for Namespaces {
    fn default() -> Self {
        Namespaces(UnshareFlags::empty())
    }
}

/// On which side of [`fork`] the caller is.
#[derive(Debug)]
pub enum Forked {
    /// The parent: the new process's id, and its pidfd (close-on-exec).
    Parent {
        /// Id in the caller's pid namespace.
        pid: u32,
        /// The same as a descriptor.
        pidfd: OwnedFd,
    },
    /// The new process.
    Child,
}

/// Whether this process has a single thread.
///
/// # Errors
/// When `/proc` is not mounted.
pub fn is_single_threaded() -> io::Result<bool> {
    // `/proc/self/task` has one subdirectory a thread, and two links of its own.
    let stat = rustix::fs::stat("/proc/self/task")?;
    Ok(stat.st_nlink <= 3)
}

/// Makes a copy of this process: `clone3(2)` without shared memory.
///
/// Docker's seccomp profile answers `ENOSYS` to `clone3`, whose flags it cannot look at; what a
/// container's own programs ask for (no namespaces, no cgroup) is then done by `clone(2)`.
///
/// # Errors
/// `EBUSY` when the process has several threads: the copy could find locks taken for ever.
/// Otherwise the kernel's.
pub fn fork(fork: Fork<'_>) -> io::Result<Forked> {
    if !is_single_threaded()? {
        return Err(io::Error::from_raw_os_error(libc::EBUSY));
    }
    let mut pidfd: libc::c_int = -1;
    let mut flags = u64::from(fork.namespaces.0.bits()) | libc::CLONE_PIDFD.unsigned_abs() as u64;
    if fork.sibling {
        flags |= u64::from(libc::CLONE_PARENT.unsigned_abs());
    }
    let mut cgroup = 0;
    if let Some(directory) = fork.cgroup {
        const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
        flags |= CLONE_INTO_CGROUP;
        cgroup = u64::from(directory.as_raw_fd().unsigned_abs());
    }
    // SAFETY: `clone_args` is plain data for which all zeroes are valid.
    let mut args: libc::clone_args = unsafe { std::mem::zeroed() };
    args.flags = flags;
    args.pidfd = (&raw mut pidfd) as u64;
    // With `CLONE_PARENT` the kernel takes the signal of the parent's own end.
    args.exit_signal = if fork.sibling { 0 } else { u64::from(libc::SIGCHLD.unsigned_abs()) };
    args.cgroup = cgroup;
    // SAFETY: without `CLONE_VM` the child has its own copy of memory and stack; the process has a
    // single thread, so that no lock is held by another; `args` and `pidfd` outlive the call.
    let rc = unsafe { libc::syscall(libc::SYS_clone3, &raw mut args, size_of_val(&args)) };
    let pid = match check(rc) {
        Err(error)
            if error.raw_os_error() == Some(libc::ENOSYS)
                && fork.namespaces.0.is_empty()
                && fork.cgroup.is_none() =>
        {
            plain_clone(args.flags | args.exit_signal, &raw mut pidfd)?
        }
        answer => answer?,
    };
    if pid == 0 {
        return Ok(Forked::Child);
    }
    // SAFETY: the kernel has written a descriptor that nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok(Forked::Parent { pid: u32::try_from(pid).unwrap_or(0), pidfd })
}

/// `clone(2)` without shared memory; the lowest byte of the flags is the exit signal.
fn plain_clone(flags: u64, pidfd: *mut libc::c_int) -> io::Result<libc::c_long> {
    let null = std::ptr::null_mut::<libc::c_void>();
    // SAFETY: as for `clone3` above: a single thread, memory and stack copied; `pidfd` outlives the
    // call. The first three arguments have this order on x86-64 and arm64, the others are unused.
    let rc = unsafe { libc::syscall(libc::SYS_clone, flags, null, pidfd, null, null) };
    check(rc)
}

/// Ends this process at once, without running exit handlers: for the copy made by [`fork`].
pub fn exit_now(code: i32) -> ! {
    // SAFETY: the call takes a number and does not return.
    unsafe { libc::_exit(code) }
}

/// Makes this process the parent of its orphaned descendants: `PR_SET_CHILD_SUBREAPER`.
///
/// # Errors
/// None on a current kernel.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: the option takes a number.
    let rc = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
    check(libc::c_long::from(rc)).map(drop)
}

/// Gives this process another session keyring, which its descendants may search: the one of that
/// name, which is made if it is not there, or without a name a new one. To find a name the kernel
/// looks through all that there are.
///
/// Without it a container would share the keys of whoever started it.
///
/// # Errors
/// `ENOSYS` on a kernel without key rings, `EDQUOT` when the user has too many.
pub fn join_session_keyring(name: Option<&CStr>) -> io::Result<()> {
    let name = name.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: a name is NUL-terminated and outlives the call; a null pointer stands for none.
    let rc = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, name) };
    let ring = check(rc)?;
    // The user may search the ring, in words of `keyrings(7)`: possessor all, user all but write and change.
    const PERMISSIONS: libc::c_ulong = 0x3f1b_0000;
    // SAFETY: the call takes numbers only.
    let rc = unsafe { libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, ring, PERMISSIONS) };
    check(rc).map(drop)
}

/// Sets the execution domain: `personality(2)`.
///
/// # Errors
/// `EINVAL` for an unknown one.
pub fn set_personality(persona: u32) -> io::Result<()> {
    // SAFETY: the call takes a number.
    let rc = unsafe { libc::personality(libc::c_ulong::from(persona)) };
    check(libc::c_long::from(rc)).map(drop)
}
