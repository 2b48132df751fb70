//! What a failed request answers: the one place where an error's kind meets a status.

use gantry_api_types::ErrorBody;
use gantry_api_types::filters::FilterError;
use gantry_fault::{Fault, Kind, chain};
use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HeaderValue};

use crate::body::{self, Response};

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ApiError {
    /// Status line.
    pub(crate) status: StatusCode,
    /// Text for people, which clients match on too.
    pub(crate) message: String,
}

impl ApiError {
    /// An error with this status and text.
    pub(crate) fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    /// 400: the request itself is wrong.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    /// 404 for a path that no route has.
    pub(crate) fn no_page() -> Self {
        Self::new(StatusCode::NOT_FOUND, "page not found")
    }

    /// 501, naming what is missing.
    pub(crate) fn not_implemented(feature: &str) -> Self {
        Self::new(
            StatusCode::NOT_IMPLEMENTED,
            format!("{feature} is not implemented by Gantry yet"),
        )
    }

    /// 500 with an error's whole chain.
    pub(crate) fn internal(error: &dyn std::error::Error) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, chain(error))
    }

    /// As an error is told that is not given away.
    pub(crate) fn of(error: &impl Fault) -> Self {
        Self::new(status(error.kind()), chain(error))
    }

    /// The same with words before it.
    pub(crate) fn within(mut self, words: std::fmt::Arguments<'_>) -> Self {
        self.message = format!("{words}: {}", self.message);
        self
    }

    /// The answer; 304 has no body.
    pub(crate) fn into_response(self) -> Response {
        if self.status == StatusCode::NOT_MODIFIED {
            return body::status(self.status);
        }
        if self.status.is_server_error() {
            tracing::debug!(status = self.status.as_u16(), message = self.message, "failed");
        }
        body::json(self.status, &ErrorBody::new(self.message))
    }

    /// The answer on a route that hands the connection over: plain text, as Docker writes it there.
    pub(crate) fn into_raw_response(self) -> Response {
        let mut response = body::full(self.status, format!("{}\r\n", self.message));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(crate::hijack::RAW));
        response
    }
}

impl<E: Fault> From<E> for ApiError {
    fn from(error: E) -> Self {
        Self::of(&error)
    }
}

/// Refuses filters.
pub(crate) fn filter(error: &FilterError) -> ApiError {
    ApiError::invalid(error.to_string())
}

fn status(kind: Kind) -> StatusCode {
    match kind {
        Kind::NotFound => StatusCode::NOT_FOUND,
        Kind::InvalidArgument => StatusCode::BAD_REQUEST,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::NotModified => StatusCode::NOT_MODIFIED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::Unauthorized => StatusCode::UNAUTHORIZED,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::NotImplemented => StatusCode::NOT_IMPLEMENTED,
        // Cancelled, DataLoss, Internal, and kinds that are yet to come.
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}
