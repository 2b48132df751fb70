//! `POST /containers/prune`.

use gantry_api_types::Filters;
use gantry_api_types::container::ContainersPruneReport;
use gantry_api_types::filters::Moment;

use crate::{Engine, QueryError, RemoveOptions};

impl Engine {
    /// Removes all containers that do not run and fit the filters (`until`, `label`, `label!`).
    ///
    /// # Errors
    /// [`QueryError`].
    pub async fn prune_containers(
        &self,
        filters: Filters,
    ) -> Result<ContainersPruneReport, QueryError> {
        filters.validate(&["until", "label", "label!"])?;
        let until = crate::list::until_ns(&filters)?;
        let _running = self.0.pruning.try_lock().map_err(|_| QueryError::PruneRunning)?;
        let mut report = ContainersPruneReport::default();
        for container in self.containers() {
            let record = container.cell.record();
            let fits = until.is_none_or(|until| record.created_ns < until)
                && filters.match_nullable_labels(record.config.labels.as_ref());
            if container.is_running() || !fits {
                continue;
            }
            let size = self.0.parts.snapshots.usage(&record.id).map_or(0, |usage| usage.size_bytes);
            // One that was started or removed meanwhile is not pruned.
            if container.remove(RemoveOptions::default()).await.is_ok() {
                report.containers_deleted.get_or_insert_default().push(record.id.clone());
                report.space_reclaimed += size;
            }
        }
        let reclaimed = report.space_reclaimed.to_string();
        self.events().publish_prune("container", &reclaimed);
        Ok(report)
    }
}
