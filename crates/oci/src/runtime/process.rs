//! The processes of a container.

use serde::{Deserialize, Serialize};

spec! {
    /// A process to run inside a container: its first one, or an exec.
    Process {
        /// Whether a pseudo terminal is made for it.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        terminal: bool,
        /// Size of that terminal, in characters.
        #[serde(skip_serializing_if = "Option::is_none")]
        console_size: Option<ConsoleSize>,
        /// User and groups.
        user: User,
        /// Program and arguments.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        /// Environment, `NAME=value`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        env: Vec<String>,
        /// Working directory, absolute.
        cwd: String,
        /// Capability sets.
        #[serde(skip_serializing_if = "Option::is_none")]
        capabilities: Option<Capabilities>,
        /// Resource limits.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        rlimits: Vec<Rlimit>,
        /// `PR_SET_NO_NEW_PRIVS`.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        no_new_privileges: bool,
        /// AppArmor profile to enter at exec.
        #[serde(skip_serializing_if = "Option::is_none")]
        apparmor_profile: Option<String>,
        /// `oom_score_adj`, -1000 to 1000.
        #[serde(skip_serializing_if = "Option::is_none")]
        oom_score_adj: Option<i32>,
        /// SELinux label to enter at exec.
        #[serde(skip_serializing_if = "Option::is_none")]
        selinux_label: Option<String>,
        /// I/O scheduling class and priority.
        #[serde(rename = "ioPriority", skip_serializing_if = "Option::is_none")]
        io_priority: Option<IoPriority>,
        /// CPU scheduling policy.
        #[serde(skip_serializing_if = "Option::is_none")]
        scheduler: Option<Scheduler>,
        /// CPUs to run on before and after exec.
        #[serde(rename = "execCPUAffinity", skip_serializing_if = "Option::is_none")]
        exec_cpu_affinity: Option<ExecCpuAffinity>,
    }
}

spec! {
    /// A terminal's size in characters.
    #[derive(Copy, Eq)]
    ConsoleSize {
        /// Rows.
        height: u16,
        /// Columns.
        width: u16,
    }
}

spec! {
    /// Credentials of a process, as numbers.
    User {
        /// User id inside the container.
        uid: u32,
        /// Group id inside the container.
        gid: u32,
        /// File mode creation mask.
        #[serde(skip_serializing_if = "Option::is_none")]
        umask: Option<u32>,
        /// Supplementary groups.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        additional_gids: Vec<u32>,
    }
}

spec! {
    /// Capability sets, by name (`CAP_CHOWN`).
    Capabilities {
        /// Bounding set.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        bounding: Vec<String>,
        /// Effective set.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        effective: Vec<String>,
        /// Inheritable set.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        inheritable: Vec<String>,
        /// Permitted set.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        permitted: Vec<String>,
        /// Ambient set.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        ambient: Vec<String>,
    }
}

spec! {
    /// One `setrlimit(2)`.
    Rlimit {
        /// Name, such as `RLIMIT_NOFILE`.
        #[serde(rename = "type")]
        kind: String,
        /// Ceiling of the soft limit.
        hard: u64,
        /// Limit in force.
        soft: u64,
    }
}

spec! {
    /// `ioprio_set(2)`.
    IoPriority {
        /// `IOPRIO_CLASS_RT`, `IOPRIO_CLASS_BE` or `IOPRIO_CLASS_IDLE`.
        class: String,
        /// 0 (first) to 7.
        priority: i32,
    }
}

spec! {
    /// `sched_setattr(2)`.
    Scheduler {
        /// Such as `SCHED_BATCH`.
        policy: String,
        /// Nice value for the fair policies.
        nice: i32,
        /// Priority for the real-time policies.
        priority: i32,
        /// Such as `SCHED_FLAG_RESET_ON_FORK`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        flags: Vec<String>,
        /// Nanoseconds, `SCHED_DEADLINE` only.
        runtime: u64,
        /// Nanoseconds, `SCHED_DEADLINE` only.
        deadline: u64,
        /// Nanoseconds, `SCHED_DEADLINE` only.
        period: u64,
    }
}

spec! {
    /// CPU lists for a process that joins a container.
    ExecCpuAffinity {
        /// List before the container's cgroup is entered.
        #[serde(skip_serializing_if = "Option::is_none")]
        initial: Option<String>,
        /// List after it was entered.
        #[serde(rename = "final", skip_serializing_if = "Option::is_none")]
        last: Option<String>,
    }
}
