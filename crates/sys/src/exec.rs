//! Executing programs.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A vector of strings as `execve(2)` takes it.
fn pointers(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Replaces this process by a program. Returns only when that fails.
#[must_use]
pub fn execve(path: &CStr, args: &[CString], env: &[CString]) -> io::Error {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: all three are NUL-terminated (strings by `CStr`, vectors by their last null pointer)
    // and outlive the call.
    unsafe { libc::execve(path.as_ptr(), args.as_ptr(), env.as_ptr()) };
    io::Error::last_os_error()
}

/// Replaces this process by the file behind a descriptor: `execveat(2)` with `AT_EMPTY_PATH`.
/// Returns only when that fails.
#[must_use]
pub fn execve_fd(file: BorrowedFd<'_>, args: &[CString], env: &[CString]) -> io::Error {
    let (args, env) = (pointers(args), pointers(env));
    // SAFETY: `file` stays open for the call; the path is an empty NUL-terminated literal; both
    // vectors end in a null pointer, and they and their strings outlive the call.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            file.as_raw_fd(),
            c"".as_ptr(),
            args.as_ptr(),
            env.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    io::Error::last_os_error()
}

/// Whether the effective user may execute `path`: `faccessat2(2)` with `AT_EACCESS`, Linux 5.8.
///
/// # Errors
/// `EACCES` when not, `ENOENT` when there is no such file.
pub fn may_execute(path: &CStr) -> io::Result<()> {
    // SAFETY: `path` is NUL-terminated and outlives the call.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_faccessat2,
            libc::AT_FDCWD,
            path.as_ptr(),
            libc::X_OK,
            libc::AT_EACCESS,
        )
    };
    crate::check(rc).map(drop)
}
