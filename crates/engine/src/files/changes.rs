//! `docker diff`.

use gantry_api_types::container::ChangeItem;

use crate::{Container, FileError};

impl Container {
    /// The paths that differ from the image.
    ///
    /// # Errors
    /// [`FileError`].
    pub async fn changes(&self) -> Result<Vec<ChangeItem>, FileError> {
        let (snapshots, id) = (self.engine.parts().snapshots.clone(), self.id().to_owned());
        let found = tokio::task::spawn_blocking(move || snapshots.changes(&id)).await;
        let found = found.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))?;
        Ok(found
            .into_iter()
            .map(|change| ChangeItem { kind: change.kind as u8, path: change.path })
            .collect())
    }
}
