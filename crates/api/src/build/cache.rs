//! The build cache: `POST /build/prune`, and its rows in `/system/df`.

use gantry_api_types::build::{BuildCache, BuildPruneReport};
use gantry_build::Builder;
use gantry_build::cache::{CacheError, Prune, RecordKind, Usage};
use gantry_engine::events::EventKind;
use jiff::Timestamp;

use super::Builds;
use crate::body::{self, Response};
use crate::call::{Call, unhurried};
use crate::error::ApiError;
use crate::images::inspect::signed;
use crate::query::Query;

/// `POST /build/prune`.
pub(crate) async fn prune(call: Call) -> Result<Response, ApiError> {
    let (Builds { builder, seen }, events) = (call.api.builds.clone(), call.api.engine.events());
    let limits = Limits::read(&call.query, call.version.at_least(48))?;
    let filters = call.query.filters()?;
    let all = call.query.flag("all");
    let mut wanted = Prune { all, ..Prune::default() };
    for key in filters.keys() {
        let values = filters.get(key).into_iter().map(str::to_owned).collect();
        wanted.filters.insert(key.to_owned(), values);
    }
    let root = call.api.engine.config().data_root.clone();
    let pruned = unhurried(async move {
        if limits != Limits::default() {
            let total = builder.usage().await.map_err(refused)?;
            let total = total.iter().map(|row| row.size_bytes).sum();
            wanted.keep_bytes = limits.keep_bytes(total, free_bytes(&root));
        }
        builder.prune(&wanted).await.map_err(refused)
    })
    .await?;
    if all {
        // Steps that change no files leave nothing in the cache but that they were seen.
        seen.clear();
    }
    let reclaimed = [("reclaimed".to_owned(), pruned.freed_bytes.to_string())].into();
    events.publish(EventKind::Builder, "prune", "", reclaimed);
    let ids: Vec<String> = pruned.records.into_iter().map(|record| record.id).collect();
    body::ok(&BuildPruneReport {
        caches_deleted: (!ids.is_empty()).then_some(ids),
        space_reclaimed: pruned.freed_bytes,
    })
}

fn refused(error: CacheError) -> ApiError {
    match &error {
        CacheError::Filter(_) => ApiError::invalid(error.to_string()),
        _ => ApiError::internal(&error),
    }
}

/// How much may stay, in bytes; 0 says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Limits {
    reserved: u64,
    max_used: u64,
    min_free: u64,
}

impl Limits {
    /// Reads the parameters, of which versions before 1.48 have one, by another name.
    fn read(query: &Query, new: bool) -> Result<Self, ApiError> {
        let bytes = |name: &str| -> Result<u64, ApiError> {
            let Some(text) = query.filled(name) else { return Ok(0) };
            let number: i64 = text.parse().map_err(|error| {
                let words = "is in bytes and expects an integer, got";
                ApiError::invalid(format!("{name} {words} {text}: {error}"))
            })?;
            Ok(u64::try_from(number).unwrap_or_default())
        };
        if !new {
            return Ok(Self { reserved: bytes("keep-storage")?, ..Self::default() });
        }
        let reserved = match bytes("reserved-space")? {
            0 => bytes("keep-storage")?,
            bytes => bytes,
        };
        Ok(Self {
            reserved,
            max_used: bytes("max-used-space")?,
            min_free: bytes("min-free-space")?,
        })
    }

    /// Bytes to keep of a cache that takes `total`, with `free` ones left on its disk.
    fn keep_bytes(self, total: u64, free: u64) -> u64 {
        let most = match self.max_used {
            0 => total,
            most => most.min(total),
        };
        let wanting = self.min_free.saturating_sub(free);
        let keep = match (self.max_used, wanting) {
            // Nothing is asked for but what stays at least.
            (0, 0) => self.reserved,
            _ => most.min(total.saturating_sub(wanting)),
        };
        keep.max(self.reserved)
    }
}

fn free_bytes(path: &std::path::Path) -> u64 {
    // What cannot be asked is not held against the cache.
    rustix::fs::statvfs(path).map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize))
}

/// The records, as the newest version shows them, and as older ones do too.
pub(super) async fn records(builder: &Builder) -> Result<Vec<BuildCache>, ApiError> {
    let usage = builder.usage().await.map_err(refused)?;
    Ok(usage.into_iter().map(record).collect())
}

fn record(usage: Usage) -> BuildCache {
    let time = |at: Timestamp| format!("{at:.9}");
    BuildCache {
        id: usage.id,
        parent: usage.parents.first().cloned().unwrap_or_default(),
        parents: usage.parents,
        kind: RecordKind::name(usage.kind).to_owned(),
        description: usage.description,
        in_use: usage.in_use,
        shared: usage.shared,
        size: signed(usage.size_bytes),
        created_at: time(usage.created),
        last_used_at: usage.last_used.map(time),
        usage_count: signed(usage.uses),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_read_by_version() {
        let all = Query::parse("keep-storage=1&reserved-space=2&max-used-space=3&min-free-space=4");
        let new = Limits { reserved: 2, max_used: 3, min_free: 4 };
        assert_eq!(Limits::read(&all, true), Ok(new));
        assert_eq!(Limits::read(&all, false), Ok(Limits { reserved: 1, ..Limits::default() }));
        let old = Limits::read(&Query::parse("keep-storage=7"), true);
        assert_eq!(old, Ok(Limits { reserved: 7, ..Limits::default() }));
        let wrong = Limits::read(&Query::parse("keep-storage=x"), false).unwrap_err();
        let words = "keep-storage is in bytes and expects an integer, got x: invalid digit found \
                     in string";
        assert_eq!(wrong.message, words);
    }

    #[test]
    fn what_stays() {
        for (reserved, max_used, min_free, want) in [
            (0, 0, 0, 0),
            (30, 0, 0, 30),
            (0, 40, 0, 40),
            (0, 400, 0, 100),
            // 10 are free, so 15 have to go.
            (0, 0, 25, 85),
            (90, 0, 25, 90),
            (0, 40, 25, 40),
            (0, 95, 25, 85),
        ] {
            let limits = Limits { reserved, max_used, min_free };
            assert_eq!(limits.keep_bytes(100, 10), want, "{limits:?}");
        }
    }
}
