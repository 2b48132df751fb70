//! Local volumes.

#![forbid(unsafe_code)]
use gantry_fault::{Fault, Kind};
use gantry_store::Store;
use std::{
    collections::BTreeMap,
    os::fd::BorrowedFd,
    path::{Path, PathBuf},
};

/// x
#[derive(Debug, thiserror::Error)]
pub enum VolumeError {
    /// x
    #[error("x")]
    X,
}
impl Fault for VolumeError {
    fn kind(&self) -> Kind {
        Kind::Internal
    }
}

/// A volume.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
    /// Whether an image's content was copied into it already.
    #[serde(default)]
    pub filled: bool,
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
}
/// The volumes; clones share it.
#[derive(Clone, Debug)]
pub struct Volumes;
impl Volumes {
    /// x
    ///
    /// # Errors
    /// x
    pub fn open(dir: &Path, store: Store) -> Result<Self, VolumeError> {
        let _ = (dir, store);
        todo!()
    }
    /// Makes a volume; one that exists is returned as it is.
    ///
    /// # Errors
    /// x
    pub fn create(&self, create: CreateVolume) -> Result<Volume, VolumeError> {
        let _ = create;
        todo!()
    }
    /// x
    ///
    /// # Errors
    /// "get x: no such volume"
    pub fn get(&self, name: &str) -> Result<Volume, VolumeError> {
        let _ = name;
        todo!()
    }
    /// All volumes by name.
    #[must_use]
    pub fn list(&self) -> Vec<Volume> {
        todo!()
    }
    /// Where a volume's data is.
    #[must_use]
    pub fn mountpoint(&self, name: &str) -> PathBuf {
        let _ = name;
        todo!()
    }
    /// Removes a volume and its data. `users` names the containers that use it. With `force` a missing one is no error.
    ///
    /// # Errors
    /// x
    pub fn remove(
        &self,
        name: &str,
        force: bool,
        users: &dyn Fn(&str) -> Vec<String>,
    ) -> Result<(), VolumeError> {
        let _ = (name, force, users);
        todo!()
    }
    /// Removes all unused volumes that `wanted` picks; returns their names and the bytes freed.
    ///
    /// # Errors
    /// x
    pub fn prune(
        &self,
        wanted: &dyn Fn(&Volume) -> bool,
        in_use: &dyn Fn(&str) -> bool,
    ) -> Result<(Vec<String>, u64), VolumeError> {
        let _ = (wanted, in_use);
        todo!()
    }
    /// Bytes that a volume's data takes.
    ///
    /// # Errors
    /// x
    pub fn usage(&self, name: &str) -> Result<u64, VolumeError> {
        let _ = name;
        todo!()
    }
    /// Copies an image's directory into an empty volume; does nothing to one that has content.
    ///
    /// # Errors
    /// x
    pub fn copy_up(&self, name: &str, source: BorrowedFd<'_>) -> Result<(), VolumeError> {
        let _ = (name, source);
        todo!()
    }
}
