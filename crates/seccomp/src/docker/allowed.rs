//! The system calls of Docker's default profile, by the reason that they are allowed.
//!
//! What is not here is denied with `EPERM`: kernel modules, kexec, swap, io_uring, userfaultfd, the
//! kernel's key rings (they are not namespaced), new mounts, time, and the like.

/// Allowed to every container.
#[rustfmt::skip]
pub(super) const ALWAYS: &[&[&str]] =
    &[FILES, ATTRIBUTES, DIRECTORIES, WAITING, MEMORY, PROCESSES, SIGNALS, TIME, IDS, NETWORK, IPC];

/// Opening, reading, writing, copying.
#[rustfmt::skip]
const FILES: &[&str] = &[
    "access", "cachestat", "close", "close_range", "copy_file_range", "creat", "dup", "dup2",
    "dup3", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate", "fcntl",
    "fcntl64", "fdatasync", "flock", "fsync", "ftruncate", "ftruncate64", "io_cancel",
    "io_destroy", "io_getevents", "io_pgetevents", "io_pgetevents_time64", "io_setup", "io_submit",
    "ioctl", "_llseek", "lseek", "memfd_create", "memfd_secret", "name_to_handle_at", "open",
    "openat", "openat2", "pipe", "pipe2", "pread64", "preadv", "preadv2", "pwrite64", "pwritev",
    "pwritev2", "read", "readahead", "readv", "sendfile", "sendfile64", "splice", "sync",
    "sync_file_range", "syncfs", "tee", "truncate", "truncate64", "vmsplice", "write", "writev",
];

/// Owners, modes, times and extended attributes of files.
#[rustfmt::skip]
const ATTRIBUTES: &[&str] = &[
    "chmod", "chown", "chown32", "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32",
    "fchownat", "fgetxattr", "flistxattr", "fremovexattr", "fsetxattr", "fstat", "fstat64",
    "fstatat64", "fstatfs", "fstatfs64", "futimesat", "getxattr", "getxattrat", "lchown",
    "lchown32", "lgetxattr", "listmount", "listxattr", "listxattrat", "llistxattr", "lremovexattr",
    "lsetxattr", "lstat", "lstat64", "newfstatat", "removexattr", "removexattrat", "setxattr",
    "setxattrat", "stat", "stat64", "statfs", "statfs64", "statmount", "statx", "umask", "utime",
    "utimensat", "utimensat_time64", "utimes",
];

/// Names of files.
#[rustfmt::skip]
const DIRECTORIES: &[&str] = &[
    "chdir", "fchdir", "getcwd", "getdents", "getdents64", "link", "linkat", "mkdir", "mkdirat",
    "mknod", "mknodat", "readlink", "readlinkat", "rename", "renameat", "renameat2", "rmdir",
    "symlink", "symlinkat", "unlink", "unlinkat",
];

/// Waiting for events, and locks in memory.
#[rustfmt::skip]
const WAITING: &[&str] = &[
    "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_pwait", "epoll_pwait2",
    "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "fanotify_mark", "futex",
    "futex_requeue", "futex_time64", "futex_wait", "futex_waitv", "futex_wake", "get_robust_list",
    "inotify_add_watch", "inotify_init", "inotify_init1", "inotify_rm_watch", "membarrier",
    "_newselect", "pause", "poll", "ppoll", "ppoll_time64", "pselect6", "pselect6_time64", "rseq",
    "select", "set_robust_list", "signalfd", "signalfd4",
];

/// Memory.
#[rustfmt::skip]
const MEMORY: &[&str] = &[
    "brk", "madvise", "map_shadow_stack", "mincore", "mlock", "mlock2", "mlockall", "mmap",
    "mmap2", "mprotect", "mremap", "mseal", "msync", "munlock", "munlockall", "munmap",
    "pkey_alloc", "pkey_free", "pkey_mprotect", "process_mrelease", "remap_file_pages",
];

/// Processes, threads, their limits and scheduling.
#[rustfmt::skip]
const PROCESSES: &[&str] = &[
    "execve", "execveat", "exit", "exit_group", "fork", "get_thread_area", "getcpu", "getpgid",
    "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getrlimit", "getrusage", "getsid",
    "gettid", "ioprio_get", "ioprio_set", "landlock_add_rule", "landlock_create_ruleset",
    "landlock_restrict_self", "pidfd_open", "pidfd_send_signal", "prctl", "prlimit64",
    "riscv_hwprobe", "sched_get_priority_max", "sched_get_priority_min", "sched_getaffinity",
    "sched_getattr", "sched_getparam", "sched_getscheduler", "sched_rr_get_interval",
    "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler", "sched_yield", "seccomp", "set_thread_area", "set_tid_address",
    "setpgid", "setpriority", "setrlimit", "setsid", "sysinfo", "ugetrlimit", "uname", "uretprobe",
    "vfork", "wait4", "waitid", "waitpid",
];

/// Signals.
#[rustfmt::skip]
const SIGNALS: &[&str] = &[
    "kill", "restart_syscall", "rt_sigaction", "rt_sigpending", "rt_sigprocmask",
    "rt_sigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait",
    "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sigaltstack", "sigprocmask", "sigreturn",
    "tgkill", "tkill",
];

/// Clocks and timers; the kernel itself guards what sets a clock by `adjtimex`.
#[rustfmt::skip]
const TIME: &[&str] = &[
    "adjtimex", "alarm", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64",
    "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "getitimer",
    "gettimeofday", "nanosleep", "setitimer", "time", "timer_create", "timer_delete",
    "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime", "timer_settime64",
    "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime",
    "timerfd_settime64", "times",
];

/// Users, groups, capabilities.
#[rustfmt::skip]
const IDS: &[&str] = &[
    "capget", "capset", "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32",
    "getgroups", "getgroups32", "getresgid", "getresgid32", "getresuid", "getresuid32", "getuid",
    "getuid32", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32",
    "setgroups", "setgroups32", "setregid", "setregid32", "setresgid", "setresgid32", "setresuid",
    "setresuid32", "setreuid", "setreuid32", "setuid", "setuid32",
];

/// Sockets once they are made; `socket` itself depends on the address family. What `socketcall`
/// is asked for lies in memory that no filter can read, and 32-bit programs need it.
#[rustfmt::skip]
const NETWORK: &[&str] = &[
    "accept", "accept4", "bind", "connect", "getpeername", "getsockname", "getsockopt", "listen",
    "recv", "recvfrom", "recvmmsg", "recvmmsg_time64", "recvmsg", "send", "sendmmsg", "sendmsg",
    "sendto", "setsockopt", "shutdown", "socketcall", "socketpair",
];

/// Message queues, semaphores, shared memory.
#[rustfmt::skip]
const IPC: &[&str] = &[
    "ipc", "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64",
    "mq_timedsend", "mq_timedsend_time64", "mq_unlink", "msgctl", "msgget", "msgrcv", "msgsnd",
    "semctl", "semget", "semop", "semtimedop", "semtimedop_time64", "shmat", "shmctl", "shmdt",
    "shmget",
];

/// Reading and steering other processes of the same user: safe since Linux 4.8, where a tracer can
/// no longer get round the filter of what it traces.
pub(super) const TRACING: &[&str] = &["process_vm_readv", "process_vm_writev", "ptrace"];

/// Allowed on one family of machines.
#[rustfmt::skip]
pub(super) const BY_MACHINE: &[(&[&str], &[&str])] = &[
    (
        &["aarch64", "arm"],
        &[
            "arm_fadvise64_64", "arm_sync_file_range", "breakpoint", "cacheflush", "set_tls",
            "sync_file_range2",
        ],
    ),
    (&["x86_64"], &["arch_prctl"]),
    (&["x86_64", "x86"], &["modify_ldt"]),
];

/// Allowed with a capability.
#[rustfmt::skip]
pub(super) const BY_CAPABILITY: &[(&str, &[&str])] = &[
    ("CAP_DAC_READ_SEARCH", &["open_by_handle_at"]),
    (
        "CAP_SYS_ADMIN",
        &[
            "bpf", "clone", "clone3", "fanotify_init", "fsconfig", "fsmount", "fsopen", "fspick",
            "lookup_dcookie", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr",
            "mount", "mount_setattr", "move_mount", "open_tree", "perf_event_open", "quotactl",
            "quotactl_fd", "setdomainname", "sethostname", "setns", "syslog", "umount", "umount2",
            "unshare",
        ],
    ),
    ("CAP_SYS_BOOT", &["reboot"]),
    ("CAP_SYS_CHROOT", &["chroot"]),
    ("CAP_SYS_MODULE", &["delete_module", "finit_module", "init_module"]),
    ("CAP_SYS_PACCT", &["acct"]),
    (
        "CAP_SYS_PTRACE",
        &[
            "kcmp", "pidfd_getfd", "process_madvise", "process_vm_readv", "process_vm_writev",
            "ptrace",
        ],
    ),
    ("CAP_SYS_RAWIO", &["ioperm", "iopl"]),
    ("CAP_SYS_TIME", &["clock_settime", "clock_settime64", "settimeofday", "stime"]),
    ("CAP_SYS_TTY_CONFIG", &["vhangup"]),
    (
        "CAP_SYS_NICE",
        &["get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"],
    ),
    ("CAP_SYSLOG", &["syslog"]),
    ("CAP_BPF", &["bpf"]),
    ("CAP_PERFMON", &["perf_event_open"]),
];
