//! What the options come to: checked values, with the defaults filled in.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use gantry_api_types::host_config::{LogConfig, Ulimit};
use gantry_distribution::Proxies;
use gantry_engine::{BUILT_IN_RUNTIME, EngineConfig};
use gantry_image::transfer::{PushCompression, TransferLimits};
use gantry_network::{AddressPool, NetworkConfig};
use gantry_task::ForeignRuntime;
use serde_json::Value;

use super::listen::TlsOptions;
use super::options::{Options, OptionsError};

/// Everything that the daemon's parts are made from.
#[derive(Debug)]
pub(crate) struct Settings {
    /// State that lasts.
    pub data_root: PathBuf,
    /// State of running containers.
    pub exec_root: PathBuf,
    /// Where the process id is written.
    pub pidfile: PathBuf,
    /// Where to listen.
    pub hosts: Vec<String>,
    /// Group of the unix socket.
    pub group: Option<String>,
    /// TLS of TCP sockets.
    pub tls: TlsOptions,
    /// Make cgroup attaches fast.
    pub favor_dynamic_cgroups: bool,
    /// OCI runtimes that are programs of their own.
    pub runtimes: BTreeMap<String, ForeignRuntime>,
    /// The default bridge.
    pub network: NetworkConfig,
    /// The client of registries.
    pub registries: gantry_distribution::Settings,
    /// The file that says which images may come; a well-known one without.
    pub image_policy: Option<PathBuf>,
    /// Layers that are moved at a time.
    pub transfers: TransferLimits,
    /// The engine's own settings.
    pub engine: EngineConfig,
}

/// Runtimes that are offered when they are installed, as Debian names them.
const WELL_KNOWN_RUNTIMES: &[&str] = &["runc", "crun"];

impl Settings {
    /// Checks the options and fills in defaults; `program` is `docker` names' `dockerd`, or ours.
    pub(crate) fn from_options(options: &Options, as_dockerd: bool) -> Result<Self, OptionsError> {
        let path = |name: &str, default: &str| PathBuf::from(options.text(name).unwrap_or(default));
        let data_root = path("data-root", "/var/lib/gantry");
        let exec_root = path("exec-root", "/run/gantry");
        let hosts = match options.list("host") {
            hosts if hosts.is_empty() => vec![default_host(as_dockerd).to_owned()],
            hosts => hosts,
        };
        let runtimes = runtimes(options)?;
        let network = network(options, &data_root)?;
        let mut engine = EngineConfig::new(&data_root, &exec_root);
        fill_engine(&mut engine, options, &runtimes)?;
        Ok(Self {
            pidfile: path("pidfile", "/run/gantry.pid"),
            hosts,
            group: options.text("group").map(str::to_owned),
            tls: tls(options),
            favor_dynamic_cgroups: options.switch("favor-dynamic-cgroups", true),
            runtimes,
            network,
            registries: registries(options, &engine)?,
            image_policy: options.text("image-policy").map(PathBuf::from),
            transfers: transfers(options)?,
            engine,
            data_root,
            exec_root,
        })
    }
}

/// Where the daemon listens unless told otherwise.
pub(crate) fn default_host(as_dockerd: bool) -> &'static str {
    if as_dockerd { "unix:///var/run/docker.sock" } else { "unix:///var/run/gantry.sock" }
}

fn tls(options: &Options) -> TlsOptions {
    let home = std::env::var_os("DOCKER_CERT_PATH").map_or_else(
        || PathBuf::from(std::env::var_os("HOME").unwrap_or_default()).join(".docker"),
        PathBuf::from,
    );
    let file = |name: &str, default: &str| {
        options.text(name).map_or_else(|| home.join(default), PathBuf::from)
    };
    let verify = options.switch("tlsverify", false);
    TlsOptions {
        enabled: verify || options.switch("tls", false),
        verify,
        ca: file("tlscacert", "ca.pem"),
        cert: file("tlscert", "cert.pem"),
        key: file("tlskey", "key.pem"),
        insecure_tcp: options.switch("insecure-tcp", false),
    }
}

fn network(options: &Options, data_root: &std::path::Path) -> Result<NetworkConfig, OptionsError> {
    let bridge = options.text("bridge").unwrap_or("gantry0");
    if bridge == "none" {
        return Err(OptionsError::Value {
            name: "--bridge".to_owned(),
            reason: "a daemon without a bridge (none) is not implemented".to_owned(),
        });
    }
    let mut network = NetworkConfig::new(bridge, data_root.join("network"));
    network.bip = options.parsed("bip")?;
    network.fixed_cidr = options.parsed("fixed-cidr")?;
    network.ipv6 = options.switch("ipv6", false);
    network.fixed_cidr_v6 = options.parsed("fixed-cidr-v6")?;
    network.default_gateway = options.parsed("default-gateway")?;
    network.default_gateway_v6 = options.parsed("default-gateway-v6")?;
    network.default_options = network_options(options);
    if let Some(ip) = options.parsed::<IpAddr>("ip")? {
        network.default_host_ip = ip;
    }
    network.mtu = match options.number("mtu") {
        None | Some(0) => None,
        Some(mtu) => Some(u32::try_from(mtu).map_err(|_| OptionsError::Value {
            name: "--mtu".to_owned(),
            reason: format!("{mtu} is no size"),
        })?),
    };
    network.icc = options.switch("icc", true);
    network.ip_forward = options.switch("ip-forward", true);
    network.ip_masq = options.switch("ip-masq", true);
    network.host_policy_ports = match options.text("published-ports") {
        None | Some("engine") => false,
        Some("host-policy") => true,
        Some(other) => {
            return Err(OptionsError::Value {
                name: "--published-ports".to_owned(),
                reason: format!("{other:?} is neither engine nor host-policy"),
            });
        }
    };
    let pools = options.list("default-address-pool");
    network.address_pools =
        pools.iter().map(|text| address_pool(text)).collect::<Result<_, _>>()?;
    Ok(network)
}

/// Options of networks by driver. Their shape was checked when they were read.
fn network_options(options: &Options) -> BTreeMap<String, BTreeMap<String, String>> {
    let text = |(key, value): (&String, &Value)| Some((key.clone(), value.as_str()?.to_owned()));
    let of_driver = |(driver, options): (String, Value)| {
        (driver, options.as_object().into_iter().flatten().filter_map(text).collect())
    };
    options.map("default-network-opt").into_iter().map(of_driver).collect()
}

/// Reads `base=10.0.0.0/8,size=24`.
fn address_pool(text: &str) -> Result<AddressPool, OptionsError> {
    let wrong =
        |reason: String| OptionsError::Value { name: "--default-address-pool".to_owned(), reason };
    let (mut base, mut size) = (None, None);
    for pair in text.split(',') {
        match pair.split_once('=') {
            Some(("base", value)) => base = Some(value),
            Some(("size", value)) => size = value.parse::<u8>().ok(),
            _ => return Err(wrong(format!("{pair:?} is neither base= nor size="))),
        }
    }
    let (Some(base), Some(size)) = (base, size) else {
        return Err(wrong(format!("{text:?} needs base=CIDR and size=PREFIX")));
    };
    AddressPool::parse(base, size).map_err(|error| wrong(error.to_string()))
}

/// The client of registries, as the options and the environment have it.
fn registries(
    options: &Options,
    engine: &EngineConfig,
) -> Result<gantry_distribution::Settings, OptionsError> {
    let mut settings = gantry_distribution::Settings {
        proxies: Proxies::of_environment(),
        ..gantry_distribution::Settings::default()
    };
    settings.hosts.insecure_registries.clone_from(&engine.insecure_registries);
    settings.hosts.mirrors.clone_from(&engine.registry_mirrors);
    settings.hosts.nondistributable.clone_from(&engine.nondistributable);
    if let Some(attempts) = positive(options, "max-download-attempts")? {
        settings.limits.attempts = attempts;
    }
    Ok(settings)
}

fn transfers(options: &Options) -> Result<TransferLimits, OptionsError> {
    let default = TransferLimits::default();
    let number = |name, default: usize| {
        let given = positive(options, name)?;
        Ok(given.and_then(|number| usize::try_from(number).ok()).unwrap_or(default))
    };
    Ok(TransferLimits {
        downloads: number("max-concurrent-downloads", default.downloads)?,
        uploads: number("max-concurrent-uploads", default.uploads)?,
        compression: match options.text("push-compression") {
            None | Some("gzip") => PushCompression::Gzip,
            Some("zstd") => PushCompression::Zstd,
            Some(other) => {
                return Err(OptionsError::Value {
                    name: "--push-compression".to_owned(),
                    reason: format!("{other:?} is neither gzip nor zstd"),
                });
            }
        },
    })
}

/// A number of at least 1; 0 is the default, as in Docker.
fn positive(options: &Options, name: &str) -> Result<Option<u32>, OptionsError> {
    match options.number(name) {
        None | Some(0) => Ok(None),
        Some(value) => u32::try_from(value).map(Some).map_err(|_| OptionsError::Value {
            name: format!("--{name}"),
            reason: format!("{value} is out of range"),
        }),
    }
}

fn runtimes(options: &Options) -> Result<BTreeMap<String, ForeignRuntime>, OptionsError> {
    let mut runtimes = BTreeMap::new();
    for name in WELL_KNOWN_RUNTIMES {
        let runtime = ForeignRuntime { path: PathBuf::from(name), args: Vec::new() };
        runtimes.insert((*name).to_owned(), runtime);
    }
    for (name, path) in options.map("add-runtime") {
        let path = PathBuf::from(path.as_str().unwrap_or_default());
        runtimes.insert(name, ForeignRuntime { path, args: Vec::new() });
    }
    for (name, value) in options.map("runtimes") {
        let wrong = |reason: &str| OptionsError::Value {
            name: format!("runtimes.{name}"),
            reason: reason.to_owned(),
        };
        let path = value["path"].as_str().ok_or_else(|| wrong("path is missing"))?;
        let args = value["runtimeArgs"].as_array().cloned().unwrap_or_default();
        let args = args.iter().filter_map(Value::as_str).map(str::to_owned).collect();
        runtimes.insert(name.clone(), ForeignRuntime { path: PathBuf::from(path), args });
    }
    if runtimes.contains_key(BUILT_IN_RUNTIME) {
        return Err(OptionsError::Value {
            name: "--add-runtime".to_owned(),
            reason: format!("{BUILT_IN_RUNTIME} is the built-in runtime"),
        });
    }
    Ok(runtimes)
}

fn fill_engine(
    engine: &mut EngineConfig,
    options: &Options,
    runtimes: &BTreeMap<String, ForeignRuntime>,
) -> Result<(), OptionsError> {
    let number = |name: &str, default: u32| match options.number(name) {
        None => Ok(default),
        Some(value) => u32::try_from(value).map_err(|_| OptionsError::Value {
            name: format!("--{name}"),
            reason: format!("{value} is out of range"),
        }),
    };
    if let Some(name) = options.text("default-runtime") {
        if name != BUILT_IN_RUNTIME && !runtimes.contains_key(name) {
            return Err(OptionsError::Value {
                name: "--default-runtime".to_owned(),
                reason: format!("no runtime is called {name}"),
            });
        }
        name.clone_into(&mut engine.default_runtime);
    }
    engine.name = rustix::system::uname().nodename().to_string_lossy().into_owned();
    engine.labels = options.list("label");
    engine.runtimes =
        runtimes.iter().map(|(name, runtime)| (name.clone(), runtime.path.clone())).collect();
    engine.default_log = default_log(options);
    engine.init = options.switch("init", false);
    if let Some(parent) = options.text("cgroup-parent") {
        parent.trim_matches('/').clone_into(&mut engine.cgroup_parent);
    }
    engine.shutdown_timeout_s = number("shutdown-timeout", engine.shutdown_timeout_s)?;
    engine.dns = addresses(options, "dns")?;
    engine.dns_search = options.list("dns-search");
    engine.host_gateway_ip = options.parsed("host-gateway-ip")?;
    engine.dns_options = options.list("dns-opt");
    engine.default_ulimits = ulimits(options)?;
    if let Some(size) = options.text("default-shm-size") {
        engine.default_shm_size_bytes = bytes(size).ok_or_else(|| OptionsError::Value {
            name: "--default-shm-size".to_owned(),
            reason: format!("{size:?} is no size"),
        })?;
    }
    engine.seccomp_profile = options.text("seccomp-profile").map(PathBuf::from);
    engine.no_new_privileges = options.switch("no-new-privileges", false);
    engine.debug = options.switch("debug", false);
    engine.insecure_registries = options.list("insecure-registry");
    engine.registry_mirrors = options.list("registry-mirror");
    engine.nondistributable = options.list("allow-nondistributable-artifacts");
    let Proxies { http, https, no_proxy } = Proxies::of_environment();
    engine.proxies = [("HTTP_PROXY", http), ("HTTPS_PROXY", https), ("NO_PROXY", no_proxy)]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect();
    Ok(())
}

fn default_log(options: &Options) -> LogConfig {
    let text = |value: Value| match value {
        Value::String(text) => text,
        other => other.to_string(),
    };
    LogConfig {
        kind: options.text("log-driver").unwrap_or("json-file").to_owned(),
        config: options.map("log-opt").into_iter().map(|(key, value)| (key, text(value))).collect(),
    }
}

fn addresses(options: &Options, name: &str) -> Result<Vec<IpAddr>, OptionsError> {
    let parse = |text: &String| {
        text.parse().map_err(|_| OptionsError::Value {
            name: format!("--{name}"),
            reason: format!("{text:?} is not an IP address"),
        })
    };
    options.list(name).iter().map(parse).collect()
}

/// Reads `--default-ulimit nofile=1024:2048` and the file's `{"nofile": {"Soft": .., "Hard": ..}}`.
fn ulimits(options: &Options) -> Result<Vec<Ulimit>, OptionsError> {
    let mut limits = Vec::new();
    for (name, value) in options.map("default-ulimit") {
        let text = value.as_str().unwrap_or_default();
        let (soft, hard) = text.split_once(':').unwrap_or((text, text));
        match (soft.parse(), hard.parse()) {
            (Ok(soft), Ok(hard)) => limits.push(Ulimit { name, soft, hard }),
            _ => {
                return Err(OptionsError::Value {
                    name: "--default-ulimit".to_owned(),
                    reason: format!("{name}={text}: expected name=soft[:hard]"),
                });
            }
        }
    }
    for (name, value) in options.map("default-ulimits") {
        let (Some(soft), Some(hard)) = (value["Soft"].as_i64(), value["Hard"].as_i64()) else {
            return Err(OptionsError::Value {
                name: format!("default-ulimits.{name}"),
                reason: "expected Name, Soft and Hard".to_owned(),
            });
        };
        limits.push(Ulimit { name, soft, hard });
    }
    Ok(limits)
}

/// Reads a size such as `64m`, in bytes; units are powers of 1024, as Docker has them.
fn bytes(text: &str) -> Option<i64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
    let shift = match lower[digits.len()..].trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    digits.trim().parse::<i64>().ok()?.checked_mul(1 << shift)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

    fn settings(args: &[&str]) -> Result<Settings, OptionsError> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        Settings::from_options(&Options::read("gantry daemon", &args)?, false)
    }

    #[test]
    fn defaults_are_gantrys_own() {
        let settings = settings(&[]).unwrap();
        assert_eq!(settings.data_root, PathBuf::from("/var/lib/gantry"));
        assert_eq!(settings.hosts, ["unix:///var/run/gantry.sock"]);
        assert_eq!(settings.network.bridge, "gantry0");
        assert!(!settings.tls.enabled);
    }

    #[test]
    fn networks_have_pools_and_a_policy() {
        let pool = |text| settings(&["--default-address-pool", text]);
        let one = pool("base=10.9.0.0/16,size=24").unwrap().network;
        assert_eq!(one.address_pools, [AddressPool::parse("10.9.0.0/16", 24).unwrap()]);
        assert!(!one.host_policy_ports);
        for wrong in ["", "base=10.9.0.0/16", "base=x,size=24", "base=10.9.0.0/16,size=8", "a=b"] {
            assert!(pool(wrong).is_err(), "{wrong:?}");
        }
        let policy = |text| settings(&["--published-ports", text]);
        assert!(policy("host-policy").unwrap().network.host_policy_ports);
        assert!(policy("mine").is_err());
    }

    #[test]
    fn the_default_bridge_has_ipv6_when_asked() {
        assert!(!settings(&[]).unwrap().network.ipv6);
        let args = [
            "--ipv6",
            "--fixed-cidr-v6=fd00:1::/64",
            "--default-gateway=10.0.0.9",
            "--default-gateway-v6=fd00:1::9",
            "--default-network-opt=bridge=com.docker.network.driver.mtu=1400",
        ];
        let network = settings(&args).unwrap().network;
        assert!(network.ipv6);
        assert_eq!(network.fixed_cidr_v6, "fd00:1::/64".parse().ok());
        assert_eq!(network.default_gateway, "10.0.0.9".parse().ok());
        assert_eq!(network.default_gateway_v6, "fd00:1::9".parse().ok());
        assert_eq!(network.default_options["bridge"]["com.docker.network.driver.mtu"], "1400");
        for wrong in ["--fixed-cidr-v6=10.0.0.0/8", "--default-gateway=fd00::1"] {
            assert!(settings(&[wrong]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes_have_units() {
        for (text, want) in [
            ("64m", Some(64 << 20)),
            ("1GiB", Some(1 << 30)),
            ("12", Some(12)),
            ("5kb", Some(5 << 10)),
            ("x", None),
            ("9999999999g", None),
        ] {
            assert_eq!(bytes(text), want, "{text}");
        }
    }

    #[test]
    fn bad_values_are_named() {
        for (args, words) in [
            (["--dns", "nowhere"], "is not an IP address"),
            (["--default-ulimit", "nofile=x"], "name=soft[:hard]"),
            (["--default-runtime", "kata"], "no runtime is called kata"),
            (["--add-runtime", "gantry=/bin/x"], "built-in"),
            (["--mtu", "-5"], "is no size"),
        ] {
            let error = settings(&args).unwrap_err().to_string();
            assert!(error.contains(words), "{args:?}: {error}");
        }
    }
}
