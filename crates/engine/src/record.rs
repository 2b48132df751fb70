//! What is kept of a container: its record, written at create, rename and update, and its state,
//! written with every change of phase.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use gantry_api_types::container::ContainerConfig;
use gantry_api_types::host_config::HostConfig;
use gantry_api_types::network::EndpointSettings;
use gantry_logs::LogConfig;
use gantry_network::{EndpointRecord, SandboxRecord};
use gantry_oci::Digest;
use serde::{Deserialize, Serialize};

use crate::net::links::Link;

/// A container as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct ContainerRecord {
    /// Full id.
    pub(crate) id: String,
    /// Name without the leading slash.
    pub(crate) name: String,
    /// Creation, in nanoseconds since 1970.
    pub(crate) created_ns: i64,
    /// The image's id.
    pub(crate) image: Digest,
    /// Layers of the image, bottom first.
    pub(crate) layers: Vec<Digest>,
    /// Program.
    pub(crate) path: String,
    /// Its arguments.
    pub(crate) args: Vec<String>,
    /// Configuration, the image's merged in.
    pub(crate) config: ContainerConfig,
    /// Host side, with Docker's defaults filled in.
    pub(crate) host: HostConfig,
    /// Its networks and what was asked of each, by name; empty where it has no namespace with
    /// networks of its own.
    pub(crate) endpoints: BTreeMap<String, EndpointSettings>,
    /// Links on the default bridge, to containers by id.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) links: Vec<Link>,
    /// Binds, volumes and tmpfs of the Mounts API, by destination.
    pub(crate) mounts: Vec<MountRecord>,
    /// The log, with its path.
    pub(crate) log: LogConfig,
}

/// Kind of a mount.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum MountKind {
    /// A path of the host.
    Bind,
    /// A volume.
    Volume,
    /// A file system in memory.
    Tmpfs,
}

/// Whose the files of a mount are on the host that are the container's user's inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct IdMap {
    /// User.
    pub(crate) uid: u32,
    /// Group.
    pub(crate) gid: u32,
}

impl IdMap {
    /// Reads `UID:GID`; one number is both.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (uid, gid) = text.split_once(':').unwrap_or((text, text));
        // The highest number stands for "none" in the kernel.
        let id = |text: &str| text.parse().ok().filter(|id| *id != u32::MAX);
        Some(Self { uid: id(uid)?, gid: id(gid)? })
    }
}

/// A mount that the user or the image asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct MountRecord {
    /// What it is.
    pub(crate) kind: MountKind,
    /// Host path, or the volume's name; empty for tmpfs.
    pub(crate) source: String,
    /// Driver of the volume.
    pub(crate) driver: String,
    /// Path in the container.
    pub(crate) target: String,
    /// Options of the bind string, as written.
    pub(crate) mode: String,
    /// Without write access.
    pub(crate) read_only: bool,
    /// Mount propagation; empty for the default.
    pub(crate) propagation: String,
    /// Leave submounts out.
    pub(crate) non_recursive: bool,
    /// Submounts keep their write access.
    pub(crate) read_only_non_recursive: bool,
    /// Make a missing host path.
    pub(crate) create_source: bool,
    /// The volume is not filled from the image.
    pub(crate) no_copy: bool,
    /// The volume got its name from us and goes with `rm -v`.
    pub(crate) anonymous: bool,
    /// Directory in the volume.
    pub(crate) subpath: String,
    /// Options of a tmpfs.
    pub(crate) tmpfs_options: Vec<String>,
    /// Whose the files are on the host.
    pub(crate) id_map: Option<IdMap>,
}

impl Default for MountRecord {
    fn default() -> Self {
        Self {
            kind: MountKind::Bind,
            source: String::new(),
            driver: String::new(),
            target: String::new(),
            mode: String::new(),
            read_only: false,
            propagation: String::new(),
            non_recursive: false,
            read_only_non_recursive: false,
            create_source: false,
            no_copy: false,
            anonymous: false,
            subpath: String::new(),
            tmpfs_options: Vec::new(),
            id_map: None,
        }
    }
}

/// The phase as it is written; what only the kernel knows is found again by asking it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Status {
    /// Made, never started.
    #[default]
    Created,
    /// Being started, running, or frozen.
    Up,
    /// Between two runs.
    Restarting,
    /// Ended.
    Exited,
    /// Removal began; it is finished after a restart of the daemon.
    Removing,
    /// Removal failed.
    Dead,
}

/// How a container is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct StateRecord {
    /// The phase.
    pub(crate) status: Status,
    /// Exit code of the last run.
    pub(crate) exit_code: i32,
    /// Why the last start failed.
    pub(crate) error: String,
    /// Whether the last run was ended for want of memory.
    pub(crate) oom_killed: bool,
    /// Last start, in nanoseconds since 1970; 0 is never.
    pub(crate) started_at_ns: i64,
    /// Last end, in nanoseconds since 1970; 0 is never.
    pub(crate) finished_at_ns: i64,
    /// Whether the last run was ended by hand, so that policies leave it down.
    pub(crate) stopped_by_hand: bool,
    /// Restarts in a row by the policy.
    pub(crate) restart_count: u32,
    /// Its place on its networks while it is up.
    pub(crate) sandbox: Option<SandboxRecord>,
    /// The addresses that it had when it was up last, by the names of its networks: it gets them
    /// again if they are free.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) last_addresses: BTreeMap<String, LastAddresses>,
    /// While removing: whether anonymous volumes go too.
    pub(crate) remove_volumes: bool,
}

/// The addresses that a container had on a network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct LastAddresses {
    /// Its IPv4.
    pub(crate) v4: Option<Ipv4Addr>,
    /// Its IPv6.
    pub(crate) v6: Option<Ipv6Addr>,
}

impl StateRecord {
    /// Takes its place on its networks away, and remembers its addresses there.
    pub(crate) fn take_sandbox(&mut self) -> Option<SandboxRecord> {
        let sandbox = self.sandbox.take()?;
        let had = |endpoint: &EndpointRecord| {
            let v4 = endpoint.v4.map(|v4| v4.address);
            let v6 = endpoint.v6.map(|v6| v6.address);
            (endpoint.network_name.clone(), LastAddresses { v4, v6 })
        };
        self.last_addresses = sandbox.endpoints.iter().map(had).collect();
        Some(sandbox)
    }

    /// Its endpoints while it is up.
    pub(crate) fn endpoints(&self) -> &[EndpointRecord] {
        self.sandbox.as_ref().map_or(&[], |sandbox| &sandbox.endpoints)
    }

    /// Its endpoint on a network.
    pub(crate) fn endpoint_on(&self, network: &str) -> Option<&EndpointRecord> {
        self.endpoints().iter().find(|endpoint| endpoint.network_name == network)
    }
}

/// What a creation makes before it is complete. While this is there, nobody was told of the
/// container: a daemon that finds it takes everything back.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CreationRecord {
    /// Anonymous volumes.
    pub(crate) volumes: Vec<String>,
}

impl gantry_store::Record for CreationRecord {
    const TABLE: &'static str = "creations";
    const VERSION: u32 = 1;
}

impl gantry_store::Record for ContainerRecord {
    const TABLE: &'static str = "containers";
    const VERSION: u32 = 1;
}

impl gantry_store::Record for StateRecord {
    const TABLE: &'static str = "container_states";
    const VERSION: u32 = 1;
}

impl ContainerRecord {
    /// The first twelve digits of the id.
    pub(crate) fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }

    /// The network mode.
    pub(crate) fn network(&self) -> NetworkMode<'_> {
        NetworkMode::parse(&self.host.network_mode)
    }

    /// Whether it gets a network namespace with interfaces.
    pub(crate) fn is_networked(&self) -> bool {
        matches!(self.network(), NetworkMode::Bridge | NetworkMode::Other(_))
            && !self.config.network_disabled
    }

    /// The network that its mode names; `None` with another container's.
    pub(crate) fn main_network(&self) -> Option<&str> {
        self.network().network()
    }

    /// Its anonymous volumes.
    pub(crate) fn anonymous_volumes(&self) -> impl Iterator<Item = &str> {
        self.volumes().filter(|mount| mount.anonymous).map(|mount| mount.source.as_str())
    }

    /// Its volume mounts.
    pub(crate) fn volumes(&self) -> impl Iterator<Item = &MountRecord> {
        self.mounts.iter().filter(|mount| mount.kind == MountKind::Volume)
    }
}

/// Where a container's network comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NetworkMode<'a> {
    /// The default bridge.
    Bridge,
    /// The host's.
    Host,
    /// Loopback alone.
    None,
    /// Another container's.
    Container(&'a str),
    /// A user-defined network.
    Other(&'a str),
}

impl<'a> NetworkMode<'a> {
    /// Reads `HostConfig.NetworkMode`.
    pub(crate) fn parse(mode: &'a str) -> Self {
        match mode {
            "" | "default" | "bridge" => Self::Bridge,
            "host" => Self::Host,
            "none" => Self::None,
            other => match other.strip_prefix("container:") {
                Some(container) => Self::Container(container),
                None => Self::Other(other),
            },
        }
    }

    /// The network that it names, by the name that the API shows.
    pub(crate) fn network(self) -> Option<&'a str> {
        match self {
            Self::Bridge => Some("bridge"),
            Self::Host => Some("host"),
            Self::None => Some("none"),
            Self::Other(name) => Some(name),
            Self::Container(_) => None,
        }
    }
}
