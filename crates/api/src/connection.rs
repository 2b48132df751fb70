//! One connection: HTTP/1.1 requests until it ends, or until a handler takes it over.
//!
//! hyper hands a connection over only behind a `101` answer, but Docker's clients may also ask
//! without an `Upgrade` header and get a plain `200` with the raw stream behind it. So both forms
//! go around hyper: a handler that wants the connection answers with a [`Takeover`]; this loop
//! then takes socket and read-ahead bytes out of hyper and runs it, and the takeover writes its
//! own head.
//!
//! A client may close its sending half and still read, so the end of input ends nothing by
//! itself. For answers that only make sense while the client is there (events, logs, ...), the
//! socket is watched while they are under way, from the end of the request's body on, and its end
//! drops them.

use std::any::Any;
use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::future::BoxFuture;
use futures_util::task::AtomicWaker;
use http_body_util::BodyExt;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::Service;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use crate::body::{self, Response};
use crate::drain;
use crate::router::Router;

/// How long a client may take to send a request's head, idle time included.
const HEAD_TIMEOUT: Duration = Duration::from_secs(300);
/// What is read ahead of a watched connection, in bytes.
const AHEAD_MAX_BYTES: usize = 64 << 10;
/// Largest head of a request, in bytes; filters travel in it.
const HEAD_MAX_BYTES: usize = 1 << 20;

/// Speaks HTTP on a connection until it ends.
///
/// After `shutdown`, the request under way is finished and no further one is taken.
pub async fn serve_connection<IO>(io: IO, router: Router, shutdown: CancellationToken)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let link = Arc::new(Link::default());
    let watched = Watched { io, ahead: BytesMut::new(), link: Arc::clone(&link) };
    let service = Requests { router, link: Arc::clone(&link) };
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_MAX_BYTES)
        .half_close(true)
        .title_case_headers(true)
        .serve_connection(TokioIo::new(watched), service);
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
            Poll::Pending => {
                link.taken().map_or(Poll::Pending, |takeover| Poll::Ready(Ok(takeover)))
            }
        }
    })
    .await;
    let parts = connection.into_parts();
    let mut watched = parts.io.into_inner();
    match step {
        Ok(takeover) => {
            let mut early = BytesMut::from(parts.read_buf.as_ref());
            early.extend_from_slice(&watched.ahead);
            (takeover.run)(RawConnection { io: RawIo::new(watched.io), early: early.freeze() })
                .await;
        }
        Err(Ok(())) => {
            // The peer may be gone already; there is nobody to tell.
            let _ = watched.io.shutdown().await;
        }
        Err(Err(error)) => tracing::debug!(%error, "a connection broke"),
    }
}

/// A connection without HTTP.
pub(crate) struct RawConnection {
    /// The connection.
    pub(crate) io: RawIo,
    /// What the client has sent already behind its request.
    pub(crate) early: Bytes,
}

/// A connection's socket; a Unix socket is told apart, since the kernel can move its bytes.
pub(crate) enum RawIo {
    /// A Unix socket.
    Unix(UnixStream),
    /// Anything else.
    Other(Box<dyn AnyIo>),
}

/// A connection of any kind.
pub(crate) trait AnyIo: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> AnyIo for T {}

impl RawIo {
    fn new<IO: AsyncRead + AsyncWrite + Unpin + Send + 'static>(io: IO) -> Self {
        let mut io = Some(io);
        let any: &mut dyn Any = &mut io;
        match any.downcast_mut::<Option<UnixStream>>().and_then(Option::take) {
            Some(unix) => Self::Unix(unix),
            None => match io.take() {
                Some(io) => Self::Other(Box::new(io)),
                // Only the arm above takes it, and then it is not here.
                None => Self::Other(Box::new(tokio::io::empty())),
            },
        }
    }

    fn pin(&mut self) -> Pin<&mut dyn AnyIo> {
        match self {
            Self::Unix(io) => Pin::new(io),
            Self::Other(io) => Pin::new(io),
        }
    }
}

impl AsyncRead for RawIo {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().pin().poll_read(context, buffer)
    }
}

impl AsyncWrite for RawIo {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.get_mut().pin().poll_write(context, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().pin().poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().pin().poll_shutdown(context)
    }
}

/// What is done with a connection that is handed over.
pub(crate) struct Takeover {
    run: Box<dyn FnOnce(RawConnection) -> BoxFuture<'static, ()> + Send>,
}

/// A takeover on its way from the handler to the connection.
#[derive(Clone)]
struct Handover(Arc<Mutex<Option<Takeover>>>);

/// The answer of a handler that takes its connection over; its head is the takeover's to write.
pub(crate) fn take_over<F>(run: impl FnOnce(RawConnection) -> F + Send + 'static) -> Response
where
    F: Future<Output = ()> + Send + 'static,
{
    let takeover = Takeover { run: Box::new(|connection| Box::pin(run(connection))) };
    let mut response = body::status(hyper::StatusCode::SWITCHING_PROTOCOLS);
    response.extensions_mut().insert(Handover(Arc::new(Mutex::new(Some(takeover)))));
    response
}

/// What the socket, the requests and the loop of one connection share.
#[derive(Default)]
struct Link {
    watch: AtomicBool,
    takeover: Mutex<Option<Takeover>>,
    /// Of the loop.
    waker: AtomicWaker,
}

impl Link {
    fn taken(&self) -> Option<Takeover> {
        self.takeover.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Link {
    /// Begins to watch the client, until the answer's [`Watch`] is dropped.
    fn watch(&self) {
        self.watch.store(true, Ordering::Relaxed);
        self.waker.wake();
    }
}

/// The client is watched no longer than this lives.
struct Watch(Arc<Link>);

impl Drop for Watch {
    fn drop(&mut self) {
        self.0.watch.store(false, Ordering::Relaxed);
    }
}

/// Requests of one connection.
struct Requests {
    router: Router,
    link: Arc<Link>,
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response, Infallible>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let (router, link) = (self.router.clone(), Arc::clone(&self.link));
        // Reading ahead would take what belongs to an unread body.
        let bodiless = hyper::body::Body::is_end_stream(request.body());
        // A client that asks first sends no body when it is refused.
        let asks_first = request.headers().contains_key(hyper::header::EXPECT);
        let watches = router.ends_with_client(request.method(), request.uri().path());
        let at_end = {
            let link = Arc::clone(&link);
            (watches && !bodiless).then(|| Box::new(move || link.watch()) as Box<_>)
        };
        let (head, incoming) = request.into_parts();
        let (incoming, left) = drain::lend(incoming, at_end);
        let request = Request::from_parts(head, incoming);
        if watches && bodiless {
            link.watch();
        }
        let watch = watches.then(|| Watch(Arc::clone(&link)));
        Box::pin(async move {
            let mut response = router.call(request).await;
            if let Some(Handover(slot)) = response.extensions_mut().remove() {
                let takeover = slot.lock().unwrap_or_else(PoisonError::into_inner).take();
                *link.takeover.lock().unwrap_or_else(PoisonError::into_inner) = takeover;
                // The connection's loop drops this future when it takes over.
                std::future::pending::<()>().await;
            }
            if !asks_first {
                left.drain();
            }
            // A body whose size is known goes out at once.
            let streams = hyper::body::Body::size_hint(response.body()).exact().is_none();
            Ok(match watch {
                // The body holds the watch and lets go when it has been sent.
                Some(watch) if streams => response.map(|body| {
                    body.map_frame(move |frame| {
                        let _held = &watch;
                        frame
                    })
                    .boxed_unsync()
                }),
                _ => response,
            })
        })
    }
}

/// A socket that can be watched for its end while an answer is under way.
struct Watched<IO> {
    io: IO,
    ahead: BytesMut,
    link: Arc<Link>,
}

impl<IO: AsyncRead + Unpin> Watched<IO> {
    /// Reads ahead to find the end of input. Called by hyper's flush, which comes with each poll.
    fn look_ahead(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut space = [0_u8; 4096];
        while self.ahead.len() < AHEAD_MAX_BYTES {
            let mut buffer = ReadBuf::new(&mut space);
            ready!(Pin::new(&mut self.io).poll_read(context, &mut buffer))?;
            if buffer.filled().is_empty() {
                return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
            }
            self.ahead.extend_from_slice(buffer.filled());
        }
        Poll::Pending
    }
}

impl<IO: AsyncRead + Unpin> AsyncRead for Watched<IO> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.ahead.is_empty() {
            return Pin::new(&mut self.io).poll_read(context, buffer);
        }
        let length = self.ahead.len().min(buffer.remaining());
        buffer.put_slice(&self.ahead.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<IO> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.io).poll_flush(context))?;
        if self.link.watch.load(Ordering::Relaxed)
            && let Poll::Ready(Err(gone)) = self.look_ahead(context)
        {
            return Poll::Ready(Err(gone));
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests;
