//! Control groups v1, hybrid and v2: limits, statistics, freeze, kill.
//!
//! A [`Host`] knows the mounted trees. A [`Cgroup`] is one group: a directory of the same path in
//! each v1 hierarchy, or the one directory on v2.
//!
//! ```text
//! v1, hybrid   /sys/fs/cgroup/<controller>/gantry/<id>   one directory a hierarchy
//! v2           /sys/fs/cgroup/gantry/<id>
//! ```
//!
//! On a hybrid host the empty v2 tree is left alone, as Docker leaves it.

#![forbid(unsafe_code)]

mod devices;
mod dynamic;
mod error;
mod features;
mod files;
mod freezer;
mod group;
mod host;
mod stats;
mod v1;
mod v2;

pub use dynamic::{DynamicMoves, favor_dynamic_moves};
pub use error::CgroupError;
pub use features::Features;
pub use group::Cgroup;
pub use host::{Hierarchy, Host, Version};
pub use stats::{
    BlkioEntry, BlkioStats, CpuStats, HugetlbStats, MemoryStats, PidsStats, Stats, Throttling,
};
