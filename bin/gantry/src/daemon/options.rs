//! The daemon's options: one table that makes the flags, reads `daemon.json` and tells what each does.
//!
//! A flag and a key of the configuration file are two ways to say the same thing, so both come from
//! one row. A row whose feature is not there yet is accepted, as scripts and packages pass it, and
//! named in the log at start.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::{Arg, ArgAction, ArgMatches, Command};
use serde_json::{Map, Value};

/// What a value looks like.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Present or not; `--flag=false` too.
    Switch,
    /// One text.
    Text,
    /// A whole number.
    Number,
    /// Given several times, each a text.
    List,
    /// Given several times, each `key=value`.
    Map,
    /// Given several times, each `name=key=value`; an object of objects in the file.
    Maps,
    /// Given several times, each `key=value,key=value`; objects in the file.
    Records,
}

/// Whether an option does something yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effect {
    /// It does what it says.
    Works,
    /// It is accepted; the text says what stands in its place.
    Accepted(&'static str),
}

/// One option: its flag, its key in `daemon.json`, and what it does.
pub(crate) struct Row {
    /// Long flag, without dashes; empty when only the file has it.
    pub flag: &'static str,
    /// Short flag.
    pub short: Option<char>,
    /// Key in `daemon.json`; empty when only the flag exists.
    pub key: &'static str,
    shape: Shape,
    /// Whether it does something yet.
    pub effect: Effect,
    help: &'static str,
}

const fn row(
    flag: &'static str,
    short: Option<char>,
    key: &'static str,
    shape: Shape,
    help: &'static str,
) -> Row {
    Row { flag, short, key, shape, effect: Effect::Works, help }
}

const fn later(
    flag: &'static str,
    key: &'static str,
    shape: Shape,
    why: &'static str,
    help: &'static str,
) -> Row {
    Row { flag, short: None, key, shape, effect: Effect::Accepted(why), help }
}

const SWARM: &str = "it comes with the cluster";
const NEVER: &str = "Gantry has no use for it";

/// Every option.
// One row a line: as a table it can be read and searched.
#[rustfmt::skip]
pub(crate) const ROWS: &[Row] = &[
    row("add-runtime", None, "", Shape::Map, "Register an additional OCI runtime, as name=path"),
    row("allow-nondistributable-artifacts", None, "allow-nondistributable-artifacts", Shape::List, "Registry that may get layers which are not for everybody to give away: a host or a network"),
    row("bip", None, "bip", Shape::Text, "Address of the default bridge, as 172.17.0.1/16"),
    row("bridge", Some('b'), "bridge", Shape::Text, "Name of the default bridge"),
    row("cgroup-parent", None, "cgroup-parent", Shape::Text, "Parent control group of all containers"),
    row("config-file", None, "", Shape::Text, "Configuration file"),
    row("data-root", None, "data-root", Shape::Text, "Where images, containers and volumes are kept"),
    row("debug", Some('D'), "debug", Shape::Switch, "Log at level debug"),
    row("default-address-pool", None, "default-address-pools", Shape::Records, "Range to take networks' subnets from, as base=10.0.0.0/8,size=24"),
    row("default-gateway", None, "default-gateway", Shape::Text, "Router of containers on the default bridge (default: the bridge)"),
    row("default-gateway-v6", None, "default-gateway-v6", Shape::Text, "The same of IPv6"),
    row("default-network-opt", None, "default-network-opts", Shape::Maps, "Option of new networks of a driver, as driver=key=value"),
    row("default-runtime", None, "default-runtime", Shape::Text, "OCI runtime of containers that name none"),
    row("default-shm-size", None, "default-shm-size", Shape::Text, "Size of /dev/shm"),
    row("default-ulimit", None, "", Shape::Map, "Resource limits of containers that set none"),
    row("dns", None, "dns", Shape::List, "Name server for containers"),
    row("dns-opt", None, "dns-opts", Shape::List, "Resolver option for containers"),
    row("dns-search", None, "dns-search", Shape::List, "Search domain for containers"),
    row("exec-root", None, "exec-root", Shape::Text, "Where the state of running containers is kept"),
    row("favor-dynamic-cgroups", None, "favor-dynamic-cgroups", Shape::Switch, "Make cgroup attaches fast and forks a little dearer (default true)"),
    row("fixed-cidr", None, "fixed-cidr", Shape::Text, "Range of the default bridge's subnet that containers get"),
    row("fixed-cidr-v6", None, "fixed-cidr-v6", Shape::Text, "IPv6 subnet of the default bridge (default: one of the daemon's own)"),
    row("group", Some('G'), "group", Shape::Text, "Group that may use the unix socket"),
    row("host", Some('H'), "hosts", Shape::List, "Where to listen: unix://path, tcp://address:port or fd://"),
    row("host-gateway-ip", None, "host-gateway-ip", Shape::Text, "Address of host-gateway in --add-host (default: the bridge's)"),
    row("icc", None, "icc", Shape::Switch, "Whether containers of the default bridge reach each other (default true)"),
    row("image-policy", None, "image-policy", Shape::Text, "Policy file that says which images may come (default /etc/gantry/policy.json, if it is there)"),
    row("init", None, "init", Shape::Switch, "Run an init in every container"),
    row("insecure-registry", None, "insecure-registries", Shape::List, "Registry that may lack TLS, or whose certificate is not checked: a host or a network"),
    row("insecure-tcp", None, "insecure-tcp", Shape::Switch, "Listen on tcp without TLS: whoever connects is root"),
    row("ip", None, "ip", Shape::Text, "Host address that published ports bind by default"),
    row("ip-forward", None, "ip-forward", Shape::Switch, "Turn on IPv4 forwarding (default true)"),
    row("ip-masq", None, "ip-masq", Shape::Switch, "Masquerade containers' addresses (default true)"),
    row("ipv6", None, "ipv6", Shape::Switch, "IPv6 on the default bridge"),
    row("label", None, "labels", Shape::List, "key=value label of this daemon"),
    row("live-restore", None, "live-restore", Shape::Switch, "Containers outlive the daemon: always so"),
    row("log-driver", None, "log-driver", Shape::Text, "Log driver of containers that name none"),
    row("log-level", Some('l'), "log-level", Shape::Text, "debug, info, warn, error or fatal"),
    row("log-opt", None, "log-opts", Shape::Map, "Log options of containers that name no driver"),
    row("max-concurrent-downloads", None, "max-concurrent-downloads", Shape::Number, "Layers downloaded at once (default 3)"),
    row("max-concurrent-uploads", None, "max-concurrent-uploads", Shape::Number, "Layers uploaded at once (default 5)"),
    row("max-download-attempts", None, "max-download-attempts", Shape::Number, "Tries of a download that brings nothing forward (default 5)"),
    row("mtu", None, "mtu", Shape::Number, "MTU of the default bridge"),
    row("no-new-privileges", None, "no-new-privileges", Shape::Switch, "Set no-new-privileges for all containers"),
    row("pidfile", Some('p'), "pidfile", Shape::Text, "Where the process id is written"),
    row("published-ports", None, "published-ports", Shape::Text, "Who rules over published ports: engine, or host-policy for the host's input rules"),
    row("push-compression", None, "push-compression", Shape::Text, "What a push compresses layers with that have no blob yet: gzip (default) or zstd"),
    row("raw-logs", None, "raw-logs", Shape::Switch, "Log without colour"),
    row("registry-mirror", None, "registry-mirrors", Shape::List, "URL of a mirror of Docker Hub"),
    row("seccomp-profile", None, "seccomp-profile", Shape::Text, "Seccomp profile of containers that name none"),
    row("shutdown-timeout", None, "shutdown-timeout", Shape::Number, "Seconds that a stop of the daemon may take"),
    row("tls", None, "tls", Shape::Switch, "Serve TLS on tcp"),
    row("tlscacert", None, "tlscacert", Shape::Text, "Certificate authority of clients"),
    row("tlscert", None, "tlscert", Shape::Text, "Certificate of this daemon"),
    row("tlskey", None, "tlskey", Shape::Text, "Key of this daemon"),
    row("tlsverify", None, "tlsverify", Shape::Switch, "Serve TLS and demand a client's certificate"),
    row("version", Some('v'), "", Shape::Switch, "Print the version and quit"),
    row("", None, "runtimes", Shape::Map, "OCI runtimes by name"),
    row("", None, "default-ulimits", Shape::Map, "Resource limits of containers that set none"),
    later("api-cors-header", "api-cors-header", Shape::Text, "no CORS header is ever sent", "CORS header of the API"),
    later("authorization-plugin", "authorization-plugins", Shape::List, "plugins come later", "Authorization plugins"),
    later("containerd", "containerd", Shape::Text, NEVER, "Socket of containerd"),
    later("containerd-namespace", "containerd-namespace", Shape::Text, NEVER, "Namespace in containerd"),
    later("containerd-plugins-namespace", "containerd-plugins-namespace", Shape::Text, NEVER, "Namespace of plugins in containerd"),
    later("cpu-rt-period", "cpu-rt-period", Shape::Number, "set it on the parent cgroup", "Real-time period of the parent cgroup"),
    later("cpu-rt-runtime", "cpu-rt-runtime", Shape::Number, "set it on the parent cgroup", "Real-time runtime of the parent cgroup"),
    later("cri-containerd", "cri-containerd", Shape::Switch, NEVER, "Start containerd with CRI"),
    later("default-cgroupns-mode", "default-cgroupns-mode", Shape::Text, "containers have a private one", "Default cgroup namespace mode"),
    later("default-ipc-mode", "default-ipc-mode", Shape::Text, "containers have a private one", "Default IPC mode"),
    later("exec-opt", "exec-opts", Shape::List, "cgroups are managed directly", "Runtime execution options"),
    later("experimental", "experimental", Shape::Switch, "no feature hides behind it", "Experimental features"),
    later("init-path", "init-path", Shape::Text, "the built-in init is used", "Init program of --init"),
    later("ip6tables", "ip6tables", Shape::Switch, "rules are a table of nftables", "IPv6 rules"),
    later("iptables", "iptables", Shape::Switch, "rules are a table of nftables", "IPv4 rules"),
    later("metrics-addr", "metrics-addr", Shape::Text, "metrics come later", "Address of the metrics"),
    later("network-control-plane-mtu", "network-control-plane-mtu", Shape::Number, SWARM, "MTU of the control plane"),
    later("node-generic-resource", "node-generic-resources", Shape::List, SWARM, "Resources of this node"),
    later("oom-score-adjust", "oom-score-adjust", Shape::Number, "set it on the service", "oom_score_adj of the daemon"),
    later("rootless", "", Shape::Switch, "the daemon runs as root", "Run without root"),
    later("selinux-enabled", "selinux-enabled", Shape::Switch, "labels come later", "SELinux labels"),
    later("storage-driver", "storage-driver", Shape::Text, "overlayfs is used", "Storage driver"),
    later("storage-opt", "storage-opts", Shape::List, "overlayfs has none", "Storage driver options"),
    later("swarm-default-advertise-addr", "swarm-default-advertise-addr", Shape::Text, SWARM, "Address told to the cluster"),
    later("userland-proxy", "userland-proxy", Shape::Switch, "no proxy process is ever used", "Proxy of loopback traffic"),
    later("userland-proxy-path", "userland-proxy-path", Shape::Text, "no proxy process is ever used", "Proxy program"),
    later("userns-remap", "userns-remap", Shape::Text, "user namespaces come later", "User namespace of all containers"),
    later("", "builder", Shape::Text, "the build cache has limits of its own", "Builder settings"),
    later("", "features", Shape::Text, "no feature has a switch", "Feature switches"),
    later("", "cluster-advertise", Shape::Text, SWARM, "Address told to the cluster"),
    later("", "max-concurrent-builds", Shape::Number, "steps at once are limited, builds are not", "Builds at once"),
];

/// Why the daemon's options cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OptionsError {
    #[error("{0}")]
    Usage(clap::Error),
    #[error("unable to configure the daemon with file {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error("unable to configure the daemon with file {path}: invalid JSON")]
    Json {
        path: PathBuf,
        #[source]
        source: serde_json::Error,
    },
    #[error("unable to configure the daemon with file {path}: it must hold a JSON object")]
    NotAnObject { path: PathBuf },
    #[error(
        "unable to configure the daemon with file {path}: the following directives don't match any configuration option: {keys}"
    )]
    UnknownKeys { path: PathBuf, keys: String },
    #[error(
        "unable to configure the daemon with file {path}: the following directives are specified both as a flag and in the configuration file: {keys}"
    )]
    Twice { path: PathBuf, keys: String },
    #[error("invalid value for {name}: {reason}")]
    Value { name: String, reason: String },
}

/// Options as they were given, by flag name (or key, for those that only the file has).
#[derive(Debug, Default)]
pub(crate) struct Options {
    values: BTreeMap<&'static str, Value>,
}

impl Options {
    /// Reads the command line (`args` without the program's name) and the configuration file.
    pub(crate) fn read(program: &'static str, args: &[OsString]) -> Result<Self, OptionsError> {
        let matches = command(program)
            .try_get_matches_from(
                std::iter::once(OsString::from(program)).chain(args.iter().cloned()),
            )
            .map_err(OptionsError::Usage)?;
        let mut values = BTreeMap::new();
        for row in ROWS.iter().filter(|row| !row.flag.is_empty()) {
            if let Some(value) = from_flag(row, &matches)? {
                values.insert(row.flag, value);
            }
        }
        let mut options = Self { values };
        let (path, named) = match options.text("config-file") {
            Some(path) => (PathBuf::from(path), true),
            None => (PathBuf::from("/etc/gantry/daemon.json"), false),
        };
        match std::fs::read(&path) {
            Ok(bytes) => options.merge_file(&path, &bytes)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound && !named => {}
            Err(source) => return Err(OptionsError::Read { path, source }),
        }
        Ok(options)
    }

    fn merge_file(&mut self, path: &Path, bytes: &[u8]) -> Result<(), OptionsError> {
        let json: Value = serde_json::from_slice(bytes)
            .map_err(|source| OptionsError::Json { path: path.to_owned(), source })?;
        let Value::Object(map) = json else {
            return Err(OptionsError::NotAnObject { path: path.to_owned() });
        };
        let (mut unknown, mut twice) = (Vec::new(), Vec::new());
        for (key, value) in map {
            let Some(row) = ROWS.iter().find(|row| row.key == key) else {
                unknown.push(key);
                continue;
            };
            let name = if row.flag.is_empty() { row.key } else { row.flag };
            if let Some(given) = self.values.get(name) {
                twice.push(format!("{key}: (from flag: {given}, from file: {value})"));
                continue;
            }
            self.values.insert(name, from_file(row, value)?);
        }
        if !unknown.is_empty() {
            return Err(OptionsError::UnknownKeys {
                path: path.to_owned(),
                keys: unknown.join(", "),
            });
        }
        if !twice.is_empty() {
            return Err(OptionsError::Twice { path: path.to_owned(), keys: twice.join(", ") });
        }
        Ok(())
    }

    /// Options that were given but do nothing yet, with what stands in their place.
    pub(crate) fn accepted(&self) -> impl Iterator<Item = (&'static str, &'static str)> + '_ {
        ROWS.iter().filter_map(|row| {
            let name = if row.flag.is_empty() { row.key } else { row.flag };
            match row.effect {
                Effect::Accepted(why) if self.values.contains_key(name) => Some((name, why)),
                _ => None,
            }
        })
    }

    /// A text, when given and not empty.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.values.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
    }

    /// A switch, or `default` when not given.
    pub(crate) fn switch(&self, name: &str, default: bool) -> bool {
        self.values.get(name).and_then(Value::as_bool).unwrap_or(default)
    }

    /// A number, when given.
    pub(crate) fn number(&self, name: &str) -> Option<i64> {
        self.values.get(name).and_then(Value::as_i64)
    }

    /// A list; empty when not given.
    pub(crate) fn list(&self, name: &str) -> Vec<String> {
        let items = self.values.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        items.iter().filter_map(Value::as_str).map(str::to_owned).collect()
    }

    /// A map; empty when not given.
    pub(crate) fn map(&self, name: &str) -> Map<String, Value> {
        self.values.get(name).and_then(Value::as_object).cloned().unwrap_or_default()
    }

    /// A text parsed into `T`.
    pub(crate) fn parsed<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, OptionsError>
    where
        T::Err: std::fmt::Display,
    {
        let parse = |text: &str| {
            text.parse().map_err(|error: T::Err| OptionsError::Value {
                name: format!("--{name}"),
                reason: error.to_string(),
            })
        };
        self.text(name).map(parse).transpose()
    }
}

fn command(program: &'static str) -> Command {
    let mut command = Command::new(program)
        .override_usage(format!("{program} [OPTIONS]"))
        .about("A self-sufficient runtime for containers")
        .disable_version_flag(true);
    for row in ROWS.iter().filter(|row| !row.flag.is_empty()) {
        let mut arg =
            Arg::new(row.flag).long(row.flag).help(row.help).hide(row.effect != Effect::Works);
        if let Some(short) = row.short {
            arg = arg.short(short);
        }
        command = command.arg(match row.shape {
            Shape::Switch => arg
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(clap::value_parser!(bool)),
            Shape::Number => arg.value_parser(clap::value_parser!(i64)).allow_hyphen_values(true),
            Shape::Text => arg.overrides_with(row.flag),
            Shape::List | Shape::Map | Shape::Maps | Shape::Records => {
                arg.action(ArgAction::Append)
            }
        });
    }
    command
}

fn from_flag(row: &Row, matches: &ArgMatches) -> Result<Option<Value>, OptionsError> {
    if matches.value_source(row.flag) != Some(clap::parser::ValueSource::CommandLine) {
        return Ok(None);
    }
    let texts = || matches.get_many::<String>(row.flag).into_iter().flatten().cloned();
    Ok(match row.shape {
        Shape::Switch => matches.get_one::<bool>(row.flag).copied().map(Value::Bool),
        Shape::Number => matches.get_one::<i64>(row.flag).copied().map(Value::from),
        Shape::Text => texts().next_back().map(Value::String),
        Shape::List | Shape::Records => Some(Value::Array(texts().map(Value::String).collect())),
        Shape::Map => {
            let mut map = Map::new();
            for text in texts() {
                let (key, value) = pair(row, &text, &text)?;
                map.insert(key.to_owned(), Value::String(value.to_owned()));
            }
            Some(Value::Object(map))
        }
        Shape::Maps => {
            let mut maps = Map::new();
            for text in texts() {
                let (name, rest) = pair(row, &text, &text)?;
                let (key, value) = pair(row, rest, &text)?;
                let map = maps.entry(name).or_insert_with(|| Value::Object(Map::new()));
                map[key] = Value::String(value.to_owned());
            }
            Some(Value::Object(maps))
        }
    })
}

/// Reads `key=value`, a part of `whole`.
fn pair<'a>(row: &Row, text: &'a str, whole: &str) -> Result<(&'a str, &'a str), OptionsError> {
    let form = if row.shape == Shape::Maps { "name=key=value" } else { "key=value" };
    text.split_once('=').ok_or_else(|| OptionsError::Value {
        name: format!("--{}", row.flag),
        reason: format!("{whole:?} is not of the form {form}"),
    })
}

fn from_file(row: &Row, value: Value) -> Result<Value, OptionsError> {
    let fits = match row.shape {
        Shape::Switch => value.is_boolean(),
        Shape::Number => value.is_i64(),
        Shape::List => value
            .as_array()
            .is_some_and(|items| row.effect != Effect::Works || items.iter().all(Value::is_string)),
        Shape::Map => value.is_object(),
        Shape::Maps => value.as_object().is_some_and(|maps| {
            maps.values()
                .all(|map| map.as_object().is_some_and(|map| map.values().all(Value::is_string)))
        }),
        Shape::Records => value.as_array().is_some_and(|items| items.iter().all(Value::is_object)),
        // Sizes may be written as numbers.
        Shape::Text => value.is_string() || value.is_number() || row.effect != Effect::Works,
    };
    if !fits {
        return Err(OptionsError::Value {
            name: row.key.to_owned(),
            reason: format!("{value} has the wrong type"),
        });
    }
    Ok(match (row.shape, value) {
        (Shape::Text, Value::Number(number)) => Value::String(number.to_string()),
        (Shape::Records, Value::Array(items)) => items.iter().map(record_text).collect(),
        (_, value) => value,
    })
}

/// An object of the file as the flag writes it.
fn record_text(record: &Value) -> Value {
    let pair = |(key, value): (&String, &Value)| match value {
        Value::String(text) => format!("{key}={text}"),
        other => format!("{key}={other}"),
    };
    let pairs: Vec<String> = record.as_object().into_iter().flatten().map(pair).collect();
    Value::String(pairs.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(args: &[&str]) -> Result<Options, OptionsError> {
        let args: Vec<OsString> = args.iter().map(OsString::from).collect();
        Options::read("gantry daemon", &args)
    }

    fn with_file(args: &[&str], file: &str) -> Result<Options, OptionsError> {
        let mut options = read(args)?;
        options.merge_file(Path::new("daemon.json"), file.as_bytes())?;
        Ok(options)
    }

    #[test]
    fn flags_are_read_by_shape() {
        let options = read(&[
            "-D",
            "--icc=false",
            "-H",
            "unix:///a",
            "--host",
            "tcp://b",
            "--log-opt",
            "max-size=1m",
            "--mtu",
            "1400",
            "--data-root",
            "/d",
            "--default-network-opt",
            "bridge=a=1=2",
            "--default-network-opt=bridge=b=",
        ])
        .unwrap();
        let maps = options.map("default-network-opt");
        assert_eq!(maps["bridge"], serde_json::json!({ "a": "1=2", "b": "" }));
        assert!(read(&["--default-network-opt", "bridge=a"]).is_err());
        assert!(options.switch("debug", false));
        assert!(!options.switch("icc", true));
        assert!(options.switch("ip-masq", true));
        assert_eq!(options.list("host"), ["unix:///a", "tcp://b"]);
        assert_eq!(options.map("log-opt")["max-size"], "1m");
        assert_eq!(options.number("mtu"), Some(1400));
        assert_eq!(options.text("data-root"), Some("/d"));
    }

    #[test]
    fn the_file_fills_what_no_flag_says() {
        let options =
            with_file(&["-D"], r#"{"hosts":["unix:///f"],"log-opts":{"max-file":"3"},"mtu":9000}"#)
                .unwrap();
        assert_eq!(options.list("host"), ["unix:///f"]);
        assert_eq!(options.map("log-opt")["max-file"], "3");
        assert_eq!(options.number("mtu"), Some(9000));
    }

    #[test]
    fn bad_files_are_named() {
        for (args, file, words) in [
            (&["-D"][..], r#"{"debug":false}"#, "both as a flag and in the configuration file"),
            (&[], r#"{"no-such":1}"#, "don't match any configuration option: no-such"),
            (&[], r#"{"mtu":"x"}"#, "invalid value for mtu"),
            (&[], r#"{"default-network-opts":{"bridge":{"a":1}}}"#, "has the wrong type"),
            (&[], "[]", "JSON object"),
            (&[], "{", "invalid JSON"),
        ] {
            let error = with_file(args, file).unwrap_err().to_string();
            assert!(error.contains(words), "{file}: {error}");
        }
    }

    #[test]
    fn accepted_options_are_named() {
        let options = read(&["--userland-proxy=false", "--metrics-addr", "x"]).unwrap();
        let named: Vec<_> = options.accepted().map(|(name, _)| name).collect();
        assert_eq!(named, ["metrics-addr", "userland-proxy"]);
    }

    #[test]
    fn no_two_rows_clash() {
        for (at, row) in ROWS.iter().enumerate() {
            for other in &ROWS[at + 1..] {
                assert!(row.flag.is_empty() || row.flag != other.flag, "flag {}", row.flag);
                assert!(row.key.is_empty() || row.key != other.key, "key {}", row.key);
            }
        }
    }
}
