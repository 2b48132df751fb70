//! Connections to servers: plain or by TLS, at once or through a proxy.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures_util::{StreamExt, stream::FuturesUnordered};
use hyper::Uri;
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;
use tower_service::Service;

use super::{
    address::Address,
    fail::{Carried, WireError},
    proxy,
};
use crate::Proxies;

/// How long an address is waited for before the next one is tried beside it.
const NEXT_ADDRESS: Duration = Duration::from_millis(300);
/// Longest head of a proxy's answer, bytes.
const PROXY_ANSWER_MAX: usize = 16 << 10;

/// Opens connections.
#[derive(Clone)]
pub(super) struct Connector {
    pub tls: Arc<ClientConfig>,
    pub proxies: Arc<Proxies>,
    pub timeout: Duration,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = Carried;
    type Future = Pin<Box<dyn Future<Output = Result<TokioIo<Stream>, Carried>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Carried>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let own = self.clone();
        Box::pin(async move {
            let address = Address::parse(&uri.to_string())
                .ok_or_else(|| Carried::new(WireError::Protocol(format!("no URL: {uri}"))))?;
            own.open(&address).await.map(TokioIo::new).map_err(Carried::new)
        })
    }
}

impl Connector {
    async fn open(&self, address: &Address) -> Result<Stream, WireError> {
        let way = proxy::on_the_way(&self.proxies, address).map_err(WireError::Proxy)?;
        let first = way.as_ref().map_or(address, |proxy| &proxy.address);
        let timed = tokio::time::timeout(self.timeout, self.transport(first)).await;
        let late = || io::Error::from(io::ErrorKind::TimedOut);
        let mut stream =
            timed.unwrap_or_else(|_| Err(WireError::dial(first.host_port(), &late())))?;
        let Some(proxy) = way else { return self.secure(stream, address).await };
        // Some proxies are behind TLS themselves.
        stream = self.secure(stream, &proxy.address).await?;
        if !address.tls {
            stream.is_proxy = true;
            return Ok(stream);
        }
        let credentials = proxy.credentials.as_ref().map(crate::Secret::expose);
        let tunnel = tunnel(&mut stream, address, credentials);
        match tokio::time::timeout(self.timeout, tunnel).await {
            Ok(opened) => opened.map_err(WireError::Proxy)?,
            Err(_) => return Err(WireError::Proxy("no answer".to_owned())),
        }
        self.secure(stream, address).await
    }

    /// To the first machine on the way.
    async fn transport(&self, first: &Address) -> Result<Stream, WireError> {
        let found = tokio::net::lookup_host((first.host.as_str(), first.port)).await;
        let found = found.map_err(|error| WireError::lookup(&first.host, &error))?;
        let mut places = found.collect::<Vec<_>>().into_iter();
        let mut last = WireError::Lookup { host: first.host.clone(), why: "no such host" };
        let mut attempts = FuturesUnordered::new();
        loop {
            match places.next() {
                Some(place) => attempts.push(connect(place)),
                None if attempts.is_empty() => return Err(last),
                None => {}
            }
            // An address that does not answer delays the next one only for a moment.
            let patience = if places.len() == 0 { self.timeout } else { NEXT_ADDRESS };
            match tokio::time::timeout(patience, attempts.next()).await {
                Ok(Some(Ok(stream))) => return Ok(stream),
                Ok(Some(Err(error))) => last = error,
                Ok(None) | Err(_) => {}
            }
        }
    }

    async fn secure(&self, stream: Stream, address: &Address) -> Result<Stream, WireError> {
        if !address.tls {
            return Ok(stream);
        }
        let name = ServerName::try_from(address.host.clone())
            .map_err(|_| WireError::Tls(format!("{} is no name of a server", address.host)))?;
        let handshake = TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream.io);
        match tokio::time::timeout(self.timeout, handshake).await {
            Ok(Ok(tls)) => Ok(Stream { io: Box::new(tls), is_proxy: false }),
            Ok(Err(error)) => Err(WireError::handshake(&error)),
            Err(_) => Err(WireError::Broken("TLS handshake timeout".to_owned())),
        }
    }
}

async fn connect(place: SocketAddr) -> Result<Stream, WireError> {
    let stream = TcpStream::connect(place).await;
    let stream = stream.map_err(|error| WireError::dial(place.to_string(), &error))?;
    // What is asked goes out at once; without that it is only slower.
    drop(stream.set_nodelay(true));
    Ok(Stream { io: Box::new(stream), is_proxy: false })
}

/// Asks a proxy for a connection to the server.
async fn tunnel(
    stream: &mut Stream,
    address: &Address,
    credentials: Option<&str>,
) -> Result<(), String> {
    let place = address.host_port();
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some(credentials) = credentials {
        request.push_str(&format!("Proxy-Authorization: {credentials}\r\n"));
    }
    request.push_str("\r\n");
    let broken = |error: io::Error| error.to_string();
    stream.write_all(request.as_bytes()).await.map_err(broken)?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= PROXY_ANSWER_MAX {
            return Err("the answer is endless".to_owned());
        }
        // Byte by byte: what follows the head is the server's.
        answer.push(stream.read_u8().await.map_err(broken)?);
    }
    let line = answer.split(|byte| *byte == b'\r').next().unwrap_or_default();
    let line = String::from_utf8_lossy(line);
    if line.split(' ').nth(1) == Some("200") {
        Ok(())
    } else {
        Err(line.escape_debug().to_string())
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection.
pub(super) struct Stream {
    io: Box<dyn Io>,
    /// Who is at the other end wants whole URLs.
    is_proxy: bool,
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new().proxy(self.is_proxy)
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, data)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
