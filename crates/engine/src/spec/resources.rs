//! Limits: checked in Docker's words, then put into the specification's terms.

use gantry_api_types::NullableList as _;
use gantry_api_types::container::UpdateBody;
use gantry_api_types::host_config::{HostConfig, ThrottleDevice as ApiThrottle, Ulimit};
use gantry_cgroup::Features;
use gantry_oci::runtime::{
    BlockIo, Cpu, Memory, Pids, Resources, Rlimit, ThrottleDevice, WeightDevice,
};

use crate::error::Invalid;

/// Smallest memory limit, as in Docker.
const LEAST_MEMORY_BYTES: i64 = 6 << 20;
/// Period of a quota made from `NanoCpus`, in µs.
const CPU_PERIOD_US: i64 = 100_000;

/// What of the machine decides which limits can be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Machine {
    /// CPUs.
    pub(crate) cpus: u32,
    /// What control groups can do.
    pub(crate) features: Features,
}

fn refuse<T>(words: impl Into<String>) -> Result<T, Invalid> {
    Err(Invalid(words.into()))
}

/// Checks the limits of a container to create; gives warnings.
///
/// # Errors
/// Docker's words.
pub(crate) fn check(host: &HostConfig, machine: Machine) -> Result<Vec<String>, Invalid> {
    let mut warnings = Vec::new();
    check_memory(host, machine, &mut warnings)?;
    check_cpu(host, machine)?;
    check_block_io(host, machine, &mut warnings)?;
    if !(-1000..=1000).contains(&host.oom_score_adj) {
        return refuse(format!(
            "Invalid value {}, range for oom score adj is [-1000, 1000]",
            host.oom_score_adj
        ));
    }
    if host.shm_size < 0 {
        return refuse("SHM size can not be less than 0");
    }
    if host.oom_kill_disable == Some(true) && host.memory == 0 {
        warnings.push(
            "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.".to_owned(),
        );
    }
    Ok(warnings)
}

fn check_memory(
    host: &HostConfig,
    machine: Machine,
    warnings: &mut Vec<String>,
) -> Result<(), Invalid> {
    let (memory, swap, soft) = (host.memory, host.memory_swap, host.memory_reservation);
    if memory != 0 && memory < LEAST_MEMORY_BYTES {
        return refuse("Minimum memory limit allowed is 6MB");
    }
    if memory > 0 && swap > 0 && swap < memory {
        return refuse("Minimum memoryswap limit should be larger than memory limit, see usage");
    }
    if memory == 0 && swap > 0 {
        return refuse(
            "You should always set the Memory limit when using Memoryswap limit, see usage",
        );
    }
    if memory > 0 && swap != -1 && !machine.features.swap_limit {
        warnings.push("Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.".to_owned());
    }
    if let Some(swappiness) = host.memory_swappiness
        && swappiness != -1
        && !(0..=100).contains(&swappiness)
    {
        return refuse(format!(
            "Invalid value: {swappiness}, valid memory swappiness range is 0-100"
        ));
    }
    if soft != 0 && soft < LEAST_MEMORY_BYTES {
        return refuse("Minimum memory reservation allowed is 6MB");
    }
    if soft > 0 && memory > 0 && memory < soft {
        return refuse(
            "Minimum memory limit can not be less than memory reservation limit, see usage",
        );
    }
    Ok(())
}

fn check_cpu(host: &HostConfig, machine: Machine) -> Result<(), Invalid> {
    if host.nano_cpus != 0 && host.cpu_period > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Period cannot both be set");
    }
    if host.nano_cpus != 0 && host.cpu_quota > 0 {
        return refuse("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
    }
    if host.nano_cpus < 0 || host.nano_cpus > i64::from(machine.cpus) * 1_000_000_000 {
        let cpus = machine.cpus;
        return refuse(format!(
            "Range of CPUs is from 0.01 to {cpus}.00, as there are only {cpus} CPUs available"
        ));
    }
    if host.cpu_shares < 0 {
        return refuse(format!(
            "invalid CPU shares ({}): value must be a positive integer",
            host.cpu_shares
        ));
    }
    if host.cpu_period != 0 && !(1_000..=1_000_000).contains(&host.cpu_period) {
        return refuse(
            "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)",
        );
    }
    if host.cpu_quota > 0 && host.cpu_quota < 1_000 {
        return refuse("CPU cfs quota can not be less than 1ms (i.e. 1000)");
    }
    let highest = check_list(&host.cpuset_cpus, "cpuset cpus")?;
    if highest.is_some_and(|highest| highest >= machine.cpus) {
        let available = match machine.cpus {
            1 => "0".to_owned(),
            cpus => format!("0-{}", cpus - 1),
        };
        return refuse(format!(
            "Requested CPUs are not available - requested {}, available: {available}",
            host.cpuset_cpus
        ));
    }
    check_list(&host.cpuset_mems, "cpuset mems").map(drop)
}

/// The highest number of a list such as `0-2,7`.
fn check_list(list: &str, what: &str) -> Result<Option<u32>, Invalid> {
    let wrong = || Invalid(format!("Invalid value {list} for {what}"));
    if list.is_empty() {
        return Ok(None);
    }
    let mut highest = 0;
    for range in list.split(',') {
        let (low, high) = range.split_once('-').unwrap_or((range, range));
        let (low, high): (u32, u32) =
            (low.trim().parse().map_err(|_| wrong())?, high.trim().parse().map_err(|_| wrong())?);
        if low > high {
            return Err(wrong());
        }
        highest = highest.max(high);
    }
    Ok(Some(highest))
}

fn check_block_io(
    host: &HostConfig,
    machine: Machine,
    warnings: &mut Vec<String>,
) -> Result<(), Invalid> {
    if host.blkio_weight > 0 && !(10..=1000).contains(&host.blkio_weight) {
        return refuse("Range of blkio weight is from 10 to 1000");
    }
    // A limit that the kernel has no file for is left out: who asked for it is told.
    let features = machine.features;
    if host.blkio_weight > 0 && !features.blkio_weight {
        warnings.push("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.".to_owned());
    }
    if !host.blkio_weight_device.items().is_empty() && !features.blkio_weight_device {
        warnings.push("Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.".to_owned());
    }
    Ok(())
}

/// The limits as the runtime takes them, without device rules.
///
/// # Errors
/// A block device that is not there.
pub(crate) fn limits(host: &HostConfig) -> Result<Resources, Invalid> {
    Ok(Resources {
        memory: Some(memory(host)),
        cpu: Some(cpu(host)),
        pids: host.pids_limit.filter(|limit| *limit != 0).map(|limit| Pids { limit }),
        block_io: block_io(host)?,
        ..Resources::default()
    })
}

fn memory(host: &HostConfig) -> Memory {
    let set = |value: i64| (value != 0).then_some(value);
    Memory {
        limit: set(host.memory),
        reservation: set(host.memory_reservation),
        swap: set(host.memory_swap),
        swappiness: host.memory_swappiness.and_then(|value| u64::try_from(value).ok()),
        disable_oom_killer: host.oom_kill_disable,
        ..Memory::default()
    }
}

fn cpu(host: &HostConfig) -> Cpu {
    let set = |value: i64| (value != 0).then_some(value);
    let unsigned = |value: i64| u64::try_from(value).ok().filter(|value| *value != 0);
    let text = |value: &String| (!value.is_empty()).then(|| value.clone());
    let (quota, period) = match host.nano_cpus {
        0 => (set(host.cpu_quota), unsigned(host.cpu_period)),
        nano => (Some(nano / (1_000_000_000 / CPU_PERIOD_US)), unsigned(CPU_PERIOD_US)),
    };
    Cpu {
        shares: unsigned(host.cpu_shares),
        quota,
        period,
        realtime_runtime: set(host.cpu_realtime_runtime),
        realtime_period: unsigned(host.cpu_realtime_period),
        cpus: text(&host.cpuset_cpus),
        mems: text(&host.cpuset_mems),
        ..Cpu::default()
    }
}

fn block_io(host: &HostConfig) -> Result<Option<BlockIo>, Invalid> {
    let weights = host.blkio_weight_device.items().iter().map(|device| {
        let (major, minor) = block_device(&device.path)?;
        Ok(WeightDevice { major, minor, weight: Some(device.weight), leaf_weight: None })
    });
    let block_io = BlockIo {
        weight: (host.blkio_weight != 0).then_some(host.blkio_weight),
        weight_device: weights.collect::<Result<_, Invalid>>()?,
        throttle_read_bps_device: throttles(host.blkio_device_read_bps.items())?,
        throttle_write_bps_device: throttles(host.blkio_device_write_bps.items())?,
        throttle_read_iops_device: throttles(host.blkio_device_read_iops.items())?,
        throttle_write_iops_device: throttles(host.blkio_device_write_iops.items())?,
        ..BlockIo::default()
    };
    Ok((block_io != BlockIo::default()).then_some(block_io))
}

fn throttles(devices: &[ApiThrottle]) -> Result<Vec<ThrottleDevice>, Invalid> {
    let throttle = |device: &ApiThrottle| {
        let (major, minor) = block_device(&device.path)?;
        Ok(ThrottleDevice { major, minor, rate: device.rate })
    };
    devices.iter().map(throttle).collect()
}

fn block_device(path: &str) -> Result<(i64, i64), Invalid> {
    let stat = rustix::fs::stat(path)
        .map_err(|error| Invalid(format!("unable to get device info of {path}: {error}")))?;
    let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
    Ok((i64::from(major), i64::from(minor)))
}

/// Process limits; `defaults` are the daemon's, for names that the container does not set.
///
/// # Errors
/// Docker's words for a limit that does not exist or whose soft part is above its hard one.
pub(crate) fn rlimits(own: &[Ulimit], defaults: &[Ulimit]) -> Result<Vec<Rlimit>, Invalid> {
    let missing = defaults.iter().filter(|default| own.iter().all(|u| u.name != default.name));
    own.iter().chain(missing).map(rlimit).collect()
}

fn rlimit(ulimit: &Ulimit) -> Result<Rlimit, Invalid> {
    const NAMES: [&str; 15] = [
        "as",
        "core",
        "cpu",
        "data",
        "fsize",
        "locks",
        "memlock",
        "msgqueue",
        "nice",
        "nofile",
        "nproc",
        "rss",
        "rtprio",
        "rttime",
        "sigpending",
    ];
    let name = ulimit.name.as_str();
    if !NAMES.contains(&name) && name != "stack" {
        return refuse(format!("invalid ulimit type: {name}"));
    }
    let (soft, hard) = (ulimit.soft, ulimit.hard);
    if hard != -1 && (soft == -1 || soft > hard) {
        return refuse(format!(
            "ulimit soft limit must be less than or equal to hard limit: {soft} > {hard}"
        ));
    }
    // -1 is RLIM_INFINITY, all bits set.
    let bits = |value: i64| u64::try_from(value).unwrap_or(u64::MAX);
    Ok(Rlimit {
        kind: format!("RLIMIT_{}", name.to_ascii_uppercase()),
        hard: bits(hard),
        soft: bits(soft),
    })
}

/// Applies an update to a host configuration: what is zero or absent stays.
///
/// # Errors
/// Docker's words.
pub(crate) fn merge_update(host: &mut HostConfig, update: &UpdateBody) -> Result<(), Invalid> {
    if update.nano_cpus > 0 && host.cpu_period > 0 {
        return refuse(
            "Conflicting options: Nano CPUs cannot be updated as CPU Period has already been set",
        );
    }
    if update.nano_cpus > 0 && host.cpu_quota > 0 {
        return refuse(
            "Conflicting options: Nano CPUs cannot be updated as CPU Quota has already been set",
        );
    }
    if update.cpu_quota > 0 && host.nano_cpus > 0 {
        return refuse(
            "Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set",
        );
    }
    if update.cpu_period > 0 && host.nano_cpus > 0 {
        return refuse(
            "Conflicting options: CPU Period cannot be updated as NanoCPUs has already been set",
        );
    }
    if update.memory != 0
        && update.memory_swap == 0
        && host.memory_swap > 0
        && update.memory > host.memory_swap
    {
        return refuse(
            "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
        );
    }
    let number = |to: &mut i64, from: i64| {
        if from != 0 {
            *to = from;
        }
    };
    number(&mut host.cpu_shares, update.cpu_shares);
    number(&mut host.memory, update.memory);
    number(&mut host.nano_cpus, update.nano_cpus);
    number(&mut host.cpu_period, update.cpu_period);
    number(&mut host.cpu_quota, update.cpu_quota);
    number(&mut host.cpu_realtime_period, update.cpu_realtime_period);
    number(&mut host.cpu_realtime_runtime, update.cpu_realtime_runtime);
    number(&mut host.memory_reservation, update.memory_reservation);
    number(&mut host.memory_swap, update.memory_swap);
    if update.blkio_weight != 0 {
        host.blkio_weight = update.blkio_weight;
    }
    if !update.cpuset_cpus.is_empty() {
        host.cpuset_cpus.clone_from(&update.cpuset_cpus);
    }
    if !update.cpuset_mems.is_empty() {
        host.cpuset_mems.clone_from(&update.cpuset_mems);
    }
    if update.pids_limit.is_some() {
        host.pids_limit = update.pids_limit;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine() -> Machine {
        Machine { cpus: 2, features: Features { swap_limit: true, ..Features::default() } }
    }

    fn host(change: impl FnOnce(&mut HostConfig)) -> HostConfig {
        let mut host = HostConfig::default();
        change(&mut host);
        host
    }

    #[test]
    fn limits_are_refused_in_dockers_words() {
        for (host, want) in [
            (host(|h| h.memory = 1 << 20), "Minimum memory limit allowed is 6MB"),
            (
                host(|h| h.memory_swap = 8 << 20),
                "You should always set the Memory limit when using Memoryswap limit, see usage",
            ),
            (
                host(|h| (h.memory, h.memory_swap) = (16 << 20, 8 << 20)),
                "Minimum memoryswap limit should be larger than memory limit, see usage",
            ),
            (
                host(|h| h.nano_cpus = 3_000_000_000),
                "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available",
            ),
            (
                host(|h| (h.nano_cpus, h.cpu_quota) = (1_000_000_000, 5_000)),
                "Conflicting options: Nano CPUs and CPU Quota cannot both be set",
            ),
            (
                host(|h| h.cpuset_cpus = "0-4294967295".into()),
                "Requested CPUs are not available - requested 0-4294967295, available: 0-1",
            ),
            (host(|h| h.cpuset_cpus = "a".into()), "Invalid value a for cpuset cpus"),
            (host(|h| h.blkio_weight = 5), "Range of blkio weight is from 10 to 1000"),
            (
                host(|h| h.oom_score_adj = 1001),
                "Invalid value 1001, range for oom score adj is [-1000, 1000]",
            ),
            (
                host(|h| h.memory_swappiness = Some(101)),
                "Invalid value: 101, valid memory swappiness range is 0-100",
            ),
        ] {
            assert_eq!(check(&host, machine()).unwrap_err().to_string(), want);
        }
    }

    #[test]
    fn nano_cpus_become_a_quota() {
        let got = limits(&host(|h| h.nano_cpus = 1_500_000_000)).unwrap().cpu.unwrap();
        assert_eq!((got.quota, got.period), (Some(150_000), Some(100_000)));
    }

    #[test]
    fn ulimits() {
        let ulimit = |name: &str, soft, hard| Ulimit { name: name.into(), soft, hard };
        let got =
            rlimits(&[ulimit("nofile", 10, 20)], &[ulimit("nofile", 1, 1), ulimit("core", -1, -1)]);
        let got: Vec<_> = got.unwrap().into_iter().map(|r| (r.kind, r.soft, r.hard)).collect();
        let core = ("RLIMIT_CORE".to_owned(), u64::MAX, u64::MAX);
        assert_eq!(got, [("RLIMIT_NOFILE".to_owned(), 10, 20), core]);
        for (bad, want) in [
            (ulimit("odd", 1, 1), "invalid ulimit type: odd"),
            (
                ulimit("nofile", 2, 1),
                "ulimit soft limit must be less than or equal to hard limit: 2 > 1",
            ),
        ] {
            assert_eq!(rlimits(&[bad], &[]).unwrap_err().to_string(), want);
        }
    }
}
