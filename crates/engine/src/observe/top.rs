//! `GET /containers/{id}/top`.

use gantry_api_types::container::TopResponse;

use crate::{Container, ObserveError};

impl Container {
    /// Lists the processes, as `ps` with these arguments would (`-ef` when empty).
    ///
    /// # Errors
    /// [`ObserveError`].
    #[allow(clippy::todo)]
    pub async fn top(&self, ps_args: &str) -> Result<TopResponse, ObserveError> {
        todo!("{ps_args}")
    }
}
