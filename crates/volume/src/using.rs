//! Mounting volumes while somebody needs them.
//!
//! A local volume with a device is mounted when its first user comes and unmounted when the last
//! one has gone. A plugin is told of each user, and counts itself.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{MutexGuard, PoisonError};

use gantry_store::Durability;

use crate::{Volume, VolumeError, Volumes, mount};

/// A volume that is mounted while this is held.
#[derive(Debug)]
pub struct Held {
    volumes: Volumes,
    name: String,
    user: String,
    path: PathBuf,
    mounted: bool,
}

impl Held {
    /// Where its data is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.mounted
            && let Err(error) = self.volumes.unmount(&self.name, &self.user)
        {
            tracing::warn!(name = self.name, %error, "unmounting a volume");
        }
    }
}

impl Volumes {
    /// Whether a volume has to be mounted before it can be used; [`Volumes::mount`] blocks then.
    #[must_use]
    pub fn is_mounted_on_use(&self, name: &str) -> bool {
        let plain =
            |volume: &Volume| volume.is_plain() || (volume.is_local() && !has_device(volume));
        self.volumes().get(name).is_some_and(|volume| !plain(volume))
    }

    /// Makes a volume ready for a user, who is counted once; gives where its data is.
    ///
    /// # Errors
    /// When there is no such volume, or it cannot be mounted.
    pub fn mount(&self, name: &str, user: &str) -> Result<PathBuf, VolumeError> {
        let volume = self.get(name)?;
        if !volume.is_local() {
            return self.mount_in_plugin(&volume, user);
        }
        let options = Self::options(&volume)?;
        let path = self.local_path(name);
        if !options.is_mounted() {
            return Ok(path);
        }
        let _claim = self.0.busy.claim(name);
        let mounted = mount::is_mounted(&path);
        if !mounted.map_err(VolumeError::io("looking for mounts at", &path))? {
            mount::mount(&options, &path)?;
        }
        self.users().entry(name.to_owned()).or_default().insert(user.to_owned());
        Ok(path)
    }

    /// Takes a user away; the last one's going unmounts the volume.
    ///
    /// # Errors
    /// When it cannot be unmounted. A volume that is gone is no error.
    pub fn unmount(&self, name: &str, user: &str) -> Result<(), VolumeError> {
        let Ok(volume) = self.get(name) else { return Ok(()) };
        if !volume.is_local() {
            let plugin = self.0.plugins.get(&volume.driver).map_err(VolumeError::PluginMount)?;
            return plugin.unmount(name, user).map_err(VolumeError::PluginMount);
        }
        if !has_device(&volume) {
            return Ok(());
        }
        let _claim = self.0.busy.claim(name);
        let mut users = self.users();
        // Who was never counted takes nothing from those who are.
        let Some(of) = users.get_mut(name).filter(|of| of.contains(user)) else { return Ok(()) };
        of.remove(user);
        if !of.is_empty() {
            return Ok(());
        }
        users.remove(name);
        drop(users);
        Ok(mount::unmount(&self.local_path(name))?)
    }

    /// Mounts a volume for as long as the answer is held.
    ///
    /// # Errors
    /// As [`Volumes::mount`].
    pub fn hold(&self, name: &str) -> Result<Held, VolumeError> {
        let number = self.0.next_number.fetch_add(1, Ordering::Relaxed);
        let user = format!("gantry-{}-{number}", std::process::id());
        let path = self.mount(name, &user)?;
        let mounted = self.is_mounted_on_use(name);
        Ok(Held { volumes: self.clone(), name: name.to_owned(), user, path, mounted })
    }

    /// Takes over a user whom an earlier daemon had mounted the volume for.
    pub fn adopt_user(&self, name: &str, user: &str) {
        let counts = self.volumes().get(name).is_some_and(|v| v.is_local() && has_device(v));
        if counts {
            self.users().entry(name.to_owned()).or_default().insert(user.to_owned());
        }
    }

    /// Unmounts what an earlier daemon left mounted and nobody needs; called when all users were
    /// taken over.
    pub fn settle(&self) {
        for volume in self.list().into_iter().filter(|v| v.is_local() && has_device(v)) {
            let _claim = self.0.busy.claim(&volume.name);
            if self.users().contains_key(&volume.name) {
                continue;
            }
            if let Err(error) = mount::unmount(&self.local_path(&volume.name)) {
                tracing::warn!(name = volume.name, %error, "unmounting a volume that nobody uses");
            }
        }
    }

    fn mount_in_plugin(&self, volume: &Volume, user: &str) -> Result<PathBuf, VolumeError> {
        let failed = VolumeError::PluginMount;
        let plugin = self.0.plugins.get(&volume.driver).map_err(failed)?;
        let mut path = plugin.mount(&volume.name, user).map_err(failed)?;
        if path.is_empty() {
            path = plugin.path(&volume.name).map_err(failed)?;
        }
        if volume.plugin_path.as_deref() != Some(path.as_str()) {
            let moved = Volume { plugin_path: Some(path.clone()), ..volume.clone() };
            self.save(&moved, Durability::Relaxed)?;
            self.volumes().insert(moved.name.clone(), moved);
        }
        Ok(path.into())
    }

    pub(crate) fn users(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<String>>> {
        self.0.users.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a local volume's options mount something.
fn has_device(volume: &Volume) -> bool {
    Volumes::options(volume).is_ok_and(|options| options.is_mounted())
}
