//! A client on a container's streams: output to the client, what it sends to standard input.
//!
//! The two directions end apart. The end of the client's input is only its half-close: it closes
//! standard input and the output goes on. The end of the output ends the connection. A client that
//! is really gone shows in a write that fails, or on a Unix socket in a hang-up.

use std::future::{Future, pending};
use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use gantry_engine::DetachScanner;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{ReadHalf, WriteHalf};

use crate::connection::{RawConnection, RawIo};
use crate::splice::Splicer;

/// Bytes of output moved at once.
const OUTPUT_BYTES: usize = 256 << 10;
/// Bytes of standard input moved at once.
const INPUT_BYTES: usize = 32 << 10;
/// How often a half-closed client is asked whether it is gone.
const HANGUP_CHECK: Duration = Duration::from_secs(1);

/// Longest wait for a client to read the head of its stream.
const HEAD_LIMIT: Duration = Duration::from_secs(1);
/// How often it is asked whether it has.
const HEAD_CHECK: Duration = Duration::from_millis(1);

/// How an attachment ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The output ended.
    Finished,
    /// The client left without its keys.
    Gone,
    /// The client sent its detach keys.
    Detached,
}

/// Connects a client with a container's streams until one of them ends.
///
/// `detach_keys` are looked for in what the client sends; empty looks for none. When the output
/// has ended the client is told after `settled`: it may ask for the exit code at once.
///
/// # Errors
/// Those of either side; a client that is gone is one.
pub(crate) async fn run(
    client: RawConnection,
    mut container: UnixStream,
    detach_keys: Vec<u8>,
    settled: impl Future<Output = ()>,
) -> io::Result<End> {
    let (output, stdin) = container.split();
    let scanner = DetachScanner::new(detach_keys);
    let early = &client.early[..];
    match client.io {
        RawIo::Unix(mut socket) => {
            let (from_client, mut to_client) = socket.split();
            let end = {
                let hangup = hung_up(to_client.as_ref());
                let input = input(early.chain(from_client), stdin, scanner, hangup);
                either(unix_output(output, &to_client), settled, input).await
            };
            finish(&mut to_client).await;
            end
        }
        RawIo::Other(io) => {
            let (from_client, mut to_client) = tokio::io::split(io);
            // Only a write tells that a TCP client is gone.
            let input = input(early.chain(from_client), stdin, scanner, pending());
            let end = either(copy(output, &mut to_client), settled, input).await;
            finish(&mut to_client).await;
            end
        }
    }
}

/// Ends a connection; the client may have left before.
pub(crate) async fn finish(to_client: &mut (impl AsyncWrite + Unpin)) {
    let _ = to_client.shutdown().await;
}

async fn either(
    output: impl Future<Output = io::Result<()>>,
    settled: impl Future<Output = ()>,
    input: impl Future<Output = io::Result<End>>,
) -> io::Result<End> {
    let output = async {
        output.await?;
        settled.await;
        Ok(End::Finished)
    };
    tokio::select! {
        // Output that is there is delivered before the client's leaving counts.
        biased;
        ended = output => ended,
        ended = input => ended,
    }
}

/// What the client sends becomes standard input. Returns when it detaches or is gone.
async fn input(
    mut client: impl AsyncRead + Unpin,
    mut stdin: impl AsyncWrite + Unpin,
    mut scanner: DetachScanner,
    hangup: impl Future<Output = ()>,
) -> io::Result<End> {
    let mut buffer = vec![0; INPUT_BYTES];
    let mut open = true;
    loop {
        let length = client.read(&mut buffer).await?;
        if length == 0 {
            break;
        }
        let (bytes, detached) = scanner.scan(&buffer[..length]);
        // A program that has closed its standard input may still write output.
        open = open && stdin.write_all(&bytes).await.is_ok();
        if detached {
            return Ok(End::Detached);
        }
    }
    if open {
        let _ = stdin.shutdown().await;
    }
    drop(buffer);
    hangup.await;
    Ok(End::Gone)
}

/// Output to a Unix socket, moved by the kernel alone.
async fn unix_output(output: ReadHalf<'_>, to_client: &WriteHalf<'_>) -> io::Result<()> {
    head_is_read(to_client.as_ref()).await;
    Splicer::new()?.run(output.as_ref(), to_client.as_ref()).await
}

/// Returns when the client has read what was sent to it, or takes its time.
///
/// Docker's SDK for Python reads the head through a buffer, and the stream past that buffer: output
/// that it gets in the same read as the head is lost. Docker's own output comes late enough.
async fn head_is_read(to_client: impl AsFd) {
    let wait = async {
        while let Ok(false) = gantry_sys::socket::is_read_by_peer(&to_client) {
            tokio::time::sleep(HEAD_CHECK).await;
        }
    };
    let _ = tokio::time::timeout(HEAD_LIMIT, wait).await;
}

/// Output to any other connection.
async fn copy(
    mut output: impl AsyncRead + Unpin,
    to_client: &mut (impl AsyncWrite + Unpin),
) -> io::Result<()> {
    let mut buffer = vec![0; OUTPUT_BYTES];
    loop {
        let length = output.read(&mut buffer).await?;
        if length == 0 {
            return to_client.flush().await;
        }
        to_client.write_all(&buffer[..length]).await?;
        to_client.flush().await?;
    }
}

/// Returns when the peer has closed both directions.
///
/// The reactor tells readiness, not a hang-up of a socket whose input has ended already; so this
/// asks, and only while a half-closed client is attached.
async fn hung_up(socket: impl AsFd) {
    loop {
        let mut fds = [PollFd::new(&socket, PollFlags::empty())];
        let asked = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
        let gone = PollFlags::HUP | PollFlags::ERR | PollFlags::NVAL;
        if asked.is_err() || fds[0].revents().intersects(gone) {
            return;
        }
        tokio::time::sleep(HANGUP_CHECK).await;
    }
}
