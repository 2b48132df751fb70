//! A tree, whether all of it is here or has still to be sent.

use std::sync::Arc;

use super::{
    Tree, TreeError,
    mirror::{MirrorError, View},
};

/// A tree; clones share it.
#[derive(Clone)]
pub(crate) enum AnyTree {
    /// A context of the client's, which is sent as it is asked for.
    View(Arc<View>),
    /// All is here.
    Here(Arc<dyn Tree>),
}

impl AnyTree {
    /// Asks a question on a thread of its own, until everything is here that it needs.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        question: impl Fn(&dyn Tree) -> Result<T, TreeError> + Send + Sync + 'static,
    ) -> Result<Result<T, TreeError>, MirrorError> {
        match self {
            Self::View(view) => view.ask(question).await,
            Self::Here(tree) => {
                let tree = Arc::clone(tree);
                Ok(crate::blocking(move || question(&*tree)).await)
            }
        }
    }

    /// The tree itself, for what was found in it.
    pub(crate) fn tree(&self) -> Arc<dyn Tree> {
        match self {
            Self::View(view) => Arc::clone(view) as Arc<dyn Tree>,
            Self::Here(tree) => Arc::clone(tree),
        }
    }
}
