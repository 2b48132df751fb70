//! Answers.

use std::io;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Full, combinators::UnsyncBoxBody};
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue},
};
use serde::Serialize;

use super::refusal::Refusal;
use crate::blobs::FileRange;

/// Body of an answer.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub(crate) type Response = hyper::Response<Body>;

/// An answer, or the head of one whose body is a part of a file.
pub(crate) enum Reply {
    Whole(Response),
    File(hyper::Response<()>, FileRange),
}

impl From<Response> for Reply {
    fn from(response: Response) -> Self {
        Self::Whole(response)
    }
}

impl Reply {
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Whole(response) => response.status(),
            Self::File(head, _) => head.status(),
        }
    }

    pub(crate) fn headers_mut(&mut self) -> &mut hyper::HeaderMap {
        match self {
            Self::Whole(response) => response.headers_mut(),
            Self::File(head, _) => head.headers_mut(),
        }
    }
}

pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// An answer with a status only.
pub(crate) fn status(status: StatusCode) -> Response {
    let mut response = Response::new(empty());
    *response.status_mut() = status;
    response
}

/// An answer with these bytes.
pub(crate) fn full(status: StatusCode, bytes: impl Into<Bytes>) -> Response {
    let body = Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// 200 with a JSON document.
pub(crate) fn json(
    content_type: &'static str,
    value: &impl Serialize,
) -> Result<Response, Refusal> {
    let text = serde_json::to_vec(value).map_err(|error| {
        tracing::error!(%error, "a document could not be written");
        Refusal::failed()
    })?;
    let mut response = full(StatusCode::OK, text);
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    Ok(response)
}

/// Sets headers; a value that may not stand in one is left out.
pub(crate) trait With: Sized {
    fn with(self, name: HeaderName, value: &str) -> Self;
}

impl<B> With for hyper::Response<B> {
    fn with(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::try_from(value) {
            self.headers_mut().append(name, value);
        }
        self
    }
}
