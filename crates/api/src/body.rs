//! Bodies: how requests are read and answers written.

use std::io;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, StreamExt, TryStreamExt};
use gantry_engine::ByteStream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::StatusCode;
use hyper::body::{Body as _, Frame};
use hyper::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::ApiError;

/// Body of a request or an answer.
pub type Body = UnsyncBoxBody<Bytes, io::Error>;
/// An answer.
pub type Response = hyper::Response<Body>;

/// Largest JSON body that is read; every field together stays far below it.
const JSON_BODY_MAX_BYTES: usize = 8 << 20;
/// `Content-Type` of JSON.
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Nothing.
pub(crate) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// An answer that has a status only.
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

/// An answer with a JSON document, and the newline that Go's encoder ends it with.
pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Response {
    match json_line(value) {
        Ok(line) => typed(full(status, line), JSON),
        Err(error) => {
            tracing::error!(%error, "a document could not be written");
            self::status(StatusCode::INTERNAL_SERVER_ERROR)
        }
    }
}

/// 200 with a JSON document.
pub(crate) fn ok<T: Serialize>(value: &T) -> Result<Response, ApiError> {
    Ok(json(StatusCode::OK, value))
}

/// A JSON document as one line.
pub(crate) fn json_line<T: Serialize>(value: &T) -> io::Result<Bytes> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line.into())
}

/// An answer whose bytes come over time; the status goes out at once.
pub(crate) fn stream<S>(content_type: HeaderValue, bytes: S) -> Response
where
    S: Stream<Item = io::Result<Bytes>> + Send + 'static,
{
    let body = StreamBody::new(bytes.map_ok(Frame::data)).boxed_unsync();
    typed(Response::new(body), content_type)
}

/// Sets the `Content-Type`.
pub(crate) fn typed(mut response: Response, content_type: HeaderValue) -> Response {
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// A request's body.
pub(crate) struct Upload {
    body: Body,
    /// Length in bytes as the client told it; `None` when it comes in chunks.
    pub(crate) length: Option<u64>,
}

impl Upload {
    /// The body of a request with these headers.
    pub(crate) fn new(body: Body, headers: &HeaderMap) -> Self {
        let told = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse().ok());
        let length = if body.is_end_stream() { Some(0) } else { told };
        Self { body, length }
    }

    /// Its bytes as they come, never held as a whole.
    pub(crate) fn into_stream(self) -> ByteStream {
        Box::pin(self.body.into_data_stream())
    }

    /// All of it, up to [`JSON_BODY_MAX_BYTES`].
    async fn collect(self) -> Result<Bytes, ApiError> {
        let mut data = self.body.into_data_stream();
        let mut all = BytesMut::new();
        while let Some(bytes) = data.next().await {
            let bytes = bytes
                .map_err(|error| ApiError::invalid(format!("reading the request body: {error}")))?;
            if all.len() + bytes.len() > JSON_BODY_MAX_BYTES {
                return Err(ApiError::new(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    format!("request body is larger than {JSON_BODY_MAX_BYTES} bytes"),
                ));
            }
            all.extend_from_slice(&bytes);
        }
        Ok(all.freeze())
    }

    /// The JSON text of the body; `None` when there is no body at all.
    pub(crate) async fn json_text(self, headers: &HeaderMap) -> Result<Option<Bytes>, ApiError> {
        check_json(headers, self.length)?;
        if self.length == Some(0) {
            return Ok(None);
        }
        Ok(Some(self.collect().await?))
    }

    /// Reads a JSON document.
    pub(crate) async fn json<T>(self, headers: &HeaderMap) -> Result<T, ApiError>
    where
        T: DeserializeOwned,
    {
        match self.json_text(headers).await? {
            Some(text) => parse(&text),
            None => Err(no_json()),
        }
    }

    /// Reads a JSON document; no body is the default.
    pub(crate) async fn optional_json<T>(self, headers: &HeaderMap) -> Result<T, ApiError>
    where
        T: DeserializeOwned + Default,
    {
        match self.json_text(headers).await? {
            Some(text) => parse(&text),
            None => Ok(T::default()),
        }
    }
}

/// The error for a missing document.
pub(crate) fn no_json() -> ApiError {
    ApiError::invalid("invalid JSON: got EOF while reading request body")
}

/// Reads one JSON document and nothing behind it; an error names the field.
pub(crate) fn parse<T: DeserializeOwned>(text: &[u8]) -> Result<T, ApiError> {
    if text.iter().all(u8::is_ascii_whitespace) {
        return Err(no_json());
    }
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() && path != "." {
            ApiError::invalid(format!("invalid JSON: {path}: {inner}"))
        } else {
            ApiError::invalid(format!("invalid JSON: {inner}"))
        }
    })?;
    deserializer.end().map_err(|_| ApiError::invalid("unexpected content after JSON"))?;
    Ok(value)
}

/// Checks that a body is told to be JSON, in Docker's words; without a body nothing is asked.
fn check_json(headers: &HeaderMap, length: Option<u64>) -> Result<(), ApiError> {
    let text = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if text.is_empty() && length == Some(0) {
        return Ok(());
    }
    let essence = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.as_str() {
        "" => Err(ApiError::invalid(format!(
            "malformed Content-Type header ({text}): mime: no media type"
        ))),
        "application/json" => Ok(()),
        _ => Err(ApiError::invalid(format!(
            "unsupported Content-Type header ({text}): must be 'application/json'"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use gantry_api_types::exec::ExecCreateBody;

    async fn read(
        content_type: Option<&str>,
        text: &'static str,
    ) -> Result<ExecCreateBody, ApiError> {
        let mut headers = HeaderMap::new();
        if let Some(content_type) = content_type {
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
        }
        let body = full(StatusCode::OK, text).into_body();
        Upload::new(body, &headers).json(&headers).await
    }

    #[tokio::test]
    async fn bodies_are_refused_in_dockers_words() {
        let json = Some("application/json");
        for (content_type, text, want) in [
            (None, "{}", "malformed Content-Type header (): mime: no media type"),
            (
                Some("text/plain"),
                "{}",
                "unsupported Content-Type header (text/plain): must be 'application/json'",
            ),
            (None, "", "invalid JSON: got EOF while reading request body"),
            (json, "", "invalid JSON: got EOF while reading request body"),
            (json, " ", "invalid JSON: got EOF while reading request body"),
            (json, "{} {}", "unexpected content after JSON"),
            (
                json,
                r#"{"Tty":"yes"}"#,
                "invalid JSON: Tty: invalid type: string \"yes\", expected a boolean at line 1 column 12",
            ),
        ] {
            let error = read(content_type, text).await.expect_err(text);
            assert_eq!((error.status, error.message.as_str()), (StatusCode::BAD_REQUEST, want));
        }
        let body = read(Some("application/json; charset=utf-8"), r#"{"Tty":true,"New":1}"#).await;
        assert!(body.expect("unknown fields are ignored").tty);
    }
}
