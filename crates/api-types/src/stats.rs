//! Resource use of a container.
//!
//! One shape for cgroup v1 and v2: v1 alone fills `percpu_usage`, `max_usage`, `failcnt` and most
//! lists of block IO, and the keys of `memory_stats.stats` differ.

use std::collections::BTreeMap;

use crate::body::{lower_body, omit};

lower_body! {
    /// A sample of `GET /containers/{id}/stats`.
    pub struct ContainerStats {
        /// Container's name with a leading slash.
        #[serde(skip_serializing_if = "omit")]
        pub name: String,
        /// Container's full ID.
        #[serde(skip_serializing_if = "omit")]
        pub id: String,
        /// Operating system; from 1.52.
        #[serde(skip_serializing_if = "omit")]
        pub os_type: String,
        /// Time of the sample, RFC 3339 with ns.
        pub read: String,
        /// Time of the sample before.
        pub preread: String,
        /// Processes.
        pub pids_stats: PidsStats,
        /// Block IO.
        pub blkio_stats: BlkioStats,
        /// Processes; Windows, 0 here.
        pub num_procs: u32,
        /// Storage; Windows, `{}` here.
        pub storage_stats: StorageStats,
        /// CPU now.
        pub cpu_stats: CpuStats,
        /// CPU in the sample before.
        pub precpu_stats: CpuStats,
        /// Memory.
        pub memory_stats: MemoryStats,
        /// Network by interface; absent without a network.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub networks: Option<BTreeMap<String, NetworkStats>>,
    }

    /// Processes.
    pub struct PidsStats {
        /// Now.
        #[serde(skip_serializing_if = "omit")]
        pub current: u64,
        /// Limit; 0 for none.
        #[serde(skip_serializing_if = "omit")]
        pub limit: u64,
    }

    /// Block IO; `null` where the kernel tells nothing.
    pub struct BlkioStats {
        /// Bytes.
        pub io_service_bytes_recursive: Option<Vec<BlkioEntry>>,
        /// Operations.
        pub io_serviced_recursive: Option<Vec<BlkioEntry>>,
        /// Operations queued; v1.
        pub io_queue_recursive: Option<Vec<BlkioEntry>>,
        /// Service time in ns; v1.
        pub io_service_time_recursive: Option<Vec<BlkioEntry>>,
        /// Waiting time in ns; v1.
        pub io_wait_time_recursive: Option<Vec<BlkioEntry>>,
        /// Operations merged; v1.
        pub io_merged_recursive: Option<Vec<BlkioEntry>>,
        /// Device time in ms; v1.
        pub io_time_recursive: Option<Vec<BlkioEntry>>,
        /// Sectors; v1.
        pub sectors_recursive: Option<Vec<BlkioEntry>>,
    }

    /// One counter of a device.
    pub struct BlkioEntry {
        /// Device's major number.
        pub major: u64,
        /// Device's minor number.
        pub minor: u64,
        /// `read`, `write`, ...
        pub op: String,
        /// Count.
        pub value: u64,
    }

    /// Storage; Windows.
    pub struct StorageStats {
        /// Read operations.
        #[serde(skip_serializing_if = "omit")]
        pub read_count_normalized: u64,
        /// Bytes read.
        #[serde(skip_serializing_if = "omit")]
        pub read_size_bytes: u64,
        /// Write operations.
        #[serde(skip_serializing_if = "omit")]
        pub write_count_normalized: u64,
        /// Bytes written.
        #[serde(skip_serializing_if = "omit")]
        pub write_size_bytes: u64,
    }

    /// CPU.
    pub struct CpuStats {
        /// Container's time.
        pub cpu_usage: CpuUsage,
        /// Time of all CPUs together in ns.
        #[serde(skip_serializing_if = "omit")]
        pub system_cpu_usage: u64,
        /// CPUs online.
        #[serde(skip_serializing_if = "omit")]
        pub online_cpus: u32,
        /// Throttling.
        pub throttling_data: ThrottlingData,
    }

    /// CPU time of a container.
    pub struct CpuUsage {
        /// Total in ns.
        pub total_usage: u64,
        /// By CPU in ns; v1.
        #[serde(skip_serializing_if = "omit")]
        pub percpu_usage: Vec<u64>,
        /// In the kernel, in ns.
        pub usage_in_kernelmode: u64,
        /// In user space, in ns.
        pub usage_in_usermode: u64,
    }

    /// Throttling by the CPU quota.
    pub struct ThrottlingData {
        /// Periods with a quota in force.
        pub periods: u64,
        /// Periods in which it was used up.
        pub throttled_periods: u64,
        /// Time held back in ns.
        pub throttled_time: u64,
    }

    /// Memory.
    pub struct MemoryStats {
        /// Bytes now, with the page cache.
        #[serde(skip_serializing_if = "omit")]
        pub usage: u64,
        /// Most bytes ever; v1.
        #[serde(skip_serializing_if = "omit")]
        pub max_usage: u64,
        /// The kernel's `memory.stat`.
        #[serde(skip_serializing_if = "omit")]
        pub stats: BTreeMap<String, u64>,
        /// Times the limit was hit; v1.
        #[serde(skip_serializing_if = "omit")]
        pub failcnt: u64,
        /// Limit in bytes, at most the machine's memory.
        #[serde(skip_serializing_if = "omit")]
        pub limit: u64,
    }

    /// Traffic of an interface.
    pub struct NetworkStats {
        /// Bytes received.
        pub rx_bytes: u64,
        /// Packets received.
        pub rx_packets: u64,
        /// Errors on receipt.
        pub rx_errors: u64,
        /// Packets dropped on receipt.
        pub rx_dropped: u64,
        /// Bytes sent.
        pub tx_bytes: u64,
        /// Packets sent.
        pub tx_packets: u64,
        /// Errors on sending.
        pub tx_errors: u64,
        /// Packets dropped on sending.
        pub tx_dropped: u64,
    }
}
