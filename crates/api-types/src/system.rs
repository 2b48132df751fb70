//! The daemon itself: version, information, disk use.

use std::collections::BTreeMap;

use crate::body::{Map, body, lower_body, omit};
use crate::build::BuildCache;
use crate::container::ContainerSummary;
use crate::image::ImageSummary;
use crate::volume::Volume;

body! {
    /// Answer to `GET /version`.
    pub struct Version {
        /// Product.
        pub platform: PlatformName,
        /// Parts.
        #[serde(skip_serializing_if = "omit")]
        pub components: Vec<ComponentVersion>,
        /// Daemon's version.
        pub version: String,
        /// Newest API version.
        pub api_version: String,
        /// Oldest API version.
        #[serde(rename = "MinAPIVersion", skip_serializing_if = "omit")]
        pub min_api_version: String,
        /// Commit.
        pub git_commit: String,
        /// Compiler's version; clients print it.
        pub go_version: String,
        /// Operating system.
        pub os: String,
        /// Processor architecture in Go's words.
        pub arch: String,
        /// Kernel release.
        #[serde(skip_serializing_if = "omit")]
        pub kernel_version: String,
        /// Experimental features are on.
        #[serde(skip_serializing_if = "omit")]
        pub experimental: bool,
        /// Build time, RFC 3339.
        #[serde(skip_serializing_if = "omit")]
        pub build_time: String,
    }

    /// Product name.
    pub struct PlatformName {
        /// Name.
        pub name: String,
    }

    /// A part of the daemon.
    pub struct ComponentVersion {
        /// Name.
        pub name: String,
        /// Version.
        pub version: String,
        /// Further facts.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub details: Option<Map>,
    }

    /// Answer to `GET /info`.
    pub struct Info {
        /// Daemon's ID.
        #[serde(rename = "ID")]
        pub id: String,
        /// Containers.
        pub containers: i64,
        /// Of them running.
        pub containers_running: i64,
        /// Of them paused.
        pub containers_paused: i64,
        /// Of them stopped.
        pub containers_stopped: i64,
        /// Images.
        pub images: i64,
        /// Storage driver.
        pub driver: String,
        /// Its facts, each `[name, value]`.
        pub driver_status: Vec<[String; 2]>,
        /// Plugins by kind.
        pub plugins: PluginsInfo,
        /// The kernel can limit memory.
        pub memory_limit: bool,
        /// The kernel can limit swap.
        pub swap_limit: bool,
        /// Before 1.42.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub kernel_memory: Option<bool>,
        /// Before 1.42.
        #[serde(rename = "KernelMemoryTCP", skip_serializing_if = "Option::is_none")]
        pub kernel_memory_tcp: Option<bool>,
        /// The kernel has CFS periods.
        pub cpu_cfs_period: bool,
        /// The kernel has CFS quotas.
        pub cpu_cfs_quota: bool,
        /// The kernel has CPU weights.
        #[serde(rename = "CPUShares")]
        pub cpu_shares: bool,
        /// The kernel has cpusets.
        #[serde(rename = "CPUSet")]
        pub cpu_set: bool,
        /// The kernel can limit processes.
        pub pids_limit: bool,
        /// The host forwards IPv4.
        #[serde(rename = "IPv4Forwarding")]
        pub ipv4_forwarding: bool,
        /// Before 1.50.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub bridge_nf_iptables: Option<bool>,
        /// Before 1.50.
        #[serde(rename = "BridgeNfIp6tables", skip_serializing_if = "Option::is_none")]
        pub bridge_nf_ip6tables: Option<bool>,
        /// Debugging is on.
        pub debug: bool,
        /// Open files of the daemon.
        #[serde(rename = "NFd")]
        pub n_fd: i64,
        /// The OOM killer can be switched off.
        pub oom_kill_disable: bool,
        /// Tasks of the daemon.
        #[serde(rename = "NGoroutines")]
        pub n_goroutines: i64,
        /// Now, RFC 3339 with ns.
        pub system_time: String,
        /// Default log driver.
        pub logging_driver: String,
        /// `cgroupfs`, `systemd` or `none`.
        pub cgroup_driver: String,
        /// `1` or `2`.
        #[serde(skip_serializing_if = "omit")]
        pub cgroup_version: String,
        /// Clients that listen to events.
        #[serde(rename = "NEventsListener")]
        pub n_events_listener: i64,
        /// Kernel release.
        pub kernel_version: String,
        /// Distribution.
        pub operating_system: String,
        /// Its version.
        #[serde(rename = "OSVersion")]
        pub os_version: String,
        /// `linux`.
        #[serde(rename = "OSType")]
        pub os_type: String,
        /// Processor architecture in the kernel's words.
        pub architecture: String,
        /// Default registry's index.
        pub index_server_address: String,
        /// Registries.
        pub registry_config: Option<RegistryConfig>,
        /// CPUs.
        #[serde(rename = "NCPU")]
        pub ncpu: i64,
        /// Memory in bytes.
        pub mem_total: i64,
        /// Swarm resources; kept as they come.
        pub generic_resources: Option<Vec<serde_json::Value>>,
        /// State directory.
        pub docker_root_dir: String,
        /// Proxy.
        pub http_proxy: String,
        /// Proxy.
        pub https_proxy: String,
        /// Hosts without proxy.
        pub no_proxy: String,
        /// Host name.
        pub name: String,
        /// Labels, `key=value`.
        pub labels: Vec<String>,
        /// Experimental features are on.
        pub experimental_build: bool,
        /// Daemon's version.
        pub server_version: String,
        /// OCI runtimes by name.
        pub runtimes: BTreeMap<String, RuntimeInfo>,
        /// Runtime of containers that name none.
        pub default_runtime: String,
        /// Swarm.
        pub swarm: SwarmInfo,
        /// Containers outlive the daemon.
        pub live_restore_enabled: bool,
        /// Windows isolation; empty here.
        pub isolation: String,
        /// Init program.
        pub init_binary: String,
        /// Commit of the container supervisor.
        pub containerd_commit: Commit,
        /// Commit of the OCI runtime.
        pub runc_commit: Commit,
        /// Commit of the init program.
        pub init_commit: Commit,
        /// `name=seccomp,profile=builtin`, `name=cgroupns`, ...
        pub security_options: Vec<String>,
        /// Licence line.
        #[serde(skip_serializing_if = "omit")]
        pub product_license: String,
        /// Pools that networks get subnets from.
        #[serde(skip_serializing_if = "omit")]
        pub default_address_pools: Vec<AddressPool>,
        /// Firewall; from 1.49.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub firewall_backend: Option<FirewallBackend>,
        /// Directories with CDI specifications; from 1.46 also when empty.
        #[serde(rename = "CDISpecDirs")]
        pub cdi_spec_dirs: Option<Vec<String>>,
        /// Devices that drivers found; from 1.50.
        #[serde(skip_serializing_if = "omit")]
        pub discovered_devices: Vec<DiscoveredDevice>,
        /// Supervisor's address and namespaces; from 1.46.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub containerd: Option<ContainerdInfo>,
        /// What the user should know; `null` when nothing.
        pub warnings: Option<Vec<String>>,
    }

    /// Plugins by kind.
    pub struct PluginsInfo {
        /// Volume drivers.
        pub volume: Vec<String>,
        /// Network drivers.
        pub network: Vec<String>,
        /// Authorisation plugins; `null` when none.
        pub authorization: Option<Vec<String>>,
        /// Log drivers.
        pub log: Vec<String>,
    }

    /// Registries.
    pub struct RegistryConfig {
        /// Before 1.47.
        #[serde(
            rename = "AllowNondistributableArtifactsCIDRs",
            skip_serializing_if = "Option::is_none"
        )]
        pub allow_nondistributable_artifacts_cidrs: Option<Vec<String>>,
        /// Before 1.47.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub allow_nondistributable_artifacts_hostnames: Option<Vec<String>>,
        /// Networks whose registries may lack TLS.
        #[serde(rename = "InsecureRegistryCIDRs")]
        pub insecure_registry_cidrs: Vec<String>,
        /// Registries by name.
        pub index_configs: BTreeMap<String, IndexInfo>,
        /// Mirrors of the default registry; `null` when none.
        pub mirrors: Option<Vec<String>>,
    }

    /// A registry.
    pub struct IndexInfo {
        /// Name.
        pub name: String,
        /// Mirrors.
        pub mirrors: Vec<String>,
        /// Certificate is checked.
        pub secure: bool,
        /// Default registry.
        pub official: bool,
    }

    /// Swarm, as a member sees it.
    pub struct SwarmInfo {
        /// Node's ID.
        #[serde(rename = "NodeID")]
        pub node_id: String,
        /// Node's address.
        pub node_addr: String,
        /// `inactive`, `pending`, `active`, `error`, `locked`.
        pub local_node_state: String,
        /// This node can be asked to manage.
        pub control_available: bool,
        /// What is wrong.
        pub error: String,
        /// Managers; `null` when inactive.
        pub remote_managers: Option<Vec<SwarmPeer>>,
        /// Nodes.
        #[serde(skip_serializing_if = "omit")]
        pub nodes: i64,
        /// Managers.
        #[serde(skip_serializing_if = "omit")]
        pub managers: i64,
        /// Cluster; kept as it comes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub cluster: Option<serde_json::Value>,
        /// What the user should know.
        #[serde(skip_serializing_if = "omit")]
        pub warnings: Vec<String>,
    }

    /// A manager of the swarm.
    pub struct SwarmPeer {
        /// Node's ID.
        #[serde(rename = "NodeID")]
        pub node_id: String,
        /// Address and port.
        pub addr: String,
    }

    /// A commit.
    pub struct Commit {
        /// Commit's ID.
        #[serde(rename = "ID")]
        pub id: String,
        /// Commit that was expected; before 1.49.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub expected: Option<String>,
    }

    /// An address pool.
    pub struct AddressPool {
        /// Pool, `172.17.0.0/12`.
        pub base: String,
        /// Prefix length in bits of the subnets cut from it.
        pub size: u8,
    }

    /// Firewall.
    pub struct FirewallBackend {
        /// `nftables`, `iptables`, ...
        pub driver: String,
        /// Facts, each `[name, value]`.
        #[serde(skip_serializing_if = "omit")]
        pub info: Vec<[String; 2]>,
    }

    /// A device that a driver found.
    pub struct DiscoveredDevice {
        /// `cdi`.
        pub source: String,
        /// Device's name.
        #[serde(rename = "ID")]
        pub id: String,
    }

    /// Supervisor's address and namespaces.
    pub struct ContainerdInfo {
        /// Socket.
        #[serde(skip_serializing_if = "omit")]
        pub address: String,
        /// Namespaces.
        pub namespaces: ContainerdNamespaces,
    }

    /// Supervisor's namespaces.
    pub struct ContainerdNamespaces {
        /// Of containers.
        pub containers: String,
        /// Of plugins.
        pub plugins: String,
    }

    /// Answer to `GET /system/df`: the first five fields until 1.52, the last four from
    /// then on.
    pub struct DiskUsage {
        /// Bytes of all layers.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub layers_size: Option<i64>,
        /// Images.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub images: Option<Vec<ImageSummary>>,
        /// Containers.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub containers: Option<Vec<ContainerSummary>>,
        /// Volumes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volumes: Option<Vec<Volume>>,
        /// Build cache.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub build_cache: Option<Vec<BuildCache>>,
        /// Bytes of the build cache; before 1.42.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub builder_size: Option<i64>,
        /// Images.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_usage: Option<ImageUsage>,
        /// Containers.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub container_usage: Option<ContainerUsage>,
        /// Volumes.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub volume_usage: Option<VolumesUsage>,
        /// Build cache.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub build_cache_usage: Option<BuildCacheUsage>,
    }

    /// Disk use of images.
    pub struct ImageUsage {
        /// In use.
        #[serde(skip_serializing_if = "omit")]
        pub active_count: i64,
        /// All.
        #[serde(skip_serializing_if = "omit")]
        pub total_count: i64,
        /// Bytes that a prune would free.
        #[serde(skip_serializing_if = "omit")]
        pub reclaimable: i64,
        /// Bytes.
        #[serde(skip_serializing_if = "omit")]
        pub total_size: i64,
        /// One by one; with `verbose=1`.
        #[serde(skip_serializing_if = "omit")]
        pub items: Vec<ImageSummary>,
    }

    /// Disk use of containers.
    pub struct ContainerUsage {
        /// In use.
        #[serde(skip_serializing_if = "omit")]
        pub active_count: i64,
        /// All.
        #[serde(skip_serializing_if = "omit")]
        pub total_count: i64,
        /// Bytes that a prune would free.
        #[serde(skip_serializing_if = "omit")]
        pub reclaimable: i64,
        /// Bytes.
        #[serde(skip_serializing_if = "omit")]
        pub total_size: i64,
        /// One by one; with `verbose=1`.
        #[serde(skip_serializing_if = "omit")]
        pub items: Vec<ContainerSummary>,
    }

    /// Disk use of volumes.
    pub struct VolumesUsage {
        /// In use.
        #[serde(skip_serializing_if = "omit")]
        pub active_count: i64,
        /// All.
        #[serde(skip_serializing_if = "omit")]
        pub total_count: i64,
        /// Bytes that a prune would free.
        #[serde(skip_serializing_if = "omit")]
        pub reclaimable: i64,
        /// Bytes.
        #[serde(skip_serializing_if = "omit")]
        pub total_size: i64,
        /// One by one; with `verbose=1`.
        #[serde(skip_serializing_if = "omit")]
        pub items: Vec<Volume>,
    }

    /// Disk use of the build cache.
    pub struct BuildCacheUsage {
        /// In use.
        #[serde(skip_serializing_if = "omit")]
        pub active_count: i64,
        /// All.
        #[serde(skip_serializing_if = "omit")]
        pub total_count: i64,
        /// Bytes that a prune would free.
        #[serde(skip_serializing_if = "omit")]
        pub reclaimable: i64,
        /// Bytes.
        #[serde(skip_serializing_if = "omit")]
        pub total_size: i64,
        /// One by one; with `verbose=1`.
        #[serde(skip_serializing_if = "omit")]
        pub items: Vec<BuildCache>,
    }
}

lower_body! {
    /// An OCI runtime.
    pub struct RuntimeInfo {
        /// Program.
        #[serde(skip_serializing_if = "omit")]
        pub path: String,
        /// Its arguments.
        #[serde(rename = "runtimeArgs", skip_serializing_if = "omit")]
        pub runtime_args: Vec<String>,
        /// Annotations about it; from 1.45.
        #[serde(skip_serializing_if = "omit")]
        pub status: Map,
    }
}

/// What the headers of `GET /_ping` tell; it has no JSON body.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Ping {
    /// `Api-Version`.
    pub api_version: String,
    /// `Ostype`.
    pub os_type: String,
    /// `Docker-Experimental`.
    pub experimental: bool,
    /// `Builder-Version`: 1 classic, 2 `BuildKit`; empty when not told.
    pub builder_version: String,
    /// `Swarm`: `inactive`, `active/manager`, ...; empty when not told.
    pub swarm: String,
}
