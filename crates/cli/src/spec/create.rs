//! Flags of `run` and `create`.

use crate::container::{body, limits, mounts, network};
use crate::flags::{Flag, Kind, flag};

use Kind::{Bool, Bytes, Decimal, Duration, Int, List, Map, Named, Str, Uint, Uint16};

fn stream(text: &str) -> Result<(), String> {
    match text.to_lowercase().as_str() {
        "stdin" | "stdout" | "stderr" => Ok(()),
        _ => Err("valid streams are STDIN, STDOUT and STDERR".into()),
    }
}

fn variable(text: &str) -> Result<(), String> {
    match text.is_empty() || text.starts_with('=') {
        true => Err(format!("invalid environment variable: {text}")),
        false => Ok(()),
    }
}

pub(super) fn label(text: &str) -> Result<(), String> {
    let name = text.split('=').next().unwrap_or("");
    match name.trim().is_empty() {
        true => Err(format!("invalid label '{text}': empty name")),
        false => Ok(()),
    }
}

fn address(text: &str) -> Result<(), String> {
    match text.trim().parse::<std::net::IpAddr>() {
        Ok(_) => Ok(()),
        Err(_) => Err(format!("IP address is not correctly formatted: {text}")),
    }
}

fn domain(text: &str) -> Result<(), String> {
    let text = text.trim();
    let good = |part: &str| {
        !part.is_empty() && part.chars().all(|c| c.is_ascii_alphanumeric() || c == '-' || c == '_')
    };
    match text == "." || text.trim_end_matches('.').split('.').all(good) {
        true => Ok(()),
        false => Err(format!("{text} is not a valid domain")),
    }
}

fn device_rule(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split(' ').collect();
    let number = |text: &str| text == "*" || text.parse::<u32>().is_ok();
    let good = match parts.as_slice() {
        [kind, numbers, mode] => {
            matches!(*kind, "a" | "b" | "c")
                && numbers.split_once(':').is_some_and(|(a, b)| number(a) && number(b))
                && (1..=3).contains(&mode.len())
                && mode.chars().all(|c| "rwm".contains(c))
        }
        _ => false,
    };
    if good { Ok(()) } else { Err(format!("invalid device cgroup format '{text}'")) }
}

fn sysctl(text: &str) -> Result<(), String> {
    const NAMES: &[&str] = &[
        "kernel.msgmax",
        "kernel.msgmnb",
        "kernel.msgmni",
        "kernel.sem",
        "kernel.shmall",
        "kernel.shmmax",
        "kernel.shmmni",
        "kernel.shm_rmid_forced",
    ];
    let name = text.split_once('=').map(|(name, _)| name);
    let good = name.is_some_and(|name| {
        NAMES.contains(&name) || name.starts_with("net.") || name.starts_with("fs.mqueue.")
    });
    if good { Ok(()) } else { Err(format!("sysctl '{text}' is not allowed")) }
}

pub(super) fn link(text: &str) -> Result<(), String> {
    let parts: Vec<&str> = text.split(':').collect();
    if text.is_empty() {
        return Err("empty string specified for links".into());
    }
    if parts.len() > 2 { Err(format!("bad format for links: {text}")) } else { Ok(()) }
}

const ZERO_TIME: &str = "0s";

/// Flags that `run` and `create` have in common.
pub(super) const CREATE: &[Flag] = &[
    flag("add-host", List, "Add a line to the hosts file (host:ip)").check(body::check_host),
    flag("annotation", Map, "Pass an annotation to the OCI runtime").since("1.43"),
    flag("attach", List, "Attach to STDIN, STDOUT or STDERR").short('a').check(stream),
    flag("blkio-weight", Uint16, "Relative block I/O weight, 10 to 1000, 0 for none").default("0"),
    flag("blkio-weight-device", List, "Block I/O weight of a device")
        .check(|text| limits::weight_device(text).map(drop)),
    flag("cap-add", List, "Add capabilities"),
    flag("cap-drop", List, "Drop capabilities"),
    flag("cgroup-parent", Str, "Cgroup above the container's"),
    flag("cgroupns", Str, "Cgroup namespace (host|private), the daemon's default if empty")
        .since("1.41"),
    flag("cidfile", Str, "Write the container's ID to this file"),
    flag("cpu-count", Int, "Number of CPUs (Windows only)").default("0").hidden(),
    flag("cpu-percent", Int, "Percent of CPU (Windows only)").default("0").hidden(),
    flag("cpu-period", Int, "CFS period in µs").default("0"),
    flag("cpu-quota", Int, "CFS quota in µs per period").default("0"),
    flag("cpu-rt-period", Int, "Realtime period in µs").default("0").since("1.25"),
    flag("cpu-rt-runtime", Int, "Realtime runtime in µs").default("0").since("1.25"),
    flag("cpu-shares", Int, "Relative CPU weight").short('c').default("0"),
    flag("cpus", Decimal, "Number of CPUs").since("1.25"),
    flag("cpuset-cpus", Str, "CPUs to run on (0-3, 0,1)"),
    flag("cpuset-mems", Str, "Memory nodes to use (0-3, 0,1)"),
    flag("device", List, "Give a host device to the container"),
    flag("device-cgroup-rule", List, "Add a rule to the device cgroup").check(device_rule),
    flag("device-read-bps", List, "Limit reading from a device in bytes per second")
        .check(|text| limits::throttle_bps(text).map(drop)),
    flag("device-read-iops", List, "Limit reading from a device in operations per second")
        .check(|text| limits::throttle_iops(text).map(drop)),
    flag("device-write-bps", List, "Limit writing to a device in bytes per second")
        .check(|text| limits::throttle_bps(text).map(drop)),
    flag("device-write-iops", List, "Limit writing to a device in operations per second")
        .check(|text| limits::throttle_iops(text).map(drop)),
    flag("disable-content-trust", Bool, "Skip image verification").default("true").hidden(),
    flag("dns", List, "Name servers").check(address),
    flag("dns-opt", List, "Resolver options").other_name_of("dns-option"),
    flag("dns-option", List, "Resolver options"),
    flag("dns-search", List, "Search domains").check(domain),
    flag("domainname", Str, "NIS domain name"),
    flag("entrypoint", Str, "Replace the image's entrypoint"),
    flag("env", List, "Set a variable; without a value it is taken over")
        .short('e')
        .check(variable),
    flag("env-file", List, "Read variables from a file"),
    flag("expose", List, "Expose a port or a range of ports"),
    flag("gpus", Named("gpu-request"), "GPUs to add ('all' for all)")
        .since("1.40")
        .check(|text| limits::gpus(text).map(drop)),
    flag("group-add", List, "Join more groups"),
    flag("health-cmd", Str, "Command that tells whether the container is healthy"),
    flag("health-interval", Duration, "Time between checks").default(ZERO_TIME),
    flag("health-retries", Int, "Failures in a row that mean unhealthy").default("0"),
    flag("health-start-interval", Duration, "Time between checks in the start period")
        .default(ZERO_TIME)
        .since("1.44"),
    flag("health-start-period", Duration, "Time in which failures do not count")
        .default(ZERO_TIME)
        .since("1.29"),
    flag("health-timeout", Duration, "Longest time of one check").default(ZERO_TIME),
    flag("hostname", Str, "Host name").short('h'),
    flag("init", Bool, "Run an init that forwards signals and reaps processes").since("1.25"),
    flag("interactive", Bool, "Keep STDIN open even if not attached").short('i'),
    flag("io-maxbandwidth", Bytes, "Limit of I/O bandwidth (Windows only)").default("0").hidden(),
    flag("io-maxiops", Uint, "Limit of I/O operations (Windows only)").default("0").hidden(),
    flag("ip", Str, "IPv4 address (such as 172.30.100.104)"),
    flag("ip6", Str, "IPv6 address (such as 2001:db8::33)"),
    flag("ipc", Str, "IPC namespace to use"),
    flag("isolation", Str, "Isolation technology"),
    flag("kernel-memory", Bytes, "Limit of kernel memory").hidden(),
    flag("label", List, "Set a label").short('l').check(label),
    flag("label-file", List, "Read labels from a file, one a line"),
    flag("link", List, "Link to another container").check(link),
    flag("link-local-ip", List, "Link-local addresses"),
    flag("log-driver", Str, "Log driver"),
    flag("log-opt", List, "Option of the log driver"),
    flag("mac-address", Str, "MAC address (such as 92:d0:c6:0a:29:33)"),
    flag("memory", Bytes, "Limit of memory").short('m').default("0"),
    flag("memory-reservation", Bytes, "Soft limit of memory").default("0"),
    flag("memory-swap", Bytes, "Limit of memory and swap together, -1 for none").default("0"),
    flag("memory-swappiness", Int, "Readiness to swap (0 to 100)").default("-1"),
    flag("mount", Named("mount"), "Attach a mount").check(|text| mounts::mount(text).map(drop)),
    flag("name", Str, "Name of the container"),
    flag("net", Named("network"), "Connect to a network")
        .check(network::check)
        .other_name_of("network"),
    flag("net-alias", List, "Name on the network").other_name_of("network-alias"),
    flag("network", Named("network"), "Connect to a network").check(network::check),
    flag("network-alias", List, "Another name on the network"),
    flag("no-healthcheck", Bool, "Switch the image's health check off"),
    flag("oom-kill-disable", Bool, "Switch the OOM killer off"),
    flag("oom-score-adj", Int, "How likely the OOM killer strikes (-1000 to 1000)").default("0"),
    flag("pid", Str, "PID namespace to use"),
    flag("pids-limit", Int, "Limit of processes (-1 for none)").default("0"),
    flag("platform", Str, "Platform, if the image has several").since("1.32"),
    flag("privileged", Bool, "Give all privileges"),
    flag("publish", List, "Publish a port on the host").short('p'),
    flag("publish-all", Bool, "Publish all exposed ports on random ones").short('P'),
    flag("pull", Str, "Pull the image before (\"always\", \"missing\", \"never\")")
        .default("missing"),
    flag("quiet", Bool, "Do not print the pull").short('q'),
    flag("read-only", Bool, "Mount the root file system read-only"),
    flag("restart", Str, "What to do when the container exits").default("no"),
    flag("rm", Bool, "Remove the container and its anonymous volumes when it exits"),
    flag("runtime", Str, "OCI runtime to use"),
    flag("security-opt", List, "Security option"),
    flag("shm-size", Bytes, "Size of /dev/shm").default("0"),
    flag("stop-signal", Str, "Signal that stops the container"),
    flag("stop-timeout", Int, "Seconds between that signal and SIGKILL").default("0").since("1.25"),
    flag("storage-opt", List, "Option of the storage driver"),
    flag("sysctl", Map, "Set a kernel parameter").check(sysctl),
    flag("tmpfs", List, "Mount a tmpfs"),
    flag("tty", Bool, "Allocate a terminal").short('t'),
    flag("ulimit", Named("ulimit"), "Resource limit of processes")
        .check(|text| limits::ulimit(text).map(drop)),
    flag("use-api-socket", Bool, "Give the API's socket to the container").hidden(),
    flag("user", Str, "User, by name or number (name[:group])").short('u'),
    flag("userns", Str, "User namespace to use"),
    flag("uts", Str, "UTS namespace to use"),
    flag("volume", List, "Mount a directory or a volume").short('v'),
    flag("volume-driver", Str, "Driver of new volumes"),
    flag("volumes-from", List, "Take over a container's volumes"),
    flag("workdir", Str, "Working directory").short('w'),
];

/// Flags of `run` alone.
pub(super) const RUN: &[Flag] = &[
    flag("detach", Bool, "Run in the background and print the ID").short('d'),
    super::DETACH_KEYS,
    flag("sig-proxy", Bool, "Pass signals on to the process").default("true"),
];
