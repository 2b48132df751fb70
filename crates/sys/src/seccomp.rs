//! `seccomp(2)`.

use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

use crate::check;

/// Size of `struct sock_filter`.
const INSTRUCTION: usize = size_of::<libc::sock_filter>();

/// Installs a filter for this process and what it executes: `SECCOMP_SET_MODE_FILTER`.
///
/// `program` is an array of native-endian `struct sock_filter`s. With `flags` holding
/// `SECCOMP_FILTER_FLAG_NEW_LISTENER` the answer is the listener's descriptor.
///
/// # Errors
/// `EINVAL` for a bad program, `EACCES` without `CAP_SYS_ADMIN` and without no-new-privileges.
pub fn load(program: &[u8], flags: u32) -> io::Result<Option<OwnedFd>> {
    if program.is_empty() || !program.len().is_multiple_of(INSTRUCTION) {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let mut filter: Vec<libc::sock_filter> = program
        .chunks_exact(INSTRUCTION)
        .map(|bytes| libc::sock_filter {
            code: u16::from_ne_bytes([bytes[0], bytes[1]]),
            jt: bytes[2],
            jf: bytes[3],
            k: u32::from_ne_bytes([bytes[4], bytes[5], bytes[6], bytes[7]]),
        })
        .collect();
    let len =
        u16::try_from(filter.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len, filter: filter.as_mut_ptr() };
    // SAFETY: `program` names `len` initialised instructions; both outlive the call.
    let rc = unsafe {
        libc::syscall(
            libc::SYS_seccomp,
            libc::SECCOMP_SET_MODE_FILTER,
            libc::c_ulong::from(flags),
            &raw const program,
        )
    };
    let answer = check(rc)?;
    if libc::c_ulong::from(flags) & libc::SECCOMP_FILTER_FLAG_NEW_LISTENER == 0 {
        return Ok(None);
    }
    let fd = RawFd::try_from(answer).map_err(|_| io::Error::from_raw_os_error(libc::EBADF))?;
    // SAFETY: with that flag the kernel answers a new descriptor that nobody else owns.
    Ok(Some(unsafe { OwnedFd::from_raw_fd(fd) }))
}
