//! Changing a container's limits while it exists.

use crate::body::{body, omit};
use crate::host_config::{
    DeviceMapping, DeviceRequest, RestartPolicy, ThrottleDevice, Ulimit, WeightDevice,
};

body! {
    /// Body of `POST /containers/{id}/update`; a zero leaves the value as it is.
    pub struct UpdateBody {
        /// Relative CPU weight.
        pub cpu_shares: i64,
        /// Memory limit in bytes.
        pub memory: i64,
        /// CPU quota in 1e-9 CPUs.
        pub nano_cpus: i64,
        /// Parent cgroup.
        pub cgroup_parent: String,
        /// Block IO weight, 10 to 1000.
        pub blkio_weight: u16,
        /// Block IO weight by device.
        pub blkio_weight_device: Option<Vec<WeightDevice>>,
        /// Read limits in bytes per second.
        pub blkio_device_read_bps: Option<Vec<ThrottleDevice>>,
        /// Write limits in bytes per second.
        pub blkio_device_write_bps: Option<Vec<ThrottleDevice>>,
        /// Read limits in operations per second.
        #[serde(rename = "BlkioDeviceReadIOps")]
        pub blkio_device_read_iops: Option<Vec<ThrottleDevice>>,
        /// Write limits in operations per second.
        #[serde(rename = "BlkioDeviceWriteIOps")]
        pub blkio_device_write_iops: Option<Vec<ThrottleDevice>>,
        /// CFS period in µs.
        pub cpu_period: i64,
        /// CFS quota in µs per period.
        pub cpu_quota: i64,
        /// Realtime period in µs.
        pub cpu_realtime_period: i64,
        /// Realtime runtime in µs.
        pub cpu_realtime_runtime: i64,
        /// CPUs allowed, `0-2,4`.
        pub cpuset_cpus: String,
        /// Memory nodes allowed.
        pub cpuset_mems: String,
        /// Host devices; not changed by Docker.
        pub devices: Option<Vec<DeviceMapping>>,
        /// Device cgroup rules; not changed by Docker.
        pub device_cgroup_rules: Option<Vec<String>>,
        /// Requests to device drivers; not changed by Docker.
        pub device_requests: Option<Vec<DeviceRequest>>,
        /// Kernel memory limit in bytes; accepted and ignored from 1.42.
        #[serde(skip_serializing_if = "omit")]
        pub kernel_memory: i64,
        /// Soft memory limit in bytes.
        pub memory_reservation: i64,
        /// Memory and swap together in bytes, -1 for no limit.
        pub memory_swap: i64,
        /// 0 to 100.
        pub memory_swappiness: Option<i64>,
        /// Switch the OOM killer off.
        pub oom_kill_disable: Option<bool>,
        /// Most processes; 0 and -1 for no limit, `null` leaves it.
        pub pids_limit: Option<i64>,
        /// Resource limits of processes; not changed by Docker.
        pub ulimits: Option<Vec<Ulimit>>,
        /// Windows only.
        pub cpu_count: i64,
        /// Windows only.
        pub cpu_percent: i64,
        /// Windows only.
        #[serde(rename = "IOMaximumIOps")]
        pub io_maximum_iops: u64,
        /// Windows only.
        #[serde(rename = "IOMaximumBandwidth")]
        pub io_maximum_bandwidth: u64,
        /// Restart policy; an empty name leaves it.
        pub restart_policy: RestartPolicy,
    }

    /// Answer to `POST /containers/{id}/update`.
    pub struct UpdateResponse {
        /// What the client should know; `null` when nothing.
        pub warnings: Option<Vec<String>>,
    }
}
