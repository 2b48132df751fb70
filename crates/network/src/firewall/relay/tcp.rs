//! Relaying TCP.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{Shutdown, SocketFlags, accept_with, shutdown};
use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{MAX_CONNECTIONS, on_reactor};

/// How long a container may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Size of a pipe; the most that an unprivileged process may ask for.
const PIPE_BYTES: usize = 1 << 20;
/// Pipes that a thread keeps for the next connection that has something to say.
const MAX_SPARE: usize = 4;
/// Pause when there are no more descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Carries connections from a listening socket to `target` until it is aborted.
pub(super) async fn relay(socket: Arc<OwnedFd>, target: SocketAddr) {
    let listener = match on_reactor(socket, Interest::READABLE) {
        Ok(listener) => listener,
        Err(error) => {
            tracing::warn!(%error, %target, "a published port is not relayed");
            return;
        }
    };
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else {
            return;
        };
        match accept(&listener).await {
            Ok(caller) => {
                connections.spawn(async move {
                    let carried = carry(caller, target).await;
                    tracing::trace!(?carried, %target, "a relayed connection ended");
                    drop(permit);
                });
            }
            Err(error) => {
                tracing::debug!(%error, %target, "a connection was not accepted");
                tokio::time::sleep(EXHAUSTED).await;
            }
        }
    }
}

async fn accept(listener: &AsyncFd<Arc<OwnedFd>>) -> io::Result<TcpStream> {
    loop {
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let taken = listener.async_io(Interest::READABLE, |socket| Ok(accept_with(socket, flags)?));
        match taken.await {
            // The caller was gone before we came.
            Err(error) if error.raw_os_error() == Some(Errno::CONNABORTED.raw_os_error()) => {}
            other => return TcpStream::from_std(other?.into()),
        }
    }
}

/// Both ways, until both sides have said all, or one is broken.
async fn carry(caller: TcpStream, target: SocketAddr) -> io::Result<()> {
    let connect = TcpStream::connect(target);
    let container = tokio::time::timeout(CONNECT_TIMEOUT, connect).await??;
    caller.set_nodelay(true)?;
    container.set_nodelay(true)?;
    tokio::try_join!(pump(&caller, &container), pump(&container, &caller)).map(drop)
}

/// One way, without a copy through this process, until `from` has said all.
async fn pump(from: &TcpStream, to: &TcpStream) -> io::Result<()> {
    let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
    loop {
        from.readable().await?;
        let pipe = Pipe::take()?;
        loop {
            let taken = from.try_io(Interest::READABLE, || {
                Ok(splice(from, None, &pipe.write, None, PIPE_BYTES, flags)?)
            });
            let mut waiting = match taken {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Ok(0) => return Ok(shutdown(to, Shutdown::Write)?),
                other => other?,
            };
            while waiting > 0 {
                let give = || Ok(splice(&pipe.read, None, to, None, waiting, flags)?);
                waiting -= to.async_io(Interest::WRITABLE, give).await?;
            }
            // Others on this thread have their turn.
            tokio::task::coop::consume_budget().await;
        }
        pipe.give_back();
    }
}

/// What bytes pass through between two sockets. A connection has one only while it moves some.
struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
}

thread_local! {
    static SPARE: RefCell<Vec<Pipe>> = const { RefCell::new(Vec::new()) };
}

impl Pipe {
    fn take() -> io::Result<Pipe> {
        if let Some(spare) = SPARE.with_borrow_mut(Vec::pop) {
            return Ok(spare);
        }
        let (read, write) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A smaller one works too, only slower.
        let _ = fcntl_setpipe_size(&write, PIPE_BYTES);
        Ok(Pipe { read, write })
    }

    /// Keeps the pipe, which must be empty, for the next.
    fn give_back(self) {
        SPARE.with_borrow_mut(|spare| {
            if spare.len() < MAX_SPARE {
                spare.push(self);
            }
        });
    }
}
