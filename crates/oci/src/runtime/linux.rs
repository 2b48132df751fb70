//! The part of `config.json` that is for Linux: namespaces, ids, devices.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{Resources, Seccomp, StringMap};

spec! {
    /// The Linux-specific part of [`Spec`].
    Linux {
        /// User id mappings of a new user namespace.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        uid_mappings: Vec<IdMapping>,
        /// Group id mappings of a new user namespace.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        gid_mappings: Vec<IdMapping>,
        /// Kernel parameters of the container's namespaces.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        sysctl: StringMap,
        /// Limits.
        #[serde(skip_serializing_if = "Option::is_none")]
        resources: Option<Resources>,
        /// Path below the cgroup roots; absolute or relative to the runtime's choice.
        #[serde(skip_serializing_if = "Option::is_none")]
        cgroups_path: Option<String>,
        /// Namespaces to make or join.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        namespaces: Vec<Namespace>,
        /// Device nodes to make beyond the standard ones.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        devices: Vec<Device>,
        /// System call filter.
        #[serde(skip_serializing_if = "Option::is_none")]
        seccomp: Option<Seccomp>,
        /// Propagation of the root mount.
        #[serde(skip_serializing_if = "Option::is_none")]
        rootfs_propagation: Option<String>,
        /// Paths hidden from the container.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        masked_paths: Vec<String>,
        /// Paths made read-only.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        readonly_paths: Vec<String>,
        /// SELinux label of mounts.
        #[serde(skip_serializing_if = "Option::is_none")]
        mount_label: Option<String>,
        /// `personality(2)`.
        #[serde(skip_serializing_if = "Option::is_none")]
        personality: Option<Personality>,
        /// Clock offsets of a time namespace.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        time_offsets: BTreeMap<String, TimeOffset>,
    }
}

spec! {
    /// A range of ids, as `/proc/<pid>/uid_map` has it.
    #[derive(Copy, Eq)]
    IdMapping {
        /// First id inside.
        #[serde(rename = "containerID")]
        container_id: u32,
        /// First id outside.
        #[serde(rename = "hostID")]
        host_id: u32,
        /// How many.
        size: u32,
    }
}

spec! {
    /// A clock's offset in a time namespace.
    #[derive(Copy, Eq)]
    TimeOffset {
        /// Whole seconds.
        secs: i64,
        /// Nanoseconds.
        nanosecs: u32,
    }
}

spec! {
    /// `personality(2)`.
    Personality {
        /// `LINUX` or `LINUX32`.
        domain: String,
        /// Extra flags; none is defined yet.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        flags: Vec<String>,
    }
}

/// A kind of namespace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    /// Process ids.
    Pid,
    /// Network devices, addresses, ports.
    Network,
    /// Mounts.
    Mount,
    /// System V IPC and POSIX message queues.
    Ipc,
    /// Host and domain name.
    Uts,
    /// User and group ids.
    User,
    /// View of the cgroup tree.
    Cgroup,
    /// Clocks.
    Time,
}

/// A namespace to make, or with a path to join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespace {
    /// Which kind.
    #[serde(rename = "type")]
    pub kind: NamespaceKind,
    /// The namespace to join; absent makes a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<PathBuf>,
}

spec! {
    /// A device node to make.
    Device {
        /// `c`, `b`, `u` or `p`.
        #[serde(rename = "type")]
        kind: String,
        /// Path inside the container.
        path: PathBuf,
        /// Major number.
        major: i64,
        /// Minor number.
        minor: i64,
        /// Permission bits.
        #[serde(skip_serializing_if = "Option::is_none")]
        file_mode: Option<u32>,
        /// Owner.
        #[serde(skip_serializing_if = "Option::is_none")]
        uid: Option<u32>,
        /// Group.
        #[serde(skip_serializing_if = "Option::is_none")]
        gid: Option<u32>,
    }
}
