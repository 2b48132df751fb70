//! The OCI runtime specification's `config.json`, `state.json` and `features` documents, for Linux.
//!
//! Field names and meaning: runtime-spec 1.2. Absent lists and maps are empty here and stay absent
//! when written, so that a document read and written again says the same.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// Annotations and sysctls: ordered, so that a generated document is stable.
pub type StringMap = BTreeMap<String, String>;

macro_rules! spec {
    ($(#[$m:meta])* $name:ident { $($(#[$fm:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$m])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name { $($(#[$fm])* pub $field : $ty),* }
    };
}

spec! {
    /// `config.json`: everything a runtime needs to make one container.
    Spec {
        /// Version of the specification, such as `1.2.0`.
        oci_version: String,
        /// The container's first process; absent in bundles that only hold namespaces.
        #[serde(skip_serializing_if = "Option::is_none")]
        process: Option<Process>,
        /// Where the root file system is.
        #[serde(skip_serializing_if = "Option::is_none")]
        root: Option<Root>,
        /// The UTS namespace's host name.
        #[serde(skip_serializing_if = "Option::is_none")]
        hostname: Option<String>,
        /// The UTS namespace's NIS domain name.
        #[serde(skip_serializing_if = "Option::is_none")]
        domainname: Option<String>,
        /// Mounts beyond the root, in order.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        mounts: Vec<Mount>,
        /// Programs to run at points of the life cycle.
        #[serde(skip_serializing_if = "Option::is_none")]
        hooks: Option<Hooks>,
        /// Free-form metadata.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        annotations: StringMap,
        /// Linux-specific part.
        #[serde(skip_serializing_if = "Option::is_none")]
        linux: Option<Linux>,
    }
}

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

spec! {
    /// The container's root file system.
    Root {
        /// Absolute, or relative to the bundle.
        path: PathBuf,
        /// Whether it is mounted read-only.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        readonly: bool,
    }
}

spec! {
    /// One mount inside the container.
    Mount {
        /// Absolute path inside the container.
        destination: PathBuf,
        /// File system type; `bind` or absent with a bind option means a bind mount.
        #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// Source: a host path for bind mounts, else what the file system takes.
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<PathBuf>,
        /// Options, in the words of `mount(8)` and the specification.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        options: Vec<String>,
        /// User ids of an id-mapped mount.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        uid_mappings: Vec<IdMapping>,
        /// Group ids of an id-mapped mount.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        gid_mappings: Vec<IdMapping>,
    }
}

spec! {
    /// Programs to run at points of the life cycle.
    Hooks {
        /// Deprecated: after the namespaces are made, before pivot.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        prestart: Vec<Hook>,
        /// After the namespaces are made, in the runtime's namespaces.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        create_runtime: Vec<Hook>,
        /// The same, in the container's namespaces, before pivot.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        create_container: Vec<Hook>,
        /// On start, in the container's namespaces, before the program.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        start_container: Vec<Hook>,
        /// After the program was started.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        poststart: Vec<Hook>,
        /// After delete.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        poststop: Vec<Hook>,
    }
}

spec! {
    /// One program of [`Hooks`]; it gets the container's state on standard input.
    Hook {
        /// Absolute path.
        path: PathBuf,
        /// Arguments, with the program's name first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        /// Environment.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        env: Vec<String>,
        /// Seconds before it is ended.
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
    }
}

spec! {
    /// The Linux-specific part of [`Spec`].
    Linux {
        /// User id mappings of a new user namespace.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        uid_mappings: Vec<IdMapping>,
        /// Group id mappings of a new user namespace.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        gid_mappings: Vec<IdMapping>,
        /// Kernel parameters of the container's namespaces.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        sysctl: StringMap,
        /// Limits.
        #[serde(skip_serializing_if = "Option::is_none")]
        resources: Option<Resources>,
        /// Path below the cgroup roots; absolute or relative to the runtime's choice.
        #[serde(skip_serializing_if = "Option::is_none")]
        cgroups_path: Option<String>,
        /// Namespaces to make or join.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        namespaces: Vec<Namespace>,
        /// Device nodes to make beyond the standard ones.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        devices: Vec<Device>,
        /// System call filter.
        #[serde(skip_serializing_if = "Option::is_none")]
        seccomp: Option<Seccomp>,
        /// Propagation of the root mount.
        #[serde(skip_serializing_if = "Option::is_none")]
        rootfs_propagation: Option<String>,
        /// Paths hidden from the container.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        masked_paths: Vec<String>,
        /// Paths made read-only.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        readonly_paths: Vec<String>,
        /// SELinux label of mounts.
        #[serde(skip_serializing_if = "Option::is_none")]
        mount_label: Option<String>,
        /// `personality(2)`.
        #[serde(skip_serializing_if = "Option::is_none")]
        personality: Option<Personality>,
        /// Clock offsets of a time namespace.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        time_offsets: BTreeMap<String, TimeOffset>,
    }
}

spec! {
    /// A range of ids, as `/proc/<pid>/uid_map` has it.
    #[derive(Copy, Eq)]
    IdMapping {
        /// First id inside.
        #[serde(rename = "containerID")]
        container_id: u32,
        /// First id outside.
        #[serde(rename = "hostID")]
        host_id: u32,
        /// How many.
        size: u32,
    }
}

spec! {
    /// A clock's offset in a time namespace.
    #[derive(Copy, Eq)]
    TimeOffset {
        /// Whole seconds.
        secs: i64,
        /// Nanoseconds.
        nanosecs: u32,
    }
}

spec! {
    /// `personality(2)`.
    Personality {
        /// `LINUX` or `LINUX32`.
        domain: String,
        /// Extra flags; none is defined yet.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        flags: Vec<String>,
    }
}

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    /// Process ids.
    Pid,
    /// Network devices, addresses, ports.
    Network,
    /// Mounts.
    Mount,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// User and group ids.
    User,
    /// View of the cgroup tree.
    Cgroup,
    /// Clocks.
    Time,
}

/// A namespace to make, or with a path to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    /// The namespace to join; absent makes a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

spec! {
    /// A device node to make.
    Device {
        /// `c`, `b`, `u` or `p`.
        #[serde(rename = "type")]
        kind: String,
        /// Path inside the container.
        path: PathBuf,
        /// Major number.
        major: i64,
        /// Minor number.
        minor: i64,
        /// Permission bits.
        #[serde(skip_serializing_if = "Option::is_none")]
        file_mode: Option<u32>,
        /// Owner.
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Group.
        #[serde(skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
    }
}

spec! {
    /// Limits, applied by control groups.
    Resources {
        /// Device access rules, in order; the last match decides.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        devices: Vec<DeviceRule>,
        /// Memory.
        #[serde(skip_serializing_if = "Option::is_none")]
        memory: Option<Memory>,
        /// CPU time and placement.
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu: Option<Cpu>,
        /// Number of processes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pids: Option<Pids>,
        /// Block devices.
        #[serde(rename = "blockIO", skip_serializing_if = "Option::is_none")]
        block_io: Option<BlockIo>,
        /// Huge pages.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        hugepage_limits: Vec<HugepageLimit>,
        /// Network priorities and class.
        #[serde(skip_serializing_if = "Option::is_none")]
        network: Option<NetworkLimits>,
        /// RDMA limits by device.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        rdma: BTreeMap<String, Rdma>,
        /// Control group v2 files, written as they are.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        unified: StringMap,
    }
}

spec! {
    /// One device access rule.
    DeviceRule {
        /// Whether it allows or denies.
        allow: bool,
        /// `a`, `c` or `b`; absent is `a`.
        #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// Major number; absent or -1 is any.
        #[serde(skip_serializing_if = "Option::is_none")]
        major: Option<i64>,
        /// Minor number; absent or -1 is any.
        #[serde(skip_serializing_if = "Option::is_none")]
        minor: Option<i64>,
        /// Some of `r`, `w`, `m`.
        #[serde(skip_serializing_if = "Option::is_none")]
        access: Option<String>,
    }
}

spec! {
    /// Memory limits, in bytes; -1 is no limit.
    Memory {
        /// Hard limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        limit: Option<i64>,
        /// Soft limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        reservation: Option<i64>,
        /// Memory and swap together.
        #[serde(skip_serializing_if = "Option::is_none")]
        swap: Option<i64>,
        /// Kernel memory; ignored by current kernels.
        #[serde(skip_serializing_if = "Option::is_none")]
        kernel: Option<i64>,
        /// Kernel TCP buffers; v1 only.
        #[serde(rename = "kernelTCP", skip_serializing_if = "Option::is_none")]
        kernel_tcp: Option<i64>,
        /// 0 to 100; v1 only.
        #[serde(skip_serializing_if = "Option::is_none")]
        swappiness: Option<u64>,
        /// Whether the out-of-memory killer is off; v1 only.
        #[serde(rename = "disableOOMKiller", skip_serializing_if = "Option::is_none")]
        disable_oom_killer: Option<bool>,
        /// Hierarchical accounting; always on in current kernels.
        #[serde(skip_serializing_if = "Option::is_none")]
        use_hierarchy: Option<bool>,
        /// Whether a limit below the usage is refused.
        #[serde(skip_serializing_if = "Option::is_none")]
        check_before_update: Option<bool>,
    }
}

spec! {
    /// CPU limits.
    Cpu {
        /// Relative weight, 2 to 262144.
        #[serde(skip_serializing_if = "Option::is_none")]
        shares: Option<u64>,
        /// Microseconds of CPU time a period; -1 is no limit.
        #[serde(skip_serializing_if = "Option::is_none")]
        quota: Option<i64>,
        /// Microseconds that may be saved up.
        #[serde(skip_serializing_if = "Option::is_none")]
        burst: Option<u64>,
        /// Length of a period in microseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        period: Option<u64>,
        /// Real-time microseconds a period.
        #[serde(skip_serializing_if = "Option::is_none")]
        realtime_runtime: Option<i64>,
        /// Length of a real-time period in microseconds.
        #[serde(skip_serializing_if = "Option::is_none")]
        realtime_period: Option<u64>,
        /// CPU list.
        #[serde(skip_serializing_if = "Option::is_none")]
        cpus: Option<String>,
        /// Memory node list.
        #[serde(skip_serializing_if = "Option::is_none")]
        mems: Option<String>,
        /// `cpu.idle`.
        #[serde(skip_serializing_if = "Option::is_none")]
        idle: Option<i64>,
    }
}

spec! {
    /// Process number limit.
    #[derive(Copy, Eq)]
    Pids {
        /// Most processes; 0 or below is no limit.
        limit: i64,
    }
}

spec! {
    /// Block device limits.
    BlockIo {
        /// 10 to 1000.
        #[serde(skip_serializing_if = "Option::is_none")]
        weight: Option<u16>,
        /// 10 to 1000, against children.
        #[serde(skip_serializing_if = "Option::is_none")]
        leaf_weight: Option<u16>,
        /// Weights by device.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        weight_device: Vec<WeightDevice>,
        /// Bytes a second read.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        throttle_read_bps_device: Vec<ThrottleDevice>,
        /// Bytes a second written.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        throttle_write_bps_device: Vec<ThrottleDevice>,
        /// Reads a second.
        #[serde(rename = "throttleReadIOPSDevice", skip_serializing_if = "Vec::is_empty")]
        throttle_read_iops_device: Vec<ThrottleDevice>,
        /// Writes a second.
        #[serde(rename = "throttleWriteIOPSDevice", skip_serializing_if = "Vec::is_empty")]
        throttle_write_iops_device: Vec<ThrottleDevice>,
    }
}

spec! {
    /// A block device's weight.
    #[derive(Copy, Eq)]
    WeightDevice {
        /// Major number.
        major: i64,
        /// Minor number.
        minor: i64,
        /// 10 to 1000.
        #[serde(skip_serializing_if = "Option::is_none")]
        weight: Option<u16>,
        /// 10 to 1000, against children.
        #[serde(skip_serializing_if = "Option::is_none")]
        leaf_weight: Option<u16>,
    }
}

spec! {
    /// A block device's rate.
    #[derive(Copy, Eq)]
    ThrottleDevice {
        /// Major number.
        major: i64,
        /// Minor number.
        minor: i64,
        /// Bytes or operations a second.
        rate: u64,
    }
}

spec! {
    /// Limit of one huge page size.
    HugepageLimit {
        /// Such as `2MB`.
        page_size: String,
        /// Bytes.
        limit: u64,
    }
}

spec! {
    /// Network class and priorities; v1 only.
    NetworkLimits {
        /// `net_cls.classid`.
        #[serde(rename = "classID", skip_serializing_if = "Option::is_none")]
        class_id: Option<u32>,
        /// `net_prio.ifpriomap`.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        priorities: Vec<InterfacePriority>,
    }
}

spec! {
    /// Priority of one interface.
    InterfacePriority {
        /// Interface name.
        name: String,
        /// Priority.
        priority: u32,
    }
}

spec! {
    /// RDMA limits of one device.
    #[derive(Copy, Eq)]
    Rdma {
        /// Most handles.
        #[serde(skip_serializing_if = "Option::is_none")]
        hca_handles: Option<u32>,
        /// Most objects.
        #[serde(skip_serializing_if = "Option::is_none")]
        hca_objects: Option<u32>,
    }
}

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

/// Where a container is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Being made.
    Creating,
    /// Made, its program not started.
    Created,
    /// Its program runs.
    Running,
    /// Frozen.
    Paused,
    /// Its program has ended.
    Stopped,
}

/// What `state` prints and hooks are given.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Version of the specification.
    pub oci_version: String,
    /// The container's id.
    pub id: String,
    /// Where it is in its life.
    pub status: Status,
    /// The first process, in the runtime's pid namespace; 0 once stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<i32>,
    /// Absolute path of the bundle.
    pub bundle: PathBuf,
    /// From the configuration.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: StringMap,
}
