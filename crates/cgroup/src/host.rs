//! What this host offers.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use gantry_oci::runtime::Resources;

use crate::{Cgroup, CgroupError};

/// Which kind of control group tree a host has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy a controller.
    V1,
    /// The controllers are in v1 hierarchies; a v2 tree is mounted too.
    Hybrid,
    /// One tree for all controllers.
    V2,
}

/// One mounted hierarchy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hierarchy {
    /// Controllers, such as `cpu`, or `name=systemd`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount: PathBuf,
}

/// What the mounted controllers can do, for `/info` and for warnings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools)]
pub struct Features {
    /// Memory limits.
    pub memory_limit: bool,
    /// Limits of memory and swap together.
    pub swap_limit: bool,
}

/// The control group trees of this host. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Host(pub(crate) Arc<Inner>);

#[derive(Debug)]
pub(crate) struct Inner {
    version: Version,
    hierarchies: Vec<Hierarchy>,
    controllers: BTreeSet<String>,
}

/// What [`favor_dynamic_moves`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DynamicMoves {
    /// Whether the kernel took the setting.
    pub taken: bool,
    /// How long one move of a process took before.
    pub before: Duration,
    /// And after.
    pub after: Duration,
}

impl Host {
    /// Reads `/proc/self/mountinfo` and `/proc/self/cgroup`.
    ///
    /// # Errors
    /// [`CgroupError::Detect`] when they cannot be read, [`CgroupError::NotMounted`] without any tree.
    pub fn detect() -> Result<Host, CgroupError> {
        todo!()
    }
    /// Which kind of tree.
    #[must_use]
    pub fn version(&self) -> Version {
        self.0.version
    }
    /// Names of all usable controllers.
    #[must_use]
    pub fn controllers(&self) -> &BTreeSet<String> {
        &self.0.controllers
    }
    /// The mounted hierarchies; on v2 the only one.
    #[must_use]
    pub fn hierarchies(&self) -> &[Hierarchy] {
        &self.0.hierarchies
    }
    /// What the controllers can do.
    #[must_use]
    pub fn features(&self) -> Features {
        todo!()
    }
    /// Makes a group with limits.
    ///
    /// # Errors
    /// Any; what was made is removed again.
    pub fn create(&self, path: &str, resources: &Resources) -> Result<Cgroup, CgroupError> {
        todo!()
    }
    /// An existing group.
    #[must_use]
    pub fn open(&self, path: &str) -> Cgroup {
        todo!()
    }
}

/// Makes moves of processes between groups fast.
///
/// # Errors
/// An I/O error.
pub fn favor_dynamic_moves(host: &Host) -> std::io::Result<DynamicMoves> {
    todo!()
}
