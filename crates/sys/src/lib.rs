//! Every unsafe and raw system call, as safe functions.
//!
//! `rustix` comes first: here is only what it lacks, or offers in a form that is unsafe to call.
//! A module holds one subject; each function says what the kernel wants and from which version on.

pub mod bpf;
pub mod descriptors;
pub mod exec;
pub mod kernel;
pub mod kill;
pub mod launcher;
pub mod memory;
pub mod mntns;
pub mod mount;
pub mod namespace;
pub mod netns;
pub mod overlay;
pub mod process;
pub mod quota;
pub mod sched;
pub mod seccomp;
pub mod signal;
pub mod socket;
pub mod spawn;
pub mod writeback;

use std::io;

/// Turns the answer of `syscall(2)` into a result.
fn check(rc: libc::c_long) -> io::Result<libc::c_long> {
    if rc == -1 { Err(io::Error::last_os_error()) } else { Ok(rc) }
}
