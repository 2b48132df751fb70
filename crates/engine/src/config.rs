//! What the daemon tells the engine once, at start.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use gantry_api_types::host_config::{LogConfig, Ulimit};

/// The services that the engine stands on; the daemon makes them.
#[derive(Clone)]
pub struct Parts {
    /// Records.
    pub store: gantry_store::Store,
    /// Images.
    pub images: gantry_image::Images,
    /// Root file systems.
    pub snapshots: gantry_snapshot::Snapshots,
    /// Local volumes.
    pub volumes: gantry_volume::Volumes,
    /// The default bridge network.
    pub networks: gantry_network::Networks,
    /// Running processes.
    pub tasks: gantry_task::Tasks,
    /// Control group trees of the host.
    pub cgroups: gantry_cgroup::Host,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Settings of the engine.
#[derive(Debug, Clone)]
pub struct EngineConfig {
    /// Where state is kept.
    pub data_root: PathBuf,
    /// Where state of running containers is kept, usually on a tmpfs.
    pub exec_root: PathBuf,
    /// The daemon's id, for `/info`.
    pub id: String,
    /// The host's name, for `/info`.
    pub name: String,
    /// Labels of the daemon (`--label`).
    pub labels: Vec<String>,
    /// Runtime of containers that name none; empty or `gantry` is the built-in one.
    pub default_runtime: String,
    /// Program paths of other runtimes by name, for `/info`.
    pub runtimes: BTreeMap<String, PathBuf>,
    /// Log driver of containers that name none.
    pub default_log: LogConfig,
    /// The program bound to `/sbin/docker-init` for `--init`.
    pub init_binary: PathBuf,
    /// Whether containers get an init unless they say otherwise (`--init` of the daemon).
    pub init: bool,
    /// Parent of the containers' control groups, such as `gantry`.
    pub cgroup_parent: String,
    /// Control group namespace of containers that name none: `private`, `host`, or empty for
    /// what fits the host.
    pub default_cgroupns: String,
    /// Seconds that a stop waits for a container that names no time.
    pub stop_timeout_s: u32,
    /// Seconds that a shutdown waits for work in progress.
    pub shutdown_timeout_s: u32,
    /// Name servers of containers that name none.
    pub dns: Vec<IpAddr>,
    /// Search domains of containers that name none.
    pub dns_search: Vec<String>,
    /// Resolver options of containers that name none.
    pub dns_options: Vec<String>,
    /// Resource limits of processes for containers that do not set them.
    pub default_ulimits: Vec<Ulimit>,
    /// Size of `/dev/shm` in bytes.
    pub default_shm_size_bytes: i64,
    /// `private` or `shareable`.
    pub default_ipc_mode: String,
    /// A seccomp profile file instead of the built-in one; `unconfined` switches filters off.
    pub seccomp_profile: Option<PathBuf>,
    /// Whether containers may not gain privileges unless they say otherwise.
    pub no_new_privileges: bool,
    /// Address of `host-gateway` in `--add-host`; the bridge's when absent.
    pub host_gateway_ip: Option<IpAddr>,
    /// Whether the daemon logs debug messages, for `/info`.
    pub debug: bool,
    /// HTTP proxy settings (`HTTP_PROXY`, ...), for `/info`.
    pub proxies: BTreeMap<String, String>,
    /// Registries without TLS, for `/info`.
    pub insecure_registries: Vec<String>,
    /// Registries that may get layers which are not for everybody to give away, for `/info`.
    pub nondistributable: Vec<String>,
    /// Mirrors of Docker Hub, for `/info`.
    pub registry_mirrors: Vec<String>,
}

/// Name of the built-in runtime.
pub const BUILT_IN_RUNTIME: &str = "gantry";

impl EngineConfig {
    /// Docker's defaults for these roots.
    #[must_use]
    pub fn new(data_root: impl Into<PathBuf>, exec_root: impl Into<PathBuf>) -> Self {
        Self {
            data_root: data_root.into(),
            exec_root: exec_root.into(),
            id: String::new(),
            name: String::new(),
            labels: Vec::new(),
            default_runtime: BUILT_IN_RUNTIME.to_owned(),
            runtimes: BTreeMap::new(),
            default_log: LogConfig { kind: "json-file".to_owned(), config: BTreeMap::new() },
            init_binary: PathBuf::new(),
            init: false,
            cgroup_parent: "gantry".to_owned(),
            default_cgroupns: String::new(),
            stop_timeout_s: 10,
            shutdown_timeout_s: 15,
            dns: Vec::new(),
            dns_search: Vec::new(),
            dns_options: Vec::new(),
            default_ulimits: Vec::new(),
            default_shm_size_bytes: 64 << 20,
            default_ipc_mode: "private".to_owned(),
            seccomp_profile: None,
            no_new_privileges: false,
            host_gateway_ip: None,
            debug: false,
            proxies: BTreeMap::new(),
            insecure_registries: Vec::new(),
            nondistributable: Vec::new(),
            registry_mirrors: Vec::new(),
        }
    }

    /// The directory of a container's own files: `resolv.conf`, `hosts`, `hostname`, its log.
    #[must_use]
    pub fn container_dir(&self, id: &str) -> PathBuf {
        self.data_root.join("containers").join(id)
    }
}
