//! `docker cp`: `/containers/{id}/archive`.

use std::os::fd::AsFd;
use std::time::SystemTime;

use gantry_api_types::archive::ContainerPathStat;
use gantry_archive::{ArchiveError, CopyIn, PathStat};

use super::root::Place;
use super::{StreamReader, written_by};
use crate::identity::user_files;
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
    pub async fn archive_stat(&self, path: &str) -> Result<ContainerPathStat, FileError> {
        let stat =
            self.with_place(path, |place| gantry_archive::stat(place.root.as_fd(), &place.path));
        Ok(shown(&stat.await?))
    }

    /// Reads a path as a tar.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn archive_get(&self, path: &str) -> Result<ArchiveDownload, FileError> {
        let (place, stat) = self
            .with_place(path, |place| {
                let stat = gantry_archive::stat(place.root.as_fd(), &place.path)?;
                Ok((place.root.try_clone().map_err(ArchiveError::Read)?, place.path.clone(), stat))
            })
            .await
            .map(|(root, path, stat)| ((root, path), stat))?;
        self.tell("archive-path");
        let tar = written_by(move |out| {
            let (root, path) = place;
            gantry_archive::copy_out(root.as_fd(), &path, out)
                .map(drop)
                .map_err(std::io::Error::other)
        });
        Ok(ArchiveDownload { stat: shown(&stat), tar })
    }

    /// Extracts a tar of any compression into the directory `path`.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn archive_put(
        &self,
        path: &str,
        options: ArchivePutOptions,
        tar: ByteStream,
    ) -> Result<(), FileError> {
        // Without a user of its own the container takes the archive's owners, as with Docker.
        let user = self.cell.record().config.user.clone();
        let owned_by = Some(user).filter(|user| options.copy_uid_gid && !user.is_empty());
        let no_overwrite_dir_non_dir = options.no_overwrite_dir_non_dir;
        let tar = StreamReader::new(tar);
        self.with_place(path, move |place| {
            if let Some(what) = place.read_only {
                return Ok(Err(FileError::ReadOnly(what)));
            }
            let owner = owned_by.map(|user| owner_in(place, &user)).transpose();
            let owner = match owner {
                Ok(owner) => owner,
                Err(error) => return Ok(Err(error)),
            };
            let put = CopyIn { no_overwrite_dir_non_dir, owner };
            gantry_archive::copy_in(place.root.as_fd(), &place.path, Box::new(tar), put).map(Ok)
        })
        .await??;
        self.tell("extract-to-dir");
        Ok(())
    }

    /// Finds the path and works on it, on a blocking thread.
    async fn with_place<T: Send + 'static>(
        &self,
        path: &str,
        work: impl FnOnce(&Place) -> Result<T, ArchiveError> + Send + 'static,
    ) -> Result<T, FileError> {
        let (container, path) = (self.clone(), path.to_owned());
        let done = tokio::task::spawn_blocking(move || {
            let place = container.place(&path)?;
            work(&place).map_err(|error| match error {
                ArchiveError::NoSuchPath { .. } => {
                    FileError::NoSuchPath { path, container: container.id().to_owned() }
                }
                error => FileError::Archive(error),
            })
        });
        done.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
    }
}

/// The numbers of the container's user, by the user files of its own root.
fn owner_in(place: &Place, user: &str) -> Result<(u32, u32), FileError> {
    let files = user_files(place.root.as_fd());
    let user = crate::spec::user::resolve(user, &[], &files)?;
    Ok((user.uid, user.gid))
}

fn shown(stat: &PathStat) -> ContainerPathStat {
    ContainerPathStat {
        name: stat.name.clone(),
        size: i64::try_from(stat.size_bytes).unwrap_or(i64::MAX),
        mode: stat.go_mode(),
        mtime: rfc3339(stat.mtime),
        link_target: stat.link_target.clone(),
    }
}

fn rfc3339(time: SystemTime) -> String {
    jiff::Timestamp::try_from(time)
        .map_or_else(|_| gantry_api_types::ZERO_TIME.to_owned(), |time| time.to_string())
}
