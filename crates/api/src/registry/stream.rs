//! A transfer as an answer: lines while it runs, and its end with the answer's.
//!
//! The status goes out with the first line, so that what fails before has a real one. The transfer
//! lives in the answer: a client that leaves ends it.

use std::future::Future;
use std::io;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::stream;
use gantry_image::transfer::{Events, TransferError, TransferEvent};
use hyper::StatusCode;
use hyper::header::HeaderValue;
use tokio::sync::mpsc;

use super::messages::message;
use crate::body::{self, Response};
use crate::error::ApiError;
use crate::progress::late_message;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// Events that wait for the client; the transfer waits when it does not read.
const QUEUE: usize = 64;

type Work = Pin<Box<dyn Future<Output = Result<(), TransferError>> + Send>>;

/// A transfer under way.
struct Running {
    /// None once it has ended.
    work: Option<Work>,
    events: mpsc::Receiver<TransferEvent>,
    error: Option<TransferError>,
}

/// What comes next.
enum Next {
    Event(TransferEvent),
    Failed(TransferError),
    End,
}

impl Running {
    async fn next(&mut self) -> Next {
        if let Some(work) = &mut self.work {
            tokio::select! {
                biased;
                Some(event) = self.events.recv() => return Next::Event(event),
                ended = work => {
                    self.error = ended.err();
                    self.work = None;
                }
            }
        }
        // What was told before the end comes before it.
        match self.events.recv().await {
            Some(event) => Next::Event(event),
            None => self.error.take().map_or(Next::End, Next::Failed),
        }
    }
}

/// Answers with what a transfer tells.
pub(super) async fn answer<F>(work: impl FnOnce(Events) -> F) -> Result<Response, ApiError>
where
    F: Future<Output = Result<(), TransferError>> + Send + 'static,
{
    let (queue, events) = mpsc::channel(QUEUE);
    let mut running =
        Running { work: Some(Box::pin(work(Events::new(queue)))), events, error: None };
    let first = match running.next().await {
        Next::Event(event) => event,
        Next::Failed(error) => return Err(refused(error)),
        Next::End => return Ok(body::typed(body::status(StatusCode::OK), JSON)),
    };
    let lines = stream::unfold((Some(first), Some(running)), |(first, running)| async move {
        let mut running = running?;
        let next = match first {
            Some(event) => Next::Event(event),
            None => running.next().await,
        };
        match next {
            Next::Event(event) => Some((line(event), (None, Some(running)))),
            Next::Failed(error) => Some((late_message(&error.into()), (None, None))),
            Next::End => None,
        }
    });
    Ok(body::stream(JSON, lines))
}

/// A registry that refuses is no refusal of ours: clients would ask their user for a password, which
/// Docker's daemon never makes them do.
fn refused(error: TransferError) -> ApiError {
    let error = ApiError::from(error);
    match error.status {
        StatusCode::UNAUTHORIZED => ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, error.message),
        _ => error,
    }
}

fn line(event: TransferEvent) -> io::Result<Bytes> {
    let mut line = serde_json::to_vec(&message(event))?;
    line.extend_from_slice(b"\r\n");
    Ok(line.into())
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use gantry_oci::Reference;
    use http_body_util::BodyExt;

    use super::*;

    fn failure() -> TransferError {
        TransferError::NoTag("a:b".parse::<Reference>().unwrap().familiar())
    }

    #[tokio::test]
    async fn early_failures_have_a_status_and_late_ones_are_told() {
        let early = answer(|_| async { Err(failure()) }).await.expect_err("it fails at once");
        assert_eq!(early.status, StatusCode::NOT_FOUND);
        let response = answer(|events| async move {
            events.line("", "one").await;
            events.line("", "two").await;
            Err(failure())
        })
        .await
        .unwrap();
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert_eq!(
            String::from_utf8_lossy(&text),
            "{\"status\":\"one\"}\r\n{\"status\":\"two\"}\r\n\
             {\"errorDetail\":{\"message\":\"tag does not exist: a:b\"},\
             \"error\":\"tag does not exist: a:b\"}\r\n"
        );
    }

    #[tokio::test]
    async fn a_client_that_leaves_ends_the_transfer() {
        struct Flag(Arc<AtomicBool>);
        impl Drop for Flag {
            fn drop(&mut self) {
                self.0.store(true, Ordering::Relaxed);
            }
        }
        let ended = Arc::new(AtomicBool::new(false));
        let flag = Flag(Arc::clone(&ended));
        let response = answer(|events| async move {
            let _flag = flag;
            events.line("", "one").await;
            std::future::pending().await
        })
        .await
        .unwrap();
        assert!(!ended.load(Ordering::Relaxed));
        drop(response);
        assert!(ended.load(Ordering::Relaxed));
    }
}
