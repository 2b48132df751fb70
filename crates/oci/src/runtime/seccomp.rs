//! The filter of system calls.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

spec! {
    /// A system call filter.
    Seccomp {
        /// What a call that no rule matches gets, such as `SCMP_ACT_ERRNO`.
        default_action: String,
        /// `errno` of the default action.
        #[serde(skip_serializing_if = "Option::is_none")]
        default_errno_ret: Option<u32>,
        /// Such as `SCMP_ARCH_X86_64`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        architectures: Vec<String>,
        /// Such as `SECCOMP_FILTER_FLAG_LOG`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        flags: Vec<String>,
        /// Socket of the agent for `SCMP_ACT_NOTIFY`.
        #[serde(skip_serializing_if = "Option::is_none")]
        listener_path: Option<PathBuf>,
        /// Sent to that agent.
        #[serde(skip_serializing_if = "Option::is_none")]
        listener_metadata: Option<String>,
        /// The rules.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        syscalls: Vec<SeccompRule>,
    }
}

spec! {
    /// One rule of [`Seccomp`].
    SeccompRule {
        /// System calls by name.
        names: Vec<String>,
        /// Such as `SCMP_ACT_ALLOW`.
        action: String,
        /// `errno` of the action.
        #[serde(skip_serializing_if = "Option::is_none")]
        errno_ret: Option<u32>,
        /// Conditions, all of which must hold.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        args: Vec<SeccompArg>,
    }
}

spec! {
    /// One condition of [`SeccompRule`].
    SeccompArg {
        /// Argument number, 0 to 5.
        index: u32,
        /// Compared with, or the mask of `SCMP_CMP_MASKED_EQ`.
        value: u64,
        /// Compared with under the mask.
        #[serde(skip_serializing_if = "is_zero")]
        value_two: u64,
        /// Such as `SCMP_CMP_EQ`.
        op: String,
    }
}

// serde's `skip_serializing_if` passes a reference.
#[allow(clippy::trivially_copy_pass_by_ref)]
fn is_zero(value: &u64) -> bool {
    *value == 0
}
