//! Local volumes.
//!
//! ```text
//! volumes/
//!   <name>/_data      what containers see
//!   <name>/filling    the copy of an image's content into it is not complete
//!   .trash-<n>        being deleted
//! ```
//!
//! The directories are the truth: one without a record (a power cut ate it) is taken in again at
//! start, and nothing but [`Volumes::remove`] and [`Volumes::prune`] deletes data.

#![forbid(unsafe_code)]

mod error;

use std::{
    collections::BTreeMap,
    fs, io,
    os::{
        fd::{AsFd, BorrowedFd},
        unix::fs::DirBuilderExt,
    },
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use gantry_store::{Durability, Record, Store};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

pub use crate::error::VolumeError;

/// The one driver there is.
const LOCAL: &str = "local";
const TRASH: &str = ".trash-";

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name.
    pub name: String,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// Labels; none given is `None`, as the API tells the two apart.
    pub labels: Option<BTreeMap<String, String>>,
    /// Driver options.
    pub options: Option<BTreeMap<String, String>>,
    /// Whether it got its name from us.
    pub anonymous: bool,
}

impl Record for Volume {
    const TABLE: &'static str = "volume";
    const VERSION: u32 = 1;
}

/// What a volume is made from.
#[derive(Clone, Debug, Default)]
pub struct CreateVolume {
    /// Its name; without one it gets 64 hex digits.
    pub name: Option<String>,
    /// The driver; empty means `local`.
    pub driver: String,
    /// Labels.
    pub labels: Option<BTreeMap<String, String>>,
    /// Driver options.
    pub options: Option<BTreeMap<String, String>>,
    /// Whether nobody asked for the name.
    pub anonymous: bool,
}

/// The volumes; clones share them.
#[derive(Clone, Debug)]
pub struct Volumes(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    store: Store,
    volumes: Mutex<BTreeMap<String, Volume>>,
    /// One copy-up at a time, so that two containers do not fill the same volume.
    filling: Mutex<()>,
    next_trash: AtomicU64,
}

impl Volumes {
    /// Opens or makes the volumes in `dir`.
    ///
    /// # Errors
    /// When directories or records cannot be read.
    pub fn open(dir: &Path, store: Store) -> Result<Self, VolumeError> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o701)
            .create(dir)
            .map_err(VolumeError::io("creating", dir))?;
        let volumes: BTreeMap<String, Volume> = store.list()?.into_iter().collect();
        let volumes = Self(Arc::new(Inner {
            dir: dir.to_owned(),
            store,
            volumes: Mutex::new(volumes),
            filling: Mutex::new(()),
            next_trash: AtomicU64::new(0),
        }));
        volumes.adopt()?;
        Ok(volumes)
    }

    /// Makes a volume; one that exists is returned as it is.
    ///
    /// # Errors
    /// For a bad name, an unknown driver or option, or when it cannot be made.
    pub fn create(&self, create: CreateVolume) -> Result<Volume, VolumeError> {
        if !create.driver.is_empty() && create.driver != LOCAL {
            return Err(VolumeError::Driver(create.driver));
        }
        let name = match create.name.filter(|name| !name.is_empty()) {
            Some(name) => {
                check_name(&name)?;
                (name, create.anonymous)
            }
            None => (random_name()?, true),
        };
        check_options(&name.0, create.options.as_ref())?;
        let mut volumes = self.volumes();
        if let Some(volume) = volumes.get(&name.0) {
            return Ok(volume.clone());
        }
        let volume = Volume {
            name: name.0,
            created_at: now(),
            labels: create.labels,
            options: create.options,
            anonymous: name.1,
        };
        self.make_directory(&volume.name)?;
        // An anonymous one that a power cut makes us forget is taken in again from its directory.
        let durability = if volume.anonymous { Durability::Relaxed } else { Durability::Durable };
        self.save(&volume, durability)?;
        volumes.insert(volume.name.clone(), volume.clone());
        Ok(volume)
    }

    /// A volume by name.
    ///
    /// # Errors
    /// [`VolumeError::NotFound`].
    pub fn get(&self, name: &str) -> Result<Volume, VolumeError> {
        self.volumes().get(name).cloned().ok_or_else(|| VolumeError::NotFound(name.to_owned()))
    }

    /// All volumes by name.
    #[must_use]
    pub fn list(&self) -> Vec<Volume> {
        self.volumes().values().cloned().collect()
    }

    /// Where a volume's data is.
    #[must_use]
    pub fn mountpoint(&self, name: &str) -> PathBuf {
        self.0.dir.join(name).join("_data")
    }

    /// Removes a volume and its data; `users` names the containers that use it.
    ///
    /// With `force` a missing one is no error.
    ///
    /// # Errors
    /// [`VolumeError::InUse`], [`VolumeError::NotFound`], or when it cannot be removed.
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        users: &dyn Fn(&str) -> Vec<String>,
    ) -> Result<(), VolumeError> {
        let mut volumes = self.volumes();
        if !volumes.contains_key(name) {
            return if force { Ok(()) } else { Err(VolumeError::NotFound(name.to_owned())) };
        }
        let containers = users(name);
        if !containers.is_empty() {
            return Err(VolumeError::InUse { name: name.to_owned(), containers });
        }
        self.delete(name)?;
        volumes.remove(name);
        Ok(())
    }

    /// Removes all unused volumes that `wanted` picks; returns their names and the bytes freed.
    ///
    /// # Errors
    /// When one cannot be removed; those before it are gone.
    pub fn prune(
        &self,
        wanted: &dyn Fn(&Volume) -> bool,
        in_use: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<String>, u64), VolumeError> {
        let (mut names, mut freed) = (Vec::new(), 0);
        let mut volumes = self.volumes();
        let picked: Vec<String> = volumes
            .values()
            .filter(|volume| wanted(volume) && !in_use(&volume.name))
            .map(|volume| volume.name.clone())
            .collect();
        for name in picked {
            let size = self.usage(&name).unwrap_or_default();
            self.delete(&name)?;
            volumes.remove(&name);
            freed += size;
            names.push(name);
        }
        Ok((names, freed))
    }

    /// Bytes that a volume's data takes.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn usage(&self, name: &str) -> Result<u64, VolumeError> {
        let path = self.mountpoint(name);
        let dir = gantry_archive::open_root(&path).map_err(VolumeError::io("opening", &path))?;
        Ok(gantry_archive::usage(dir.as_fd())?.size_bytes)
    }

    /// Copies an image's directory into an empty volume, with owners and attributes; does nothing
    /// to a volume that has content.
    ///
    /// # Errors
    /// When something cannot be copied; the next call tries again.
    pub fn copy_up(&self, name: &str, source: BorrowedFd<'_>) -> Result<(), VolumeError> {
        let _filling = self.0.filling.lock().unwrap_or_else(PoisonError::into_inner);
        let path = self.mountpoint(name);
        let mark = self.0.dir.join(name).join("filling");
        let failed = VolumeError::io("filling", &path);
        if !mark.exists() {
            if fs::read_dir(&path).map_err(&failed)?.next().is_some() {
                return Ok(());
            }
            fs::write(&mark, "").map_err(&failed)?;
        }
        let target = gantry_archive::open_root(&path).map_err(&failed)?;
        gantry_archive::copy_tree(source, target.as_fd())?;
        fs::remove_file(&mark).map_err(&failed)
    }

    /// Takes in directories without a record, and makes those that are missing.
    fn adopt(&self) -> Result<(), VolumeError> {
        let dir = &self.0.dir;
        let failed = VolumeError::io("listing", dir);
        for entry in fs::read_dir(dir).map_err(&failed)? {
            let entry = entry.map_err(&failed)?;
            let Ok(name) = entry.file_name().into_string() else { continue };
            if name.starts_with(TRASH) {
                self.delete_behind(name);
            } else if check_name(&name).is_ok()
                && entry.path().join("_data").is_dir()
                && !self.volumes().contains_key(&name)
            {
                let made = entry.metadata().and_then(|meta| meta.modified()).map_err(&failed)?;
                let created_at = Timestamp::try_from(made).map_or_else(|_| now(), seconds);
                let anonymous = name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit());
                let volume = Volume {
                    name: name.clone(),
                    created_at,
                    labels: None,
                    options: None,
                    anonymous,
                };
                tracing::warn!(name, "volume had lost its record, taken in again");
                self.save(&volume, Durability::Durable)?;
                self.volumes().insert(name, volume);
            }
        }
        let names: Vec<String> = self.volumes().keys().cloned().collect();
        names.iter().try_for_each(|name| self.make_directory(name))
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

    fn save(&self, volume: &Volume, durability: Durability) -> Result<(), VolumeError> {
        let mut batch = self.0.store.batch();
        batch.put(&volume.name, volume);
        Ok(self.0.store.commit(batch, durability)?)
    }

    /// Forgets a volume, then deletes its data behind the path.
    fn delete(&self, name: &str) -> Result<(), VolumeError> {
        let mut batch = self.0.store.batch();
        batch.delete::<Volume>(name);
        self.0.store.commit(batch, Durability::Durable)?;
        let path = self.0.dir.join(name);
        let number = self.0.next_trash.fetch_add(1, Ordering::Relaxed);
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
            let removed = gantry_archive::open_root(&dir)
                .and_then(|root| gantry_archive::remove_tree(root.as_fd(), trash.as_bytes()));
            if let Err(error) = removed {
                tracing::warn!(trash, %error, "could not delete a volume's data, trying again at the next start");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("volume-delete".into()).spawn(work) {
            tracing::warn!(%error, "could not delete a volume's data, trying again at the next start");
        }
    }

    fn volumes(&self) -> MutexGuard<'_, BTreeMap<String, Volume>> {
        self.0.volumes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> String {
    seconds(Timestamp::now())
}

/// RFC 3339 to the second, as Docker has it for volumes.
fn seconds(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).unwrap_or(at).to_string()
}

fn random_name() -> Result<String, VolumeError> {
    let mut bytes = [0_u8; 32];
    getrandom::fill(&mut bytes)
        .map_err(|error| VolumeError::Random(io::Error::other(error.to_string())))?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

fn check_name(name: &str) -> Result<(), VolumeError> {
    if name.len() == 1 {
        return Err(VolumeError::ShortName(name.to_owned()));
    }
    let word = |b: u8| b.is_ascii_alphanumeric();
    let rest_ok = name.bytes().all(|b| word(b) || matches!(b, b'_' | b'.' | b'-'));
    if name.len() > 255 || !rest_ok || !name.bytes().next().is_some_and(word) {
        return Err(VolumeError::BadName(name.to_owned()));
    }
    Ok(())
}

/// Docker's local driver mounts what `type`, `o` and `device` say; that is not done yet.
fn check_options(
    name: &str,
    options: Option<&BTreeMap<String, String>>,
) -> Result<(), VolumeError> {
    match options.and_then(|options| options.keys().next()) {
        None => Ok(()),
        Some(option) if ["type", "o", "device", "size"].contains(&option.as_str()) => {
            Err(VolumeError::Option(option.clone()))
        }
        Some(option) => {
            Err(VolumeError::BadOption { name: name.to_owned(), option: option.clone() })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        for (name, want) in [
            ("ab", true),
            ("a_b.c-d", true),
            ("a", false),
            ("", false),
            (".ab", false),
            ("a/b", false),
            ("..", false),
            ("a b", false),
        ] {
            assert_eq!(check_name(name).is_ok(), want, "{name}");
        }
        assert_eq!(random_name().unwrap().len(), 64);
    }
}
