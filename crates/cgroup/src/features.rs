//! What the mounted controllers can do.

use std::path::Path;

use crate::{Host, Version};

/// What the mounted controllers can do, for `/info` and for warnings at creation.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Features {
    /// Memory limits.
    pub memory_limit: bool,
    /// Limits of memory and swap together.
    pub swap_limit: bool,
    /// Soft memory limits.
    pub memory_reservation: bool,
    /// The out-of-memory killer can be switched off (v1).
    pub oom_kill_disable: bool,
    /// Swappiness of one group (v1).
    pub memory_swappiness: bool,
    /// Limits of kernel memory (v1 before Linux 6.1 or so; ignored since).
    pub kernel_memory: bool,
    /// Limits of TCP buffers (v1).
    pub kernel_memory_tcp: bool,
    /// Relative CPU weight.
    pub cpu_shares: bool,
    /// CPU period and quota.
    pub cpu_cfs: bool,
    /// Real-time period and quota (v1).
    pub cpu_realtime: bool,
    /// CPU and memory node lists.
    pub cpuset: bool,
    /// Limits of the number of processes.
    pub pids_limit: bool,
    /// Weights of block devices, as Docker judges it: by the root group's files, which BFQ's are
    /// not among.
    pub blkio_weight: bool,
    /// Weights by block device.
    pub blkio_weight_device: bool,
    /// Rates by block device.
    pub blkio_throttle: bool,
    /// Device access rules.
    pub devices: bool,
    /// Freezing.
    pub freezer: bool,
    /// Limits of huge pages.
    pub hugetlb: bool,
    /// Network classes and priorities (v1).
    pub network: bool,
    /// Limits of RDMA devices.
    pub rdma: bool,
}

impl Features {
    pub(crate) fn of(host: &Host) -> Features {
        if host.version() == Version::V2 { Features::v2(host) } else { Features::v1(host) }
    }

    fn v1(host: &Host) -> Features {
        let has = |controller: &str| host.mount_of(controller).is_some();
        let file = |controller: &str, name: &str| {
            host.mount_of(controller).is_some_and(|mount| mount.join(name).exists())
        };
        Features {
            memory_limit: has("memory"),
            swap_limit: file("memory", "memory.memsw.limit_in_bytes"),
            memory_reservation: file("memory", "memory.soft_limit_in_bytes"),
            oom_kill_disable: file("memory", "memory.oom_control"),
            memory_swappiness: file("memory", "memory.swappiness"),
            kernel_memory: file("memory", "memory.kmem.limit_in_bytes"),
            kernel_memory_tcp: file("memory", "memory.kmem.tcp.limit_in_bytes"),
            cpu_shares: file("cpu", "cpu.shares"),
            cpu_cfs: file("cpu", "cpu.cfs_quota_us"),
            cpu_realtime: file("cpu", "cpu.rt_period_us"),
            cpuset: has("cpuset"),
            pids_limit: has("pids"),
            blkio_weight: file("blkio", "blkio.weight") || file("blkio", "blkio.bfq.weight"),
            blkio_weight_device: file("blkio", "blkio.weight_device")
                || file("blkio", "blkio.bfq.weight_device"),
            blkio_throttle: file("blkio", "blkio.throttle.read_bps_device"),
            devices: has("devices"),
            freezer: has("freezer"),
            hugetlb: has("hugetlb"),
            network: has("net_cls") && has("net_prio"),
            rdma: has("rdma"),
        }
    }

    fn v2(host: &Host) -> Features {
        let has = |controller: &str| host.mount_of(controller).is_some();
        let mount = host.unified_mount().unwrap_or(Path::new("/sys/fs/cgroup"));
        let io = has("io");
        Features {
            memory_limit: has("memory"),
            swap_limit: has("memory") && swap_file_below(mount),
            memory_reservation: has("memory"),
            cpu_shares: has("cpu"),
            cpu_cfs: has("cpu"),
            cpuset: has("cpuset"),
            pids_limit: has("pids"),
            blkio_weight: io,
            blkio_weight_device: io,
            blkio_throttle: io,
            // By programs, and part of every v2 tree.
            devices: true,
            freezer: true,
            hugetlb: has("hugetlb"),
            rdma: has("rdma"),
            ..Features::default()
        }
    }
}

/// Whether swap is counted: the root has no such file, any group below it tells.
fn swap_file_below(mount: &Path) -> bool {
    let below = crate::files::children(mount).unwrap_or_default();
    let mut below = below.iter().filter(|path| path.join("memory.current").exists());
    // Without a group to ask, what kernels do unless told otherwise.
    below.next().is_none_or(|path| path.join("memory.swap.max").exists())
}
