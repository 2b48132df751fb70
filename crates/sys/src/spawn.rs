//! Starting a program from a large process: `posix_spawn(3)`.
//!
//! The C library does it by `CLONE_VM | CLONE_VFORK`, so that no page table is copied: from a
//! process of 500 MB a plain fork costs milliseconds, this some microseconds.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

use rustix::process::{Pid, PidfdFlags};

/// A program to start.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The executable file.
    pub program: &'a CStr,
    /// Arguments, with the program's name first.
    pub args: &'a [CString],
    /// Environment, `NAME=value`.
    pub env: &'a [CString],
    /// Descriptors it gets, under the numbers they have there. Everything else must be close-on-exec.
    pub descriptors: &'a [(BorrowedFd<'a>, i32)],
    /// Start in a session of its own.
    pub new_session: bool,
}

/// Actions and attributes, released when dropped.
struct Plan {
    actions: MaybeUninit<libc::posix_spawn_file_actions_t>,
    attributes: MaybeUninit<libc::posix_spawnattr_t>,
}

impl Plan {
    fn new() -> io::Result<Plan> {
        let mut plan = Plan { actions: MaybeUninit::uninit(), attributes: MaybeUninit::uninit() };
        // SAFETY: both initialise the memory they are given.
        succeed(unsafe { libc::posix_spawn_file_actions_init(plan.actions.as_mut_ptr()) })?;
        // SAFETY: as above.
        let rc = unsafe { libc::posix_spawnattr_init(plan.attributes.as_mut_ptr()) };
        if let Err(error) = succeed(rc) {
            // SAFETY: the actions were initialised above; `plan` is forgotten, so only once.
            unsafe { libc::posix_spawn_file_actions_destroy(plan.actions.as_mut_ptr()) };
            std::mem::forget(plan);
            return Err(error);
        }
        Ok(plan)
    }
}

impl Drop for Plan {
    fn drop(&mut self) {
        // SAFETY: `new` returns only with both initialised, and this runs once.
        unsafe {
            libc::posix_spawn_file_actions_destroy(self.actions.as_mut_ptr());
            libc::posix_spawnattr_destroy(self.attributes.as_mut_ptr());
        }
    }
}

fn succeed(code: libc::c_int) -> io::Result<()> {
    if code == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(code)) }
}

/// Starts a program; answers its pid and pidfd. All its signals are unblocked and have their
/// default disposition. Safe to call from any thread.
///
/// # Errors
/// The exec's own, such as `ENOENT`; or the kernel's.
pub fn spawn(request: &Spawn<'_>) -> io::Result<(u32, OwnedFd)> {
    let mut plan = Plan::new()?;
    let mut flags = libc::POSIX_SPAWN_SETSIGMASK | libc::POSIX_SPAWN_SETSIGDEF;
    if request.new_session {
        flags |= libc::c_int::from(libc::POSIX_SPAWN_SETSID);
    }
    let flags = libc::c_short::try_from(flags).map_err(io::Error::other)?;
    // SAFETY: plain data, all zeroes are valid; then filled in or left empty by the C library.
    let (mut all, mut none): (libc::sigset_t, libc::sigset_t) =
        unsafe { (std::mem::zeroed(), std::mem::zeroed()) };
    // SAFETY: the attributes are initialised; the sets are initialised and outlive the calls.
    unsafe {
        libc::sigfillset(&raw mut all);
        libc::sigemptyset(&raw mut none);
        succeed(libc::posix_spawnattr_setflags(plan.attributes.as_mut_ptr(), flags))?;
        succeed(libc::posix_spawnattr_setsigmask(plan.attributes.as_mut_ptr(), &raw const none))?;
        succeed(libc::posix_spawnattr_setsigdefault(plan.attributes.as_mut_ptr(), &raw const all))?;
    }
    // First out of the way of the numbers wished for, then onto them: sources and targets may overlap.
    let highest = request.descriptors.iter().map(|(_, to)| *to).max().unwrap_or(2);
    let mut lifted = Vec::with_capacity(request.descriptors.len());
    for (fd, to) in request.descriptors {
        let safe = rustix::io::fcntl_dupfd_cloexec(fd, highest + 1)?;
        // SAFETY: the actions are initialised; the numbers are checked when the actions run.
        succeed(unsafe {
            libc::posix_spawn_file_actions_adddup2(plan.actions.as_mut_ptr(), safe.as_raw_fd(), *to)
        })?;
        lifted.push(safe);
    }
    let pointers = |strings: &[CString]| -> Vec<*mut libc::c_char> {
        strings.iter().map(|s| s.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
    };
    let (args, env) = (pointers(request.args), pointers(request.env));
    let mut pid: libc::pid_t = 0;
    // SAFETY: everything is initialised and outlives the call, which returns after the exec; the
    // vectors end in null pointers and the C library does not write to their strings.
    succeed(unsafe {
        libc::posix_spawn(
            &raw mut pid,
            request.program.as_ptr(),
            plan.actions.as_ptr(),
            plan.attributes.as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
        )
    })?;
    drop(lifted);
    let process = Pid::from_raw(pid).ok_or_else(|| io::Error::from_raw_os_error(libc::ESRCH))?;
    // The child is ours and not waited for yet, so its number is still its own.
    let pidfd = rustix::process::pidfd_open(process, PidfdFlags::empty())?;
    Ok((pid.unsigned_abs(), pidfd))
}
