//! Limits of a container's control group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::StringMap;

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
