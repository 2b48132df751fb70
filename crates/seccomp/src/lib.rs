//! Seccomp profiles compiled to classic BPF.
//!
//! A profile of the OCI runtime specification becomes a program for `seccomp(2)`, with the meaning
//! that runc and libseccomp give it:
//!
//! - unknown system call names are skipped, since profiles name calls of many kernels;
//! - a rule that only repeats the default action is skipped;
//! - of several rules for a call the first without conditions stands alone; rules with conditions
//!   are tried in order, and a call that none fits gets the default action;
//! - an architecture that the profile does not list ends the thread;
//! - calls newer than all that the profile names answer `ENOSYS` instead of a stricter default.
//!
//! [`docker`] has Docker's default profile and reads Docker's profile files.

#![forbid(unsafe_code)]

pub mod docker;
mod emit;
mod error;
mod numbers;
mod profile;
mod program;
#[cfg(test)]
mod tests;

pub use error::SeccompError;
pub use program::{Call, MAX_INSTRUCTIONS, Program, SockFilter};

use gantry_oci::runtime::Seccomp;

/// Actions that a filter returns: `SECCOMP_RET_*`.
pub mod action {
    /// Ends the process.
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    /// Ends the thread.
    pub const KILL_THREAD: u32 = 0;
    /// Sends `SIGSYS`.
    pub const TRAP: u32 = 0x0003_0000;
    /// Returns the data as `errno`.
    pub const ERRNO: u32 = 0x0005_0000;
    /// Asks the listener.
    pub const USER_NOTIFY: u32 = 0x7fc0_0000;
    /// Tells the tracer.
    pub const TRACE: u32 = 0x7ff0_0000;
    /// Logs and runs the call.
    pub const LOG: u32 = 0x7ffc_0000;
    /// Runs the call.
    pub const ALLOW: u32 = 0x7fff_0000;
    /// The action without its data.
    pub const MASK: u32 = 0xffff_0000;
    /// The data without its action.
    pub const DATA: u32 = 0x0000_ffff;
}

/// Flags of `seccomp(SECCOMP_SET_MODE_FILTER)`: `SECCOMP_FILTER_FLAG_*`.
pub mod flags {
    /// All actions but allow are logged.
    pub const LOG: u32 = 1 << 1;
    /// Speculative store bypass stays on.
    pub const SPEC_ALLOW: u32 = 1 << 2;
    /// The call answers a descriptor of notifications.
    pub const NEW_LISTENER: u32 = 1 << 3;
    /// A notified call can only be ended by a fatal signal.
    pub const WAIT_KILLABLE_RECV: u32 = 1 << 5;
}

/// Architectures as the kernel names them to a filter: `AUDIT_ARCH_*`.
pub mod arch {
    /// 64-bit x86, x32 too.
    pub const X86_64: u32 = 0xc000_003e;
    /// 32-bit x86.
    pub const I386: u32 = 0x4000_0003;
    /// 64-bit Arm.
    pub const AARCH64: u32 = 0xc000_00b7;
    /// 32-bit Arm.
    pub const ARM: u32 = 0x4000_0028;
}

/// Compiles a profile to a filter program.
///
/// # Errors
/// [`SeccompError`] names what is wrong with the profile.
pub fn compile(profile: &Seccomp) -> Result<Program, SeccompError> {
    emit::emit(&profile::Profile::read(profile)?)
}
