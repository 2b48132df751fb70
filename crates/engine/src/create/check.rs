//! What a request may say, in Docker's words, and the defaults of what it leaves open.

use gantry_api_types::NullableList as _;
use gantry_api_types::container::ContainerConfig;
use gantry_api_types::host_config::HostConfig;

use crate::container::restart_policy::{Policy, PolicyError};
use crate::container::signal;
use crate::engine::Inner;
use crate::error::Invalid;
use crate::record::NetworkMode;
use crate::spec::{self, caps, devices, resources, security};
use crate::{BUILT_IN_RUNTIME, CreateError, net};

/// The kernel's limit of a host name.
const HOSTNAME_LIMIT: usize = 63;
/// Shortest time of a health check that Docker takes, in ns.
const LEAST_HEALTH_NS: i64 = 1_000_000;

/// Checks a merged configuration; gives warnings.
pub(crate) fn check(
    engine: &Inner,
    config: &ContainerConfig,
    host: &HostConfig,
) -> Result<Vec<String>, CreateError> {
    check_config(config)?;
    let policy = Policy::parse(&host.restart_policy.name, host.restart_policy.maximum_retry_count)?;
    if host.auto_remove && policy.restarts() {
        return Err(PolicyError::AutoRemove.into());
    }
    security::parse(host.security_opt.items())?;
    caps::normalize("CapAdd", host.cap_add.items())?;
    caps::normalize("CapDrop", host.cap_drop.items())?;
    resources::rlimits(host.ulimits.items(), &[])?;
    for rule in host.device_cgroup_rules.items() {
        devices::parse_rule(rule)?;
    }
    check_modes(engine, config, host)?;
    net::check(config, host)?;
    if !host.storage_opt.is_empty() {
        return Err(CreateError::NotImplemented("--storage-opt".to_owned()));
    }
    if !host.links.items().is_empty() {
        net::links::check_mode(&host.network_mode)?;
    }
    let mut warnings = resources::check(host, engine.facts.machine)?;
    if NetworkMode::parse(&host.network_mode) == NetworkMode::Host && !host.port_bindings.is_empty()
    {
        warnings.push("Published ports are discarded when using host network mode".to_owned());
    }
    Ok(warnings)
}

/// Refuses ports that the request itself exposes where they cannot be; an image's do no harm.
pub(super) fn exposed(config: &ContainerConfig, host: &HostConfig) -> Result<(), Invalid> {
    let shares = matches!(NetworkMode::parse(&host.network_mode), NetworkMode::Container(_));
    let publishes = !host.port_bindings.is_empty() || host.publish_all_ports;
    if shares && !publishes && !config.exposed_ports.is_empty() {
        let words = "conflicting options: port exposing and the container type network mode";
        return Err(Invalid(words.to_owned()));
    }
    Ok(())
}

fn check_config(config: &ContainerConfig) -> Result<(), Invalid> {
    let refuse = |words: String| Err(Invalid(words));
    if config.hostname.len() > HOSTNAME_LIMIT {
        return refuse(format!("invalid hostname format: {}", config.hostname));
    }
    if !config.working_dir.is_empty() && !config.working_dir.starts_with('/') {
        return refuse(format!(
            "the working directory '{}' is invalid, it needs to be an absolute path",
            config.working_dir
        ));
    }
    for variable in config.env.items() {
        if variable.is_empty() || variable.starts_with('=') {
            return refuse(format!("invalid environment variable: {variable}"));
        }
    }
    if config.env.items().iter().chain(config.cmd.items()).any(|word| word.contains('\0')) {
        return refuse("invalid null byte in configuration".to_owned());
    }
    if !config.stop_signal.is_empty() && signal::parse(&config.stop_signal).is_err() {
        return refuse(format!("invalid signal: {}", config.stop_signal));
    }
    if let Some(probe) = &config.healthcheck {
        for (name, ns) in [
            ("Interval", probe.interval),
            ("Timeout", probe.timeout),
            ("StartPeriod", probe.start_period),
            ("StartInterval", probe.start_interval),
        ] {
            if ns != 0 && ns < LEAST_HEALTH_NS {
                return refuse(format!("{name} in Healthcheck cannot be less than 1ms"));
            }
        }
        if probe.retries < 0 {
            return refuse("Retries in Healthcheck cannot be negative".to_owned());
        }
    }
    Ok(())
}

fn check_modes(
    engine: &Inner,
    config: &ContainerConfig,
    host: &HostConfig,
) -> Result<(), CreateError> {
    let refuse = |words: String| Err(CreateError::Invalid(Invalid(words)));
    let other = |mode: &str| mode.strip_prefix("container:").map(str::to_owned);
    // The other container is looked for when this one starts.
    if let NetworkMode::Container(_) = NetworkMode::parse(&host.network_mode) {
        if !config.hostname.is_empty() {
            return refuse("conflicting options: hostname and the network mode".into());
        }
        if !host.port_bindings.is_empty() || host.publish_all_ports {
            return refuse(
                "conflicting options: port publishing and the container type network mode".into(),
            );
        }
        if !host.dns.items().is_empty() {
            return refuse("conflicting options: dns and the network mode".into());
        }
        if !host.extra_hosts.items().is_empty() {
            return refuse(
                "conflicting options: custom host-to-IP mapping and the network mode".into(),
            );
        }
    }
    match host.pid_mode.as_str() {
        "" | "host" | "private" => {}
        mode => match other(mode) {
            Some(name) => drop(engine.registry.find(&name)?),
            None => return refuse(format!("invalid PID mode: {mode}")),
        },
    }
    match host.ipc_mode.as_str() {
        "" | "none" | "private" | "shareable" | "host" => {}
        mode => match other(mode) {
            Some(name) => drop(engine.registry.find(&name)?),
            None => return refuse(format!("invalid IPC mode: {mode}")),
        },
    }
    if !matches!(host.uts_mode.as_str(), "" | "host" | "private") {
        return refuse(format!("invalid UTS mode: {}", host.uts_mode));
    }
    if !matches!(host.cgroupns_mode.as_str(), "" | "host" | "private") {
        return refuse(format!("invalid cgroup namespace mode: {}", host.cgroupns_mode));
    }
    if !matches!(host.userns_mode.as_str(), "" | "host") {
        return refuse(format!("invalid user namespace mode: {}", host.userns_mode));
    }
    let own_name = !config.hostname.is_empty() || !config.domainname.is_empty();
    if host.uts_mode == "host" && own_name {
        return refuse("conflicting options: hostname and the UTS mode".into());
    }
    match host.runtime.as_str() {
        "" | BUILT_IN_RUNTIME => {}
        name if engine.config.runtimes.contains_key(name) => {}
        name => return refuse(format!("unknown or invalid runtime name: {name}")),
    }
    if !matches!(host.isolation.as_str(), "" | "default") {
        return refuse(format!("invalid isolation {:?} on linux", host.isolation));
    }
    Ok(())
}

/// Fills the host side's defaults, as `inspect` shows them.
pub(crate) fn fill_host(engine: &Inner, host: &mut HostConfig) {
    let config = &engine.config;
    let text = |own: &mut String, default: &str| {
        if own.is_empty() {
            default.clone_into(own);
        }
    };
    if matches!(host.network_mode.as_str(), "" | "default") {
        "bridge".clone_into(&mut host.network_mode);
    }
    text(&mut host.ipc_mode, &config.default_ipc_mode);
    text(
        &mut host.cgroupns_mode,
        match engine.facts.private_cgroupns && !host.privileged {
            true => "private",
            false => "host",
        },
    );
    text(&mut host.restart_policy.name, "no");
    text(
        &mut host.runtime,
        match config.default_runtime.as_str() {
            "" => BUILT_IN_RUNTIME,
            name => name,
        },
    );
    if host.shm_size == 0 {
        host.shm_size = config.default_shm_size_bytes;
    }
    if host.memory > 0 && host.memory_swap == 0 {
        host.memory_swap = host.memory.saturating_mul(2);
    }
    if host.pids_limit.is_some_and(|limit| limit <= 0) {
        host.pids_limit = None;
    }
    if host.memory_swappiness == Some(-1) {
        host.memory_swappiness = None;
    }
    if host.log_config.kind.is_empty() {
        host.log_config.kind.clone_from(&config.default_log.kind);
        if host.log_config.config.is_empty() {
            host.log_config.config.clone_from(&config.default_log.config);
        }
    }
    if !host.privileged {
        host.masked_paths.get_or_insert_with(spec::default_masked_paths);
        host.readonly_paths.get_or_insert_with(spec::default_readonly_paths);
    }
}
