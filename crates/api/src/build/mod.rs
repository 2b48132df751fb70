//! `/build`: the classic builder's door, the cache's, and our own (`session`).

mod cache;
mod classic;
mod request;
pub(crate) mod session;

pub(crate) use cache::prune;
pub(crate) use classic::build;

use gantry_api_types::build::BuildCache;
use gantry_build::Builder;
use hyper::StatusCode;

use crate::body::{self, Response};
use crate::call::Call;
use crate::error::ApiError;

/// What the doors of builds open to.
#[derive(Clone)]
pub struct Builds {
    builder: Builder,
    /// What was shown to clients of the classic builder.
    seen: classic::Seen,
}

impl Builds {
    /// The doors of a builder.
    #[must_use]
    pub fn new(builder: Builder) -> Self {
        Self { builder, seen: classic::Seen::default() }
    }

    /// The rows of the build cache.
    pub(crate) async fn records(&self) -> Result<Vec<BuildCache>, ApiError> {
        cache::records(&self.builder).await
    }
}

/// `POST /build/cancel`: 200, whether there is such a build or not.
pub(crate) async fn cancel(call: Call) -> Result<Response, ApiError> {
    let id = call.query.filled("id").ok_or_else(|| ApiError::invalid("build ID not provided"))?;
    call.api.builds.builder.cancel(id);
    Ok(body::status(StatusCode::OK))
}

/// The id of a build that was given none.
fn new_build_id() -> String {
    let mut bytes = [0; 16];
    // Without random bytes two builds may have one id, and are cancelled together.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
