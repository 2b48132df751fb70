//! Relaying TCP.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::{MAX_CONNECTIONS, on_reactor};

/// How long a container may take to accept.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
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
async fn carry(mut caller: TcpStream, target: SocketAddr) -> io::Result<()> {
    let connect = TcpStream::connect(target);
    let mut container = tokio::time::timeout(CONNECT_TIMEOUT, connect).await??;
    caller.set_nodelay(true)?;
    container.set_nodelay(true)?;
    tokio::io::copy_bidirectional(&mut caller, &mut container).await.map(drop)
}
