//! Streams of progress messages, and other streams that a blocking worker writes.
//!
//! The status goes out with the first bytes: a worker that fails before gets a real status, one
//! that fails later reports within the stream.

use std::io::{self, Write};

use bytes::Bytes;
use futures_util::stream;
use gantry_api_types::image::{ErrorDetail, JsonMessage};
use hyper::header::HeaderValue;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::body::{self, Response};
use crate::error::ApiError;

/// Messages or buffers that wait for the client; the worker blocks when it does not read.
const QUEUE: usize = 16;
/// Bytes that a worker writes at once.
const BUFFER_BYTES: usize = 256 << 10;

/// Where a worker writes to.
pub(crate) struct Sink {
    queue: mpsc::Sender<io::Result<Bytes>>,
    buffer: Vec<u8>,
}

impl Sink {
    /// Sends one JSON message as a line.
    pub(crate) fn message(&mut self, message: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(message)?;
        line.extend_from_slice(b"\r\n");
        self.send(line.into())
    }

    fn send(&self, bytes: Bytes) -> io::Result<()> {
        self.queue.blocking_send(Ok(bytes)).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= BUFFER_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let full = std::mem::replace(&mut self.buffer, Vec::with_capacity(BUFFER_BYTES));
        self.send(full.into())
    }
}

/// How a failure behind the first bytes is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Late {
    /// By a message with the error.
    Message,
    /// By breaking the connection off, so that a tar is not taken for whole.
    Abort,
}

/// Runs a blocking worker and streams what it writes.
pub(crate) async fn stream_worker(
    content_type: &'static str,
    late: Late,
    work: impl FnOnce(&mut Sink) -> Result<(), ApiError> + Send + 'static,
) -> Result<Response, ApiError> {
    let (queue, mut written) = mpsc::channel(QUEUE);
    let worker = tokio::task::spawn_blocking(move || {
        let mut sink = Sink { queue, buffer: Vec::new() };
        let done = work(&mut sink);
        let flushed = sink.flush();
        // A client that has left is not told anything.
        done.map(|()| drop(flushed))
    });
    let first = written.recv().await;
    if first.is_none() {
        return match worker.await {
            Ok(Ok(())) => Ok(body::typed(
                body::status(hyper::StatusCode::OK),
                HeaderValue::from_static(content_type),
            )),
            Ok(Err(error)) => Err(error),
            Err(failed) => Err(ApiError::internal(&failed)),
        };
    }
    let rest = stream::unfold(
        (first, written, Some(worker)),
        move |(first, mut written, worker)| async move {
            if let Some(bytes) = first {
                return Some((bytes, (None, written, worker)));
            }
            if let Some(bytes) = written.recv().await {
                return Some((bytes, (None, written, worker)));
            }
            let end = match worker?.await {
                Ok(Ok(())) => return None,
                Ok(Err(error)) => tell(late, &error),
                Err(failed) => Err(io::Error::other(failed)),
            };
            Some((end, (None, written, None)))
        },
    );
    Ok(body::stream(HeaderValue::from_static(content_type), rest))
}

fn tell(late: Late, error: &ApiError) -> io::Result<Bytes> {
    match late {
        Late::Abort => Err(io::Error::other(error.message.clone())),
        Late::Message => late_message(error),
    }
}

/// The line that tells of a failure within a stream.
pub(crate) fn late_message(error: &ApiError) -> io::Result<Bytes> {
    let detail = ErrorDetail { code: 0, message: error.message.clone() };
    let message = JsonMessage {
        error_detail: Some(detail),
        error: error.message.clone(),
        ..JsonMessage::default()
    };
    let mut line = serde_json::to_vec(&message)?;
    line.extend_from_slice(b"\r\n");
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn run(
        late: Late,
        work: impl FnOnce(&mut Sink) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<Option<String>, ApiError> {
        let response = stream_worker("application/json", late, work).await?;
        let body = response.into_body().collect().await.ok();
        Ok(body.map(|body| String::from_utf8(body.to_bytes().to_vec()).unwrap()))
    }

    #[tokio::test]
    async fn early_failures_have_a_status_and_late_ones_are_told() {
        let failure = || ApiError::invalid("no");
        let early = run(Late::Message, move |_| Err(failure())).await;
        assert_eq!(early, Err(failure()));
        let empty = run(Late::Message, |_| Ok(())).await;
        assert_eq!(empty, Ok(Some(String::new())));
        let message = JsonMessage { status: "s".into(), ..JsonMessage::default() };
        let sent = message.clone();
        let late = run(Late::Message, move |sink| {
            sink.message(&sent).map_err(|error| ApiError::internal(&error))?;
            Err(failure())
        })
        .await;
        let want =
            "{\"status\":\"s\"}\r\n{\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\r\n";
        assert_eq!(late, Ok(Some(want.to_owned())));
        let cut = run(Late::Abort, move |sink| {
            sink.message(&message).map_err(|error| ApiError::internal(&error))?;
            Err(failure())
        })
        .await;
        assert_eq!(cut, Ok(None), "a tar that is cut off is no whole answer");
    }
}
