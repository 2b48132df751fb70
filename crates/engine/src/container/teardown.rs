//! What a run leaves, and what a removed container leaves: taken away behind the answers.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use gantry_fault::chain;
use gantry_network::SandboxRecord;
use gantry_store::Durability;
use gantry_task::Task;
use tokio::task::JoinHandle;

use super::RemoveOptions;
use super::driver::Driver;
use super::phase::Phase;
use crate::engine::Inner;
use crate::events::EventKind;
use crate::record::{ContainerRecord, StateRecord, Status};

/// What an ended run leaves.
pub(crate) struct Leftovers {
    pub(crate) engine: Arc<Inner>,
    pub(crate) record: Arc<ContainerRecord>,
    pub(crate) task: Option<Task>,
    pub(crate) sandbox: Option<SandboxRecord>,
    pub(crate) netns: Option<Arc<OwnedFd>>,
}

impl Leftovers {
    /// Publishes what goes, in Docker's order: behind the container's end, before its removal.
    pub(crate) fn tell(&self) {
        let id = self.record.id.as_str();
        if let Some(sandbox) = &self.sandbox {
            self.engine.tell_endpoints("disconnect", sandbox);
        }
        for volume in self.record.volumes() {
            let attributes = [("driver", volume.driver.as_str()), ("container", id)];
            let attributes = attributes.map(|(k, v)| (k.to_owned(), v.to_owned()));
            let source = volume.source.as_str();
            self.engine.events.publish(EventKind::Volume, "unmount", source, attributes.into());
        }
    }

    /// Takes everything away but volumes, which are released before the end is told; what fails is
    /// logged, and the rest goes on.
    pub(crate) async fn take_away(self) {
        let id = self.record.id.as_str();
        let engine = &self.engine;
        if self.sandbox.is_some()
            && let Err(error) = engine.parts.networks.leave(id).await
        {
            tracing::error!(id, error = chain(&error), "leaving the network");
        }
        drop(self.netns);
        if let Some(task) = self.task
            && let Err(error) = task.delete().await
        {
            tracing::error!(id, error = chain(&error), "deleting the task");
        }
        engine.unmount_shm(id);
    }
}

/// What a removed container leaves.
pub(crate) struct Remains {
    pub(crate) engine: Arc<Inner>,
    pub(crate) record: Arc<ContainerRecord>,
    /// Whether its anonymous volumes go too.
    pub(crate) volumes: bool,
    /// Its last run's leftovers, which go first.
    pub(crate) teardown: Option<JoinHandle<()>>,
}

impl Remains {
    /// Takes everything away. The records go last: a daemon that is killed before that finishes
    /// the removal when it starts again.
    pub(crate) async fn take_away(self) {
        if let Some(teardown) = self.teardown {
            // A panic in it was logged by the runtime.
            let _ = teardown.await;
        }
        let (engine, record) = (Arc::clone(&self.engine), Arc::clone(&self.record));
        let volumes = self.volumes;
        let files = tokio::task::spawn_blocking(move || remove_files(&engine, &record, volumes));
        let _ = files.await;
        let mut batch = self.engine.parts.store.batch();
        batch.delete::<ContainerRecord>(&self.record.id).delete::<StateRecord>(&self.record.id);
        let committed = self.engine.parts.store.commit_async(batch, Durability::Relaxed).await;
        if let Err(error) = committed {
            tracing::error!(id = self.record.id, error = chain(&error), "forgetting a container");
        }
    }
}

fn remove_files(engine: &Inner, record: &ContainerRecord, volumes: bool) {
    let id = record.id.as_str();
    if let Err(error) = engine.parts.snapshots.remove(id) {
        tracing::error!(id, error = chain(&error), "removing the root file system");
    }
    let dir = engine.config.container_dir(id);
    if let Err(error) = std::fs::remove_dir_all(&dir)
        && error.kind() != std::io::ErrorKind::NotFound
    {
        tracing::error!(id, %error, "removing {}", dir.display());
    }
    for volume in record.anonymous_volumes().filter(|_| volumes) {
        let users = |name: &str| engine.volume_users(name);
        match engine.parts.volumes.remove(volume, true, &users) {
            Ok(Some(removed)) => engine.tell_volume("destroy", volume, &removed.driver),
            // Gone with another container that had it too.
            Ok(None) => {}
            // Another container took it over by `--volumes-from`.
            Err(gantry_volume::VolumeError::InUse { .. }) => {}
            Err(error) => tracing::error!(id, error = chain(&error), "removing volume {volume}"),
        }
    }
}

impl Driver {
    /// Removes the container: name and id are free when this returns, the rest goes behind.
    pub(super) async fn delete(&mut self, options: RemoveOptions) {
        self.phase = Phase::Removing;
        // Nobody expects a container of `--rm` to be there after a restart of the daemon, so its
        // removal needs no record.
        if !self.record.host.auto_remove {
            self.state.status = Status::Removing;
            self.state.remove_volumes = options.volumes;
            self.save_state(Durability::Relaxed).await;
        }
        self.early.clear();
        self.engine.registry.remove(&self.cell.id, &self.record.name);
        self.engine.execs.forget_container(&self.cell.id);
        self.show();
        let remains = Remains {
            engine: Arc::clone(&self.engine),
            record: Arc::clone(&self.record),
            volumes: options.volumes,
            teardown: self.teardown.take(),
        };
        let waited = options.volumes && self.record.anonymous_volumes().next().is_some();
        let taken = self.engine.work.spawn(remains.take_away());
        if waited {
            // Who asks for its volumes to go looks for them next. A panic was logged.
            let _ = taken.await;
        }
        self.show_removed();
        self.tell("destroy", &[]);
    }
}
