//! Who sees that work on a vertex broke off.

use std::sync::Arc;

use super::Solver;
use crate::graph::VertexId;

/// Held by work on a vertex: should it panic, the build fails instead of waiting for its result.
pub(super) struct Watch {
    pub(super) solver: Arc<Solver>,
    pub(super) id: VertexId,
}

impl Drop for Watch {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.solver.broke_off(self.id);
        }
    }
}
