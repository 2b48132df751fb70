//! Where the daemon listens: unix sockets, TCP (with TLS, or told twice), inherited descriptors.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// First descriptor that a service manager passes: `sd_listen_fds(3)`.
const FIRST_INHERITED_FD: i32 = 3;

/// Why an address cannot be listened on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ListenError {
    #[error("invalid host {0:?}: expected unix://path, tcp://address:port or fd://")]
    Address(String),
    #[error("cannot resolve {0}")]
    Resolve(String, #[source] io::Error),
    #[error("cannot listen on {0}")]
    Bind(String, #[source] io::Error),
    #[error("cannot listen on {0}: another daemon answers there")]
    Taken(String),
    #[error(
        "refusing to listen on {0} without TLS: whoever reaches it is root on this host; use --tlsverify, or say --insecure-tcp as well"
    )]
    Plaintext(String),
    #[error("no socket was passed for {0}")]
    NotInherited(String),
    #[error("group {0} not found")]
    Group(String),
    #[error("cannot read TLS file {path}: {reason}")]
    TlsFile { path: PathBuf, reason: String },
    #[error("TLS files do not go together")]
    Tls(#[source] rustls::Error),
}

/// What the TLS options say.
#[derive(Debug, Clone, Default)]
pub(crate) struct TlsOptions {
    /// Serve TLS.
    pub enabled: bool,
    /// Demand a client's certificate.
    pub verify: bool,
    /// Authority of clients' certificates.
    pub ca: PathBuf,
    /// This daemon's certificate chain.
    pub cert: PathBuf,
    /// This daemon's key.
    pub key: PathBuf,
    /// TCP without TLS was asked for twice.
    pub insecure_tcp: bool,
}

/// A bound address.
pub(crate) enum Listener {
    /// A unix socket; the path is removed when the daemon stops.
    Unix { listener: UnixListener, path: Option<PathBuf> },
    /// A TCP socket, with TLS or without.
    Tcp { listener: TcpListener, tls: Option<TlsAcceptor> },
}

/// An accepted connection.
pub(crate) enum Connection {
    Unix(UnixStream),
    Tcp(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Listener {
    /// Binds one of the daemon's hosts; `fd://` may give several.
    pub(crate) async fn bind(
        host: &str,
        tls: &TlsOptions,
        group: Option<&str>,
    ) -> Result<Vec<Self>, ListenError> {
        if let Some(path) = host.strip_prefix("unix://") {
            return Ok(vec![bind_unix(Path::new(path), group).await?]);
        }
        if let Some(address) = host.strip_prefix("tcp://") {
            return Ok(vec![bind_tcp(host, address, tls).await?]);
        }
        if let Some(name) = host.strip_prefix("fd://") {
            return inherited(host, name);
        }
        Err(ListenError::Address(host.to_owned()))
    }

    /// Waits for the next connection.
    pub(crate) async fn accept(&self) -> io::Result<Accepted> {
        match self {
            Self::Unix { listener, .. } => {
                listener.accept().await.map(|(stream, _)| Accepted::Ready(Connection::Unix(stream)))
            }
            Self::Tcp { listener, tls } => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(match tls {
                    None => Accepted::Ready(Connection::Tcp(stream)),
                    Some(acceptor) => Accepted::Handshake(acceptor.clone(), stream),
                })
            }
        }
    }

    /// Removes the socket's path, if this listener made one.
    pub(crate) fn unlink(&self) {
        if let Self::Unix { path: Some(path), .. } = self {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// A connection whose TLS handshake, if any, is still to be done: off the accept loop, so that a
/// silent client delays nobody.
pub(crate) enum Accepted {
    Ready(Connection),
    Handshake(TlsAcceptor, TcpStream),
}

impl Accepted {
    /// Finishes the handshake.
    pub(crate) async fn finish(self) -> io::Result<Connection> {
        match self {
            Self::Ready(connection) => Ok(connection),
            Self::Handshake(acceptor, stream) => {
                Ok(Connection::Tls(Box::new(acceptor.accept(stream).await?)))
            }
        }
    }
}

async fn bind_unix(path: &Path, group: Option<&str>) -> Result<Listener, ListenError> {
    let name = || format!("unix://{}", path.display());
    let failed = |error| ListenError::Bind(name(), error);
    if UnixStream::connect(path).await.is_ok() {
        return Err(ListenError::Taken(name()));
    }
    if let Some(parent) = path.parent() {
        std::fs::create_dir_all(parent).map_err(failed)?;
    }
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let listener = UnixListener::bind(path).map_err(failed)?;
    // The docker group may use the socket when it is there, as Docker has it.
    let gid = match group {
        Some(group) => Some(group_id(group).ok_or_else(|| ListenError::Group(group.to_owned()))?),
        None => group_id("docker"),
    };
    if let Some(gid) = gid {
        chown(path, Some(0), Some(gid)).map_err(failed)?;
    }
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660)).map_err(failed)?;
    Ok(Listener::Unix { listener, path: Some(path.to_owned()) })
}

async fn bind_tcp(host: &str, address: &str, tls: &TlsOptions) -> Result<Listener, ListenError> {
    let tls = match (tls.enabled, tls.insecure_tcp) {
        (true, _) => Some(acceptor(tls)?),
        (false, true) => None,
        (false, false) => return Err(ListenError::Plaintext(host.to_owned())),
    };
    let default_port = if tls.is_some() { 2376 } else { 2375 };
    let with_port = match address.rsplit_once(':') {
        Some((_, port)) if port.parse::<u16>().is_ok() => address.to_owned(),
        _ => format!("{address}:{default_port}"),
    };
    let addresses: Vec<SocketAddr> = tokio::net::lookup_host(&with_port)
        .await
        .map_err(|error| ListenError::Resolve(host.to_owned(), error))?
        .collect();
    let listener = TcpListener::bind(&addresses[..])
        .await
        .map_err(|error| ListenError::Bind(host.to_owned(), error))?;
    Ok(Listener::Tcp { listener, tls })
}

/// Takes the sockets that a service manager passed (`LISTEN_FDS`); `name` picks one by number.
fn inherited(host: &str, name: &str) -> Result<Vec<Listener>, ListenError> {
    let count: i32 =
        std::env::var("LISTEN_FDS").ok().and_then(|count| count.parse().ok()).unwrap_or(0);
    let for_us =
        std::env::var("LISTEN_PID").ok().is_none_or(|pid| pid == std::process::id().to_string());
    let wanted =
        |fd: i32| matches!(name, "" | "*") || name.parse::<i32>().is_ok_and(|number| number == fd);
    let mut listeners = Vec::new();
    for fd in (FIRST_INHERITED_FD..FIRST_INHERITED_FD + count).filter(|fd| for_us && wanted(*fd)) {
        let failed = |error| ListenError::Bind(host.to_owned(), error);
        let owned: OwnedFd = gantry_sys::descriptors::duplicate_inherited(fd).map_err(failed)?;
        let listener = std::os::unix::net::UnixListener::from(owned);
        listener.set_nonblocking(true).map_err(failed)?;
        let listener = UnixListener::from_std(listener).map_err(failed)?;
        listeners.push(Listener::Unix { listener, path: None });
    }
    if listeners.is_empty() {
        return Err(ListenError::NotInherited(host.to_owned()));
    }
    Ok(listeners)
}

fn acceptor(options: &TlsOptions) -> Result<TlsAcceptor, ListenError> {
    let chain = certificates(&options.cert)?;
    let key = PrivateKeyDer::from_pem_file(&options.key).map_err(|error| ListenError::TlsFile {
        path: options.key.clone(),
        reason: error.to_string(),
    })?;
    let builder = ServerConfig::builder();
    let builder = if options.verify {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&options.ca)? {
            roots.add(certificate).map_err(ListenError::Tls)?;
        }
        let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).build().map_err(|error| {
            ListenError::TlsFile { path: options.ca.clone(), reason: error.to_string() }
        })?;
        builder.with_client_cert_verifier(verifier)
    } else {
        builder.with_no_client_auth()
    };
    let mut config = builder.with_single_cert(chain, key).map_err(ListenError::Tls)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, ListenError> {
    let failed = |reason: String| ListenError::TlsFile { path: path.to_owned(), reason };
    let certificates: Vec<_> = CertificateDer::pem_file_iter(path)
        .map_err(|error| failed(error.to_string()))?
        .collect::<Result<_, _>>()
        .map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() {
        return Err(failed("it holds no certificate".to_owned()));
    }
    Ok(certificates)
}

/// Looks up a group by name or number in `/etc/group`, without NSS: that would load foreign code.
fn group_id(name: &str) -> Option<u32> {
    if let Ok(gid) = name.parse() {
        return Some(gid);
    }
    let groups = std::fs::read_to_string("/etc/group").ok()?;
    groups.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next() == Some(name)).then(|| fields.nth(1)?.parse().ok()).flatten()
    })
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
