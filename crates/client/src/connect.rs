//! A byte stream to the daemon, whatever it runs over.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::{ClientError, Host};

/// A connection; shutting its writing half down leaves the reading half open.
#[derive(Debug)]
pub enum Stream {
    /// Over a Unix socket.
    Unix(UnixStream),
    /// Over TCP.
    Tcp(TcpStream),
    /// Over TCP with TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// Over the standard streams of an `ssh` process, which dies with it.
    Ssh {
        /// To the other side; gone once shut down, as only closing it tells the process.
        stdin: Option<ChildStdin>,
        /// From the other side.
        stdout: ChildStdout,
        /// Kept so that it is killed on drop.
        child: Box<Child>,
    },
}

/// Connects to `host`; `name` is how the user wrote it.
pub(crate) async fn connect(
    host: &Host,
    name: &str,
    tls: Option<&Arc<ClientConfig>>,
) -> Result<Stream, ClientError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::PermissionDenied => ClientError::Permission { host: name.to_owned() },
        _ => ClientError::Unreachable { host: name.to_owned(), source },
    };
    match host {
        Host::Unix(path) => UnixStream::connect(path).await.map(Stream::Unix).map_err(failed),
        Host::Tcp { name: address, port, .. } => {
            let stream = TcpStream::connect((address.as_str(), *port)).await.map_err(failed)?;
            // A terminal's key strokes must not wait for more of them.
            stream.set_nodelay(true).map_err(failed)?;
            let Some(config) = tls else { return Ok(Stream::Tcp(stream)) };
            let server = ServerName::try_from(address.clone())
                .map_err(|error| ClientError::Tls(error.to_string()))?;
            let stream = TlsConnector::from(Arc::clone(config))
                .connect(server, stream)
                .await
                .map_err(|error| ClientError::Tls(format!("error during connect: {error}")))?;
            Ok(Stream::Tls(Box::new(stream)))
        }
        Host::Ssh { arguments, socket } => spawn_ssh(arguments, socket.as_deref()).map_err(failed),
    }
}

fn spawn_ssh(arguments: &[String], socket: Option<&str>) -> io::Result<Stream> {
    let mut command = tokio::process::Command::new("ssh");
    command.args(arguments).arg("docker");
    if let Some(socket) = socket {
        // The remote shell reads this, so the path is quoted for it.
        command.arg(format!("--host='unix://{}'", socket.replace('\'', "'\\''")));
    }
    let mut child = command
        .args(["system", "dial-stdio"])
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let (Some(stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
        return Err(io::Error::other("ssh has no standard streams"));
    };
    Ok(Stream::Ssh { stdin: Some(stdin), stdout, child: Box::new(child) })
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Ssh { stdout, .. } => Pin::new(stdout).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Ssh { stdin: Some(stdin), .. } => Pin::new(stdin).poll_write(cx, buf),
            Self::Ssh { stdin: None, .. } => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Ssh { stdin: Some(stdin), .. } => Pin::new(stdin).poll_flush(cx),
            Self::Ssh { stdin: None, .. } => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Ssh { stdin, .. } => {
                *stdin = None;
                Poll::Ready(Ok(()))
            }
        }
    }
}
