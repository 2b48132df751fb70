//! `docker export`.

use crate::{ByteStream, Container, FileError};

impl Container {
    /// The whole root file system as a tar.
    ///
    /// # Errors
    /// [`FileError`].
    #[allow(clippy::todo)]
    pub async fn export(&self) -> Result<ByteStream, FileError> {
        todo!()
    }
}
