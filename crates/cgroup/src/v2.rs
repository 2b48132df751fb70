//! Limits in the v2 tree.
//!
//! The runtime specification speaks v1; how its numbers become v2's is what runc and crun document.
//! Source: the kernel's `admin-guide/cgroup-v2.rst`.

use std::path::{Path, PathBuf};

use gantry_oci::runtime::{BlockIo, Cpu, Memory, Resources};

use crate::files::{self, set};
use crate::host::make_directories;
use crate::v1::{check_usage, or_ignore, rdma_line};
use crate::{Cgroup, CgroupError};

/// Makes the groups above a new one and hands all controllers down to it.
///
/// A controller that cannot be handed down is no error here: what needs it says so by name.
pub(crate) fn delegate(
    mount: &Path,
    directory: &Path,
    made: &mut Vec<PathBuf>,
) -> Result<(), CgroupError> {
    if directory == mount {
        return Ok(());
    }
    let above = directory.parent().unwrap_or(mount);
    delegate(mount, above, made)?;
    make_directories(mount, above, made)?;
    let offered = files::read_optional(&above.join("cgroup.controllers"))?.unwrap_or_default();
    let control = above.join("cgroup.subtree_control");
    let enabled = files::read_optional(&control)?.unwrap_or_default();
    let enabled: Vec<&str> = enabled.split_whitespace().collect();
    let wanted: Vec<String> = offered
        .split_whitespace()
        .filter(|name| !enabled.contains(name))
        .map(|name| format!("+{name}"))
        .collect();
    if !wanted.is_empty() && files::write_raw(&control, &wanted.join(" ")).is_err() {
        // All or nothing failed, so one by one.
        for one in &wanted {
            let _ = files::write_raw(&control, one);
        }
    }
    Ok(())
}

/// Writes all limits but the device rules; answers the settings that were left out.
pub(crate) fn apply(
    group: &Cgroup,
    resources: &Resources,
) -> Result<Vec<&'static str>, CgroupError> {
    let mut ignored = Vec::new();
    let path = &group.roots()[0];
    if let Some(memory) = &resources.memory {
        apply_memory(path, memory, &mut ignored)?;
    }
    if let Some(cpu) = &resources.cpu {
        apply_cpu(path, cpu)?;
    }
    if let Some(pids) = &resources.pids {
        set(&path.join("pids.max"), &limit_text(pids.limit, 1), "pids.limit")?;
    }
    if let Some(block_io) = &resources.block_io {
        apply_block_io(path, block_io, &mut ignored)?;
    }
    for limit in &resources.hugepage_limits {
        let file = path.join(format!("hugetlb.{}.max", limit.page_size));
        set(&file, &limit.limit.to_string(), "hugepageLimits")?;
    }
    let network = resources.network.as_ref();
    if network.is_some_and(|net| net.class_id.unwrap_or(0) != 0 || !net.priorities.is_empty()) {
        return Err(v1_only("network"));
    }
    for (device, limits) in &resources.rdma {
        set(&path.join("rdma.max"), &rdma_line(device, limits), "rdma")?;
    }
    for (file, value) in &resources.unified {
        if file.is_empty() || file.contains('/') || !file.contains('.') {
            return Err(CgroupError::Invalid {
                setting: "unified".to_owned(),
                reason: format!("{file:?} is not the name of a cgroup file"),
            });
        }
        // Several lines are several values: io.max takes one device a write.
        for line in value.lines().filter(|line| !line.is_empty()) {
            set(&path.join(file), line, &format!("unified.{file}"))?;
        }
    }
    Ok(ignored)
}

fn v1_only(setting: &str) -> CgroupError {
    CgroupError::Unsupported { setting: setting.to_owned(), needs: "v1".to_owned() }
}

/// A number, or `max` below the least that is a limit.
fn limit_text(value: i64, least: i64) -> String {
    if value >= least { value.to_string() } else { "max".to_owned() }
}

fn apply_memory(
    path: &Path,
    memory: &Memory,
    ignored: &mut Vec<&'static str>,
) -> Result<(), CgroupError> {
    let limit = memory.limit.filter(|bytes| *bytes != 0);
    if memory.check_before_update == Some(true) {
        check_usage(&path.join("memory.current"), limit)?;
    }
    if let Some(swap) = swap_only(limit, memory.swap)? {
        let file = path.join("memory.swap.max");
        let result = set(&file, &limit_text(swap, 0), "memory.swap");
        if swap < 0 {
            // Without swap accounting "no limit" is what there is.
            or_ignore(result, "memory.swap", &mut Vec::new())?;
        } else {
            or_ignore(result, "memory.swap", ignored)?;
        }
    }
    if let Some(bytes) = limit {
        set(&path.join("memory.max"), &limit_text(bytes, 0), "memory.limit")?;
    }
    if let Some(bytes) = memory.reservation.filter(|bytes| *bytes != 0) {
        set(&path.join("memory.low"), &limit_text(bytes, 0), "memory.reservation")?;
    }
    for (asked, name) in [
        (memory.swappiness.is_some_and(|value| value != u64::MAX), "memory.swappiness"),
        (memory.disable_oom_killer == Some(true), "memory.disableOOMKiller"),
        (memory.kernel_tcp.unwrap_or(0) != 0, "memory.kernelTCP"),
    ] {
        if asked {
            ignored.push(name);
        }
    }
    Ok(())
}

/// v2 limits swap by itself, the specification memory and swap together. -1 is no limit.
fn swap_only(limit: Option<i64>, both: Option<i64>) -> Result<Option<i64>, CgroupError> {
    let invalid =
        |reason: String| Err(CgroupError::Invalid { setting: "memory.swap".to_owned(), reason });
    match (both.filter(|bytes| *bytes != 0), limit) {
        (None, Some(-1)) => Ok(Some(-1)),
        (None, _) => Ok(None),
        (Some(..0), _) => Ok(Some(-1)),
        (Some(_), None | Some(..0)) => {
            invalid("unable to set swap limit without memory limit".to_owned())
        }
        (Some(both), Some(limit)) if both < limit => {
            invalid(format!("memory+swap limit {both} should be >= memory limit {limit}"))
        }
        (Some(both), Some(limit)) => Ok(Some(both - limit)),
    }
}

fn apply_cpu(path: &Path, cpu: &Cpu) -> Result<(), CgroupError> {
    if cpu.realtime_period.unwrap_or(0) != 0 || cpu.realtime_runtime.unwrap_or(0) != 0 {
        return Err(v1_only("cpu.realtimeRuntime"));
    }
    if let Some(idle) = cpu.idle {
        set(&path.join("cpu.idle"), &idle.to_string(), "cpu.idle")?;
    }
    // The kernel takes no weight for a group that only runs when all others are idle.
    if let Some(shares) = cpu.shares.filter(|shares| *shares != 0 && cpu.idle != Some(1)) {
        set(&path.join("cpu.weight"), &cpu_weight(shares).to_string(), "cpu.shares")?;
    }
    let (quota, period) = (cpu.quota.filter(|us| *us != 0), cpu.period.filter(|us| *us != 0));
    // A burst may not be above the quota: it goes first when that shrinks, last when that grows.
    let burst = cpu.burst.map(|us| us.to_string());
    let set_burst = |us: &String| set(&path.join("cpu.max.burst"), us, "cpu.burst");
    let burst_set = burst.as_ref().is_none_or(|us| set_burst(us).is_ok());
    if quota.is_some() || period.is_some() {
        let file = path.join("cpu.max");
        let mut text = match quota {
            Some(us) => limit_text(us, 1),
            None => {
                let now = files::read_optional(&file)?.unwrap_or_default();
                now.split_whitespace().next().unwrap_or("max").to_owned()
            }
        };
        if let Some(us) = period {
            text = format!("{text} {us}");
        }
        set(&file, &text, "cpu.quota")?;
    }
    if let Some(us) = burst.filter(|_| !burst_set) {
        set_burst(&us)?;
    }
    for (value, file) in [(&cpu.cpus, "cpuset.cpus"), (&cpu.mems, "cpuset.mems")] {
        if let Some(list) = value.as_ref().filter(|list| !list.is_empty()) {
            set(&path.join(file), list, file)?;
        }
    }
    Ok(())
}

/// v1's shares (2 to 262144, usually 1024) as v2's weight (1 to 10000, usually 100), so that the
/// ends and the usual values meet: 10^((l² + 125 l) / 612 - 7/34) with l the logarithm to base 2.
pub(crate) fn cpu_weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let shares = u32::try_from(shares).unwrap_or(u32::MAX);
            let log = f64::from(shares).log2();
            let weight = 10_f64.powf((log * log + 125.0 * log) / 612.0 - 7.0 / 34.0);
            // The usual 1024 must give exactly 100, whatever the last bit of the power.
            let weight = (weight - 1e-6).ceil();
            // A float that is whole and within 1 to 10000 is cut by nothing.
            (1_u32..=10_000).find(|whole| f64::from(*whole) >= weight).map_or(10_000, u64::from)
        }
    }
}

fn apply_block_io(
    path: &Path,
    block_io: &BlockIo,
    ignored: &mut Vec<&'static str>,
) -> Result<(), CgroupError> {
    // BFQ takes the specification's 10 to 1000 as they are, io.weight has 1 to 10000.
    let bfq = path.join("io.bfq.weight");
    let has_bfq = bfq.exists();
    let file = if has_bfq { bfq } else { path.join("io.weight") };
    let scale = |weight: u16| if has_bfq { u64::from(weight) } else { io_weight(weight) };
    if let Some(weight) = block_io.weight.filter(|weight| *weight != 0) {
        let result = set(&file, &scale(weight).to_string(), "blockIO.weight");
        or_ignore(result, "blockIO.weight", ignored)?;
    }
    if block_io.leaf_weight.unwrap_or(0) != 0 {
        ignored.push("blockIO.leafWeight");
    }
    for device in &block_io.weight_device {
        let Some(weight) = device.weight.filter(|weight| *weight != 0) else { continue };
        let value = format!("{}:{} {}", device.major, device.minor, scale(weight));
        or_ignore(set(&file, &value, "blockIO.weightDevice"), "blockIO.weightDevice", ignored)?;
    }
    for (devices, name) in [
        (&block_io.throttle_read_bps_device, "rbps"),
        (&block_io.throttle_write_bps_device, "wbps"),
        (&block_io.throttle_read_iops_device, "riops"),
        (&block_io.throttle_write_iops_device, "wiops"),
    ] {
        for one in devices {
            // v1 takes 0 for no limit.
            let rate = if one.rate == 0 { "max".to_owned() } else { one.rate.to_string() };
            let value = format!("{}:{} {name}={rate}", one.major, one.minor);
            set(&path.join("io.max"), &value, "blockIO.throttle")?;
        }
    }
    Ok(())
}

/// 10 to 1000 spread over 1 to 10000.
pub(crate) fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight).saturating_sub(10)) * 9_999 / 990
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_meet_at_their_ends_and_usual_values() {
        for (shares, want) in
            [(1, 1), (2, 1), (512, 59), (1024, 100), (2048, 174), (262_144, 10_000)]
        {
            assert_eq!(cpu_weight(shares), want, "{shares} shares");
        }
        for (weight, want) in [(10, 1), (500, 4_950), (1000, 10_000), (0, 1)] {
            assert_eq!(io_weight(weight), want, "weight {weight}");
        }
    }

    #[test]
    fn swap_is_what_memory_leaves() {
        for (limit, both, want) in [
            (Some(100), Some(300), Some(Some(200))),
            (Some(100), Some(100), Some(Some(0))),
            (Some(100), Some(-1), Some(Some(-1))),
            (Some(-1), None, Some(Some(-1))),
            (Some(100), None, Some(None)),
            (None, Some(-1), Some(Some(-1))),
            (None, Some(100), None),
            (Some(100), Some(50), None),
        ] {
            assert_eq!(swap_only(limit, both).ok(), want, "{limit:?} and {both:?}");
        }
    }
}
