//! `POST /containers/prune`.

use gantry_api_types::Filters;
use gantry_api_types::container::ContainersPruneReport;

use crate::{Engine, QueryError};

impl Engine {
    /// Removes all containers that do not run and fit the filters (`until`, `label`, `label!`).
    ///
    /// # Errors
    /// [`QueryError`].
    #[allow(clippy::todo)]
    pub async fn prune_containers(
        &self,
        filters: Filters,
    ) -> Result<ContainersPruneReport, QueryError> {
        todo!("{filters:?}")
    }
}
