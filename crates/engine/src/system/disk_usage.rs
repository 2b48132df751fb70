//! `GET /system/df`.

use gantry_api_types::system::DiskUsage;

use crate::{Engine, SystemError};

/// What to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskUsageKinds {
    /// Images.
    pub images: bool,
    /// Containers.
    pub containers: bool,
    /// Volumes.
    pub volumes: bool,
    /// Build cache.
    pub build_cache: bool,
}

impl Engine {
    /// What takes space on disk.
    ///
    /// # Errors
    /// [`SystemError`].
    #[allow(clippy::todo)]
    pub async fn disk_usage(&self, kinds: DiskUsageKinds) -> Result<DiskUsage, SystemError> {
        todo!("{kinds:?}")
    }
}
