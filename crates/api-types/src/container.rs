//! Containers: configuration, creation, list, inspection and the small answers.

pub use crate::update::{UpdateBody, UpdateResponse};

use serde::{Deserialize, Serialize};

use crate::body::{Map, Set, body, null_default, omit, one_or_many};
use crate::host_config::HostConfig;
use crate::image::Descriptor;
use crate::network::{EndpointSettings, NetworkSettings, NetworkingConfig, SummaryNetworkSettings};

/// The part of a container's configuration that does not depend on the host.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// Host name; empty for the short ID.
    #[serde(deserialize_with = "null_default")]
    pub hostname: String,
    /// NIS domain name.
    #[serde(deserialize_with = "null_default")]
    pub domainname: String,
    /// `user[:group]`, by name or number.
    #[serde(deserialize_with = "null_default")]
    pub user: String,
    /// The client attaches to standard input.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdin: bool,
    /// The client attaches to standard output.
    #[serde(deserialize_with = "null_default")]
    pub attach_stdout: bool,
    /// The client attaches to standard error.
    #[serde(deserialize_with = "null_default")]
    pub attach_stderr: bool,
    /// Exposed ports, `80/tcp`.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub exposed_ports: Set,
    /// Allocate a terminal.
    #[serde(deserialize_with = "null_default")]
    pub tty: bool,
    /// Keep standard input open without a client.
    #[serde(deserialize_with = "null_default")]
    pub open_stdin: bool,
    /// Close standard input after the first client.
    #[serde(deserialize_with = "null_default")]
    pub stdin_once: bool,
    /// `KEY=value`; a bare `KEY` removes the image's.
    #[serde(deserialize_with = "null_default")]
    pub env: Option<Vec<String>>,
    /// Command, or arguments of the entrypoint.
    #[serde(deserialize_with = "one_or_many")]
    pub cmd: Option<Vec<String>>,
    /// Health probe.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Windows: the command line is already escaped.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub args_escaped: bool,
    /// Image as the user named it.
    #[serde(deserialize_with = "null_default")]
    pub image: String,
    /// Paths that get an anonymous volume.
    #[serde(deserialize_with = "null_default")]
    pub volumes: Option<Set>,
    /// Working directory.
    #[serde(deserialize_with = "null_default")]
    pub working_dir: String,
    /// Program before the command.
    #[serde(deserialize_with = "one_or_many")]
    pub entrypoint: Option<Vec<String>>,
    /// Create without any network.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub network_disabled: bool,
    /// MAC address on the main network; before 1.44.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub mac_address: String,
    /// Triggers for images built on this one.
    #[serde(deserialize_with = "null_default")]
    pub on_build: Option<Vec<String>>,
    /// Labels.
    #[serde(deserialize_with = "null_default")]
    pub labels: Option<Map>,
    /// Signal that asks the container to stop.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "omit")]
    pub stop_signal: String,
    /// Seconds between that signal and `SIGKILL`; -1 waits for ever.
    #[serde(deserialize_with = "null_default", skip_serializing_if = "Option::is_none")]
    pub stop_timeout: Option<i64>,
    /// Shell of shell-form commands.
    #[serde(deserialize_with = "one_or_many", skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
}

/// Body of `POST /containers/create`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
pub struct ContainerCreateBody {
    /// Configuration, on the body's top level.
    #[serde(flatten)]
    pub config: ContainerConfig,
    /// Host side; `None` when the client sent none.
    pub host_config: Option<HostConfig>,
    /// Endpoint settings by network.
    pub networking_config: Option<NetworkingConfig>,
}

body! {
    /// Health probe; all times in ns, 0 for the default.
    pub struct HealthConfig {
        /// Empty inherits; `NONE`; `CMD` and words; `CMD-SHELL` and a line.
        #[serde(skip_serializing_if = "omit")]
        pub test: Vec<String>,
        /// Time between probes in ns.
        #[serde(skip_serializing_if = "omit")]
        pub interval: i64,
        /// Longest time of a probe in ns.
        #[serde(skip_serializing_if = "omit")]
        pub timeout: i64,
        /// Time after the start in which failures do not count, in ns.
        #[serde(skip_serializing_if = "omit")]
        pub start_period: i64,
        /// Time between probes within the start period, in ns.
        #[serde(skip_serializing_if = "omit")]
        pub start_interval: i64,
        /// Failures in a row that make it unhealthy.
        #[serde(skip_serializing_if = "omit")]
        pub retries: i64,
    }

    /// Answer to `POST /containers/create`.
    pub struct ContainerCreateResponse {
        /// New container's ID.
        pub id: String,
        /// What the client should know.
        pub warnings: Vec<String>,
    }

    /// A row of `GET /containers/json`.
    pub struct ContainerSummary {
        /// Full ID.
        pub id: String,
        /// Names, each with a leading slash.
        pub names: Vec<String>,
        /// Image as named at creation, or its ID if that name has moved on.
        pub image: String,
        /// Image's ID.
        #[serde(rename = "ImageID")]
        pub image_id: String,
        /// Descriptor of the platform's manifest; from 1.48.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_manifest_descriptor: Option<Descriptor>,
        /// Command line in one string.
        pub command: String,
        /// Creation, Unix time in s.
        pub created: i64,
        /// Ports, exposed and published.
        pub ports: Vec<Port>,
        /// Bytes in the writable layer; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<i64>,
        /// Bytes in all layers; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<i64>,
        /// Labels.
        pub labels: Map,
        /// State word.
        pub state: String,
        /// State in a sentence, `Up 2 hours (healthy)`.
        pub status: String,
        /// Extract of the host configuration.
        pub host_config: SummaryHostConfig,
        /// Health; from 1.52.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub health: Option<HealthSummary>,
        /// Endpoints by network.
        pub network_settings: SummaryNetworkSettings,
        /// Mounts.
        pub mounts: Vec<MountPoint>,
    }

    /// Host configuration in a list row.
    pub struct SummaryHostConfig {
        /// Network mode.
        #[serde(skip_serializing_if = "omit")]
        pub network_mode: String,
        /// Annotations; from 1.46.
        #[serde(skip_serializing_if = "omit")]
        pub annotations: Map,
    }

    /// Health in a list row.
    pub struct HealthSummary {
        /// `none`, `starting`, `healthy`, `unhealthy`.
        pub status: String,
        /// Failures in a row.
        pub failing_streak: i64,
    }

    /// A port in a list row.
    pub struct Port {
        /// Host address.
        #[serde(rename = "IP", skip_serializing_if = "omit")]
        pub ip: String,
        /// Port in the container.
        pub private_port: u16,
        /// Port on the host; 0 when not published.
        #[serde(skip_serializing_if = "omit")]
        pub public_port: u16,
        /// `tcp`, `udp` or `sctp`.
        #[serde(rename = "Type")]
        pub kind: String,
    }

    /// Answer to `GET /containers/{id}/json`.
    pub struct ContainerInspect {
        /// Full ID.
        pub id: String,
        /// Creation, RFC 3339 with ns.
        pub created: String,
        /// Program.
        pub path: String,
        /// Its arguments.
        pub args: Vec<String>,
        /// State.
        pub state: ContainerState,
        /// Image's ID.
        pub image: String,
        /// `resolv.conf` on the host.
        pub resolv_conf_path: String,
        /// `hostname` on the host.
        pub hostname_path: String,
        /// `hosts` on the host.
        pub hosts_path: String,
        /// Log file on the host; empty for drivers without one.
        pub log_path: String,
        /// Name with a leading slash.
        pub name: String,
        /// Restarts by the restart policy.
        pub restart_count: i64,
        /// Storage driver.
        pub driver: String,
        /// Operating system.
        pub platform: String,
        /// SELinux label of mounts.
        pub mount_label: String,
        /// SELinux label of the process.
        pub process_label: String,
        /// AppArmor profile.
        pub app_armor_profile: String,
        /// Running execs; `null` when none.
        #[serde(rename = "ExecIDs")]
        pub exec_ids: Option<Vec<String>>,
        /// Host side.
        pub host_config: HostConfig,
        /// Storage of the root file system, as before the image store; from 1.52 optional.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub graph_driver: Option<GraphDriver>,
        /// Storage of the root file system; from 1.52.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub storage: Option<Storage>,
        /// Bytes in the writable layer; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_rw: Option<i64>,
        /// Bytes in all layers; with `size=1`.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub size_root_fs: Option<i64>,
        /// Mounts.
        pub mounts: Vec<MountPoint>,
        /// Configuration.
        pub config: ContainerConfig,
        /// Networks.
        pub network_settings: NetworkSettings,
        /// Descriptor of the platform's manifest; from 1.48.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub image_manifest_descriptor: Option<Descriptor>,
    }

    /// State of a container.
    pub struct ContainerState {
        /// `created`, `running`, `paused`, `restarting`, `removing`, `exited`, `dead`.
        pub status: String,
        /// Has a process; also true while paused and between restarts.
        pub running: bool,
        /// Frozen.
        pub paused: bool,
        /// Waits for its next start by the restart policy.
        pub restarting: bool,
        /// The last run was ended by the OOM killer.
        #[serde(rename = "OOMKilled")]
        pub oom_killed: bool,
        /// Removal failed half-way.
        pub dead: bool,
        /// PID on the host; 0 when not running.
        pub pid: i64,
        /// Exit code of the last run.
        pub exit_code: i64,
        /// Why the last start failed.
        pub error: String,
        /// Last start, RFC 3339 with ns.
        pub started_at: String,
        /// Last exit, RFC 3339 with ns.
        pub finished_at: String,
        /// Health; absent without a probe.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub health: Option<Health>,
    }

    /// Health of a container.
    pub struct Health {
        /// `starting`, `healthy`, `unhealthy`.
        pub status: String,
        /// Failures in a row.
        pub failing_streak: i64,
        /// Last five results, oldest first.
        pub log: Option<Vec<HealthcheckResult>>,
    }

    /// Result of one probe.
    pub struct HealthcheckResult {
        /// Start, RFC 3339 with ns.
        pub start: String,
        /// End, RFC 3339 with ns.
        pub end: String,
        /// Exit code; -1 when it could not run or took too long.
        pub exit_code: i64,
        /// First 4096 bytes of output.
        pub output: String,
    }

    /// A mount as it is.
    pub struct MountPoint {
        /// `bind`, `volume`, `tmpfs`, `image`.
        #[serde(rename = "Type", skip_serializing_if = "omit")]
        pub kind: String,
        /// Volume's name.
        #[serde(skip_serializing_if = "omit")]
        pub name: String,
        /// Path on the host.
        pub source: String,
        /// Path in the container.
        pub destination: String,
        /// Volume driver.
        #[serde(skip_serializing_if = "omit")]
        pub driver: String,
        /// Options of the bind string.
        pub mode: String,
        /// Writable.
        #[serde(rename = "RW")]
        pub rw: bool,
        /// Mount propagation.
        pub propagation: String,
    }

    /// Storage driver and its data.
    pub struct GraphDriver {
        /// Paths, by the driver's own keys.
        pub data: Option<Map>,
        /// Driver name.
        pub name: String,
    }

    /// Storage of a container; from 1.52.
    pub struct Storage {
        /// Root file system.
        #[serde(rename = "RootFS", skip_serializing_if = "Option::is_none")]
        pub root_fs: Option<RootFsStorage>,
    }

    /// Storage of the root file system.
    pub struct RootFsStorage {
        /// Snapshot under it.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub snapshot: Option<SnapshotStorage>,
    }

    /// Snapshotter that holds the root file system.
    pub struct SnapshotStorage {
        /// Snapshotter's name.
        #[serde(skip_serializing_if = "omit")]
        pub name: String,
    }

    /// Answer to `POST /containers/{id}/wait`.
    pub struct WaitResponse {
        /// Exit code.
        pub status_code: i64,
        /// Why waiting failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        pub error: Option<WaitError>,
    }

    /// Why waiting failed.
    pub struct WaitError {
        /// Text for people.
        #[serde(skip_serializing_if = "omit")]
        pub message: String,
    }

    /// Answer to `GET /containers/{id}/top`.
    pub struct TopResponse {
        /// Column titles.
        pub titles: Vec<String>,
        /// Rows.
        pub processes: Vec<Vec<String>>,
    }

    /// One path of `GET /containers/{id}/changes`.
    pub struct ChangeItem {
        /// 0 modified, 1 added, 2 deleted.
        pub kind: u8,
        /// Path in the container.
        pub path: String,
    }

    /// Answer to `POST /containers/prune`.
    pub struct ContainersPruneReport {
        /// IDs removed; `null` when none.
        pub containers_deleted: Option<Vec<String>>,
        /// Bytes freed.
        pub space_reclaimed: u64,
    }

    /// A checkpoint.
    pub struct Checkpoint {
        /// Name.
        pub name: String,
    }

    /// Body of `POST /containers/{id}/checkpoints`.
    pub struct CheckpointCreateBody {
        /// Name of the new checkpoint.
        #[serde(rename = "CheckpointID")]
        pub checkpoint_id: String,
        /// Directory; empty for the daemon's own.
        pub checkpoint_dir: String,
        /// Stop the container afterwards.
        pub exit: bool,
    }
}

impl ContainerSummary {
    /// Endpoint on the network called `name`.
    #[must_use]
    pub fn endpoint(&self, name: &str) -> Option<&EndpointSettings> {
        self.network_settings.networks.get(name)
    }
}
