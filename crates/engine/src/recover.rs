//! Finding again what an earlier daemon left: disk and kernel are the truth.
//!
//! The earlier one may have been killed at any step. What each step leaves, and what becomes of it:
//!
//! ```text
//! create, before the record       root file system, directory     removed
//! step of a build                  root file system, directory,    killed, removed
//!                                  task
//! create, not complete            note of it, anonymous volumes    removed
//! create, record written          created container               stays
//! start, before the task          state "up", no task              exited (255)
//! start, shim is busy with it     task directory, locked log       waited for, then adopted
//! shim killed                     control group                    removed
//! start, task runs                task, state with endpoint        adopted
//! exit, not yet seen              exit.json in the task directory  exit taken over, policy asked
//! teardown                        task directory, endpoint         taken away
//! removal                         state "removing"                 finished
//! removal of `--rm`               record, no process               finished
//! ```

use std::collections::HashSet;
use std::path::Path;
use std::sync::{Arc, Mutex};

use gantry_fault::chain;
use gantry_network::SandboxRecord;
use gantry_store::Durability;
use gantry_task::{Adopted, Exit, Task};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{EngineConfig, Parts};
use crate::container::driver::{Ask, Driver, LOST};
use crate::container::mounting;
use crate::container::phase::Phase;
use crate::container::teardown::{Leftovers, Remains};
use crate::container::{Cell, View, signal};
use crate::engine::{Engine, Facts, Inner};
use crate::events::{Events, now_ns};
use crate::record::{ContainerRecord, CreationRecord, StateRecord, Status};
use crate::seccomp_cache::{DaemonProfile, SeccompCache};
use crate::spec::caps;
use crate::spec::resources::Machine;
use crate::{Container, RecoverError};

impl Engine {
    /// Finds again what an earlier daemon left, and starts what restart policies want.
    ///
    /// # Errors
    /// [`RecoverError`]; trouble with a single container is logged.
    pub async fn recover(parts: Parts, config: EngineConfig) -> Result<Engine, RecoverError> {
        for dir in [config.data_root.join("containers"), config.exec_root.clone()] {
            make_dir(&dir)?;
        }
        let engine = Engine(Arc::new(inner(parts, config)?));
        let mut records = engine.0.parts.store.list::<ContainerRecord>()?;
        engine.take_back_creations(&mut records).await?;
        let mut states: std::collections::HashMap<String, StateRecord> =
            engine.0.parts.store.list()?.into_iter().collect();
        let tasks: HashSet<String> =
            engine.0.parts.tasks.leftovers().map_err(RecoverError::Tasks)?.into_iter().collect();
        engine.remove_orphans(&records, &tasks).await;
        let (mut due, mut known) = (Vec::new(), Vec::new());
        for (id, record) in records {
            let state = states.remove(&id).unwrap_or_default();
            let has_task = tasks.contains(&id);
            let was_up = matches!(state.status, Status::Up | Status::Restarting);
            let record = Arc::new(record);
            known.push((Arc::clone(&record), was_up));
            due.extend(engine.take_over(record, state, has_task).await);
        }
        engine.settle_volumes(known).await;
        engine.0.parts.networks.finish_adoption().await?;
        for container in due {
            // Each start runs in its driver; nobody waits for the answer.
            let (reply, _) = tokio::sync::oneshot::channel();
            let _ = container.cell.inbox.try_send(Ask::Start(reply));
        }
        Ok(engine)
    }

    /// Brings one container back; gives it when its policy wants it started.
    async fn take_over(
        &self,
        record: Arc<ContainerRecord>,
        mut state: StateRecord,
        has_task: bool,
    ) -> Option<Container> {
        let engine = &self.0;
        let id = record.id.clone();
        let task = match has_task {
            true => self.adopt(&id, &mut state).await,
            false => None,
        };
        if task.is_none() && matches!(state.status, Status::Up) {
            // No process and no word of its end: the host went down, or the daemon died between
            // recording and spawning.
            let lost = Exit { exited_at_ns: now_ns(), ..LOST };
            note_exit(&mut state, lost);
        }
        let ended = task.is_none();
        let removing = matches!(state.status, Status::Removing | Status::Dead)
            || (ended && record.host.auto_remove && state.status != Status::Created)
            || engine.parts.snapshots.rootfs(&id).is_err();
        if let Some(sandbox) = state.sandbox.clone() {
            match &task {
                Some(task) if !removing => {
                    // It may have been renamed a moment before the end of the last daemon.
                    let names = crate::net::container_names(&record);
                    let sandbox = SandboxRecord { names, ..sandbox };
                    adopt_sandbox(engine, &record, &sandbox, task).await;
                    // What an unfinished change has left was put right.
                    if let Some(now) = engine.parts.networks.sandbox(&id)
                        && now != sandbox
                    {
                        state.sandbox = Some(now);
                        save_state(engine, &id, &state).await;
                    }
                }
                // Its ports were never claimed; what it left in the kernel goes with the namespace.
                _ => drop(state.take_sandbox()),
            }
        }
        if ended {
            remove_group(engine, engine.cgroup_path(&record)).await;
        }
        if removing {
            self.finish_removal(record, &state, task);
            return None;
        }
        if ended {
            engine.unmount_shm(&id);
            save_state(engine, &id, &state).await;
        }
        Some(self.bring_back(record, state, task)).flatten()
    }

    /// Counts the volumes of containers that run, and unmounts what nobody needs any more.
    async fn settle_volumes(&self, known: Vec<(Arc<ContainerRecord>, bool)>) {
        let engine = Arc::clone(&self.0);
        let settled = tokio::task::spawn_blocking(move || {
            mounting::release_all_subpaths(&engine);
            let mut ended = Vec::new();
            for (record, was_up) in known {
                let cell = engine.registry.find(&record.id);
                if cell.is_ok_and(|cell| cell.phase().is_up()) {
                    for volume in record.volumes() {
                        engine.parts.volumes.adopt_user(&volume.source, &record.id);
                    }
                } else if was_up {
                    ended.push(record);
                }
            }
            engine.parts.volumes.settle();
            // Plugins count for themselves.
            ended.iter().for_each(|record| mounting::release(&engine, record));
        });
        // A panic in it was logged by the runtime.
        let _ = settled.await;
    }

    /// What the tasks directory knows of a container.
    async fn adopt(&self, id: &str, state: &mut StateRecord) -> Option<Task> {
        let tasks = &self.0.parts.tasks;
        match tasks.adopt(id).await {
            Ok(Adopted::Running(task)) => return Some(task),
            Ok(Adopted::Exited(exit)) => {
                if matches!(state.status, Status::Up | Status::Created) {
                    note_exit(state, exit);
                }
            }
            Ok(Adopted::Gone) => {}
            Err(error) => tracing::error!(id, error = chain(&error), "adopting a task"),
        }
        if let Err(error) = tasks.forget(id).await {
            tracing::error!(id, error = chain(&error), "forgetting a task");
        }
        None
    }

    /// Puts a container in its place and gives it its driver.
    fn bring_back(
        &self,
        record: Arc<ContainerRecord>,
        state: StateRecord,
        task: Option<Task>,
    ) -> Option<Container> {
        let engine = &self.0;
        let phase = match &task {
            Some(task) => {
                let group = engine.parts.cgroups.open(&engine.cgroup_path(&record));
                match group.is_frozen() {
                    Ok(true) => Phase::Paused { pid: task.pid() },
                    _ => Phase::Running { pid: task.pid() },
                }
            }
            None if state.status == Status::Created => Phase::Created,
            None => Phase::Exited { code: state.exit_code },
        };
        let starts = task.is_none() && Driver::starts_with_daemon(&record, &state);
        if let Err(holder) = engine.registry.claim(&record.name, &record.id) {
            tracing::error!(id = record.id, holder, "the name {} is taken", record.name);
        }
        let execs = task.as_ref().map(Task::execs).unwrap_or_default();
        let view = View { record, state: Arc::new(state), phase, task };
        let (cell, inbox) = Cell::new(view);
        engine.registry.insert(Arc::clone(&cell));
        let container = Container { engine: self.clone(), cell: Arc::clone(&cell) };
        for (id, exec) in execs {
            container.adopt_exec(id, exec);
        }
        engine.work.spawn(Driver::new(Arc::clone(engine), cell, inbox).run());
        starts.then_some(container)
    }

    /// Finishes a removal that an earlier daemon began.
    fn finish_removal(
        &self,
        record: Arc<ContainerRecord>,
        state: &StateRecord,
        task: Option<Task>,
    ) {
        let engine = Arc::clone(&self.0);
        let volumes = state.remove_volumes || record.host.auto_remove;
        self.0.work.spawn(async move {
            if let Some(task) = &task {
                end(task).await;
            }
            let leftovers = Leftovers {
                engine: Arc::clone(&engine),
                record: Arc::clone(&record),
                task,
                sandbox: None,
                netns: None,
            };
            leftovers.tell();
            mounting::release_behind(&engine, &record).await;
            leftovers.take_away().await;
            Remains { engine, record, volumes, teardown: None }.take_away().await;
        });
    }

    /// Takes back creations that were not complete: nobody was told of them.
    async fn take_back_creations(
        &self,
        records: &mut Vec<(String, ContainerRecord)>,
    ) -> Result<(), RecoverError> {
        let parts = &self.0.parts;
        for (id, creation) in parts.store.list::<CreationRecord>()? {
            records.retain(|(known, _)| *known != id);
            for volume in &creation.volumes {
                if let Err(error) = parts.volumes.remove(volume, true, &|_| Vec::new()) {
                    tracing::error!(id, error = chain(&error), "removing volume {volume}");
                }
            }
            let mut batch = parts.store.batch();
            batch.delete::<ContainerRecord>(&id).delete::<StateRecord>(&id);
            batch.delete::<CreationRecord>(&id);
            parts.store.commit_async(batch, Durability::Relaxed).await?;
        }
        Ok(())
    }

    /// Removes what belongs to no record: creations that did not get that far.
    async fn remove_orphans(&self, records: &[(String, ContainerRecord)], tasks: &HashSet<String>) {
        let engine = &self.0;
        let known: HashSet<&str> = records.iter().map(|(id, _)| id.as_str()).collect();
        for id in tasks.iter().filter(|id| !known.contains(id.as_str())) {
            if let Ok(Adopted::Running(task)) = engine.parts.tasks.adopt(id).await {
                end(&task).await;
                if let Err(error) = task.delete().await {
                    tracing::error!(id, error = chain(&error), "deleting a task without a record");
                }
            } else if let Err(error) = engine.parts.tasks.forget(id).await {
                tracing::error!(id, error = chain(&error), "forgetting a task without a record");
            }
            remove_group(engine, engine.default_cgroup_path(id)).await;
        }
        for id in engine.parts.snapshots.containers().unwrap_or_default() {
            if !known.contains(id.as_str())
                && let Err(error) = engine.parts.snapshots.remove(&id)
            {
                tracing::error!(id, error = chain(&error), "removing a root without a record");
            }
        }
        let dirs = engine.config.data_root.join("containers");
        let entries = std::fs::read_dir(&dirs).into_iter().flatten().flatten();
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            if !known.contains(name.as_str())
                && let Err(error) = std::fs::remove_dir_all(entry.path())
            {
                tracing::error!(%error, "removing {}", entry.path().display());
            }
        }
    }
}

fn inner(parts: Parts, config: EngineConfig) -> Result<Inner, RecoverError> {
    gantry_logs::LogConfig::from_docker(&config.default_log.kind, &config.default_log.config)?;
    let daemon = match &config.seccomp_profile {
        None => DaemonProfile::Builtin,
        Some(path) if path.as_os_str() == "unconfined" => DaemonProfile::Unconfined,
        Some(path) if path.as_os_str() == "builtin" => DaemonProfile::Builtin,
        Some(path) => DaemonProfile::Json(
            std::fs::read_to_string(path)
                .map_err(|source| RecoverError::Seccomp { path: path.clone(), source })?,
        ),
    };
    let seccomp = SeccompCache::open(&config.exec_root, daemon).map_err(|source| {
        RecoverError::Directory { path: config.exec_root.join("seccomp"), source }
    })?;
    let cpus = std::thread::available_parallelism().map_or(1, usize::from);
    let private_cgroupns = match config.default_cgroupns.as_str() {
        "private" => true,
        "host" => false,
        // As in Docker: the v1 trees cannot be told apart inside such a namespace.
        _ => parts.cgroups.version() == gantry_cgroup::Version::V2,
    };
    let facts = Facts {
        caps: caps::available(),
        machine: Machine {
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            features: parts.cgroups.features(),
        },
        private_cgroupns,
    };
    Ok(Inner {
        parts,
        config,
        events: Events::default(),
        registry: Default::default(),
        execs: Default::default(),
        steps: Default::default(),
        seccomp,
        users: Default::default(),
        facts,
        work: TaskTracker::new(),
        ending: CancellationToken::new(),
        pruning: tokio::sync::Mutex::new(()),
        known_dirs: Mutex::default(),
    })
}

fn make_dir(dir: &Path) -> Result<(), RecoverError> {
    use std::os::unix::fs::DirBuilderExt as _;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o710).create(dir);
    made.map_err(|source| RecoverError::Directory { path: dir.to_owned(), source })
}

fn note_exit(state: &mut StateRecord, exit: Exit) {
    state.status = Status::Exited;
    state.exit_code = exit.code;
    state.oom_killed = exit.oom_killed;
    state.finished_at_ns = exit.exited_at_ns;
}

/// Removes the control group of a container that has no task. The task removes it as a rule; one
/// whose shim was killed between making it and noting it could not. The path ends in the
/// container's id, so it is nobody else's, whoever shares the parent.
async fn remove_group(engine: &Arc<Inner>, path: String) {
    let engine = Arc::clone(engine);
    let removed = tokio::task::spawn_blocking(move || {
        let group = engine.parts.cgroups.open(&path);
        if !group.directories().iter().any(|(_, directory)| directory.is_dir()) {
            return;
        }
        let removed = group.kill_all(signal::KILL).and_then(|()| group.remove());
        if let Err(error) = removed {
            tracing::error!(path, error = chain(&error), "removing a control group");
        }
    });
    // A panic in it was logged by the runtime.
    let _ = removed.await;
}

/// Takes over the place of a running container on its networks.
async fn adopt_sandbox(
    engine: &Inner,
    record: &ContainerRecord,
    sandbox: &SandboxRecord,
    task: &Task,
) {
    let id = &sandbox.container_id;
    let adopted = match std::fs::File::open(format!("/proc/{}/ns/net", task.pid())) {
        Ok(netns) => engine.parts.networks.adopt(sandbox, netns.into()).await,
        Err(error) => {
            // It has ended just now, which its task tells.
            return tracing::warn!(id, %error, "opening the network namespace");
        }
    };
    if let Err(error) = adopted {
        return tracing::error!(id, error = chain(&error), "taking over a network namespace");
    }
    let gateway = engine.host_gateway();
    if let Err((path, error)) = crate::net::settle_files(&engine.config, record, sandbox, gateway) {
        tracing::error!(id, path = %path.display(), %error, "settling a container's files");
    }
}

/// Kills a task and waits for its end.
async fn end(task: &Task) {
    let mut exit = task.exit();
    // One that has ended needs no signal.
    let _ = task.kill(signal::KILL, true).await;
    let _ = exit.wait_for(Option::is_some).await;
}

async fn save_state(engine: &Inner, id: &str, state: &StateRecord) {
    let mut batch = engine.parts.store.batch();
    batch.put(id, state);
    if let Err(error) = engine.parts.store.commit_async(batch, Durability::Relaxed).await {
        tracing::error!(id, error = chain(&error), "recording a state");
    }
}
