//! Volumes: local ones, with whatever their options mount, and those of plugins.
//!
//! ```text
//! volumes/
//!   <name>/_data      what containers see; the options' mount is made here
//!   <name>/filling    the copy of an image's content into it is not complete
//!   .trash-<n>        being deleted
//! ```
//!
//! The directories are the truth: one without a record (a power cut ate it) is taken in again at
//! start, and nothing but [`Volumes::remove`] and [`Volumes::prune`] deletes data. What is mounted
//! is read from the kernel; who needs it mounted is told again by [`Volumes::adopt_user`] after a
//! restart of the daemon, and [`Volumes::settle`] unmounts the rest.

#![forbid(unsafe_code)]

mod error;
mod fill;
mod local;
mod mount;
mod names;
mod options;
mod plugin;
mod quota;
mod record;
mod show;
mod using;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, atomic::AtomicU64},
};

use gantry_store::{Durability, Store};

pub use crate::error::VolumeError;
pub use crate::mount::MountError;
pub use crate::plugin::{PluginConfig, PluginError};
pub use crate::record::{ANONYMOUS_LABEL, CreateVolume, Created, LOCAL, Shown, Volume};
pub use crate::using::Held;

use crate::names::Busy;
use crate::options::LocalOptions;
use crate::plugin::Plugins;

/// The volumes; clones share them.
#[derive(Clone, Debug)]
pub struct Volumes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    store: Store,
    plugins: Plugins,
    volumes: Mutex<BTreeMap<String, Volume>>,
    /// Names that are being worked on.
    busy: Busy,
    /// Who needs a local volume's mount, by the volume's name.
    users: Mutex<HashMap<String, BTreeSet<String>>>,
    next_number: AtomicU64,
}

impl Volumes {
    /// Opens or makes the volumes in `dir`, with plugins in Docker's places.
    ///
    /// # Errors
    /// When directories or records cannot be read.
    pub fn open(dir: &Path, store: Store) -> Result<Self, VolumeError> {
        Self::open_with(dir, store, PluginConfig::default())
    }

    /// The same with plugins elsewhere.
    ///
    /// # Errors
    /// As [`Volumes::open`].
    pub fn open_with(dir: &Path, store: Store, plugins: PluginConfig) -> Result<Self, VolumeError> {
        let dir = local::make_root(dir)?;
        let volumes: BTreeMap<String, Volume> = store.list()?.into_iter().collect();
        let volumes = Self(Arc::new(Inner {
            dir,
            store,
            plugins: Plugins::new(plugins),
            volumes: Mutex::new(volumes),
            busy: Busy::default(),
            users: Mutex::default(),
            next_number: AtomicU64::new(0),
        }));
        volumes.adopt()?;
        Ok(volumes)
    }

    /// Makes a volume; one that exists is returned as it is, whatever its options and labels, as
    /// Docker has it.
    ///
    /// # Errors
    /// For a bad name, a name that another driver has, an unknown driver or option, or when it
    /// cannot be made; then nothing is left of it.
    pub fn create(&self, create: CreateVolume) -> Result<Created, VolumeError> {
        let (name, anonymous) = match create.name.filter(|name| !name.is_empty()) {
            Some(name) => (name, create.anonymous),
            None => (names::random()?, true),
        };
        let _claim = self.0.busy.claim(&name);
        if let Some(volume) = self.known(&name, &create.driver)? {
            return Ok(Created { volume, is_new: false });
        }
        let mut volume = Volume {
            name,
            driver: match create.driver.as_str() {
                "" => LOCAL.to_owned(),
                named => named.to_owned(),
            },
            created_at: record::now(),
            labels: create.labels,
            options: create.options,
            ..Volume::default()
        };
        if anonymous {
            volume.mark_anonymous();
        }
        match volume.is_local() {
            true => self.make_local(&mut volume)?,
            false => self.make_in_plugin(&volume)?,
        }
        // An anonymous one that a power cut makes us forget is taken in again from its directory.
        let relaxed = volume.anonymous && volume.is_local();
        let durability = if relaxed { Durability::Relaxed } else { Durability::Durable };
        if let Err(error) = self.save(&volume, durability) {
            if volume.is_local() {
                self.discard(&volume);
            }
            return Err(error);
        }
        self.volumes().insert(volume.name.clone(), volume.clone());
        Ok(Created { volume, is_new: true })
    }

    /// The volume that a creation finds, if there is one.
    fn known(&self, name: &str, driver: &str) -> Result<Option<Volume>, VolumeError> {
        let known = self.volumes().get(name).cloned();
        let Some(volume) = known else {
            return match driver {
                "" if !names::is_random(name) => self.take_in_from_plugins(name),
                _ => Ok(None),
            };
        };
        if !volume.is_local() && !self.is_in_plugin(&volume)? {
            // Removed behind our back.
            self.forget(name)?;
            return Ok(None);
        }
        if !driver.is_empty() && driver != volume.driver {
            return Err(VolumeError::Taken { name: name.to_owned(), driver: volume.driver });
        }
        Ok(Some(volume))
    }

    /// A volume by name.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`].
    pub fn get(&self, name: &str) -> Result<Volume, VolumeError> {
        self.volumes().get(name).cloned().ok_or_else(|| VolumeError::NotFound(name.to_owned()))
    }

    /// All volumes that we know, by name; for those of plugins too see [`Volumes::shown`].
    #[must_use]
    pub fn list(&self) -> Vec<Volume> {
        self.volumes().values().cloned().collect()
    }

    /// Where a volume's data is; for one of a plugin where it was mounted last.
    #[must_use]
    pub fn mountpoint(&self, name: &str) -> PathBuf {
        match self.volumes().get(name) {
            Some(volume) if !volume.is_local() => {
                volume.plugin_path.clone().unwrap_or_default().into()
            }
            _ => self.local_path(name),
        }
    }

    /// The drivers that are there: the built-in one, and the plugins that were used so far.
    #[must_use]
    pub fn drivers(&self) -> Vec<String> {
        let mut drivers = self.0.plugins.known();
        drivers.push(LOCAL.to_owned());
        drivers.sort_unstable();
        drivers
    }

    /// Removes a volume and its data; `users` names the containers that use it.
    ///
    /// With `force` a missing one is no error, and one whose plugin fails is forgotten. Gives what
    /// was removed.
    ///
    /// # Errors
    /// [`VolumeError::InUse`], [`VolumeError::NotFound`], or when it cannot be removed.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        users: &dyn Fn(&str) -> Vec<String>,
    ) -> Result<Option<Volume>, VolumeError> {
        let _claim = self.0.busy.claim(name);
        let known = self.volumes().get(name).cloned();
        let known = match known {
            None => self.take_in_from_plugins(name)?,
            known => known,
        };
        let Some(volume) = known else {
            return if force { Ok(None) } else { Err(VolumeError::NotFound(name.to_owned())) };
        };
        let containers = users(name);
        if !containers.is_empty() {
            return Err(VolumeError::InUse { name: name.to_owned(), containers });
        }
        if volume.is_local() {
            self.delete(&volume)?;
            return Ok(Some(volume));
        }
        match self.remove_in_plugin(&volume) {
            Err(error) if force => tracing::warn!(name, %error, "forgetting a plugin's volume"),
            other => other?,
        }
        self.forget(name)?;
        Ok(Some(volume))
    }

    /// Removes all unused plain volumes that `wanted` picks; returns their names and the bytes
    /// freed.
    ///
    /// # Errors
    /// When one cannot be removed; those before it are gone.
    pub fn prune(
        &self,
        wanted: &dyn Fn(&Volume) -> bool,
        in_use: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<String>, u64), VolumeError> {
        let (mut names, mut freed) = (Vec::new(), 0);
        for volume in self.list().into_iter().filter(|volume| volume.is_plain() && wanted(volume)) {
            let name = volume.name.as_str();
            let _claim = self.0.busy.claim(name);
            if in_use(name) || !self.volumes().contains_key(name) {
                continue;
            }
            let size = self.usage(name).unwrap_or_default();
            self.delete(&volume)?;
            freed += size;
            names.push(volume.name);
        }
        Ok((names, freed))
    }

    /// Options of a local volume; they were checked when it was made.
    fn options(volume: &Volume) -> Result<LocalOptions, VolumeError> {
        LocalOptions::read(&volume.name, volume.options.as_ref())
    }

    fn save(&self, volume: &Volume, durability: Durability) -> Result<(), VolumeError> {
        let mut batch = self.0.store.batch();
        batch.put(&volume.name, volume);
        Ok(self.0.store.commit(batch, durability)?)
    }

    /// Forgets a volume. One that comes back after a power cut can be removed again, as one whose
    /// directory comes back would have to be.
    fn forget(&self, name: &str) -> Result<(), VolumeError> {
        let mut batch = self.0.store.batch();
        batch.delete::<Volume>(name);
        self.0.store.commit(batch, Durability::Relaxed)?;
        self.volumes().remove(name);
        Ok(())
    }

    fn volumes(&self) -> MutexGuard<'_, BTreeMap<String, Volume>> {
        self.0.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
