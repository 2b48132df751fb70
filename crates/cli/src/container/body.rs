//! Flags of `run` and `create` to the body of the request: one pure function.
//!
//! It reads files that flags name and the environment that flags inherit, and nothing else.

use gantry_api_types::container::{ContainerConfig, ContainerCreateBody, HealthConfig};
use gantry_api_types::host_config::{DeviceRequest, HostConfig, LogConfig, RestartPolicy};

use crate::container::mounts::{Volume, mount, volume};
use crate::container::ports::Ports;
use crate::container::{files, limits, network};
use crate::flags::Flags;
use crate::values;

/// Builds the body; `args` are the image, the command and its arguments.
pub(crate) fn create_body(flags: &Flags, args: &[String]) -> Result<ContainerCreateBody, String> {
    if flags.is_given("mac-address") {
        network::mac_address(flags.text("mac-address"))?;
    }
    let mut config = container(flags, args)?;
    let swappiness = flags.int("memory-swappiness");
    if swappiness != -1 && !(0..=100).contains(&swappiness) {
        return Err(format!("invalid value: {swappiness}. Valid memory swappiness range is 0-100"));
    }
    let mut host = limits_of(flags)?;
    files_and_mounts(flags, &mut config, &mut host)?;
    let ports = Ports::parse(flags.list("publish"), flags.list("expose"))?;
    config.exposed_ports = ports.exposed;
    host.port_bindings = ports.bindings;
    devices(flags, &mut host)?;
    namespaces(flags, &mut host)?;
    config.env = some(files::env(flags.list("env-file"), flags.list("env"))?);
    config.labels = Some(files::labels(flags.list("label-file"), flags.list("label"))?);
    config.healthcheck = health(flags)?;
    security(flags, &mut host)?;
    policies(flags, &mut host)?;
    let (mode, networking) = network::parse(flags)?;
    host.network_mode = mode;
    host.links = some(flags.list("link").to_vec());
    if host.auto_remove && !matches!(host.restart_policy.name.as_str(), "" | "no") {
        return Err("conflicting options: cannot specify both --restart and --rm".into());
    }
    // Without a client that attaches for it, standard input closes after the first.
    config.stdin_once = config.open_stdin && config.attach_stdin;
    Ok(ContainerCreateBody { config, host_config: Some(host), networking_config: Some(networking) })
}

fn some<T>(list: Vec<T>) -> Option<Vec<T>> {
    if list.is_empty() { None } else { Some(list) }
}

fn container(flags: &Flags, args: &[String]) -> Result<ContainerConfig, String> {
    let attach = flags.list("attach");
    let wants = |name: &str| attach.iter().any(|stream| stream.eq_ignore_ascii_case(name));
    let interactive = flags.is_on("interactive");
    let mut config = ContainerConfig {
        hostname: flags.text("hostname").to_owned(),
        domainname: flags.text("domainname").to_owned(),
        user: flags.text("user").to_owned(),
        tty: flags.is_on("tty"),
        open_stdin: interactive,
        attach_stdin: wants("stdin") || interactive,
        attach_stdout: wants("stdout") || attach.is_empty(),
        attach_stderr: wants("stderr") || attach.is_empty(),
        cmd: some(args.get(1..).unwrap_or_default().to_vec()),
        image: args.first().cloned().unwrap_or_default(),
        working_dir: flags.text("workdir").to_owned(),
        ..ContainerConfig::default()
    };
    if flags.is_given("entrypoint") {
        config.entrypoint = Some(vec![flags.text("entrypoint").to_owned()]);
    }
    if flags.is_given("stop-signal") {
        flags.text("stop-signal").clone_into(&mut config.stop_signal);
    }
    if flags.is_given("stop-timeout") {
        config.stop_timeout = Some(flags.int("stop-timeout"));
    }
    Ok(config)
}

fn limits_of(flags: &Flags) -> Result<HostConfig, String> {
    let text = |name: &str| flags.text(name).to_owned();
    let list = |name: &str| flags.list(name).to_vec();
    let throttle = |name: &str, parse: fn(&str) -> Result<_, String>| {
        flags.list(name).iter().map(|text| parse(text)).collect::<Result<Vec<_>, _>>().map(Some)
    };
    let weights: Result<Vec<_>, _> =
        flags.list("blkio-weight-device").iter().map(|text| limits::weight_device(text)).collect();
    let ulimits: Result<Vec<_>, _> =
        flags.list("ulimit").iter().map(|text| limits::ulimit(text)).collect();
    let mut ulimits = ulimits?;
    ulimits.sort_by(|a, b| a.name.cmp(&b.name));
    let uint = |name: &str| values::go_uint(flags.text(name), 64).unwrap_or(0);
    Ok(HostConfig {
        cpu_shares: flags.int("cpu-shares"),
        memory: flags.bytes("memory"),
        nano_cpus: values::nano_cpus(flags.text("cpus")).unwrap_or(0),
        cgroup_parent: text("cgroup-parent"),
        blkio_weight: u16::try_from(uint("blkio-weight")).unwrap_or(0),
        blkio_weight_device: Some(weights?),
        blkio_device_read_bps: throttle("device-read-bps", limits::throttle_bps)?,
        blkio_device_write_bps: throttle("device-write-bps", limits::throttle_bps)?,
        blkio_device_read_iops: throttle("device-read-iops", limits::throttle_iops)?,
        blkio_device_write_iops: throttle("device-write-iops", limits::throttle_iops)?,
        cpu_period: flags.int("cpu-period"),
        cpu_quota: flags.int("cpu-quota"),
        cpu_realtime_period: flags.int("cpu-rt-period"),
        cpu_realtime_runtime: flags.int("cpu-rt-runtime"),
        cpuset_cpus: text("cpuset-cpus"),
        cpuset_mems: text("cpuset-mems"),
        device_cgroup_rules: some(list("device-cgroup-rule")),
        memory_reservation: flags.bytes("memory-reservation"),
        memory_swap: flags.bytes("memory-swap"),
        memory_swappiness: Some(flags.int("memory-swappiness")),
        oom_kill_disable: Some(flags.is_on("oom-kill-disable")),
        pids_limit: Some(flags.int("pids-limit")),
        ulimits: Some(ulimits),
        cpu_count: flags.int("cpu-count"),
        cpu_percent: flags.int("cpu-percent"),
        io_maximum_iops: uint("io-maxiops"),
        io_maximum_bandwidth: u64::try_from(flags.bytes("io-maxbandwidth")).unwrap_or(0),
        oom_score_adj: flags.int("oom-score-adj"),
        shm_size: flags.bytes("shm-size"),
        isolation: text("isolation"),
        ..HostConfig::default()
    })
}

fn files_and_mounts(
    flags: &Flags,
    config: &mut ContainerConfig,
    host: &mut HostConfig,
) -> Result<(), String> {
    let (mut binds, mut volumes) = (Vec::new(), gantry_api_types::Set::new());
    for spec in flags.list("volume") {
        match volume(spec)? {
            Volume::Bind(bind) => binds.push(bind),
            Volume::Anonymous(path) => {
                volumes.insert(path, gantry_api_types::Empty);
            }
        }
    }
    host.binds = some(binds);
    config.volumes = Some(volumes);
    for spec in flags.list("tmpfs") {
        let (path, options) = spec.split_once(':').unwrap_or((spec, ""));
        host.tmpfs.insert(path.to_owned(), options.to_owned());
    }
    for spec in flags.list("mount") {
        host.mounts.push(mount(spec)?);
    }
    host.container_id_file = flags.text("cidfile").to_owned();
    host.volume_driver = flags.text("volume-driver").to_owned();
    host.volumes_from = some(flags.list("volumes-from").to_vec());
    for option in flags.list("storage-opt") {
        let Some((name, value)) = option.split_once('=') else {
            return Err("invalid storage option".into());
        };
        host.storage_opt.insert(name.to_owned(), value.to_owned());
    }
    Ok(())
}

fn devices(flags: &Flags, host: &mut HostConfig) -> Result<(), String> {
    let (mut mappings, mut names) = (Vec::new(), Vec::new());
    for spec in flags.list("device") {
        if limits::is_cdi(spec) {
            names.push(spec.clone());
        } else {
            mappings.push(limits::device(spec)?);
        }
    }
    host.devices = Some(mappings);
    let requests: Result<Vec<_>, _> =
        flags.list("gpus").iter().map(|text| limits::gpus(text)).collect();
    let mut requests = requests?;
    if !names.is_empty() {
        requests.push(DeviceRequest {
            driver: "cdi".into(),
            device_ids: Some(names),
            ..DeviceRequest::default()
        });
    }
    host.device_requests = some(requests);
    Ok(())
}

fn namespaces(flags: &Flags, host: &mut HostConfig) -> Result<(), String> {
    let container = |mode: &str| mode.strip_prefix("container:").is_some_and(|id| !id.is_empty());
    let pid = flags.text("pid");
    if !(matches!(pid, "" | "host") || container(pid)) {
        return Err("--pid: invalid PID mode".into());
    }
    if !matches!(flags.text("uts"), "" | "host") {
        return Err("--uts: invalid UTS mode".into());
    }
    if !matches!(flags.text("userns"), "" | "host") {
        return Err("--userns: invalid USER mode".into());
    }
    if !matches!(flags.text("cgroupns"), "" | "host" | "private") {
        return Err("--cgroupns: invalid CGROUP mode".into());
    }
    host.pid_mode = pid.to_owned();
    host.uts_mode = flags.text("uts").to_owned();
    host.userns_mode = flags.text("userns").to_owned();
    host.cgroupns_mode = flags.text("cgroupns").to_owned();
    host.ipc_mode = flags.text("ipc").to_owned();
    Ok(())
}

fn health(flags: &Flags) -> Result<Option<HealthConfig>, String> {
    let nanoseconds = |name: &str| values::duration(flags.text(name)).unwrap_or(0);
    let names = ["interval", "timeout", "start-period", "start-interval"];
    let given = flags.is_given("health-cmd")
        || flags.int("health-retries") != 0
        || names.iter().any(|name| nanoseconds(&format!("health-{name}")) != 0);
    if flags.is_on("no-healthcheck") {
        if given {
            return Err("--no-healthcheck conflicts with --health-* options".into());
        }
        return Ok(Some(HealthConfig { test: vec!["NONE".into()], ..HealthConfig::default() }));
    }
    if !given {
        return Ok(None);
    }
    for name in names {
        if nanoseconds(&format!("health-{name}")) < 0 {
            return Err(format!("--health-{name} cannot be negative"));
        }
    }
    if flags.int("health-retries") < 0 {
        return Err("--health-retries cannot be negative".into());
    }
    let test = match flags.text("health-cmd") {
        "" => Vec::new(),
        line => vec!["CMD-SHELL".to_owned(), line.to_owned()],
    };
    Ok(Some(HealthConfig {
        test,
        interval: nanoseconds("health-interval"),
        timeout: nanoseconds("health-timeout"),
        start_period: nanoseconds("health-start-period"),
        start_interval: nanoseconds("health-start-interval"),
        retries: flags.int("health-retries"),
    }))
}

fn security(flags: &Flags, host: &mut HostConfig) -> Result<(), String> {
    let mut options = Vec::new();
    for option in flags.list("security-opt") {
        if option == "systempaths=unconfined" {
            host.masked_paths = Some(Vec::new());
            host.readonly_paths = Some(Vec::new());
            continue;
        }
        let pair = option.split_once('=').or_else(|| option.split_once(':'));
        let Some((name, value)) = pair else {
            if option != "no-new-privileges" {
                return Err(format!("Invalid --security-opt: {}", gantry_gotext::quote(option)));
            }
            options.push(option.clone());
            continue;
        };
        if name == "seccomp" && !matches!(value, "unconfined" | "builtin") {
            let text = std::fs::read_to_string(value).map_err(|error| {
                format!("opening seccomp profile ({value}) failed: {}", files::open(value, &error))
            })?;
            let json: serde_json::Value = serde_json::from_str(&text).map_err(|error| {
                format!("compacting json for seccomp profile ({value}) failed: {error}")
            })?;
            options.push(format!("seccomp={json}"));
            continue;
        }
        options.push(option.clone());
    }
    host.security_opt = some(options);
    host.privileged = flags.is_on("privileged");
    host.readonly_rootfs = flags.is_on("read-only");
    host.cap_add = capabilities(flags.list("cap-add"));
    host.cap_drop = capabilities(flags.list("cap-drop"));
    host.group_add = some(flags.list("group-add").to_vec());
    for pair in flags.list("sysctl") {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        host.sysctls.insert(name.to_owned(), value.to_owned());
    }
    for pair in flags.list("annotation") {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        host.annotations.insert(name.to_owned(), value.to_owned());
    }
    Ok(())
}

/// Capability names as the engine takes them: upper case, with their prefix, once, sorted.
fn capabilities(given: &[String]) -> Option<Vec<String>> {
    let mut names: Vec<String> = given
        .iter()
        .map(|name| name.trim().to_uppercase())
        .map(|name| match name.as_str() {
            "ALL" | "RESET" => name,
            _ if name.starts_with("CAP_") => name,
            _ => format!("CAP_{name}"),
        })
        .collect();
    names.sort();
    names.dedup();
    if names.iter().any(|name| name == "ALL") {
        names = vec!["ALL".into()];
    }
    some(names)
}

fn policies(flags: &Flags, host: &mut HostConfig) -> Result<(), String> {
    let search = flags.list("dns-search").iter().map(|domain| domain.trim().to_owned());
    host.dns = Some(flags.list("dns").iter().map(|address| address.trim().to_owned()).collect());
    host.dns_options = Some(flags.list("dns-option").to_vec());
    host.dns_search = Some(search.collect());
    host.extra_hosts = some(flags.list("add-host").iter().map(|host| extra_host(host)).collect());
    host.restart_policy = restart_policy(flags.text("restart"))?;
    let driver = flags.text("log-driver");
    let options = flags.list("log-opt");
    if driver == "none" && !options.is_empty() {
        return Err("invalid logging opts for driver none".into());
    }
    host.log_config = LogConfig { kind: driver.to_owned(), ..LogConfig::default() };
    for option in options {
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        host.log_config.config.insert(name.to_owned(), value.to_owned());
    }
    host.auto_remove = flags.is_on("rm");
    host.publish_all_ports = flags.is_on("publish-all");
    host.runtime = flags.text("runtime").to_owned();
    host.init = flags.is_given("init").then(|| flags.is_on("init"));
    Ok(())
}

/// `name=address` in the form that the engine knows, `name:address`.
pub(crate) fn extra_host(text: &str) -> String {
    let equals = text.find('=').unwrap_or(usize::MAX);
    let colon = text.find(':').unwrap_or(usize::MAX);
    let (name, address) = if equals < colon {
        text.split_once('=').unwrap_or((text, ""))
    } else {
        text.split_once(':').unwrap_or((text, ""))
    };
    let bare = address.strip_prefix('[').and_then(|address| address.strip_suffix(']'));
    format!("{name}:{}", bare.unwrap_or(address))
}

/// Checks `--add-host`.
pub(crate) fn check_host(text: &str) -> Result<(), String> {
    let host = extra_host(text);
    let (name, address) = host.split_once(':').unwrap_or((&host, ""));
    if name.is_empty() || !text.contains([':', '=']) {
        return Err(format!("bad format for add-host: {}", gantry_gotext::quote(text)));
    }
    if address != "host-gateway" && address.parse::<std::net::IpAddr>().is_err() {
        return Err(format!("invalid IP address in add-host: {}", gantry_gotext::quote(address)));
    }
    Ok(())
}

/// `no`, `always`, `unless-stopped`, `on-failure[:count]`.
pub(crate) fn restart_policy(text: &str) -> Result<RestartPolicy, String> {
    if text.is_empty() {
        return Ok(RestartPolicy::default());
    }
    let (name, count) = match text.split_once(':') {
        Some(("", _)) => {
            return Err("invalid restart policy format: no policy provided before colon".into());
        }
        Some((name, count)) => (name, Some(count)),
        None => (text, None),
    };
    let maximum_retry_count = match count {
        Some("") | None => 0,
        Some(count) => count.parse().map_err(|_| {
            "invalid restart policy format: maximum retry count must be an integer".to_owned()
        })?,
    };
    Ok(RestartPolicy { name: name.to_owned(), maximum_retry_count })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::create_body;
    use crate::flags::{Parsed, parse};
    use crate::spec::TOP;

    /// Bodies as docker 28.2.2 sent them to a recording listener, with its command lines.
    const RECORDED: &str =
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/create.jsonl"));

    fn body_of(args: &[String]) -> Result<Value, String> {
        let create = TOP.iter().find(|entry| entry.name == "create").expect("create");
        match parse(create.command.flags, args, false)? {
            Parsed::Run(flags, rest) => {
                let mut body = serde_json::to_value(create_body(&flags, &rest)?).expect("json");
                if let Some(binds) = body["HostConfig"]["Binds"].as_array_mut() {
                    binds.sort_by_key(Value::to_string);
                }
                Ok(body)
            }
            Parsed::Help => Err("help".into()),
        }
    }

    #[test]
    fn sends_what_docker_sends() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden");
        for line in RECORDED.lines() {
            let recorded: Value = serde_json::from_str(line).expect("recorded line");
            let args: Vec<String> = recorded["args"]
                .as_array()
                .expect("args")
                .iter()
                .map(|arg| arg.as_str().expect("text").replace("@DIR@", directory))
                .collect();
            assert_eq!(body_of(&args).as_ref(), Ok(&recorded["body"]), "{args:?}");
        }
    }

    #[test]
    fn refuses_in_docker_words() {
        for (args, want) in [
            ("-p 99999 b", "invalid containerPort: 99999"),
            ("--device a:b:c:d b", "bad format for path: a:b:c:d"),
            (
                "-e =x b",
                "invalid argument \"=x\" for \"-e, --env\" flag: invalid environment variable: =x",
            ),
            (
                "--add-host x b",
                "invalid argument \"x\" for \"--add-host\" flag: bad format for add-host: \"x\"",
            ),
            (
                "--restart on-failure:x b",
                "invalid restart policy format: maximum retry count must be an integer",
            ),
            (
                "--memory-swappiness 200 b",
                "invalid value: 200. Valid memory swappiness range is 0-100",
            ),
            ("--health-interval -5s b", "--health-interval cannot be negative"),
            (
                "--no-healthcheck --health-cmd x b",
                "--no-healthcheck conflicts with --health-* options",
            ),
            ("--pid foo b", "--pid: invalid PID mode"),
            (
                "--rm --restart always b",
                "conflicting options: cannot specify both --restart and --rm",
            ),
            ("--security-opt x b", "Invalid --security-opt: \"x\""),
            ("--storage-opt x b", "invalid storage option"),
            ("--network a --network a b", "network \"a\" is specified multiple times"),
            (
                "--network none --network-alias z b",
                "network-scoped aliases are only supported for user-defined networks",
            ),
            ("--log-driver none --log-opt a=b b", "invalid logging opts for driver none"),
            ("--mac-address x b", "x is not a valid mac address"),
            (
                "--expose x b",
                "invalid range format for --expose: x, error: strconv.ParseUint: parsing \"x\": invalid syntax",
            ),
            (
                "--sysctl x b",
                "invalid argument \"x\" for \"--sysctl\" flag: sysctl 'x' is not allowed",
            ),
            ("--env-file /nosuch b", "open /nosuch: no such file or directory"),
            (
                "--gpus x b",
                "invalid argument \"x\" for \"--gpus\" flag: invalid count (x): value must be either \"all\" or an integer: invalid syntax",
            ),
        ] {
            let list: Vec<String> = args.split(' ').map(str::to_owned).collect();
            assert_eq!(body_of(&list), Err(want.to_owned()), "{args}");
        }
    }
}
