//! What a build is to do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// A build, as the command line asks for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildRequest {
    /// What is wanted of the Dockerfile.
    pub kind: RequestKind,
    /// The Dockerfile.
    pub dockerfile: DockerfileSource,
    /// Stage to build, by name or number; empty for the last.
    pub target: String,
    /// `--build-arg`.
    pub args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// `--annotation`.
    pub annotations: BTreeMap<String, String>,
    /// Names of the image.
    pub tags: Vec<String>,
    /// Contexts by name; the main one's is empty.
    pub contexts: BTreeMap<String, ContextSource>,
    /// Text of the ignore file that the main context is listed by; empty if there is none.
    pub ignore: String,
    /// Platforms such as `linux/amd64`; empty for the daemon's.
    pub platforms: Vec<String>,
    /// Nothing is taken from the cache.
    pub no_cache: bool,
    /// Nothing of these stages is.
    pub no_cache_filter: Vec<String>,
    /// Base images are looked up in their registries even if they are here.
    pub pull: bool,
    /// Caches to take results from.
    pub cache_from: Vec<CacheSpec>,
    /// Caches to put results into.
    pub cache_to: Vec<CacheSpec>,
    /// Network of `RUN`: `default`, `none`, `host`, or the name of a network; empty for the first.
    pub network: String,
    /// Further lines of `/etc/hosts`, `name:address`.
    pub add_hosts: Vec<String>,
    /// Limits of steps.
    pub limits: Limits,
    /// What steps may have beyond the usual.
    pub allow: Vec<Entitlement>,
    /// Ids of secrets that the client has.
    pub secrets: Vec<String>,
    /// Ids of SSH agents that the client has.
    pub ssh: Vec<String>,
    /// Where the result goes; none keeps it in the cache alone.
    pub outputs: Vec<OutputSpec>,
    /// All layers that are new become one (classic builder's `--squash`).
    pub squash: bool,
    /// Tell of each step why the cache had it or not.
    pub explain: bool,
    /// A failed step's file system is kept for a shell, until the connection closes.
    pub keep_failed: bool,
}

/// What is wanted of a Dockerfile.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RequestKind {
    /// Its result.
    #[default]
    Build,
    /// What its rules find (`--check`).
    Check,
    /// Its arguments, secrets and agents (`--call=outline`).
    Outline,
    /// Its stages (`--call=targets`).
    Targets,
}

/// Where the Dockerfile is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DockerfileSource {
    /// At this path in the main context.
    Path(String),
    /// Here: the client has read it, from this path.
    Text {
        /// What errors call it.
        name: String,
        /// Its text.
        text: String,
    },
}

impl Default for DockerfileSource {
    fn default() -> Self {
        Self::Path("Dockerfile".to_owned())
    }
}

/// Where a context comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ContextSource {
    /// A directory of the client's, which it lists and reads on demand. What its ignore file hides
    /// is never listed.
    Client {
        /// The same for the same directory of the same client: what of it was sent before is
        /// found by it.
        identity: String,
    },
    /// A tar, compressed or not, that the client has as a stream (`build - < context.tar`): the
    /// daemon asks for it once ([`Ask::Tar`]) and takes it in.
    ///
    /// [`Ask::Tar`]: crate::Ask::Tar
    ClientTar,
    /// A tar that the daemon has taken in already, by the number that it gave it (`POST /build`).
    Taken(u64),
    /// A git repository: `url#ref:subdir`.
    Git(String),
    /// A tar, or a Dockerfile, behind an HTTP URL.
    Http(String),
    /// An image (`docker-image://`).
    Image(String),
    /// A stage of the same build (`target:`).
    Target(String),
    /// An OCI layout in a directory of the client's (`oci-layout://`), with a tag or digest.
    OciLayout {
        /// As of [`ContextSource::Client`].
        identity: String,
        /// Tag or digest.
        reference: String,
    },
    /// Nothing.
    Empty,
}

/// `--cache-from` and `--cache-to`.
///
/// Of kind `local` a source has the attribute `context`: the name by which the client lists and
/// reads its directory, as it does a context's. A destination is sent as a tar
/// ([`FromDaemon::CacheOutput`]).
///
/// [`FromDaemon::CacheOutput`]: crate::FromDaemon::CacheOutput
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheSpec {
    /// `inline`, `local`, `registry`, ...
    pub kind: String,
    /// Its attributes.
    pub attributes: BTreeMap<String, String>,
}

/// Limits of every `RUN`; 0 is none, as in the Engine API's `POST /build`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Limits {
    /// Memory, bytes.
    pub memory_bytes: i64,
    /// Memory and swap, bytes; -1 for no limit of swap.
    pub memory_swap_bytes: i64,
    /// Weight of CPU time.
    pub cpu_shares: i64,
    /// CPU time in a period, µs.
    pub cpu_quota_us: i64,
    /// The period, µs.
    pub cpu_period_us: i64,
    /// CPUs such as `0-2`.
    pub cpuset_cpus: String,
    /// Memory nodes.
    pub cpuset_mems: String,
    /// Size of `/dev/shm`, bytes.
    pub shm_size_bytes: i64,
    /// `--ulimit`, such as `nofile=1024:2048`.
    pub ulimits: Vec<String>,
    /// Parent control group.
    pub cgroup_parent: String,
    /// `--security-opt`.
    pub security_opt: Vec<String>,
}

/// What a step may have when the build allows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Entitlement {
    /// The host's network.
    #[serde(rename = "network.host")]
    NetworkHost,
    /// All privileges.
    #[serde(rename = "security.insecure")]
    SecurityInsecure,
}

/// Where a result goes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct OutputSpec {
    /// What it becomes.
    pub kind: OutputKind,
    /// Attributes such as `name`, `compression`, `rewrite-timestamp`.
    pub attributes: BTreeMap<String, String>,
}

/// What a result becomes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OutputKind {
    /// An image of the daemon's.
    #[default]
    Image,
    /// Files in a directory of the client's: sent to it as a tar.
    Local,
    /// A tar of the files.
    Tar,
    /// An OCI layout as a tar.
    Oci,
    /// An archive for `docker load`.
    Docker,
    /// An image in a registry.
    Registry,
    /// Nothing: the cache alone.
    CacheOnly,
}
