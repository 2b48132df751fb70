//! Usage figures of the v2 tree.

use std::path::Path;

use super::{BlkioEntry, BlkioStats, CpuStats, HugetlbStats, MemoryStats, PidsStats, Stats, pairs};
use crate::CgroupError;
use crate::files::{number, read, read_optional};

/// Reads everything that is counted for a group.
pub(crate) fn read_group(path: &Path) -> Result<Stats, CgroupError> {
    // `cpu.stat` is there in every group, whatever its controllers.
    let mut stats = Stats { cpu: cpu(&read(&path.join("cpu.stat"))?), ..Stats::default() };
    if let Some(usage) = number(&path.join("memory.current"))? {
        stats.memory = memory(path, usage)?;
    }
    if let Some(current) = number(&path.join("pids.current"))? {
        stats.pids = PidsStats { current, limit: number(&path.join("pids.max"))? };
    }
    stats.blkio = blkio(&read_optional(&path.join("io.stat"))?.unwrap_or_default());
    for size in super::page_sizes(path, ".current") {
        let file = |name: &str| path.join(format!("hugetlb.{size}.{name}"));
        let events = read_optional(&file("events"))?.unwrap_or_default();
        let one = HugetlbStats {
            usage: number(&file("current"))?.unwrap_or(0),
            max: 0,
            failcnt: value(&events, "max"),
        };
        stats.hugetlb.insert(size, one);
    }
    Ok(stats)
}

fn value(text: &str, wanted: &str) -> u64 {
    pairs(text).find(|(name, _)| *name == wanted).map_or(0, |(_, value)| value)
}

fn cpu(text: &str) -> CpuStats {
    let mut cpu = CpuStats::default();
    for (name, value) in pairs(text) {
        match name {
            "usage_usec" => cpu.usage_ns = value * 1000,
            "user_usec" => cpu.user_ns = value * 1000,
            "system_usec" => cpu.kernel_ns = value * 1000,
            "nr_periods" => cpu.throttling.periods = value,
            "nr_throttled" => cpu.throttling.throttled_periods = value,
            "throttled_usec" => cpu.throttling.throttled_ns = value * 1000,
            _ => {}
        }
    }
    cpu
}

fn memory(path: &Path, usage: u64) -> Result<MemoryStats, CgroupError> {
    let file = |name: &str| number(&path.join(name));
    let text = |name: &str| read_optional(&path.join(name)).map(Option::unwrap_or_default);
    Ok(MemoryStats {
        usage,
        max_usage: file("memory.peak")?.unwrap_or(0),
        limit: file("memory.max")?,
        failcnt: value(&text("memory.events")?, "oom"),
        swap_usage: file("memory.swap.current")?.unwrap_or(0),
        swap_limit: file("memory.swap.max")?,
        stat: pairs(&text("memory.stat")?).map(|(name, n)| (name.to_owned(), n)).collect(),
    })
}

/// `io.stat`: `8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6`.
fn blkio(text: &str) -> BlkioStats {
    let mut stats = BlkioStats::default();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let device = words.next().and_then(|device| device.split_once(':'));
        let numbers = device.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
        let Some((major, minor)) = numbers else { continue };
        for (name, value) in words.filter_map(|word| word.split_once('=')) {
            let (list, op) = match name {
                "rbytes" => (&mut stats.io_service_bytes_recursive, "read"),
                "wbytes" => (&mut stats.io_service_bytes_recursive, "write"),
                "rios" => (&mut stats.io_serviced_recursive, "read"),
                "wios" => (&mut stats.io_serviced_recursive, "write"),
                _ => continue,
            };
            let value = value.parse().unwrap_or(0);
            list.push(BlkioEntry { major, minor, op: op.to_owned(), value });
        }
    }
    stats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn io_lines_are_read() {
        let stats = blkio("8:0 rbytes=10 wbytes=20 rios=3 wios=4 dbytes=0 dios=0\n7:1 \nbad\n");
        let entry = |op: &str, value| BlkioEntry { major: 8, minor: 0, op: op.into(), value };
        assert_eq!(stats.io_service_bytes_recursive, [entry("read", 10), entry("write", 20)]);
        assert_eq!(stats.io_serviced_recursive, [entry("read", 3), entry("write", 4)]);
    }
}
