//! The graph as it grows: the same operation is one vertex, however often it is needed.

use std::collections::HashMap;

use gantry_build_proto::Place;
use gantry_oci::{Digest, Hasher};

use crate::graph::{Graph, Op, Vertex, VertexId};

/// A graph under construction.
#[derive(Debug, Default)]
pub(super) struct Vertices {
    /// What is there.
    pub graph: Graph,
    known: HashMap<(Digest, bool), VertexId>,
}

/// What a vertex is called.
#[derive(Debug, Clone, Default)]
pub(super) struct Shown {
    /// What progress shows.
    pub name: String,
    /// The instruction, if it comes of one.
    pub instruction: String,
    /// Where that is.
    pub place: Option<Place>,
}

impl Shown {
    /// Of what is no instruction.
    pub(super) fn named(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }
}

impl Vertices {
    /// The vertex of an operation: the one that is there, or a new one. `fresh` ones are not taken
    /// from the cache.
    pub(super) fn push(&mut self, op: Op, shown: Shown, fresh: bool) -> VertexId {
        let key = (key(&op), fresh);
        if let Some(vertex) = self.known.get(&key) {
            return *vertex;
        }
        let Shown { name, instruction, place } = shown;
        let vertex = self.graph.push(Vertex { name, instruction, place, op, no_cache: fresh });
        self.known.insert(key, vertex);
        vertex
    }

    /// The vertex of nothing.
    pub(super) fn scratch(&mut self) -> VertexId {
        self.push(Op::Scratch, Shown::named("scratch"), false)
    }
}

/// Operations name their inputs by number, so that equal texts are equal work.
fn key(op: &Op) -> Digest {
    let mut hasher = Hasher::sha256();
    let text = serde_json::to_vec(op).expect("operations are made of numbers, texts and lists");
    hasher.update(&text);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::ContextTree;

    #[test]
    fn equal_operations_are_one_vertex() {
        let mut vertices = Vertices::default();
        let context = |name: &str| Op::Context(ContextTree { name: name.to_owned() });
        let first = vertices.push(context("a"), Shown::named("x"), false);
        assert_eq!(vertices.push(context("a"), Shown::named("y"), false), first);
        assert_ne!(vertices.push(context("a"), Shown::named("x"), true), first);
        assert_ne!(vertices.push(context("b"), Shown::named("x"), false), first);
        assert_eq!(vertices.scratch(), vertices.scratch());
        assert_eq!(vertices.graph.vertices.len(), 4);
    }
}
