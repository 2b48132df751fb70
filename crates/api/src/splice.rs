//! Bytes from one Unix socket to another without a copy through this process.

use std::io;
use std::os::fd::OwnedFd;

use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::net::UnixStream;

/// Size of the pipe between, in bytes; the most that an unprivileged process may ask for.
const PIPE_BYTES: usize = 1 << 20;

/// The pipe that the bytes pass through.
pub(crate) struct Splicer {
    read: OwnedFd,
    write: OwnedFd,
}

impl Splicer {
    /// Makes the pipe.
    ///
    /// # Errors
    /// Those of `pipe2(2)`, such as too many open files.
    pub(crate) fn new() -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A smaller pipe works too, only slower.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Self { read, write })
    }

    /// Moves all bytes until `source` ends.
    ///
    /// # Errors
    /// Those of `splice(2)`; [`io::ErrorKind::BrokenPipe`] when the reader of `sink` is gone.
    pub(crate) async fn run(&self, source: &UnixStream, sink: &UnixStream) -> io::Result<()> {
        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
        loop {
            let mut waiting = source
                .async_io(Interest::READABLE, || {
                    Ok(splice(source, None, &self.write, None, PIPE_BYTES, flags)?)
                })
                .await?;
            if waiting == 0 {
                return Ok(());
            }
            while waiting > 0 {
                waiting -= sink
                    .async_io(Interest::WRITABLE, || {
                        Ok(splice(&self.read, None, sink, None, waiting, flags)?)
                    })
                    .await?;
            }
        }
    }
}
