//! What is refused, and in which words: features that are still to come, and a swarm that this
//! node is not part of.

use hyper::StatusCode;

use crate::call::Call;
use crate::error::ApiError;

/// Why a route does nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Refusal {
    /// The feature, in words that begin a sentence.
    NotYet(&'static str),
    /// Asked of a swarm's manager.
    NoManager,
    /// Asked of a swarm's member.
    NoSwarm,
    /// Asked of a plugin, of which there are none.
    NoPlugin,
}

impl Refusal {
    /// The answer.
    pub(crate) fn error(self, call: &Call) -> ApiError {
        match self {
            Self::NotYet(feature) => ApiError::not_implemented(feature),
            Self::NoManager => ApiError::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "This node is not a swarm manager. Use \"docker swarm init\" or \"docker swarm \
                 join\" to connect this node to swarm and try again.",
            ),
            Self::NoSwarm => {
                ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "This node is not part of a swarm")
            }
            Self::NoPlugin => ApiError::new(
                StatusCode::NOT_FOUND,
                format!("plugin \"{}\" not found", call.name()),
            ),
        }
    }
}
