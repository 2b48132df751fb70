//! Connections to servers: plain or by TLS, at once or through a proxy.

use std::{
    io,
    path::Path,
    pin::Pin,
    sync::{Arc, OnceLock},
    task::{Context, Poll},
    time::Duration,
};

use hyper_util::rt::TokioIo;
use rustls::{ClientConfig, RootCertStore, crypto::aws_lc_rs};
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{address::Address, proxy};

/// How long a server may take to be reached.
const CONNECT_MAX: Duration = Duration::from_secs(30);
/// Longest answer of a proxy.
const PROXY_ANSWER_MAX: usize = 16 << 10;
/// Where systems keep the authorities that they trust.
const AUTHORITIES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The way to a server.
pub(super) struct Way {
    pub stream: TokioIo<Stream>,
    /// The server is told the whole URL: it is a proxy.
    pub absolute: bool,
    /// What the proxy is told of who asks.
    pub proxy_credentials: Option<String>,
}

/// A connection.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens the way to a server.
pub(super) async fn open(address: &Address) -> io::Result<Way> {
    match tokio::time::timeout(CONNECT_MAX, open_soon(address)).await {
        Ok(way) => way,
        Err(_) => Err(io::Error::new(io::ErrorKind::TimedOut, "connection timed out")),
    }
}

async fn open_soon(address: &Address) -> io::Result<Way> {
    let proxy = proxy::on_the_way(address);
    let first = proxy.as_ref().unwrap_or(address);
    let mut stream = TcpStream::connect((first.host.as_str(), first.port)).await?;
    stream.set_nodelay(true)?;
    let mut proxy_credentials = proxy.as_ref().and_then(|proxy| proxy.credentials.clone());
    if !address.tls {
        let stream = TokioIo::new(Stream::Plain(stream));
        return Ok(Way { stream, absolute: proxy.is_some(), proxy_credentials });
    }
    if proxy.is_some() {
        tunnel(&mut stream, address, proxy_credentials.take()).await?;
    }
    let name = ServerName::try_from(address.host.clone()).map_err(io::Error::other)?;
    let stream = TlsConnector::from(config()?).connect(name, stream).await?;
    let stream = TokioIo::new(Stream::Tls(Box::new(stream)));
    Ok(Way { stream, absolute: false, proxy_credentials })
}

/// Asks a proxy for a connection to the server.
async fn tunnel(
    stream: &mut TcpStream,
    address: &Address,
    credentials: Option<String>,
) -> io::Result<()> {
    let host = if address.host.contains(':') {
        format!("[{}]", address.host)
    } else {
        address.host.clone()
    };
    let place = format!("{host}:{}", address.port);
    let mut request = format!("CONNECT {place} HTTP/1.1\r\nHost: {place}\r\n");
    if let Some(credentials) = credentials {
        request.push_str(&format!("Proxy-Authorization: {credentials}\r\n"));
    }
    request.push_str("\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        if answer.len() >= PROXY_ANSWER_MAX {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                "the proxy's answer is endless",
            ));
        }
        // Byte by byte: what follows the head is the server's.
        answer.push(stream.read_u8().await?);
    }
    let line =
        String::from_utf8_lossy(answer.split(|byte| *byte == b'\r').next().unwrap_or_default())
            .into_owned();
    match line.split(' ').nth(1) {
        Some("200") => Ok(()),
        _ => Err(io::Error::other(format!("proxy: {line}"))),
    }
}

/// What is trusted: the authorities that the system trusts, read once.
fn config() -> io::Result<Arc<ClientConfig>> {
    static CONFIG: OnceLock<Arc<ClientConfig>> = OnceLock::new();
    if let Some(config) = CONFIG.get() {
        return Ok(Arc::clone(config));
    }
    let named = std::env::var_os("SSL_CERT_FILE");
    let found = named.iter().map(Path::new).chain(AUTHORITIES.iter().map(Path::new));
    let mut roots = RootCertStore::empty();
    if let Some(file) = found.into_iter().find(|path| path.exists()) {
        let certificates = CertificateDer::pem_file_iter(file).map_err(io::Error::other)?;
        // One that is broken or too old for us does not spoil the others.
        roots.add_parsable_certificates(certificates.flatten());
    }
    if roots.is_empty() {
        let text = "no certificate authorities are installed on this machine";
        return Err(io::Error::new(io::ErrorKind::NotFound, text));
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::clone(CONFIG.get_or_init(|| Arc::new(config))))
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, data),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, data),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
