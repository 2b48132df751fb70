//! One request, as handlers get it.

use std::future::Future;

use gantry_api_types::ApiVersion;
use gantry_engine::{Container, LookupError};
use hyper::HeaderMap;
use serde::de::DeserializeOwned;

use crate::Api;
use crate::body::Upload;
use crate::error::ApiError;
use crate::query::Query;

/// One request.
pub(crate) struct Call {
    /// What the doors open to.
    pub(crate) api: Api,
    /// Version that the client speaks.
    pub(crate) version: ApiVersion,
    /// Values of the path's parameters.
    pub(crate) params: Vec<String>,
    /// Query parameters.
    pub(crate) query: Query,
    /// Headers.
    pub(crate) headers: HeaderMap,
    /// Body.
    pub(crate) upload: Upload,
}

impl Call {
    /// First parameter of the path.
    pub(crate) fn name(&self) -> &str {
        self.params.first().map_or("", String::as_str)
    }

    /// The container that the path names.
    pub(crate) fn container(&self) -> Result<Container, LookupError> {
        self.api.engine.container(self.name())
    }

    /// Reads the body.
    pub(crate) async fn json<T: DeserializeOwned>(self) -> Result<T, ApiError> {
        self.upload.json(&self.headers).await
    }
}

/// Does work that goes on when the client leaves: what changes state is never left half done.
pub(crate) async fn unhurried<T, E>(
    work: impl Future<Output = Result<T, E>> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    match tokio::spawn(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(failed) => Err(ApiError::internal(&failed)),
    }
}

/// Does work that blocks, off the reactor; it too goes on when the client leaves.
pub(crate) async fn blocking<T, E>(
    work: impl FnOnce() -> Result<T, E> + Send + 'static,
) -> Result<T, ApiError>
where
    T: Send + 'static,
    E: Into<ApiError> + Send + 'static,
{
    match tokio::task::spawn_blocking(work).await {
        Ok(result) => result.map_err(Into::into),
        Err(failed) => Err(ApiError::internal(&failed)),
    }
}
