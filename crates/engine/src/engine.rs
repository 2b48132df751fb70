//! Every container of one daemon.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gantry_image::ImageUser;
use gantry_oci::Digest;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::config::{BUILT_IN_RUNTIME, EngineConfig, Parts};
use crate::events::{EventKind, Events};
use crate::exec::Execs;
use crate::identity::UserCache;
use crate::record::ContainerRecord;
use crate::registry::Registry;
use crate::seccomp_cache::SeccompCache;
use crate::spec::mounts::Shm;
use crate::spec::resources::Machine;
use crate::step::LiveSteps;
use crate::{Container, Exec, LookupError, StartError, error::Invalid};

/// The containers; clones share them.
#[derive(Debug, Clone)]
pub struct Engine(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) parts: Parts,
    pub(crate) config: EngineConfig,
    pub(crate) events: Events,
    pub(crate) registry: Registry,
    pub(crate) execs: Execs,
    /// Steps of builds that run.
    pub(crate) steps: LiveSteps,
    pub(crate) seccomp: SeccompCache,
    pub(crate) users: UserCache,
    pub(crate) facts: Facts,
    /// Drivers, and the work that goes on behind answers.
    pub(crate) work: TaskTracker,
    /// Tells drivers and watchers to let go; containers run on.
    pub(crate) ending: CancellationToken,
    /// One prune at a time.
    pub(crate) pruning: tokio::sync::Mutex<()>,
    /// Directories that images are known to have, for working directories.
    pub(crate) known_dirs: std::sync::Mutex<std::collections::HashSet<(Digest, String)>>,
}

/// What does not change while the daemon runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    /// This process's bounding set of capabilities.
    pub(crate) caps: u64,
    /// CPUs and control groups.
    pub(crate) machine: Machine,
    /// Whether containers get a control group namespace unless they say otherwise.
    pub(crate) private_cgroupns: bool,
}

impl Engine {
    /// Ends the work in progress and the drivers, within the shutdown time. Containers run on.
    pub async fn shutdown(&self) {
        let inner = &self.0;
        inner.ending.cancel();
        inner.work.close();
        let limit = Duration::from_secs(u64::from(inner.config.shutdown_timeout_s));
        if tokio::time::timeout(limit, inner.work.wait()).await.is_err() {
            tracing::warn!("shutdown goes on without the work that is left");
        }
        inner.parts.networks.close().await;
    }

    /// A container by full id, name (with or without the slash) or unique id prefix.
    ///
    /// # Errors
    /// [`LookupError`].
    pub fn container(&self, name: &str) -> Result<Container, LookupError> {
        let cell = match self.0.registry.find(name) {
            Ok(cell) => cell,
            Err(error) => self.0.find_linked(name).ok_or(error)?,
        };
        Ok(Container { engine: self.clone(), cell })
    }

    /// Every container, newest first.
    #[must_use]
    pub fn containers(&self) -> Vec<Container> {
        let mut cells = self.0.registry.all();
        cells.sort_by_key(|cell| std::cmp::Reverse(cell.record().created_ns));
        cells.into_iter().map(|cell| Container { engine: self.clone(), cell }).collect()
    }

    /// An exec by id.
    ///
    /// # Errors
    /// [`LookupError::NoExec`].
    pub fn exec(&self, id: &str) -> Result<Exec, LookupError> {
        self.0.execs.find(id).map(|cell| Exec { engine: self.clone(), cell })
    }

    /// What happens.
    #[must_use]
    pub fn events(&self) -> &Events {
        &self.0.events
    }

    /// The engine's settings.
    #[must_use]
    pub fn config(&self) -> &EngineConfig {
        &self.0.config
    }

    /// The services below.
    #[must_use]
    pub fn parts(&self) -> &Parts {
        &self.0.parts
    }

    /// The images.
    #[must_use]
    pub fn images(&self) -> &gantry_image::Images {
        &self.0.parts.images
    }

    /// The volumes; for removal and prune see [`Engine::volume_users`].
    #[must_use]
    pub fn volumes(&self) -> &gantry_volume::Volumes {
        &self.0.parts.volumes
    }

    /// The ids of the containers that use a volume.
    #[must_use]
    pub fn volume_users(&self, name: &str) -> Vec<String> {
        self.0.volume_users(name)
    }

    /// The ids of the containers that run with a volume.
    #[must_use]
    pub fn volume_runs(&self, name: &str) -> Vec<String> {
        let cells = self.0.registry.all();
        let uses = |record: &ContainerRecord| record.volumes().any(|mount| mount.source == name);
        let runs = cells.iter().filter(|cell| cell.phase().is_up() && uses(&cell.record()));
        runs.map(|cell| cell.id.clone()).collect()
    }

    /// The containers that use an image.
    #[must_use]
    pub fn image_users(&self, id: &Digest) -> Vec<ImageUser> {
        let cells = self.0.registry.all();
        let users = cells.iter().filter(|cell| cell.record().image == *id);
        let user = |cell: &Arc<crate::container::Cell>| ImageUser {
            container_id: cell.id.clone(),
            running: cell.phase().counts_as_running(),
        };
        users.map(user).collect()
    }
}

impl Inner {
    /// Directories that images are known to have.
    pub(crate) fn known_dirs(
        &self,
    ) -> std::sync::MutexGuard<'_, std::collections::HashSet<(Digest, String)>> {
        self.known_dirs.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The ids of the containers that use a volume.
    pub(crate) fn volume_users(&self, name: &str) -> Vec<String> {
        let uses = |record: &ContainerRecord| record.volumes().any(|mount| mount.source == name);
        let cells = self.registry.all();
        cells.iter().filter(|cell| uses(&cell.record())).map(|cell| cell.id.clone()).collect()
    }

    /// The control group of a container, below every hierarchy.
    pub(crate) fn cgroup_path(&self, record: &ContainerRecord) -> String {
        match record.host.cgroup_parent.as_str() {
            "" => self.default_cgroup_path(&record.id),
            parent => format!("/{}/{}", parent.trim_matches('/'), record.id),
        }
    }

    /// The control group of a container that names no parent.
    pub(crate) fn default_cgroup_path(&self, id: &str) -> String {
        format!("/{}/{id}", self.config.cgroup_parent.trim_matches('/'))
    }

    /// The runtime of a container; `None` is the built-in one.
    pub(crate) fn runtime_of(&self, record: &ContainerRecord) -> Option<String> {
        let name = match record.host.runtime.as_str() {
            "" => self.config.default_runtime.as_str(),
            name => name,
        };
        (!name.is_empty() && name != BUILT_IN_RUNTIME).then(|| name.to_owned())
    }

    /// `/dev/shm` of a container; one that others may share is mounted here.
    pub(crate) fn shm_of(&self, record: &ContainerRecord) -> Result<Shm, StartError> {
        let host = &record.host;
        match host.ipc_mode.as_str() {
            "none" => Ok(Shm::None),
            "host" => Ok(Shm::Bind("/dev/shm".into())),
            "shareable" => self.mount_shm(record).map(Shm::Bind),
            mode => match mode.strip_prefix("container:") {
                Some(other) => {
                    let donor = self.registry.find(other)?.record();
                    match donor.host.ipc_mode.as_str() {
                        "host" => Ok(Shm::Bind("/dev/shm".into())),
                        "shareable" => Ok(Shm::Bind(self.shm_dir(&donor.id))),
                        _ => Err(Invalid(format!(
                            "cannot join IPC of container {}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)",
                            donor.id
                        ))
                        .into()),
                    }
                }
                None => Ok(Shm::Own(host.shm_size)),
            },
        }
    }

    fn shm_dir(&self, id: &str) -> PathBuf {
        self.config.exec_root.join("shm").join(id)
    }

    fn mount_shm(&self, record: &ContainerRecord) -> Result<PathBuf, StartError> {
        let path = self.shm_dir(&record.id);
        self.unmount_shm(&record.id);
        let failed = |source: std::io::Error| StartError::File {
            step: "mounting",
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(&path).map_err(failed)?;
        let flags = rustix::mount::MountFlags::NOSUID
            | rustix::mount::MountFlags::NOEXEC
            | rustix::mount::MountFlags::NODEV;
        let size = std::ffi::CString::new(format!("mode=1777,size={}", record.host.shm_size))
            .map_err(|_| failed(std::io::ErrorKind::InvalidInput.into()))?;
        rustix::mount::mount("shm", &path, "tmpfs", flags, size.as_c_str())
            .map_err(|error| failed(error.into()))?;
        Ok(path)
    }

    /// Unmounts a shared `/dev/shm`, if there is one.
    pub(crate) fn unmount_shm(&self, id: &str) {
        let path = self.shm_dir(id);
        if path.symlink_metadata().is_err() {
            return;
        }
        // Not mounted is as good; what cannot go now goes with the last user.
        let _ = rustix::mount::unmount(&path, rustix::mount::UnmountFlags::DETACH);
        let _ = std::fs::remove_dir(&path);
    }

    /// Publishes that a volume was made or destroyed.
    pub(crate) fn tell_volume(&self, action: &str, name: &str, driver: &str) {
        let attributes = [("driver".to_owned(), driver.to_owned())].into();
        self.events.publish(EventKind::Volume, action, name, attributes);
    }

    /// Publishes the mount events of a container's volumes.
    pub(crate) fn tell_mounts(&self, record: &ContainerRecord) {
        for mount in record.volumes() {
            let attributes = [
                ("container", record.id.clone()),
                ("destination", mount.target.clone()),
                ("driver", mount.driver.clone()),
                ("propagation", mount.propagation.clone()),
                ("read/write", (!mount.read_only).to_string()),
            ];
            let attributes = attributes.map(|(key, value)| (key.to_owned(), value)).into();
            self.events.publish(EventKind::Volume, "mount", mount.source.as_str(), attributes);
        }
    }
}
