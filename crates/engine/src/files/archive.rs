//! `docker cp`: `/containers/{id}/archive`.

use gantry_api_types::archive::ContainerPathStat;

use crate::{ByteStream, Container, FileError};

/// A path of a container as a tar.
pub struct ArchiveDownload {
    /// The path.
    pub stat: ContainerPathStat,
    /// The tar.
    pub tar: ByteStream,
}

/// How a tar is put into a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ArchivePutOptions {
    /// Refuse to put a file where a directory is, and the other way round.
    pub no_overwrite_dir_non_dir: bool,
    /// Give everything to the container's user instead of the archive's.
    pub copy_uid_gid: bool,
}

impl Container {
    /// Looks at a path.
    ///
    /// # Errors
    /// [`FileError`].
    #[allow(clippy::todo)]
    pub async fn archive_stat(&self, path: &str) -> Result<ContainerPathStat, FileError> {
        todo!("{path}")
    }

    /// Reads a path as a tar.
    ///
    /// # Errors
    /// [`FileError`].
    #[allow(clippy::todo)]
    pub async fn archive_get(&self, path: &str) -> Result<ArchiveDownload, FileError> {
        todo!("{path}")
    }

    /// Extracts a tar of any compression into the directory `path`.
    ///
    /// # Errors
    /// [`FileError`].
    #[allow(clippy::todo)]
    pub async fn archive_put(
        &self,
        path: &str,
        options: ArchivePutOptions,
        tar: ByteStream,
    ) -> Result<(), FileError> {
        let _ = tar;
        todo!("{path} {options:?}")
    }
}
