//! What a step is asked to be, and the record that stands for it while it runs.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

use gantry_api_types::container::ContainerConfig;
use gantry_api_types::host_config::HostConfig;
use gantry_logs::LogConfig;
use gantry_oci::Digest;
use gantry_snapshot::Rootfs;

use crate::CreateError;
use crate::container::mounting;
use crate::create::{self, check, networking};
use crate::engine::Inner;
use crate::error::Invalid;
use crate::events::now_ns;
use crate::record::{ContainerRecord, MountKind, MountRecord, NetworkMode};

/// Takes out the variable that containers have and BuildKit's steps do not.
const NO_HOSTNAME: &str = "HOSTNAME";

/// Digits of a short id.
const SHORT: usize = 12;

/// A step to run.
#[derive(Debug)]
pub struct StepRequest {
    /// Its id, twelve hexadecimal digits at least: nothing else of this engine has it.
    pub id: String,
    /// Its file system, with nothing of its own yet: what the step changes is in `upper` afterwards,
    /// and is not brought to disk by it.
    pub rootfs: Rootfs,
    /// Program and arguments.
    pub args: Vec<String>,
    /// Standard input; `/dev/null` when absent.
    pub stdin: Option<Vec<u8>>,
    /// Environment; `PATH` and `HOME` are added when they are not there.
    pub env: Vec<String>,
    /// Working directory, absolute; made if it is missing.
    pub working_directory: String,
    /// `user[:group]`, by name or number; empty is root.
    pub user: String,
    /// Host name; empty for the first digits of the id, or the host's name on its network. With the
    /// network of a container it is that one's.
    pub hostname: String,
    /// Mounts.
    pub mounts: Vec<StepMount>,
    /// The host side: limits, network mode, additional hosts, security, as of a container. Its
    /// mounts, links and ways of sharing do not count.
    pub host: HostConfig,
}

/// A mount of a step.
#[derive(Debug)]
pub struct StepMount {
    /// Where, absolute.
    pub target: String,
    /// What.
    pub source: StepSource,
    /// Without write access.
    pub read_only: bool,
}

/// What a step's mount shows.
#[derive(Debug)]
pub enum StepSource {
    /// What this descriptor is of (`O_PATH` will do), in this mount namespace; or, without going
    /// below its root, a mount that is attached nowhere.
    Descriptor(OwnedFd),
    /// Memory.
    Tmpfs {
        /// Most bytes; 0 for the kernel's default.
        size_bytes: u64,
    },
}

impl StepMount {
    /// Whether a directory is to be at the target.
    pub(super) fn is_directory(&self) -> bool {
        match &self.source {
            StepSource::Tmpfs { .. } => true,
            StepSource::Descriptor(fd) => rustix::fs::fstat(fd).is_ok_and(|stat| {
                rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Directory
            }),
        }
    }

    /// The mount with its place on the host, where it is bound.
    ///
    /// # Errors
    /// When it cannot be bound.
    pub(super) fn ready(
        self,
        engine: &Inner,
        id: &str,
        number: usize,
    ) -> io::Result<(MountRecord, PathBuf)> {
        let record = MountRecord {
            target: self.target,
            read_only: self.read_only,
            ..MountRecord::default()
        };
        Ok(match self.source {
            StepSource::Descriptor(fd) => {
                (record, mounting::bind_descriptor(engine, id, number, fd)?)
            }
            StepSource::Tmpfs { size_bytes } => {
                // As BuildKit mounts it: programs may be built and run there.
                let mut tmpfs_options = vec!["exec".to_owned(), "dev".to_owned()];
                if size_bytes > 0 {
                    tmpfs_options.push(format!("size={size_bytes}"));
                }
                (MountRecord { kind: MountKind::Tmpfs, tmpfs_options, ..record }, PathBuf::new())
            }
        })
    }
}

impl StepRequest {
    /// The record that the step is run by; it is never written.
    ///
    /// # Errors
    /// What is asked for and cannot be, in Docker's words.
    pub(super) fn record(&mut self, engine: &Inner) -> Result<ContainerRecord, CreateError> {
        if self.id.len() < SHORT || !self.id.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Invalid(format!("invalid id of a step: {:?}", self.id)).into());
        }
        let (path, args) = self.args.split_first().ok_or(CreateError::NoCommand)?;
        let short_id = self.id[..SHORT].to_owned();
        let shares =
            matches!(NetworkMode::parse(&self.host.network_mode), NetworkMode::Container(_));
        let mut config = ContainerConfig {
            // It is the other's there, as its network is.
            hostname: if shares { String::new() } else { std::mem::take(&mut self.hostname) },
            user: std::mem::take(&mut self.user),
            env: Some([&[NO_HOSTNAME.to_owned()], &self.env[..]].concat()),
            cmd: Some(self.args.clone()),
            working_dir: std::mem::take(&mut self.working_directory),
            open_stdin: self.stdin.is_some(),
            stdin_once: true,
            ..ContainerConfig::default()
        };
        let asked = std::mem::take(&mut self.host);
        let mut host = HostConfig {
            binds: None,
            mounts: Vec::new(),
            tmpfs: BTreeMap::new(),
            links: None,
            init: Some(false),
            ipc_mode: "private".to_owned(),
            ..asked
        };
        check::fill_host(engine, &mut host);
        check::check(engine, &config, &host)?;
        create::name_host(engine, &mut config, &host, &short_id)?;
        let endpoints = networking::endpoints(engine, &host, BTreeMap::new())?;
        Ok(ContainerRecord {
            id: self.id.clone(),
            name: short_id,
            created_ns: now_ns(),
            // It is made of layers that are no image yet.
            image: Digest::of(&[]),
            layers: Vec::new(),
            path: path.clone(),
            args: args.to_vec(),
            config,
            host,
            endpoints,
            links: Vec::new(),
            mounts: Vec::new(),
            log: LogConfig::None,
        })
    }
}
