//! Usage figures of a group, in the shape that the Engine API reports.

pub(crate) mod v1;
pub(crate) mod v2;

use std::collections::BTreeMap;

/// What v1 reports for no limit is this or a little less, a whole number of pages.
pub(crate) const UNLIMITED: u64 = 0x7fff_ffff_ffff_0000;

/// The lines `name number` of a flat keyed file.
pub(crate) fn pairs(text: &str) -> impl Iterator<Item = (&str, u64)> {
    text.lines().filter_map(|line| {
        let (name, number) = line.split_once(' ')?;
        Some((name, number.trim().parse().ok()?))
    })
}

/// Usage figures of a group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Stats {
    /// CPU time.
    pub cpu: CpuStats,
    /// Memory.
    pub memory: MemoryStats,
    /// Processes.
    pub pids: PidsStats,
    /// Block devices.
    pub blkio: BlkioStats,
    /// Huge pages by page size (`2MB`).
    pub hugetlb: BTreeMap<String, HugetlbStats>,
}

/// CPU time, in nanoseconds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CpuStats {
    /// All time.
    pub usage_ns: u64,
    /// Time in user mode.
    pub user_ns: u64,
    /// Time in the kernel.
    pub kernel_ns: u64,
    /// Time by CPU; empty on v2.
    pub per_cpu_ns: Vec<u64>,
    /// What the quota held back.
    pub throttling: Throttling,
}

/// What a CPU quota held back.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Throttling {
    /// Periods that have passed.
    pub periods: u64,
    /// Periods in which the quota was used up.
    pub throttled_periods: u64,
    /// Time held back, in nanoseconds.
    pub throttled_ns: u64,
}

/// Memory, in bytes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct MemoryStats {
    /// In use, with the page cache.
    pub usage: u64,
    /// Most ever in use; 0 where not counted (v2 before Linux 5.19).
    pub max_usage: u64,
    /// The limit; `None` is no limit.
    pub limit: Option<u64>,
    /// How often the limit was hit (v1), or the group ran out of memory (v2).
    pub failcnt: u64,
    /// Swap in use.
    pub swap_usage: u64,
    /// Limit of swap (v2) or of memory and swap (v1); `None` is no limit.
    pub swap_limit: Option<u64>,
    /// `memory.stat`, by the kernel's names.
    pub stat: BTreeMap<String, u64>,
}

/// Processes and threads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PidsStats {
    /// In the group.
    pub current: u64,
    /// The limit; `None` is no limit.
    pub limit: Option<u64>,
}

/// Block device figures under the names of the Engine API.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlkioStats {
    /// Bytes.
    pub io_service_bytes_recursive: Vec<BlkioEntry>,
    /// Operations.
    pub io_serviced_recursive: Vec<BlkioEntry>,
    /// Operations waiting.
    pub io_queue_recursive: Vec<BlkioEntry>,
    /// Nanoseconds in service.
    pub io_service_time_recursive: Vec<BlkioEntry>,
    /// Nanoseconds waited.
    pub io_wait_time_recursive: Vec<BlkioEntry>,
    /// Operations merged.
    pub io_merged_recursive: Vec<BlkioEntry>,
    /// Milliseconds of device time.
    pub io_time_recursive: Vec<BlkioEntry>,
    /// Sectors.
    pub sectors_recursive: Vec<BlkioEntry>,
}

/// One figure of one device.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BlkioEntry {
    /// Major number.
    pub major: u64,
    /// Minor number.
    pub minor: u64,
    /// `Read`, `Write`, `Sync`, `Async`, `Total`; `read`, `write` on v2; may be empty.
    pub op: String,
    /// The figure.
    pub value: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HugetlbStats {
    /// In use.
    pub usage: u64,
    /// Most ever in use.
    pub max: u64,
    /// Times that the limit was hit.
    pub failcnt: u64,
}

/// The huge page sizes that a group has files of: `hugetlb.<size><suffix>`.
pub(crate) fn page_sizes(path: &std::path::Path, suffix: &str) -> Vec<String> {
    let names = std::fs::read_dir(path).into_iter().flatten().flatten();
    names
        .filter_map(|entry| {
            let name = entry.file_name();
            let size = name.to_str()?.strip_prefix("hugetlb.")?.strip_suffix(suffix)?;
            (!size.contains('.')).then(|| size.to_owned())
        })
        .collect()
}
