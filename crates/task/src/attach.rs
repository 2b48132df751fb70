//! Attachments: a client's end of a task's streams.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream as StdUnixStream;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::UnixStream;

/// Which streams a client takes part in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AttachOptions {
    /// What the client writes is the process's standard input.
    pub stdin: bool,
    /// The client reads standard output (a terminal's whole output).
    pub stdout: bool,
    /// The client reads standard error.
    pub stderr: bool,
}

/// The end of a client's connection that travels to the shim.
#[derive(Debug)]
pub struct Attachment {
    pub(crate) options: AttachOptions,
    pub(crate) socket: OwnedFd,
}

/// The end that the daemon keeps.
///
/// Reads give Docker's frames (an 8-byte header before each chunk) without a terminal and plain
/// bytes with one, and end after the last byte of output once the process has ended. Writes are
/// standard input; shutting down the write half is the client's half-close.
#[derive(Debug)]
pub struct AttachStream(UnixStream);

/// Makes a connected pair; it can be used before the task exists.
///
/// # Errors
/// Those of `socketpair(2)`, such as too many open files. Must be called inside a tokio runtime.
pub fn attachment(options: AttachOptions) -> io::Result<(Attachment, AttachStream)> {
    let (near, far) = StdUnixStream::pair()?;
    near.set_nonblocking(true)?;
    far.set_nonblocking(true)?;
    let stream = AttachStream(UnixStream::from_std(near)?);
    Ok((Attachment { options, socket: far.into() }, stream))
}

impl AttachStream {
    /// The plain socket, non-blocking, no longer known to the reactor.
    ///
    /// # Errors
    /// Those of taking it out of the reactor.
    pub fn into_std(self) -> io::Result<StdUnixStream> {
        self.0.into_std()
    }

    /// The socket as tokio knows it.
    #[must_use]
    pub fn into_inner(self) -> UnixStream {
        self.0
    }
}

impl AsFd for AttachStream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsyncRead for AttachStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl AsyncWrite for AttachStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
