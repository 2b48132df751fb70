//! `POST /containers/prune`.

use gantry_api_types::Filters;
use gantry_api_types::container::ContainersPruneReport;
use gantry_gotext::parse_duration;

use crate::events::{EventKind, now_ns};
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
        let until = until_ns(&filters, now_ns())?;
        let _running = self.0.pruning.try_lock().map_err(|_| QueryError::PruneRunning)?;
        let mut report = ContainersPruneReport::default();
        for container in self.containers() {
            let record = container.cell.record();
            let labels = record.config.labels.clone();
            let fits = until.is_none_or(|until| record.created_ns < until)
                && filters.match_nullable_labels("label", &labels)
                && !(filters.contains_key("label!")
                    && filters.match_nullable_labels("label!", &labels));
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
        let reclaimed = ("reclaimed".to_owned(), report.space_reclaimed.to_string());
        self.events().publish(EventKind::Container, "prune", "", [reclaimed].into());
        Ok(report)
    }
}

/// The `until` filter: seconds since 1970, RFC 3339, or a duration before now.
fn until_ns(filters: &Filters, now_ns: i64) -> Result<Option<i64>, QueryError> {
    let Some(text) = filters.get("until").first().copied() else { return Ok(None) };
    // A float's cast saturates, so a time beyond i64 is the last one.
    #[allow(clippy::cast_possible_truncation)]
    let seconds = || Some((text.parse::<f64>().ok()? * 1e9) as i64);
    let point = || i64::try_from(text.parse::<jiff::Timestamp>().ok()?.as_nanosecond()).ok();
    let before = || Some(now_ns - parse_duration(text).ok()?);
    match seconds().or_else(point).or_else(before) {
        Some(until) => Ok(Some(until)),
        None => Err(QueryError::value(filters, "until")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_three_forms() {
        const S: i64 = 1_000_000_000;
        for (text, want) in [
            ("100", Some(100 * S)),
            ("1970-01-01T00:01:00Z", Some(60 * S)),
            ("10s", Some(990 * S)),
            ("nonsense", None),
        ] {
            let mut filters = Filters::default();
            filters.add("until", text);
            assert_eq!(until_ns(&filters, 1000 * S).ok().flatten(), want, "{text}");
        }
        assert_eq!(until_ns(&Filters::default(), 0).unwrap(), None);
    }
}
