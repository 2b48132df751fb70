//! What the client is told when it is made.

use std::{path::PathBuf, time::Duration};

use gantry_web::Proxies;

/// Everything that a [`crate::Client`] is told.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where repositories are looked for.
    pub hosts: HostsConfig,
    /// Proxies on the way.
    pub proxies: Proxies,
    /// Times, sizes and numbers.
    pub limits: Limits,
    /// `User-Agent`.
    pub user_agent: String,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            hosts: HostsConfig::default(),
            proxies: Proxies::default(),
            limits: Limits::default(),
            user_agent: concat!("gantry/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// Where repositories are looked for.
#[derive(Clone, Debug)]
pub struct HostsConfig {
    /// `insecure-registries`: hosts, with or without a port, and networks as `10.0.0.0/8`. Those of
    /// the loopback networks are insecure without being named.
    pub insecure_registries: Vec<String>,
    /// `allow-nondistributable-artifacts`: hosts, with or without a port, and networks that may get
    /// layers which are not for everybody to give away.
    pub nondistributable: Vec<String>,
    /// `registry-mirrors`: URLs that are asked for what is on Docker Hub before it is.
    pub mirrors: Vec<String>,
    /// Directories with one directory a registry: certificates, or containerd's `hosts.toml`. The
    /// first that knows a registry is used.
    pub certs_dirs: Vec<PathBuf>,
}

impl Default for HostsConfig {
    fn default() -> Self {
        let certs_dirs = ["/etc/docker/certs.d", "/etc/containerd/certs.d"].map(PathBuf::from);
        Self {
            insecure_registries: Vec::new(),
            nondistributable: Vec::new(),
            mirrors: Vec::new(),
            certs_dirs: certs_dirs.to_vec(),
        }
    }
}

/// Times, sizes and numbers; all have a limit.
#[derive(Clone, Debug)]
pub struct Limits {
    /// How long a server may take to be reached.
    pub connect: Duration,
    /// How long it may take to begin its answer.
    pub answer: Duration,
    /// How long it may be silent within an answer, or take nothing of what it is sent.
    pub stall: Duration,
    /// How often something is tried that brings nothing forward.
    pub attempts: u32,
    /// The wait before the second attempt; it doubles with each one.
    pub backoff: Duration,
    /// The longest wait between attempts, also if a server asks for a longer one.
    pub backoff_max: Duration,
    /// Redirects in a row that are followed.
    pub redirects: usize,
    /// The largest manifest, bytes.
    pub manifest_bytes: u64,
    /// The largest of other documents (errors, tokens, lists), bytes.
    pub document_bytes: u64,
    /// From how many bytes on a blob is downloaded in several ranges at a time.
    pub ranges_from_bytes: u64,
    /// The size of these ranges, bytes; that many are in memory for each connection.
    pub range_bytes: u64,
    /// How many ranges of a blob are downloaded at a time.
    pub range_connections: usize,
    /// Up to how many bytes a blob is pushed in one request.
    pub monolithic_bytes: u64,
    /// How many bytes of a larger one are pushed in one.
    pub push_chunk_bytes: u64,
    /// How many pages of a list are fetched.
    pub pages: usize,
    /// The largest list, all its pages together, bytes.
    pub list_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(30),
            answer: Duration::from_secs(60),
            stall: Duration::from_secs(60),
            attempts: 5,
            backoff: Duration::from_millis(250),
            backoff_max: Duration::from_secs(30),
            redirects: 10,
            manifest_bytes: 4 << 20,
            document_bytes: 8 << 20,
            ranges_from_bytes: 32 << 20,
            range_bytes: 4 << 20,
            range_connections: 4,
            monolithic_bytes: 4 << 20,
            push_chunk_bytes: 64 << 20,
            pages: 10_000,
            list_bytes: 64 << 20,
        }
    }
}
