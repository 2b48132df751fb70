//! The OCI runtime specification's `config.json` and `state.json`, for Linux.
//!
//! Field names and meaning: runtime-spec 1.2. Absent lists and maps are empty here and stay absent
//! when written, so that a document read and written again says the same.

macro_rules! spec {
    ($(#[$m:meta])* $name:ident { $($(#[$fm:meta])* $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$m])*
        #[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        pub struct $name { $($(#[$fm])* pub $field : $ty),* }
    };
}

mod linux;
mod process;
mod resources;
mod seccomp;
mod state;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use linux::{Device, IdMapping, Linux, Namespace, NamespaceKind, Personality, TimeOffset};
pub use process::{
    Capabilities, ConsoleSize, ExecCpuAffinity, IoPriority, Process, Rlimit, Scheduler, User,
};
pub use resources::{
    BlockIo, Cpu, DeviceRule, HugepageLimit, InterfacePriority, Memory, NetworkLimits, Pids, Rdma,
    Resources, ThrottleDevice, WeightDevice,
};
pub use seccomp::{Seccomp, SeccompArg, SeccompRule};
pub use state::{State, Status};

/// Annotations and sysctls: ordered, so that a generated document is stable.
pub type StringMap = BTreeMap<String, String>;

spec! {
    /// `config.json`: everything a runtime needs to make one container.
    Spec {
        /// Version of the specification, such as `1.2.0`.
        oci_version: String,
        /// The container's first process; absent in bundles that only hold namespaces.
        #[serde(skip_serializing_if = "Option::is_none")]
        process: Option<Process>,
        /// Where the root file system is.
        #[serde(skip_serializing_if = "Option::is_none")]
        root: Option<Root>,
        /// The UTS namespace's host name.
        #[serde(skip_serializing_if = "Option::is_none")]
        hostname: Option<String>,
        /// The UTS namespace's NIS domain name.
        #[serde(skip_serializing_if = "Option::is_none")]
        domainname: Option<String>,
        /// Mounts beyond the root, in order.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        mounts: Vec<Mount>,
        /// Programs to run at points of the life cycle.
        #[serde(skip_serializing_if = "Option::is_none")]
        hooks: Option<Hooks>,
        /// Free-form metadata.
        #[serde(skip_serializing_if = "BTreeMap::is_empty")]
        annotations: StringMap,
        /// Linux-specific part.
        #[serde(skip_serializing_if = "Option::is_none")]
        linux: Option<Linux>,
    }
}

spec! {
    /// The container's root file system.
    Root {
        /// Absolute, or relative to the bundle.
        path: PathBuf,
        /// Whether it is mounted read-only.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        readonly: bool,
    }
}

spec! {
    /// One mount inside the container.
    Mount {
        /// Absolute path inside the container.
        destination: PathBuf,
        /// File system type; `bind` or absent with a bind option means a bind mount.
        #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
        kind: Option<String>,
        /// Source: a host path for bind mounts, else what the file system takes.
        #[serde(skip_serializing_if = "Option::is_none")]
        source: Option<PathBuf>,
        /// Options, in the words of `mount(8)` and the specification.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        options: Vec<String>,
        /// User ids of an id-mapped mount.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        uid_mappings: Vec<IdMapping>,
        /// Group ids of an id-mapped mount.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        gid_mappings: Vec<IdMapping>,
    }
}

spec! {
    /// Programs to run at points of the life cycle.
    Hooks {
        /// Deprecated: after the namespaces are made, before pivot.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        prestart: Vec<Hook>,
        /// After the namespaces are made, in the runtime's namespaces.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        create_runtime: Vec<Hook>,
        /// The same, in the container's namespaces, before pivot.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        create_container: Vec<Hook>,
        /// On start, in the container's namespaces, before the program.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        start_container: Vec<Hook>,
        /// After the program was started.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        poststart: Vec<Hook>,
        /// After delete.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        poststop: Vec<Hook>,
    }
}

spec! {
    /// One program of [`Hooks`]; it gets the container's state on standard input.
    Hook {
        /// Absolute path.
        path: PathBuf,
        /// Arguments, with the program's name first.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        args: Vec<String>,
        /// Environment.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        env: Vec<String>,
        /// Seconds before it is ended.
        #[serde(skip_serializing_if = "Option::is_none")]
        timeout: Option<u64>,
    }
}
