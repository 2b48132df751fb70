//! Volumes as they are shown, and what plugins know of theirs.

use std::collections::BTreeMap;

use gantry_fault::{Fault as _, Kind};
use gantry_store::Durability;

use crate::plugin::{Plugin, Told};
use crate::record::{LOCAL, Shown};
use crate::{PluginError, Volume, VolumeError, Volumes};

/// Go's zero time: what Docker shows where a plugin tells none.
const NEVER: &str = "0001-01-01T00:00:00Z";

impl Volumes {
    /// Everything about a volume; its plugin is asked.
    ///
    /// # Errors
    /// When there is no such volume, or its plugin does not answer.
    pub fn inspect(&self, name: &str) -> Result<Shown, VolumeError> {
        let known = self.volumes().get(name).cloned();
        let volume = match known {
            Some(volume) if volume.is_local() => return Ok(self.show_local(volume)),
            Some(volume) => volume,
            None => {
                let found = self.take_in_from_plugins(name)?;
                found.ok_or_else(|| VolumeError::NotFound(name.to_owned()))?
            }
        };
        let failed = VolumeError::plugin("get", name);
        let plugin = self.0.plugins.get(&volume.driver).map_err(&failed)?;
        match plugin.look(name) {
            Ok(told) => Ok(show_plugin(&plugin, Some(volume), told)),
            // The plugin says that there is none.
            Err(PluginError::Refused(_)) => Err(VolumeError::NotFound(name.to_owned())),
            Err(error) => Err(failed(error)),
        }
    }

    /// All volumes, those of plugins too, and what is wrong with plugins that do not answer.
    #[must_use]
    pub fn shown(&self) -> (Vec<Shown>, Vec<String>) {
        let mut known: BTreeMap<String, Volume> = self.volumes().clone();
        let local = |volume: &mut Volume| volume.is_local();
        let mut shown: Vec<Shown> = Vec::new();
        let (plugins, errors) = self.0.plugins.all();
        let mut warnings: Vec<String> = errors.iter().map(ToString::to_string).collect();
        for plugin in plugins {
            match plugin.list() {
                Err(error) => warnings.push(format!("list {}: {error}", plugin.name())),
                Ok(volumes) => shown.extend(volumes.into_iter().map(|told| {
                    let ours = known.get(&told.name).filter(|v| v.driver == plugin.name()).cloned();
                    show_plugin(&plugin, ours, told)
                })),
            }
        }
        known.retain(|_, volume| local(volume));
        shown.extend(known.into_values().map(|volume| self.show_local(volume)));
        shown.sort_by(|a, b| a.volume.name.cmp(&b.volume.name));
        (shown, warnings)
    }

    fn show_local(&self, volume: Volume) -> Shown {
        Shown {
            mountpoint: self.local_path(&volume.name).display().to_string(),
            scope: LOCAL.to_owned(),
            status: BTreeMap::new(),
            volume,
        }
    }

    /// Makes a volume in its plugin, unless it is there.
    pub(crate) fn make_in_plugin(&self, volume: &Volume) -> Result<(), VolumeError> {
        let failed = VolumeError::plugin("create", &volume.name);
        let plugin = self.0.plugins.get(&volume.driver).map_err(&failed)?;
        if plugin.look(&volume.name).is_ok() {
            return Ok(());
        }
        plugin.create(&volume.name, volume.options.as_ref()).map_err(failed)
    }

    /// Removes a volume in its plugin.
    pub(crate) fn remove_in_plugin(&self, volume: &Volume) -> Result<(), VolumeError> {
        let failed = VolumeError::plugin("remove", &volume.name);
        let plugin = self.0.plugins.get(&volume.driver).map_err(&failed)?;
        plugin.remove(&volume.name).map_err(failed)
    }

    /// Whether a plugin still has a volume that we know.
    pub(crate) fn is_in_plugin(&self, volume: &Volume) -> Result<bool, VolumeError> {
        let failed = VolumeError::plugin("create", &volume.name);
        let plugin = self.0.plugins.get(&volume.driver).map_err(&failed)?;
        match plugin.look(&volume.name) {
            Ok(_) => Ok(true),
            Err(PluginError::Refused(_)) => Ok(false),
            Err(error) => Err(failed(error)),
        }
    }

    /// Looks for a volume that we do not know in all plugins, and takes it in.
    pub(crate) fn take_in_from_plugins(&self, name: &str) -> Result<Option<Volume>, VolumeError> {
        let (plugins, errors) = self.0.plugins.all();
        for error in errors.iter().filter(|error| error.kind() != Kind::NotFound) {
            tracing::warn!(%error, "looking for volume {name}");
        }
        for plugin in plugins {
            let Ok(told) = plugin.look(name) else { continue };
            let volume = Volume {
                name: name.to_owned(),
                driver: plugin.name().to_owned(),
                created_at: moment(&told),
                ..Volume::default()
            };
            self.save(&volume, Durability::Durable)?;
            self.volumes().insert(name.to_owned(), volume.clone());
            return Ok(Some(volume));
        }
        Ok(None)
    }
}

fn moment(told: &Told) -> String {
    match told.created_at.as_str() {
        "" => NEVER.to_owned(),
        moment => moment.to_owned(),
    }
}

fn show_plugin(plugin: &Plugin, ours: Option<Volume>, told: Told) -> Shown {
    let volume = Volume {
        name: told.name.clone(),
        driver: plugin.name().to_owned(),
        created_at: moment(&told),
        ..ours.unwrap_or_default()
    };
    Shown {
        volume,
        mountpoint: told.mountpoint,
        scope: plugin.scope(),
        status: told.status.unwrap_or_default(),
    }
}
