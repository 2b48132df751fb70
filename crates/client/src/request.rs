//! Requests and answers.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use http_body_util::{BodyExt, Full, StreamBody, combinators::BoxBody};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncRead, AsyncReadExt as _, ReadBuf};
use tokio_util::io::{ReaderStream, StreamReader};

use crate::connect::{Stream, connect};
use crate::error::from_body;
use crate::{ClientError, Host, MAX_API_VERSION, MIN_API_VERSION, Query, TlsOptions, tls};

/// Largest JSON answer that is taken: 200,000 containers fit.
const MAX_JSON_BYTES: usize = 512 << 20;
/// Size of the pieces in which an uploaded stream is sent.
const UPLOAD_CHUNK_BYTES: usize = 256 << 10;

type Body = BoxBody<Bytes, io::Error>;
type Sender = SendRequest<Body>;

/// How to reach a daemon.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Host as the user wrote it.
    pub host: String,
    /// TLS for a TCP host.
    pub tls: Option<TlsOptions>,
    /// API version to speak instead of negotiating.
    pub api_version: Option<String>,
    /// Headers for every request, from the configuration file.
    pub headers: Vec<(String, String)>,
    /// What `User-Agent` says.
    pub user_agent: String,
}

/// What the daemon says to `_ping`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Ping {
    /// Newest API version of the daemon.
    pub api_version: String,
    /// Operating system of the daemon.
    pub os_type: String,
    /// Whether experimental features are on.
    pub experimental: bool,
    /// Default builder, `1` or `2`.
    pub builder_version: String,
}

/// What a request carries.
#[derive(Default)]
pub enum Payload {
    /// Nothing.
    #[default]
    Empty,
    /// JSON.
    Json(Vec<u8>),
    /// A stream, such as a tar archive.
    Stream {
        /// Its media type.
        content_type: &'static str,
        /// The bytes.
        reader: Box<dyn AsyncRead + Send + Sync + Unpin>,
    },
}

impl Payload {
    /// JSON of a value.
    ///
    /// # Errors
    /// [`ClientError::Answer`] if the value has no JSON form.
    pub fn json(value: &impl serde::Serialize) -> Result<Self, ClientError> {
        serde_json::to_vec(value).map(Self::Json).map_err(|e| ClientError::Answer(e.to_string()))
    }
}

/// An answer whose body is still to be read.
#[derive(Debug)]
pub struct Response {
    /// HTTP status, below 400.
    pub status: u16,
    /// Headers.
    pub headers: hyper::HeaderMap,
    /// Body.
    pub body: ByteStream,
}

impl Response {
    /// Reads the whole body as JSON.
    ///
    /// # Errors
    /// [`ClientError::Answer`] if it is not a `T`, or what broke on the way.
    pub async fn json<T: DeserializeOwned>(self) -> Result<T, ClientError> {
        let mut text = Vec::new();
        let most = u64::try_from(MAX_JSON_BYTES).unwrap_or(u64::MAX);
        self.body.take(most).read_to_end(&mut text).await?;
        serde_json::from_slice(&text).map_err(|error| ClientError::Answer(error.to_string()))
    }
}

/// The body of an answer as a reader.
pub struct ByteStream(Pin<Box<dyn AsyncRead + Send>>);

impl std::fmt::Debug for ByteStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByteStream")
    }
}

impl AsyncRead for ByteStream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().0.as_mut().poll_read(cx, buf)
    }
}

/// A daemon to talk to.
#[derive(Debug)]
pub struct Client {
    host: Host,
    options: Options,
    tls: Option<Arc<ClientConfig>>,
    version: OnceLock<String>,
    idle: Mutex<Option<Sender>>,
}

impl Client {
    /// Makes a client; nothing is connected yet.
    ///
    /// # Errors
    /// [`ClientError::Host`] or [`ClientError::Tls`] if the options are unusable.
    pub fn new(options: Options) -> Result<Self, ClientError> {
        let host = Host::parse(&options.host, options.tls.is_some())?;
        let tls = match (&host, &options.tls) {
            (Host::Tcp { .. }, Some(wanted)) => Some(tls::config(wanted)?),
            _ => None,
        };
        let version = OnceLock::new();
        if let Some(wanted) = &options.api_version {
            let _ = version.set(wanted.trim_start_matches('v').to_owned());
        }
        Ok(Self { host, options, tls, version, idle: Mutex::new(None) })
    }

    /// The host as the user wrote it.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.options.host
    }

    /// The API version in use, once it is known.
    #[must_use]
    pub fn version(&self) -> Option<&str> {
        self.version.get().map(String::as_str)
    }

    /// Opens a connection to the daemon without sending anything, as `dial-stdio` needs.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] and its like.
    pub async fn dial(&self) -> Result<Stream, ClientError> {
        connect(&self.host, &self.options.host, self.tls.as_ref()).await
    }

    /// Asks the daemon what it is, and settles the API version if that is still open.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] and its like.
    pub async fn ping(&self) -> Result<Ping, ClientError> {
        let response = self.exchange(Method::HEAD, "/_ping".into(), Payload::Empty, &[]).await?;
        let header = |name: &str| {
            response.headers().get(name).and_then(|v| v.to_str().ok()).unwrap_or("").to_owned()
        };
        let ping = Ping {
            api_version: header("api-version"),
            os_type: header("ostype"),
            experimental: header("docker-experimental") == "true",
            builder_version: header("builder-version"),
        };
        let _ = self.version.set(negotiate(&ping.api_version));
        Ok(ping)
    }

    /// The API version to use, asking the daemon if need be.
    ///
    /// # Errors
    /// As [`Client::ping`].
    pub async fn negotiated(&self) -> Result<&str, ClientError> {
        if self.version.get().is_none() {
            self.ping().await?;
        }
        Ok(self.version().unwrap_or(MAX_API_VERSION))
    }

    /// Whether the API version in use is at least `wanted`.
    #[must_use]
    pub fn speaks(&self, wanted: &str) -> bool {
        self.version().is_none_or(|version| numbers(version) >= numbers(wanted))
    }

    /// Path with base, version and query.
    pub(crate) async fn target(&self, path: &str, query: &Query) -> Result<String, ClientError> {
        let version = self.negotiated().await?;
        let base = match &self.host {
            Host::Tcp { base, .. } => base.as_str(),
            _ => "",
        };
        Ok(format!("{base}/v{version}{path}{}", query.as_str()))
    }

    /// Sends a request below the versioned root; statuses from 400 are errors.
    ///
    /// # Errors
    /// [`ClientError::Daemon`] with the daemon's words, or what broke on the way.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        payload: Payload,
        headers: &[(&str, String)],
    ) -> Result<Response, ClientError> {
        let target = self.target(path, query).await?;
        let response = self.exchange(method, target, payload, headers).await?;
        let (head, body) = response.into_parts();
        if head.status.is_client_error() || head.status.is_server_error() {
            let bytes = collect(body).await?;
            let reason = head.status.canonical_reason().unwrap_or("an error");
            return Err(from_body(head.status.as_u16(), reason, &bytes));
        }
        let stream = body
            .into_data_stream()
            .map_err(|error| io::Error::new(io::ErrorKind::UnexpectedEof, error));
        let body = ByteStream(Box::pin(StreamReader::new(stream)));
        Ok(Response { status: head.status.as_u16(), headers: head.headers, body })
    }

    /// Sends a request and reads the whole answer as JSON.
    ///
    /// # Errors
    /// As [`Client::request`]; [`ClientError::Answer`] if the answer is not a `T`.
    pub async fn fetch<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        payload: Payload,
    ) -> Result<T, ClientError> {
        let bytes = self.fetch_bytes(method, path, query, payload).await?;
        serde_json::from_slice(&bytes).map_err(|error| ClientError::Answer(error.to_string()))
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn fetch_bytes(
        &self,
        method: Method,
        path: &str,
        query: &Query,
        payload: Payload,
    ) -> Result<Bytes, ClientError> {
        let target = self.target(path, query).await?;
        let response = self.exchange(method, target, payload, &[]).await?;
        let (head, body) = response.into_parts();
        let bytes = collect(body).await?;
        if head.status.is_client_error() || head.status.is_server_error() {
            let reason = head.status.canonical_reason().unwrap_or("an error");
            return Err(from_body(head.status.as_u16(), reason, &bytes));
        }
        Ok(bytes)
    }

    async fn exchange(
        &self,
        method: Method,
        target: String,
        payload: Payload,
        headers: &[(&str, String)],
    ) -> Result<hyper::Response<Incoming>, ClientError> {
        let request = self.build(method, target, payload, headers)?;
        let mut sender = self.sender().await?;
        let response = sender.send_request(request).await.map_err(transport)?;
        // The connection is free for the next call once this answer has been read.
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
        Ok(response)
    }

    fn build(
        &self,
        method: Method,
        target: String,
        payload: Payload,
        headers: &[(&str, String)],
    ) -> Result<Request<Body>, ClientError> {
        let host = match &self.host {
            Host::Tcp { name, port, .. } => format!("{name}:{port}"),
            _ => "api.moby.localhost".to_owned(),
        };
        let mut builder = Request::builder().method(method).uri(target).header("Host", host);
        for (name, value) in &self.options.headers {
            builder = builder.header(name, value);
        }
        if !self.options.user_agent.is_empty() {
            builder = builder.header("User-Agent", &self.options.user_agent);
        }
        for (name, value) in headers {
            builder = builder.header(*name, value);
        }
        let body = match payload {
            Payload::Empty => boxed(Bytes::new()),
            Payload::Json(bytes) => {
                builder = builder.header("Content-Type", "application/json");
                boxed(bytes.into())
            }
            Payload::Stream { content_type, reader } => {
                builder = builder.header("Content-Type", content_type);
                let stream = ReaderStream::with_capacity(reader, UPLOAD_CHUNK_BYTES);
                BodyExt::boxed(StreamBody::new(stream.map_ok(Frame::data)))
            }
        };
        builder.body(body).map_err(|error| ClientError::Transport(error.to_string()))
    }

    /// Takes the idle connection if it still lives and is free, or opens one.
    async fn sender(&self) -> Result<Sender, ClientError> {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Lets the connection's task see that the last answer has been read.
        tokio::task::yield_now().await;
        if let Some(sender) = idle
            && sender.is_ready()
            && !sender.is_closed()
        {
            return Ok(sender);
        }
        let (sender, connection) =
            handshake(TokioIo::new(self.dial().await?)).await.map_err(transport)?;
        tokio::spawn(async move {
            // An error here is also the error of the request under way.
            let _ = connection.await;
        });
        Ok(sender)
    }

    /// Head lines for a hand-written request (a hijack).
    pub(crate) fn head_lines(&self) -> String {
        let mut lines = String::from("Host: api.moby.localhost\r\n");
        for (name, value) in &self.options.headers {
            lines.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.options.user_agent.is_empty() {
            lines.push_str(&format!("User-Agent: {}\r\n", self.options.user_agent));
        }
        lines
    }
}

fn boxed(bytes: Bytes) -> Body {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn transport(error: hyper::Error) -> ClientError {
    use std::error::Error as _;
    let cause = error.source().map(|cause| format!(": {cause}")).unwrap_or_default();
    ClientError::Transport(format!("{error}{cause}"))
}

async fn collect(mut body: Incoming) -> Result<Bytes, ClientError> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(transport)?;
        if let Ok(data) = frame.into_data() {
            if bytes.len() + data.len() > MAX_JSON_BYTES {
                return Err(ClientError::Answer(format!("more than {MAX_JSON_BYTES} bytes")));
            }
            bytes.extend_from_slice(&data);
        }
    }
    Ok(bytes.into())
}

fn numbers(version: &str) -> (u32, u32) {
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    (major.parse().unwrap_or(0), minor.parse().unwrap_or(0))
}

/// The newest version that both sides speak; a daemon that names none is an old one.
fn negotiate(daemon: &str) -> String {
    match daemon {
        "" => MIN_API_VERSION.to_owned(),
        theirs if numbers(theirs) < numbers(MAX_API_VERSION) => theirs.to_owned(),
        _ => MAX_API_VERSION.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn negotiates_down() {
        for (daemon, want) in
            [("1.41", "1.41"), ("1.9", "1.9"), ("1.99", MAX_API_VERSION), ("", MIN_API_VERSION)]
        {
            assert_eq!(negotiate(daemon), want, "{daemon}");
        }
    }
}
