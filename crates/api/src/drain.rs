//! Bodies that a handler leaves unread.
//!
//! A refusal may be ready before the client has sent its body. Closing the socket then makes the
//! client's next write fail, and many clients never look at the answer after that. So what is left
//! of the body is read and thrown away for a while, behind the answer.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame, Incoming, SizeHint};

use crate::body::Body;

/// Most that is read of a body that nobody wants.
const LEFT_MAX_BYTES: usize = 64 << 20;
/// Longest time for it; a client that has seen the answer stops long before.
const LEFT_LIMIT: Duration = Duration::from_secs(2);

/// Where a body goes back to when its handler drops it.
#[derive(Clone, Default)]
pub(crate) struct Left(Arc<Mutex<Option<Incoming>>>);

/// What is done when a handler has read its body to the end.
type AtEnd = Box<dyn FnOnce() + Send>;

/// A body on loan to a handler.
struct Lent {
    body: Option<Incoming>,
    left: Left,
    at_end: Option<AtEnd>,
}

/// Lends a body to a handler; `at_end` is called when that has read it to the end.
pub(crate) fn lend(body: Incoming, at_end: Option<AtEnd>) -> (Body, Left) {
    let left = Left::default();
    let lent = Lent { body: Some(body), left: left.clone(), at_end };
    (lent.map_err(io::Error::other).boxed_unsync(), left)
}

impl Left {
    /// Reads what the handler did not, in the background. A handler that still reads keeps it.
    pub(crate) fn drain(&self) {
        let body = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut body) = body else { return };
        let read = async move {
            let mut bytes = 0;
            while bytes < LEFT_MAX_BYTES
                && let Some(Ok(frame)) = body.frame().await
            {
                bytes += frame.data_ref().map_or(0, Bytes::len);
            }
        };
        tokio::spawn(tokio::time::timeout(LEFT_LIMIT, read));
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let body = self.body.take().filter(|body| !body.is_end_stream());
        *self.left.0.lock().unwrap_or_else(PoisonError::into_inner) = body;
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = std::task::ready!(Pin::new(&mut *body).poll_frame(context));
        let ended = match &frame {
            None => true,
            Some(frame) => frame.is_ok() && body.is_end_stream(),
        };
        if ended && let Some(at_end) = self.at_end.take() {
            at_end();
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(HttpBody::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(SizeHint::default, HttpBody::size_hint)
    }
}
