//! Scheduling attributes of processes.

use std::io;

use crate::check;

/// `struct sched_attr` of `sched_setattr(2)`, with the numbers of the kernel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Attributes {
    /// `SCHED_*`.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// Nice value of the fair policies.
    pub nice: i32,
    /// Priority of the real-time policies.
    pub priority: u32,
    /// `SCHED_DEADLINE`: runtime in nanoseconds.
    pub runtime_ns: u64,
    /// `SCHED_DEADLINE`: deadline in nanoseconds.
    pub deadline_ns: u64,
    /// `SCHED_DEADLINE`: period in nanoseconds.
    pub period_ns: u64,
}

/// Sets the scheduling attributes of a process; 0 is the calling one.
///
/// # Errors
/// `EINVAL` for impossible values, `EPERM` without `CAP_SYS_NICE` where it is needed.
pub fn set_attributes(pid: u32, attributes: Attributes) -> io::Result<()> {
    let attr = libc::sched_attr {
        size: u32::try_from(size_of::<libc::sched_attr>()).unwrap_or(48),
        sched_policy: attributes.policy,
        sched_flags: attributes.flags,
        sched_nice: attributes.nice,
        sched_priority: attributes.priority,
        sched_runtime: attributes.runtime_ns,
        sched_deadline: attributes.deadline_ns,
        sched_period: attributes.period_ns,
    };
    // SAFETY: `attr` is initialised, says its own size, and outlives the call.
    let rc = unsafe { libc::syscall(libc::SYS_sched_setattr, pid, &raw const attr, 0) };
    check(rc).map(drop)
}

/// Sets the I/O priority of a process (0 is the calling one): class 1 real time, 2 best effort,
/// 3 idle; level 0 to 7.
///
/// # Errors
/// `EINVAL` for impossible values, `EPERM` without `CAP_SYS_NICE` where it is needed.
pub fn set_io_priority(pid: u32, class: u16, level: u16) -> io::Result<()> {
    const WHO_PROCESS: libc::c_int = 1;
    let value = (libc::c_int::from(class) << 13) | libc::c_int::from(level);
    // SAFETY: the call takes numbers only.
    let rc = unsafe { libc::syscall(libc::SYS_ioprio_set, WHO_PROCESS, pid, value) };
    check(rc).map(drop)
}
