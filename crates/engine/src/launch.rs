//! From a record to a process: what containers and the steps of builds have in common.
//!
//! A [`Plan`] is everything that was looked up before anything is acquired; the specification and
//! the task's request are made of it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use gantry_api_types::NullableList as _;
use gantry_network::{JoinError, Sandbox};
use gantry_oci::runtime::Spec;
use gantry_snapshot::Rootfs;
use gantry_task::{Attachment, RootfsMount, RunError, RunTask, StdioConfig, Task};

use crate::container::mounting::Sources;
use crate::engine::Inner;
use crate::net::{self, Linked};
use crate::record::{ContainerRecord, LastAddresses, NetworkMode};
use crate::seccomp_cache::Filter;
use crate::spec::mounts::{MountInput, Shm};
use crate::spec::security::SecurityOptions;
use crate::spec::user::{Identity, UserFiles};
use crate::spec::{self, Namespaces, Ns, caps, devices, process, resources, security, user};
use crate::{StartError, error::Invalid};

/// The files of a container, found before all else.
pub(crate) struct Files {
    /// Its root file system.
    pub(crate) rootfs: Rootfs,
    /// What it changes there is of no use after a power cut.
    pub(crate) volatile: bool,
    /// Who is known there.
    pub(crate) users: Arc<UserFiles>,
    /// Its mounts, with their host paths.
    pub(crate) mounts: Sources,
}

/// What was looked up before anything is acquired.
pub(crate) struct Plan {
    rootfs: Rootfs,
    volatile: bool,
    options: SecurityOptions,
    caps: Vec<String>,
    filter: Option<Arc<Filter>>,
    identity: Identity,
    namespaces: Namespaces,
    mounts: Sources,
    files: Vec<(&'static str, PathBuf)>,
    linked: Linked,
    shm: Shm,
    devices: devices::Devices,
    runtime: Option<String>,
}

/// Gives a container its place on its networks; `None` when it is on none. `last` are the addresses
/// that it had before.
///
/// # Errors
/// When it cannot have it.
pub(crate) async fn join(
    engine: &Inner,
    record: &ContainerRecord,
    last: &BTreeMap<String, LastAddresses>,
) -> Result<Option<Sandbox>, StartError> {
    let request = net::join_request(engine, record, last)?;
    let Some(request) = request else { return Ok(None) };
    let failed = |source: JoinError| match source.is_about_ports() {
        true => StartError::Publish { name: record.name.clone(), id: record.id.clone(), source },
        false => StartError::Network(source),
    };
    let networks = &engine.parts.networks;
    let joined = match networks.join(request.clone()).await {
        // Whoever has it may be about to leave.
        Err(error) if error.is_for_want() => {
            engine.wait_for_leavers().await;
            networks.join(request).await
        }
        other => other,
    };
    joined.map(Some).map_err(failed)
}

/// Runs the first process.
///
/// # Errors
/// When it does not run; nothing is left of the task then.
pub(crate) async fn run(engine: &Inner, request: RunTask) -> Result<Task, StartError> {
    engine.parts.tasks.run(request).await.map_err(|error| match error {
        RunError::Start { kind, message } => StartError::Runtime { kind, message },
        RunError::UnknownRuntime(name) => {
            StartError::Invalid(Invalid(format!("unknown or invalid runtime name: {name}")))
        }
        other => StartError::Task(other),
    })
}

/// Writes `/etc/hosts` and its like of a container that has them to itself.
///
/// # Errors
/// The file that could not be written.
pub(crate) fn write_network_files(
    engine: &Inner,
    record: &ContainerRecord,
    sandbox: Option<&Sandbox>,
    linked: &[(IpAddr, String)],
) -> Result<(), StartError> {
    if matches!(record.network(), NetworkMode::Container(_)) {
        // The other container's files are mounted.
        return Ok(());
    }
    let sandbox = sandbox.map(|sandbox| &sandbox.record);
    let written = net::write_files(&engine.config, record, sandbox, linked, engine.host_gateway());
    written.map_err(|(path, source)| StartError::File { step: "writing", path, source })
}

impl Plan {
    /// Looks up everything else.
    ///
    /// # Errors
    /// What the record asks for that cannot be.
    pub(crate) fn make(
        engine: &Inner,
        record: &ContainerRecord,
        files: Files,
    ) -> Result<Self, StartError> {
        let host = &record.host;
        if let Some(request) = host.device_requests.items().first() {
            return Err(Invalid(format!(
                "could not select device driver {:?} with capabilities: {:?}",
                request.driver,
                request.capabilities.clone().unwrap_or_default()
            ))
            .into());
        }
        let options = security::parse(host.security_opt.items())?;
        let add = caps::normalize("CapAdd", host.cap_add.items())?;
        let drop = caps::normalize("CapDrop", host.cap_drop.items())?;
        let caps = caps::resolve(&add, &drop, host.privileged, engine.facts.caps);
        let filter = match host.privileged {
            true => None,
            false => engine.seccomp.filter(&options.seccomp, &caps)?,
        };
        let Files { rootfs, volatile, users, mounts } = files;
        let identity = user::resolve(&record.config.user, host.group_add.items(), &users)?;
        let namespaces = namespaces(engine, record)?;
        let files_of = match record.network() {
            NetworkMode::Container(other) => engine.registry.find(other)?.id.clone(),
            _ => record.id.clone(),
        };
        let shm = engine.shm_of(record)?;
        Ok(Self {
            mounts,
            files: net::file_paths(&engine.config.container_dir(&files_of)),
            linked: net::linked(engine, record)?,
            devices: devices::of(host)?,
            runtime: engine.runtime_of(record),
            rootfs,
            volatile,
            options,
            caps,
            filter,
            identity,
            namespaces,
            shm,
        })
    }

    /// The lines of `/etc/hosts` that links give.
    pub(crate) fn linked_hosts(&self) -> &[(IpAddr, String)] {
        &self.linked.hosts
    }

    /// The specification.
    ///
    /// # Errors
    /// A limit that cannot be.
    pub(crate) fn spec(
        &self,
        engine: &Inner,
        record: &ContainerRecord,
    ) -> Result<Spec, StartError> {
        let (host, config) = (&record.host, &record.config);
        let init = host.init.unwrap_or(engine.config.init);
        let mounts = spec::mounts::build(&MountInput {
            host,
            asked: &self.mounts,
            user: (self.identity.uid, self.identity.gid),
            files: &self.files,
            shm: self.shm.clone(),
            host_mqueue: self.namespaces.ipc == Ns::Host,
            writable_cgroups: self.options.writable_cgroups,
            init: init.then_some(engine.config.init_binary.as_path()),
        });
        // What links say is told before the container's own, which wins.
        let env = [&self.linked.env, config.env.items()].concat();
        let no_new = self.options.no_new_privileges.unwrap_or(engine.config.no_new_privileges);
        let process = process::build(process::ProcessInput {
            args: process::args(&record.path, &record.args, init),
            env: process::environment(&config.hostname, config.tty, &env, &self.identity.home),
            cwd: &config.working_dir,
            identity: &self.identity,
            caps: self.caps.clone(),
            tty: config.tty,
            console: host.console_size,
            rlimits: resources::rlimits(host.ulimits.items(), &engine.config.default_ulimits)?,
            no_new_privileges: no_new,
            apparmor: self.options.apparmor.clone(),
            oom_score_adj: i32::try_from(host.oom_score_adj).ok(),
        });
        let own_compiler = self.runtime.is_some()
            || self.filter.as_ref().is_some_and(|filter| filter.bpf.is_none());
        Ok(spec::build(spec::Input {
            record,
            process,
            mounts,
            namespaces: self.namespaces.clone(),
            devices: self.devices.clone(),
            resources: resources::limits(host)?,
            cgroup_path: engine.cgroup_path(record),
            seccomp: self.filter.as_ref().filter(|_| own_compiler).map(|f| f.profile.clone()),
        }))
    }

    /// What the task is asked for.
    pub(crate) fn request(
        self,
        record: &ContainerRecord,
        spec: Spec,
        sandbox: Option<&Sandbox>,
        attachments: Vec<Attachment>,
    ) -> RunTask {
        let config = &record.config;
        RunTask {
            id: record.id.clone(),
            spec,
            rootfs: RootfsMount {
                lower: self.rootfs.lower,
                upper: self.rootfs.upper,
                work: self.rootfs.work,
                volatile: self.volatile,
            },
            netns: sandbox.map(|sandbox| Arc::clone(&sandbox.netns)),
            stdio: StdioConfig {
                tty: config.tty,
                open_stdin: config.open_stdin,
                stdin_once: config.stdin_once,
                console_size: process::console_size(record.host.console_size),
            },
            log: record.log.clone(),
            seccomp_bpf: match self.runtime {
                Some(_) => None,
                None => self.filter.and_then(|filter| filter.bpf.clone()),
            },
            runtime: self.runtime,
            attachments,
        }
    }
}

fn namespaces(engine: &Inner, record: &ContainerRecord) -> Result<Namespaces, StartError> {
    let host = &record.host;
    let other = |what: &'static str, name: &str| -> Result<u32, StartError> {
        let cell = engine.registry.find(name)?;
        cell.phase().pid().ok_or(StartError::NotJoinable { what, id: cell.id.clone() })
    };
    let join = |what, name: &str, file: &str| -> Result<Ns, StartError> {
        Ok(Ns::Join(format!("/proc/{}/ns/{file}", other(what, name)?).into()))
    };
    let network = match record.network() {
        NetworkMode::Host => Ns::Host,
        NetworkMode::Container(name) => join("network", name, "net")?,
        _ if record.is_networked() => Ns::Prepared,
        _ => Ns::New,
    };
    let pid = match host.pid_mode.as_str() {
        "host" => Ns::Host,
        mode => match mode.strip_prefix("container:") {
            Some(name) => join("PID", name, "pid")?,
            None => Ns::New,
        },
    };
    let ipc = match host.ipc_mode.as_str() {
        "host" => Ns::Host,
        mode => match mode.strip_prefix("container:") {
            Some(name) => join("IPC", name, "ipc")?,
            None => Ns::New,
        },
    };
    let uts = if host.uts_mode == "host" { Ns::Host } else { Ns::New };
    let cgroup = if host.cgroupns_mode == "host" { Ns::Host } else { Ns::New };
    Ok(Namespaces { pid, network, ipc, uts, cgroup })
}
