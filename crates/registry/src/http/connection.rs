//! One connection: requests until it ends.
//!
//! hyper reads requests and writes answers, but for one kind: a part of a file that goes out on
//! plain TCP. There the connection is taken out of hyper for the time of the answer, its head is
//! written here and the kernel sends the file's pages (`sendfile(2)`), without a copy through this
//! process; then hyper gets it back, with whatever it had read ahead.

use std::{
    convert::Infallible,
    fmt,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use bytes::Bytes;
use futures_util::{future::BoxFuture, task::AtomicWaker};
use http_body_util::BodyExt;
use hyper::{
    Method, Request, Version,
    body::{Body as _, Incoming},
    header::{CONNECTION, EXPECT},
    server::conn::http1,
    service::Service,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::AsyncWriteExt;
use tokio_util::sync::CancellationToken;

use super::{
    answer,
    io::{Ahead, Io},
    refusal::Refusal,
    reply::{Reply, Response},
    send::{self, SendFile},
};
use crate::registry::Registry;

/// How long a client may take to send a request's head, idle time included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// Most that is read ahead of a connection, in bytes; heads are smaller.
const READ_AHEAD_BYTES: usize = 64 << 10;
/// Most that is read of a body that nobody wants, in bytes: closing at once would lose the answer.
const LEFT_MAX_BYTES: usize = 64 << 20;
/// Longest time for it.
const LEFT_LIMIT: Duration = Duration::from_secs(2);

/// Who is at the other end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    /// The transport is TLS.
    pub(crate) tls: bool,
}

/// Speaks HTTP on a connection until it ends, or until `shutdown` and the end of a request.
pub(crate) async fn serve(
    io: Io,
    address: SocketAddr,
    registry: Registry,
    shutdown: CancellationToken,
) {
    let peer = Peer { address, tls: matches!(io, Io::Tls(_)) };
    let mut io = Ahead::new(io, Arc::default());
    loop {
        let Some((mut left, file)) = speak(io, peer, &registry, &shutdown).await else { return };
        match send::send(&mut left.io, &file).await {
            Ok(()) if !file.closes && !shutdown.is_cancelled() => {}
            Ok(()) => {
                // The peer may be gone already; there is nobody to tell.
                let _ = left.io.shutdown().await;
                return;
            }
            Err(error) => {
                tracing::debug!(%error, "a download broke");
                return;
            }
        }
        io = left;
    }
}

/// Speaks HTTP until the connection ends, or until a file is to be sent.
async fn speak(
    io: Ahead,
    peer: Peer,
    registry: &Registry,
    shutdown: &CancellationToken,
) -> Option<(Ahead, SendFile)> {
    let link = io.link();
    let service = Requests { registry: registry.clone(), link: Arc::clone(&link), peer };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(READ_AHEAD_BYTES)
        .serve_connection(TokioIo::new(io), service);
    let mut stopping = pin!(shutdown.cancelled());
    let mut stopped = false;
    let step = poll_fn(|context| {
        link.waker.register(context.waker());
        if !stopped && stopping.as_mut().poll(context).is_ready() {
            stopped = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        match connection.poll_without_shutdown(context) {
            Poll::Ready(ended) => Poll::Ready(Err(ended)),
            Poll::Pending => link.file().map_or(Poll::Pending, |file| Poll::Ready(Ok(file))),
        }
    })
    .await;
    let parts = connection.into_parts();
    let mut ahead = parts.io.into_inner();
    match step {
        Ok(file) => {
            // hyper read its buffer out of ours, so that comes first.
            ahead.unread(&parts.read_buf);
            Some((ahead, file))
        }
        Err(Ok(())) => {
            let _ = ahead.io.shutdown().await;
            None
        }
        Err(Err(error)) => {
            tracing::debug!(%error, "a connection broke");
            None
        }
    }
}

/// What the requests, the transport and the loop of one connection share.
#[derive(Debug, Default)]
pub(super) struct Link {
    shared: Mutex<Shared>,
    waker: AtomicWaker,
}

#[derive(Default)]
struct Shared {
    file: Option<SendFile>,
    /// hyper has bytes of an answer before this one that the socket did not take yet.
    blocked: bool,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("blocked", &self.blocked).finish_non_exhaustive()
    }
}

impl Link {
    fn file(&self) -> Option<SendFile> {
        let mut shared = self.shared();
        if shared.blocked { None } else { shared.file.take() }
    }

    /// Notes whether the socket took what hyper wrote.
    pub(super) fn set_blocked(&self, blocked: bool) {
        self.shared().blocked = blocked;
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Requests of one connection.
struct Requests {
    registry: Registry,
    link: Arc<Link>,
    peer: Peer,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (registry, link) = (self.registry.clone(), Arc::clone(&self.link));
        let peer = self.peer;
        let (head, mut body) = request.into_parts();
        Box::pin(async move {
            // A change goes on without its client: half of one would be worse than a whole one.
            let (head, reply) = if matches!(head.method, Method::GET | Method::HEAD) {
                let reply = answer(&registry, peer, &head, &mut body).await;
                (head, reply)
            } else {
                let work = tokio::spawn(async move {
                    let reply = answer(&registry, peer, &head, &mut body).await;
                    // A client that asks first sends no body when it is refused.
                    if !body.is_end_stream() && !head.headers.contains_key(EXPECT) {
                        tokio::spawn(tokio::time::timeout(LEFT_LIMIT, drain(body)));
                    }
                    (head, reply)
                });
                match work.await {
                    Ok(done) => done,
                    // A defect costs its own request only.
                    Err(_) => return Ok(Refusal::failed().into_response()),
                }
            };
            let (response, range) = match reply {
                Reply::Whole(response) => return Ok(response),
                Reply::File(response, range) if !peer.tls => (response, range),
                Reply::File(response, range) => return Ok(response.map(|()| send::body(range))),
            };
            let closes = head.version != Version::HTTP_11
                || head.headers.get(CONNECTION).is_some_and(|value| {
                    value.to_str().is_ok_and(|text| text.to_ascii_lowercase().contains("close"))
                });
            link.shared().file = Some(SendFile { head: response, range, closes });
            link.waker.wake();
            // The connection's loop drops this future when it takes the file.
            std::future::pending().await
        })
    }
}

async fn drain(mut body: Incoming) {
    let mut bytes = 0;
    while bytes < LEFT_MAX_BYTES
        && let Some(Ok(frame)) = body.frame().await
    {
        bytes += frame.data_ref().map_or(0, Bytes::len);
    }
}
