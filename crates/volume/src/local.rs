//! Directories of local volumes: made, taken in again, deleted.

use std::{
    fs, io,
    os::{fd::AsFd as _, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    sync::atomic::Ordering,
};

use gantry_store::Durability;
use jiff::Timestamp;

use crate::record::{LOCAL, now, seconds};
use crate::{Volume, VolumeError, Volumes, mount, names, quota};

const TRASH: &str = ".trash-";

/// Makes the directory of all volumes; gives its path without links, as the kernel's table of
/// mounts has it.
pub(crate) fn make_root(dir: &Path) -> Result<PathBuf, VolumeError> {
    let failed = VolumeError::io("creating", dir);
    fs::DirBuilder::new().recursive(true).mode(0o701).create(dir).map_err(&failed)?;
    fs::canonicalize(dir).map_err(failed)
}

impl Volumes {
    /// Where a local volume's data is.
    pub(crate) fn local_path(&self, name: &str) -> PathBuf {
        self.0.dir.join(name).join("_data")
    }

    /// Checks a volume of the built-in driver and makes its directory.
    pub(crate) fn make_local(&self, volume: &mut Volume) -> Result<(), VolumeError> {
        names::check(&volume.name)?;
        let options = Self::options(volume)?;
        let limited = options.size_bytes > 0 && !options.is_tmpfs();
        if limited && !quota::is_there(&self.0.dir) {
            let (name, dir) = (volume.name.clone(), self.0.dir.clone());
            return Err(VolumeError::NoQuota { name, dir });
        }
        self.make_directory(&volume.name)?;
        let made = || -> Result<Option<u32>, VolumeError> {
            let path = self.local_path(&volume.name);
            if !options.is_mounted() {
                mount::own(&options, &path)?;
            }
            if !limited {
                return Ok(None);
            }
            let taken = |id| self.volumes().values().any(|other| other.project == Some(id));
            let limit = quota::limit(&path, options.size_bytes, &taken);
            limit.map(Some).map_err(VolumeError::io("limiting", &path))
        };
        match made() {
            Ok(project) => volume.project = project,
            Err(error) => {
                self.discard(volume);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Takes in directories without a record, and makes those that are missing.
    pub(crate) fn adopt(&self) -> Result<(), VolumeError> {
        let dir = &self.0.dir;
        let failed = VolumeError::io("listing", dir);
        for entry in fs::read_dir(dir).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(TRASH) {
                self.delete_behind(name);
            } else if names::check(&name).is_ok()
                && entry.path().join("_data").is_dir()
                && !self.volumes().contains_key(&name)
            {
                let made = entry.metadata().and_then(|meta| meta.modified()).map_err(&failed)?;
                let mut volume = Volume {
                    name: name.clone(),
                    driver: LOCAL.to_owned(),
                    created_at: Timestamp::try_from(made).map_or_else(|_| now(), seconds),
                    ..Volume::default()
                };
                if names::is_random(&name) {
                    volume.mark_anonymous();
                }
                tracing::warn!(name, "volume had lost its record, taken in again");
                self.save(&volume, Durability::Durable)?;
                self.volumes().insert(name, volume);
            }
        }
        let local = self.list().into_iter().filter(Volume::is_local);
        local.map(|volume| volume.name).try_for_each(|name| self.make_directory(&name))
    }

    fn make_directory(&self, name: &str) -> Result<(), VolumeError> {
        let path = self.0.dir.join(name);
        for (path, mode) in [(path.clone(), 0o701), (path.join("_data"), 0o755)] {
            match fs::DirBuilder::new().mode(mode).create(&path) {
                Err(source) if source.kind() != io::ErrorKind::AlreadyExists => {
                    return Err(VolumeError::io("creating", &path)(source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Forgets a volume, then deletes its data behind the path.
    pub(crate) fn delete(&self, volume: &Volume) -> Result<(), VolumeError> {
        let name = volume.name.as_str();
        self.take_off(name)?;
        self.forget(name)?;
        self.users().remove(name);
        self.throw_away(volume)
    }

    /// Takes back a volume that did not come to be.
    pub(crate) fn discard(&self, volume: &Volume) {
        if let Err(error) = self.throw_away(volume) {
            tracing::warn!(name = volume.name, %error, "taking back a volume");
        }
    }

    /// Unmounts whatever is mounted at a volume or in it: what is mounted is not ours to delete.
    fn take_off(&self, name: &str) -> Result<(), VolumeError> {
        let path = self.0.dir.join(name);
        let failed = VolumeError::io("looking for mounts in", &path);
        if mount::mounts_below(&path).map_err(&failed)?.is_empty() {
            return Ok(());
        }
        mount::unmount(&path)?;
        match mount::mounts_below(&path).map_err(&failed)?.into_iter().next() {
            Some(path) => Err(VolumeError::Mounted { name: name.to_owned(), path }),
            None => Ok(()),
        }
    }

    fn throw_away(&self, volume: &Volume) -> Result<(), VolumeError> {
        if let Some(project) = volume.project
            && let Err(error) = quota::release(&self.0.dir, project)
        {
            tracing::warn!(name = volume.name, project, %error, "giving up a volume's quota");
        }
        let path = self.0.dir.join(&volume.name);
        let number = self.0.next_number.fetch_add(1, Ordering::Relaxed);
        let trash = format!("{TRASH}{}-{number}", std::process::id());
        match fs::rename(&path, self.0.dir.join(&trash)) {
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(source) => Err(VolumeError::io("removing", &path)(source)),
            Ok(()) => {
                self.delete_behind(trash);
                Ok(())
            }
        }
    }

    fn delete_behind(&self, trash: String) {
        let dir = self.0.dir.clone();
        let work = move || {
            let below = mount::mounts_below(&dir.join(&trash));
            let removed = match below {
                // Never through a mount: what is behind it belongs to somebody else.
                Ok(below) if !below.is_empty() => Err(io::ErrorKind::ResourceBusy.into()),
                Ok(_) => gantry_archive::open_root(&dir)
                    .and_then(|root| gantry_archive::remove_tree(root.as_fd(), trash.as_bytes())),
                Err(error) => Err(error),
            };
            if let Err(error) = removed {
                tracing::warn!(trash, %error, "could not delete a volume's data, trying again at the next start");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("volume-delete".into()).spawn(work) {
            tracing::warn!(%error, "could not delete a volume's data, trying again at the next start");
        }
    }
}
