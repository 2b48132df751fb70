//! Usage figures of v1 hierarchies.

use std::path::Path;

use super::{
    BlkioEntry, BlkioStats, CpuStats, HugetlbStats, MemoryStats, PidsStats, Stats, UNLIMITED, pairs,
};
use crate::files::{number, read, read_optional};
use crate::{Cgroup, CgroupError};

/// Reads everything that is counted for a group.
pub(crate) fn read_group(group: &Cgroup) -> Result<Stats, CgroupError> {
    let mut stats = Stats::default();
    if let Some(path) = group.controller_path("cpuacct") {
        cpu(&path, &mut stats.cpu)?;
    }
    if let Some(path) = group.controller_path("cpu") {
        throttling(&path, &mut stats.cpu)?;
    }
    if let Some(path) = group.controller_path("memory") {
        stats.memory = memory(&path)?;
    }
    if let Some(path) = group.controller_path("pids") {
        let current = number(&path.join("pids.current"))?.unwrap_or(0);
        stats.pids = PidsStats { current, limit: number(&path.join("pids.max"))? };
    }
    if let Some(path) = group.controller_path("blkio") {
        stats.blkio = blkio(&path)?;
    }
    if let Some(path) = group.controller_path("hugetlb") {
        hugetlb(&path, &mut stats)?;
    }
    Ok(stats)
}

fn cpu(path: &Path, into: &mut CpuStats) -> Result<(), CgroupError> {
    // The first file read tells whether the group is there at all.
    into.usage_ns = read(&path.join("cpuacct.usage"))?.trim().parse().unwrap_or(0);
    let file = |name: &str| number(&path.join(name));
    into.user_ns = file("cpuacct.usage_user")?.unwrap_or(0);
    into.kernel_ns = file("cpuacct.usage_sys")?.unwrap_or(0);
    let by_cpu = read_optional(&path.join("cpuacct.usage_percpu"))?.unwrap_or_default();
    into.per_cpu_ns = by_cpu.split_whitespace().filter_map(|ns| ns.parse().ok()).collect();
    Ok(())
}

fn throttling(path: &Path, into: &mut CpuStats) -> Result<(), CgroupError> {
    let text = read_optional(&path.join("cpu.stat"))?.unwrap_or_default();
    for (name, value) in pairs(&text) {
        match name {
            "nr_periods" => into.throttling.periods = value,
            "nr_throttled" => into.throttling.throttled_periods = value,
            "throttled_time" => into.throttling.throttled_ns = value,
            _ => {}
        }
    }
    Ok(())
}

fn memory(path: &Path) -> Result<MemoryStats, CgroupError> {
    let file = |name: &str| number(&path.join(name));
    let text = read(&path.join("memory.stat"))?;
    let usage = file("memory.usage_in_bytes")?.unwrap_or(0);
    let both = file("memory.memsw.usage_in_bytes")?;
    let limit = |bytes: &u64| *bytes < UNLIMITED;
    Ok(MemoryStats {
        usage,
        max_usage: file("memory.max_usage_in_bytes")?.unwrap_or(0),
        limit: file("memory.limit_in_bytes")?.filter(limit),
        failcnt: file("memory.failcnt")?.unwrap_or(0),
        swap_usage: both.map_or(0, |both| both.saturating_sub(usage)),
        swap_limit: file("memory.memsw.limit_in_bytes")?.filter(limit),
        stat: pairs(&text).map(|(name, value)| (name.to_owned(), value)).collect(),
    })
}

/// The figures of the scheduler in use where it counts any, else those of the throttling layer,
/// which sees every request.
fn blkio(path: &Path) -> Result<BlkioStats, CgroupError> {
    let entries = |name: String| -> Result<Vec<BlkioEntry>, CgroupError> {
        let text = read_optional(&path.join(name))?.unwrap_or_default();
        Ok(text.lines().filter_map(entry).collect())
    };
    for prefix in ["blkio.bfq.", "blkio."] {
        let of = |name: &str| entries(format!("{prefix}{name}"));
        let io_service_bytes_recursive = of("io_service_bytes_recursive")?;
        if io_service_bytes_recursive.is_empty() {
            continue;
        }
        return Ok(BlkioStats {
            io_service_bytes_recursive,
            io_serviced_recursive: of("io_serviced_recursive")?,
            io_queue_recursive: of("io_queued_recursive")?,
            io_service_time_recursive: of("io_service_time_recursive")?,
            io_wait_time_recursive: of("io_wait_time_recursive")?,
            io_merged_recursive: of("io_merged_recursive")?,
            io_time_recursive: of("time_recursive")?,
            sectors_recursive: of("sectors_recursive")?,
        });
    }
    Ok(BlkioStats {
        io_service_bytes_recursive: entries(
            "blkio.throttle.io_service_bytes_recursive".to_owned(),
        )?,
        io_serviced_recursive: entries("blkio.throttle.io_serviced_recursive".to_owned())?,
        ..BlkioStats::default()
    })
}

/// `8:0 Read 4096`, or `8:0 4096`; the sums over all devices have no device.
fn entry(line: &str) -> Option<BlkioEntry> {
    let (device, rest) = line.split_once(' ')?;
    let (major, minor) = device.split_once(':')?;
    let (op, value) = rest.split_once(' ').unwrap_or(("", rest));
    Some(BlkioEntry {
        major: major.parse().ok()?,
        minor: minor.parse().ok()?,
        op: op.to_owned(),
        value: value.parse().ok()?,
    })
}

fn hugetlb(path: &Path, stats: &mut Stats) -> Result<(), CgroupError> {
    for size in super::page_sizes(path, ".usage_in_bytes") {
        let file = |name: &str| number(&path.join(format!("hugetlb.{size}.{name}")));
        let one = HugetlbStats {
            usage: file("usage_in_bytes")?.unwrap_or(0),
            max: file("max_usage_in_bytes")?.unwrap_or(0),
            failcnt: file("failcnt")?.unwrap_or(0),
        };
        stats.hugetlb.insert(size, one);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn block_device_lines_are_read() {
        for (line, want) in [
            ("8:0 Read 4096", Some((8, 0, "Read", 4096))),
            ("253:16 77", Some((253, 16, "", 77))),
            ("Total 4096", None),
            ("8:0 Default", None),
            ("", None),
        ] {
            let got = entry(line);
            let got = got.as_ref().map(|one| (one.major, one.minor, one.op.as_str(), one.value));
            assert_eq!(got, want, "{line:?}");
        }
    }
}
