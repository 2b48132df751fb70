//! The part of a container's configuration that depends on the host, and what it is made of.

use std::collections::BTreeMap;

use crate::body::{Map, body, omit};

/// Host ports by container port (`80/tcp`); `null` where a port is exposed but not published.
pub type PortMap = BTreeMap<String, Option<Vec<PortBinding>>>;

body! {
    /// Host side of a container: limits, mounts, namespaces, security.
    pub struct HostConfig {
        /// `source:target[:options]`.
        pub binds: Option<Vec<String>>,
        /// Path that the client wrote the ID to; the engine ignores it.
        #[serde(rename = "ContainerIDFile")]
        pub container_id_file: String,
        /// Log driver.
        pub log_config: LogConfig,
        /// `bridge`, `host`, `none`, `container:ID` or a network.
        pub network_mode: String,
        /// Published ports.
        pub port_bindings: PortMap,
        /// What happens when the container exits.
        pub restart_policy: RestartPolicy,
        /// Remove the container when it exits.
        pub auto_remove: bool,
        /// Driver for volumes that name none.
        pub volume_driver: String,
        /// `container[:ro|rw]` whose mounts are taken over.
        pub volumes_from: Option<Vec<String>>,
        /// Terminal height and width in cells.
        pub console_size: [u32; 2],
        /// Annotations for the OCI runtime.
        #[serde(skip_serializing_if = "omit")]
        pub annotations: Map,
        /// Capabilities to add.
        pub cap_add: Option<Vec<String>>,
        /// Capabilities to drop.
        pub cap_drop: Option<Vec<String>>,
        /// `private`, `host` or empty for the daemon's default.
        pub cgroupns_mode: String,
        /// Name server addresses.
        pub dns: Option<Vec<String>>,
        /// `resolv.conf` options.
        pub dns_options: Option<Vec<String>>,
        /// `resolv.conf` search domains.
        pub dns_search: Option<Vec<String>>,
        /// `name:address` lines for the hosts file.
        pub extra_hosts: Option<Vec<String>>,
        /// Supplementary groups.
        pub group_add: Option<Vec<String>>,
        /// `none`, `private`, `shareable`, `host`, `container:ID`.
        pub ipc_mode: String,
        /// Cgroup to share, `container:ID`; legacy.
        pub cgroup: String,
        /// `container:alias` legacy links.
        pub links: Option<Vec<String>>,
        /// OOM killer score adjustment, -1000 to 1000.
        pub oom_score_adj: i64,
        /// Empty, `host` or `container:ID`.
        pub pid_mode: String,
        /// All capabilities and devices.
        pub privileged: bool,
        /// Publish every exposed port on an ephemeral host port.
        pub publish_all_ports: bool,
        /// Root file system is read-only.
        pub readonly_rootfs: bool,
        /// `label=`, `apparmor=`, `seccomp=`, `no-new-privileges`, ...
        pub security_opt: Option<Vec<String>>,
        /// Storage driver options.
        #[serde(skip_serializing_if = "omit")]
        pub storage_opt: Map,
        /// Mount options by tmpfs path.
        #[serde(skip_serializing_if = "omit")]
        pub tmpfs: Map,
        /// Empty or `host`.
        #[serde(rename = "UTSMode")]
        pub uts_mode: String,
        /// Empty or `host`.
        pub userns_mode: String,
        /// Size of `/dev/shm` in bytes.
        pub shm_size: i64,
        /// Namespaced kernel parameters.
        #[serde(skip_serializing_if = "omit")]
        pub sysctls: Map,
        /// OCI runtime by name.
        #[serde(skip_serializing_if = "omit")]
        pub runtime: String,
        /// Windows isolation; empty here.
        pub isolation: String,
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
        /// Host devices to make available.
        pub devices: Option<Vec<DeviceMapping>>,
        /// Device cgroup rules, `c 1:3 rwm`.
        pub device_cgroup_rules: Option<Vec<String>>,
        /// Requests to device drivers (GPU, CDI).
        pub device_requests: Option<Vec<DeviceRequest>>,
        /// Kernel memory limit in bytes; accepted and ignored from 1.42.
        #[serde(skip_serializing_if = "omit")]
        pub kernel_memory: i64,
        /// Kernel TCP memory limit in bytes; accepted and ignored from 1.52.
        #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "omit")]
        pub kernel_memory_tcp: i64,
        /// Soft memory limit in bytes.
        pub memory_reservation: i64,
        /// Memory and swap together in bytes, -1 for no limit.
        pub memory_swap: i64,
        /// 0 to 100, `null` to inherit.
        pub memory_swappiness: Option<i64>,
        /// Switch the OOM killer off.
        pub oom_kill_disable: Option<bool>,
        /// Most processes; 0 and -1 for no limit.
        pub pids_limit: Option<i64>,
        /// Resource limits of processes.
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
        /// Mounts in structured form.
        #[serde(skip_serializing_if = "omit")]
        pub mounts: Vec<Mount>,
        /// Paths hidden in the container; `null` for the default list.
        pub masked_paths: Option<Vec<String>>,
        /// Paths made read-only; `null` for the default list.
        pub readonly_paths: Option<Vec<String>>,
        /// Run an init as PID 1; `null` for the daemon's default.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub init: Option<bool>,
    }

    /// Log driver and its options.
    pub struct LogConfig {
        /// Driver name; empty for the daemon's default.
        #[serde(rename = "Type")]
        pub kind: String,
        /// Driver options.
        pub config: Map,
    }

    /// When a container is started again.
    pub struct RestartPolicy {
        /// `no`, `always`, `unless-stopped`, `on-failure`; empty is `no`.
        pub name: String,
        /// Attempts of `on-failure`; 0 for no limit.
        pub maximum_retry_count: i64,
    }

    /// One host address and port.
    pub struct PortBinding {
        /// Host address; empty for all.
        pub host_ip: String,
        /// Host port or range; empty for an ephemeral one.
        pub host_port: String,
    }

    /// A host device shown in the container.
    pub struct DeviceMapping {
        /// Device node on the host.
        pub path_on_host: String,
        /// Device node in the container.
        pub path_in_container: String,
        /// Subset of `rwm`.
        pub cgroup_permissions: String,
    }

    /// A request to a device driver.
    pub struct DeviceRequest {
        /// Driver name, `nvidia` or `cdi`.
        pub driver: String,
        /// How many; -1 for all.
        pub count: i64,
        /// Devices by ID.
        #[serde(rename = "DeviceIDs")]
        pub device_ids: Option<Vec<String>>,
        /// Alternatives, each a list of capabilities that must all be there.
        pub capabilities: Option<Vec<Vec<String>>>,
        /// Driver options.
        pub options: Option<Map>,
    }

    /// One resource limit of processes.
    pub struct Ulimit {
        /// `nofile`, `nproc`, ...
        pub name: String,
        /// Hard limit, -1 for none.
        pub hard: i64,
        /// Soft limit, -1 for none.
        pub soft: i64,
    }

    /// Block IO weight of a device.
    pub struct WeightDevice {
        /// Device node on the host.
        pub path: String,
        /// Weight, 10 to 1000.
        pub weight: u16,
    }

    /// Block IO limit of a device.
    pub struct ThrottleDevice {
        /// Device node on the host.
        pub path: String,
        /// Bytes or operations per second.
        pub rate: u64,
    }

    /// A mount in structured form.
    pub struct Mount {
        /// `bind`, `volume`, `tmpfs`, `image`, `cluster`, `npipe`.
        #[serde(rename = "Type", skip_serializing_if = "omit")]
        pub kind: String,
        /// Host path, volume or image.
        #[serde(skip_serializing_if = "omit")]
        pub source: String,
        /// Path in the container.
        #[serde(skip_serializing_if = "omit")]
        pub target: String,
        /// Mount without write access.
        #[serde(skip_serializing_if = "omit")]
        pub read_only: bool,
        /// Consistency hint; ignored on Linux.
        #[serde(skip_serializing_if = "omit")]
        pub consistency: String,
        /// Options of `bind`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub bind_options: Option<BindOptions>,
        /// Options of `volume`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volume_options: Option<VolumeOptions>,
        /// Options of `image`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_options: Option<ImageOptions>,
        /// Options of `tmpfs`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub tmpfs_options: Option<TmpfsOptions>,
        /// Options of `cluster`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cluster_options: Option<ClusterOptions>,
    }

    /// Options of a bind mount.
    pub struct BindOptions {
        /// `private`, `rprivate`, `shared`, `rshared`, `slave`, `rslave`.
        #[serde(skip_serializing_if = "omit")]
        pub propagation: String,
        /// Leave submounts out.
        #[serde(skip_serializing_if = "omit")]
        pub non_recursive: bool,
        /// Make the source directory if it is missing.
        #[serde(skip_serializing_if = "omit")]
        pub create_mountpoint: bool,
        /// Make only the top mount read-only.
        #[serde(skip_serializing_if = "omit")]
        pub read_only_non_recursive: bool,
        /// Fail if submounts cannot be made read-only too.
        #[serde(skip_serializing_if = "omit")]
        pub read_only_force_recursive: bool,
        /// Ours: `UID:GID` of the host whose files are the container's user's inside.
        #[serde(skip_serializing_if = "omit")]
        pub id_map: String,
    }

    /// Options of a volume mount.
    pub struct VolumeOptions {
        /// Do not fill a new volume from the image.
        #[serde(skip_serializing_if = "omit")]
        pub no_copy: bool,
        /// Labels of a new volume.
        #[serde(skip_serializing_if = "omit")]
        pub labels: Map,
        /// Directory in the volume to mount.
        #[serde(skip_serializing_if = "omit")]
        pub subpath: String,
        /// Driver of a new volume.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub driver_config: Option<MountDriver>,
        /// Ours: `UID:GID` of the host whose files are the container's user's inside.
        #[serde(skip_serializing_if = "omit")]
        pub id_map: String,
    }

    /// Volume driver of a mount.
    pub struct MountDriver {
        /// Driver name.
        #[serde(skip_serializing_if = "omit")]
        pub name: String,
        /// Driver options.
        #[serde(skip_serializing_if = "omit")]
        pub options: Map,
    }

    /// Options of an image mount.
    pub struct ImageOptions {
        /// Directory in the image to mount.
        #[serde(skip_serializing_if = "omit")]
        pub subpath: String,
    }

    /// Options of a tmpfs mount.
    pub struct TmpfsOptions {
        /// Size limit in bytes; 0 for the kernel's default.
        #[serde(skip_serializing_if = "omit")]
        pub size_bytes: i64,
        /// Permission bits of the directory.
        #[serde(skip_serializing_if = "omit")]
        pub mode: u32,
        /// Mount options, each `[name]` or `[name, value]`.
        #[serde(skip_serializing_if = "omit")]
        pub options: Vec<Vec<String>>,
    }

    /// Options of a cluster volume mount; it has none.
    pub struct ClusterOptions {}
}
