//! `GET /containers/{id}/stats`.

use gantry_api_types::stats::ContainerStats;

use crate::{Container, ObserveError};

/// Figures over time: one a second, or the only one.
#[derive(Debug)]
pub struct StatsStream {}

impl StatsStream {
    /// The next figures; `None` when the stream is over or the container is gone.
    #[allow(clippy::todo)]
    pub async fn next(&mut self) -> Option<ContainerStats> {
        todo!()
    }
}

impl Container {
    /// Reads resource use. `stream` goes on each second; else there is one answer, after a second
    /// sample unless `one_shot`. A stopped container gives zeros.
    ///
    /// # Errors
    /// [`ObserveError`].
    #[allow(clippy::todo)]
    pub async fn stats(&self, stream: bool, one_shot: bool) -> Result<StatsStream, ObserveError> {
        todo!("{stream} {one_shot}")
    }
}
