//! Bringing a container up, step by step, each with its span: resolve, join, record, spec, spawn.
//! What a failed step has acquired is released before the error is told.

use std::net::IpAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

use gantry_api_types::NullableList as _;
use gantry_network::{JoinError, Sandbox};
use gantry_oci::runtime::Spec;
use gantry_snapshot::Rootfs;
use gantry_store::Durability;
use gantry_task::{Attachment, RootfsMount, RunError, RunTask, StdioConfig, Task};
use tracing::Instrument as _;

use super::driver::Driver;
use super::mounting::{self, Sources};
use super::phase::{Event, Phase};
use crate::engine::Inner;
use crate::events::now_ns;
use crate::net::{self, Linked};
use crate::record::{ContainerRecord, NetworkMode, Status};
use crate::seccomp_cache::Filter;
use crate::spec::mounts::{MountInput, Shm};
use crate::spec::security::SecurityOptions;
use crate::spec::user::Identity;
use crate::spec::{self, Namespaces, Ns, caps, devices, process, resources, security, user};
use crate::{StartError, error::Invalid};

/// What was looked up before anything is acquired.
struct Plan {
    rootfs: Rootfs,
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

impl Driver {
    /// Starts the container.
    pub(super) async fn start(&mut self) -> Result<(), StartError> {
        self.phase.on(Event::Start).map_err(|reject| StartError::Rejected {
            reject,
            words: reject.words(&self.cell.id, &self.record.name),
        })?;
        if let Some(teardown) = self.teardown.take() {
            // The last run's address and task directory must be free.
            let _ = teardown.await;
        }
        let span = tracing::info_span!("start", id = self.record.short_id());
        let attachments = std::mem::take(&mut self.early);
        match self.bring_up(attachments).instrument(span).await {
            Ok((task, netns)) => {
                let event = Event::Started { pid: task.pid() };
                self.phase = self.phase.on(event).map_or(self.phase, |(phase, _)| phase);
                self.hold(task, netns);
                self.show();
                self.tell("start", &[]);
                self.watch_health();
                Ok(())
            }
            Err(error) => {
                let code = error.exit_code();
                self.restart_at = None;
                let failed = self.phase.on(Event::StartFailed { code });
                self.phase = failed.map_or(self.phase, |(phase, _)| phase);
                self.state.status = match self.phase {
                    Phase::Created => Status::Created,
                    _ => Status::Exited,
                };
                self.state.exit_code = code;
                self.state.error = error.state_error();
                self.state.take_sandbox();
                self.save_state(Durability::Relaxed).await;
                self.show();
                Err(error)
            }
        }
    }

    async fn bring_up(
        &mut self,
        attachments: Vec<Attachment>,
    ) -> Result<(Task, Option<Arc<OwnedFd>>), StartError> {
        let (engine, record) = (Arc::clone(&self.engine), Arc::clone(&self.record));
        let span = tracing::debug_span!("mounts");
        let mounts = mounting::ready(&engine, &record).instrument(span).await?;
        let done = self.bring_up_with(mounts, attachments).await;
        match &done {
            Ok(_) => mounting::release_subpaths(&engine, &record),
            Err(_) => mounting::release_behind(&engine, &record).await,
        }
        done
    }

    async fn bring_up_with(
        &mut self,
        mounts: Sources,
        attachments: Vec<Attachment>,
    ) -> Result<(Task, Option<Arc<OwnedFd>>), StartError> {
        let (engine, record) = (Arc::clone(&self.engine), Arc::clone(&self.record));
        let span = tracing::debug_span!("resolve");
        let plan = Plan::make(&engine, &record, mounts).instrument(span).await?;
        let span = tracing::debug_span!("join");
        let sandbox = self.join().instrument(span).await?;
        let started = self.spawn(plan, sandbox.as_ref(), attachments).await;
        match started {
            Ok(task) => {
                if let Some(sandbox) = &sandbox {
                    engine.tell_endpoints("connect", &sandbox.record);
                    let bridge = self.state.endpoint_on("bridge");
                    let addresses = bridge.map(gantry_network::EndpointRecord::addresses);
                    if let Some(address) = addresses.iter().flatten().next() {
                        net::tell_linked(&engine, &record, *address);
                    }
                }
                engine.tell_mounts(&record);
                Ok((task, sandbox.map(|sandbox| sandbox.netns)))
            }
            Err(error) => {
                if sandbox.is_some()
                    && let Err(error) = engine.parts.networks.leave(&record.id).await
                {
                    tracing::error!(id = record.id, %error, "leaving the network");
                }
                engine.unmount_shm(&record.id);
                Err(error)
            }
        }
    }

    async fn join(&self) -> Result<Option<Sandbox>, StartError> {
        let (engine, record) = (&self.engine, &self.record);
        let request = net::join_request(engine, record, &self.state.last_addresses)?;
        let Some(request) = request else { return Ok(None) };
        let failed = |source: JoinError| match source.is_about_ports() {
            true => {
                StartError::Publish { name: record.name.clone(), id: record.id.clone(), source }
            }
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

    /// Records what must be found again if this daemon dies now, then runs the task.
    async fn spawn(
        &mut self,
        plan: Plan,
        sandbox: Option<&Sandbox>,
        attachments: Vec<Attachment>,
    ) -> Result<Task, StartError> {
        let (engine, record) = (Arc::clone(&self.engine), Arc::clone(&self.record));
        write_network_files(&engine, &record, sandbox, &plan.linked.hosts)?;
        self.state.status = Status::Up;
        self.state.error.clear();
        self.state.oom_killed = false;
        self.state.stopped_by_hand = false;
        self.state.exit_code = 0;
        self.state.started_at_ns = now_ns();
        self.state.sandbox = sandbox.map(|sandbox| sandbox.record.clone());
        let save = self.save_state(Durability::Relaxed).instrument(tracing::debug_span!("record"));
        let built = async {
            let _span = tracing::debug_span!("spec").entered();
            plan.spec(&engine, &record)
        };
        let ((), spec) = tokio::join!(save, built);
        let request = plan.request(&record, spec?, sandbox, attachments);
        let span = tracing::debug_span!("spawn");
        engine.parts.tasks.run(request).instrument(span).await.map_err(run_error)
    }
}

fn run_error(error: RunError) -> StartError {
    match error {
        RunError::Start { kind, message } => StartError::Runtime { kind, message },
        RunError::UnknownRuntime(name) => {
            StartError::Invalid(Invalid(format!("unknown or invalid runtime name: {name}")))
        }
        other => StartError::Task(other),
    }
}

fn write_network_files(
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
    async fn make(
        engine: &Inner,
        record: &ContainerRecord,
        mounts: Sources,
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
        let rootfs = engine.parts.snapshots.rootfs(&record.id)?;
        let users = engine.users.of(&engine.parts.snapshots, record, &rootfs).await?;
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
            options,
            caps,
            filter,
            identity,
            namespaces,
            shm,
        })
    }

    fn spec(&self, engine: &Inner, record: &ContainerRecord) -> Result<Spec, StartError> {
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

    fn request(
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
