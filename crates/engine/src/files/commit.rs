//! `docker commit`.

use gantry_api_types::container::ContainerConfig;
use gantry_oci::{Digest, Reference};

use crate::{Container, FileError};

/// What `POST /commit` asks for.
#[derive(Debug, Clone, Default)]
pub struct CommitOptions {
    /// Name of the new image.
    pub reference: Option<Reference>,
    /// Author.
    pub author: String,
    /// Message.
    pub comment: String,
    /// Freeze the container meanwhile.
    pub pause: bool,
    /// Dockerfile lines.
    pub changes: Vec<String>,
    /// Configuration instead of the container's.
    pub config: Option<ContainerConfig>,
}

impl Container {
    /// Makes an image of the container; gives its id.
    ///
    /// # Errors
    /// [`FileError`].
    #[allow(clippy::todo)]
    pub async fn commit(&self, options: CommitOptions) -> Result<Digest, FileError> {
        todo!("{options:?}")
    }
}
