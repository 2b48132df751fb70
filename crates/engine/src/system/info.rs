//! `GET /info`.

use std::collections::BTreeMap;

use gantry_api_types::system::{
    Commit, FirewallBackend, IndexInfo, Info, PluginsInfo, RegistryConfig, RuntimeInfo, SwarmInfo,
};
use gantry_cgroup::Version;

use crate::config::{BUILT_IN_RUNTIME, EngineConfig};
use crate::container::phase::Phase;
use crate::observe::stats::host_memory_bytes;
use crate::{Engine, SystemError};

/// The registry that names without a host mean.
const INDEX: &str = "docker.io";

impl Engine {
    /// What this daemon is and has. The door fills what it alone knows (server version).
    ///
    /// # Errors
    /// [`SystemError`].
    pub async fn info(&self) -> Result<Info, SystemError> {
        let (config, parts) = (self.config(), self.parts());
        let mut info = Info {
            id: config.id.clone(),
            name: config.name.clone(),
            labels: config.labels.clone(),
            images: count(parts.images.list().len()),
            driver: "overlay2".to_owned(),
            driver_status: driver_status(),
            plugins: plugins(parts.volumes.drivers()),
            debug: config.debug,
            n_fd: count(std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)),
            n_events_listener: count(self.events().listeners()),
            system_time: jiff::Timestamp::now().to_string(),
            logging_driver: config.default_log.kind.clone(),
            docker_root_dir: config.data_root.display().to_string(),
            http_proxy: proxy(&config.proxies, "HTTP_PROXY"),
            https_proxy: proxy(&config.proxies, "HTTPS_PROXY"),
            no_proxy: proxy(&config.proxies, "NO_PROXY"),
            index_server_address: "https://index.docker.io/v1/".to_owned(),
            registry_config: Some(registries(config)),
            default_runtime: config.default_runtime.clone(),
            live_restore_enabled: true,
            init_binary: "docker-init".to_owned(),
            swarm: SwarmInfo { local_node_state: "inactive".to_owned(), ..SwarmInfo::default() },
            security_options: security_options(config.seccomp_profile.as_deref()),
            firewall_backend: Some(FirewallBackend {
                driver: "nftables".to_owned(),
                info: Vec::new(),
            }),
            containerd_commit: Commit::default(),
            runc_commit: Commit::default(),
            init_commit: Commit::default(),
            ..Info::default()
        };
        let names =
            config.runtimes.iter().map(|(name, path)| (name.clone(), path.display().to_string()));
        let built_in = (BUILT_IN_RUNTIME.to_owned(), BUILT_IN_RUNTIME.to_owned());
        info.runtimes = names
            .chain([built_in])
            .map(|(name, path)| (name, RuntimeInfo { path, ..RuntimeInfo::default() }))
            .collect();
        self.count_containers(&mut info);
        describe_cgroups(&mut info, &parts.cgroups);
        describe_host(&mut info);
        Ok(info)
    }

    fn count_containers(&self, info: &mut Info) {
        for container in self.containers() {
            info.containers += 1;
            match container.cell.phase() {
                Phase::Running { .. } => info.containers_running += 1,
                Phase::Paused { .. } => info.containers_paused += 1,
                _ => info.containers_stopped += 1,
            }
        }
    }
}

fn count(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn proxy(proxies: &BTreeMap<String, String>, name: &str) -> String {
    proxies.get(name).cloned().unwrap_or_default()
}

fn driver_status() -> Vec<[String; 2]> {
    [("Backing Filesystem", "extfs"), ("Supports d_type", "true"), ("Native Overlay Diff", "true")]
        .map(|(name, value)| [name.to_owned(), value.to_owned()])
        .to_vec()
}

fn plugins(volume: Vec<String>) -> PluginsInfo {
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    PluginsInfo {
        volume,
        network: names(&["bridge", "host", "null"]),
        authorization: None,
        log: names(&["json-file", "local", "none"]),
    }
}

fn registries(config: &EngineConfig) -> RegistryConfig {
    // Docker tells mirrors with the slash that it asks them with.
    let slashed = |url: &String| format!("{}/", url.trim_end_matches('/'));
    let mirrors: Vec<String> = config.registry_mirrors.iter().map(slashed).collect();
    let index = IndexInfo {
        name: INDEX.to_owned(),
        mirrors: mirrors.clone(),
        secure: true,
        official: true,
    };
    let of_one = |name: &String| {
        let info =
            IndexInfo { name: name.clone(), mirrors: Vec::new(), secure: false, official: false };
        (name.clone(), info)
    };
    let is_network = |entry: &String| entry.contains('/');
    let (networks, names): (Vec<String>, Vec<String>) =
        config.insecure_registries.iter().cloned().partition(is_network);
    let mut index_configs: BTreeMap<String, IndexInfo> = names.iter().map(of_one).collect();
    let (gets_networks, gets_names) = config.nondistributable.iter().cloned().partition(is_network);
    index_configs.insert(INDEX.to_owned(), index);
    RegistryConfig {
        insecure_registry_cidrs: networks
            .into_iter()
            .chain(std::iter::once("127.0.0.0/8".to_owned()))
            .collect(),
        index_configs,
        mirrors: (!mirrors.is_empty()).then_some(mirrors),
        allow_nondistributable_artifacts_cidrs: Some(gets_networks),
        allow_nondistributable_artifacts_hostnames: Some(gets_names),
    }
}

fn security_options(profile: Option<&std::path::Path>) -> Vec<String> {
    let profile = profile.map_or_else(|| "default".to_owned(), |path| path.display().to_string());
    let mut options = vec![format!("name=seccomp,profile={profile}")];
    if std::path::Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        options.push("name=cgroupns".to_owned());
    }
    options
}

fn describe_cgroups(info: &mut Info, cgroups: &gantry_cgroup::Host) {
    let has = |name: &str| cgroups.controllers().contains(name);
    let v2 = cgroups.version() == Version::V2;
    let features = cgroups.features();
    info.cgroup_driver = "cgroupfs".to_owned();
    info.cgroup_version = if v2 { "2" } else { "1" }.to_owned();
    info.memory_limit = features.memory_limit;
    info.swap_limit = features.swap_limit;
    info.cpu_cfs_period = has("cpu");
    info.cpu_cfs_quota = has("cpu");
    info.cpu_shares = has("cpu");
    info.cpu_set = has("cpuset");
    info.pids_limit = has("pids");
    info.oom_kill_disable = !v2 && has("memory");
    let missing = [
        (features.memory_limit, "WARNING: No memory limit support"),
        (features.swap_limit, "WARNING: No swap limit support"),
        (info.cpu_cfs_quota, "WARNING: No cpu cfs quota support"),
        (info.cpu_set, "WARNING: No cpuset support"),
        (info.pids_limit, "WARNING: No pids limit support"),
    ];
    let warnings: Vec<String> =
        missing.iter().filter(|(there, _)| !there).map(|(_, text)| (*text).to_owned()).collect();
    info.warnings = (!warnings.is_empty()).then_some(warnings);
}

fn describe_host(info: &mut Info) {
    let kernel = rustix::system::uname();
    info.kernel_version = kernel.release().to_string_lossy().into_owned();
    info.architecture = kernel.machine().to_string_lossy().into_owned();
    info.os_type = "linux".to_owned();
    info.ncpu = count(std::thread::available_parallelism().map_or(1, std::num::NonZero::get));
    info.mem_total = i64::try_from(host_memory_bytes()).unwrap_or(i64::MAX);
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let field = |name: &str| {
        let value = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        value.unwrap_or_default().trim_matches('"').to_owned()
    };
    info.operating_system = field("PRETTY_NAME");
    info.os_version = field("VERSION_ID");
    let forwarding = std::fs::read_to_string("/proc/sys/net/ipv4/ip_forward");
    info.ipv4_forwarding = forwarding.is_ok_and(|text| text.trim() == "1");
}
