//! `docker diff`.

use gantry_api_types::container::ChangeItem;

use crate::{Container, FileError};

impl Container {
    /// The paths that differ from the image.
    ///
    /// # Errors
    /// [`FileError`].
    #[allow(clippy::todo)]
    pub async fn changes(&self) -> Result<Vec<ChangeItem>, FileError> {
        todo!()
    }
}
