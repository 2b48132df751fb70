//! `GET /containers/json`: from memory alone.

use gantry_api_types::Filters;
use gantry_api_types::container::ContainerSummary;

use crate::{Engine, QueryError};

/// Which containers to list.
#[derive(Debug, Clone, Default)]
pub struct ListOptions {
    /// Also those that do not run.
    pub all: bool,
    /// Only so many of the newest; 0 or less for all.
    pub limit: i64,
    /// With the sizes of the writable layer and the image.
    pub size: bool,
    /// Filters.
    pub filters: Filters,
}

impl Engine {
    /// Lists containers, newest first.
    ///
    /// # Errors
    /// [`QueryError`] for an unknown filter or value.
    pub async fn list(&self, options: ListOptions) -> Result<Vec<ContainerSummary>, QueryError> {
        todo!("{options:?}")
    }
}
