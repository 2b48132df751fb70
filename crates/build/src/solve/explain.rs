//! Why the cache had a result or not: `build --explain`.

use std::sync::Arc;

use super::{Keyed, Solver, parts};
use crate::{
    cache::{RecordKind, record::Part},
    graph::VertexId,
};

/// Changed parts that are named.
const NAMED_MAX: usize = 3;

pub(super) fn by_definition() -> String {
    "nothing that it depends on has changed".to_owned()
}

pub(super) fn by_content() -> String {
    "what it depends on was made anew and is the same".to_owned()
}

pub(super) fn passed_over() -> String {
    "a later step was in the cache".to_owned()
}

/// Why a vertex is worked on; empty if nobody asked.
pub(super) fn why_not(solver: &Solver, id: VertexId, keyed: &Arc<Keyed>) -> String {
    if !solver.build.request.explain {
        return String::new();
    }
    let vertex = solver.vertex(id);
    if vertex.no_cache {
        return "the cache was not to be used".to_owned();
    }
    let like = solver.build.inner.parts.cache.like(&vertex.instruction, RecordKind::Regular);
    let Some(before) = like.filter(|_| !vertex.instruction.is_empty()) else {
        return "there is no result of this instruction yet".to_owned();
    };
    match difference(&before.record.parts, parts(keyed)).as_slice() {
        [] if keyed.fresh => "a step before it was not to be taken from the cache".to_owned(),
        [] => "its result is not there any more".to_owned(),
        names => {
            let shown = names[..names.len().min(NAMED_MAX)].join(", ");
            let more = names.len().saturating_sub(NAMED_MAX);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("changed: {shown}{more}")
        }
    }
}

/// Names of the parts that differ, in their order.
fn difference(before: &[Part], now: &[Part]) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut old: Vec<&Part> = before.iter().collect();
    for part in now {
        match old.iter().position(|known| known.name == part.name) {
            Some(at) if old[at].hash == part.hash => drop(old.remove(at)),
            Some(at) => {
                old.remove(at);
                names.push(part.name.clone());
            }
            None => names.push(part.name.clone()),
        }
    }
    for gone in old {
        if !names.contains(&gone.name) {
            names.push(gone.name.clone());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences() {
        let parts = |texts: &[&str]| -> Vec<Part> {
            texts
                .iter()
                .map(|text| {
                    let (name, hash) = text.split_once('=').unwrap();
                    Part { name: name.to_owned(), hash: hash.to_owned() }
                })
                .collect()
        };
        for (before, now, want) in [
            (&["a=1", "b=2"][..], &["a=1", "b=2"][..], ""),
            (&["a=1", "b=2"], &["a=1", "b=3"], "b"),
            (&["a=1"], &["a=1", "c=1"], "c"),
            (&["a=1", "c=1"], &["a=1"], "c"),
            (&["m=1", "m=2"], &["m=1", "m=3"], "m"),
            (&["a=1", "b=1"], &["a=2", "b=2"], "a b"),
        ] {
            assert_eq!(difference(&parts(before), &parts(now)).join(" "), want, "{now:?}");
        }
    }
}
