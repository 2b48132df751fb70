//! Control groups v1, hybrid and v2: limits, statistics, freeze, kill.

#![forbid(unsafe_code)]

mod error;
mod group;
mod host;
mod stats;

pub use error::CgroupError;
pub use group::Cgroup;
pub use host::{DynamicMoves, Features, Hierarchy, Host, Version, favor_dynamic_moves};
pub use stats::{
    BlkioEntry, BlkioStats, CpuStats, HugetlbStats, MemoryStats, PidsStats, Stats, Throttling,
};
