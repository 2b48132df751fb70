//! `docker export`.

use std::os::fd::AsFd;

use super::written_by;
use crate::{ByteStream, Container, FileError};

impl Container {
    /// The whole root file system as a tar: without volumes, as Docker has it.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn export(&self) -> Result<ByteStream, FileError> {
        let container = self.clone();
        let root = tokio::task::spawn_blocking(move || container.stopped_root()).await;
        let root = root.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        self.tell("export");
        Ok(written_by(move |out| {
            gantry_archive::export(root.as_fd(), out).map_err(std::io::Error::other)
        }))
    }
}
