//! Relaying UDP: a flow for each caller, until it has been silent for a while.

use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::net::{RecvFlags, SendFlags, recvfrom, sendto};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::{MAX_CONNECTIONS, on_reactor};
use crate::ipam::lock;

/// Silence in both directions that ends a flow, as in Docker's proxy.
const SILENCE: Duration = Duration::from_secs(90);
/// Longest datagram.
const DATAGRAM_LEN: usize = 64 << 10;
/// Pause after an error that is not a caller's.
const TROUBLE: Duration = Duration::from_millis(100);

type Flows = Arc<Mutex<HashMap<SocketAddr, Arc<Flow>>>>;

/// One caller's socket towards the container.
#[derive(Debug)]
struct Flow {
    container: UdpSocket,
    /// Whether the caller has spoken since last looked.
    spoke: AtomicBool,
}

/// Carries datagrams from the socket to `target` and back until it is aborted.
pub(super) async fn relay(socket: Arc<OwnedFd>, target: SocketAddr) {
    let front = match on_reactor(socket, Interest::READABLE | Interest::WRITABLE) {
        Ok(front) => Arc::new(front),
        Err(error) => {
            tracing::warn!(%error, %target, "a published port is not relayed");
            return;
        }
    };
    let flows = Flows::default();
    let mut answers = JoinSet::new();
    loop {
        while answers.try_join_next().is_some() {}
        let (datagram, caller) = match receive(&front).await {
            Ok(received) => received,
            Err(error) => {
                tracing::debug!(%error, %target, "a datagram was not received");
                tokio::time::sleep(TROUBLE).await;
                continue;
            }
        };
        let known = lock(&flows).get(&caller).map(Arc::clone);
        let flow = match known {
            Some(flow) => flow,
            None if answers.len() >= MAX_CONNECTIONS => continue,
            None => match open(target).await {
                Ok(flow) => {
                    lock(&flows).insert(caller, Arc::clone(&flow));
                    let (front, flows) = (Arc::clone(&front), Arc::clone(&flows));
                    answers.spawn(answer(front, flows, caller, Arc::clone(&flow)));
                    flow
                }
                Err(error) => {
                    tracing::debug!(%error, %target, "a flow was not opened");
                    continue;
                }
            },
        };
        flow.spoke.store(true, Ordering::Relaxed);
        // A container that does not listen loses it, as on any network.
        let _ = flow.container.send(&datagram).await;
    }
}

async fn receive(front: &AsyncFd<Arc<OwnedFd>>) -> io::Result<(Vec<u8>, SocketAddr)> {
    let receive = |socket: &Arc<OwnedFd>| {
        with_room(|room| {
            let (len, _, from) = recvfrom(socket, room, RecvFlags::empty())?;
            let from = from.ok_or(io::ErrorKind::InvalidData)?;
            Ok((len, SocketAddr::try_from(from)?))
        })
    };
    front.async_io(Interest::READABLE, receive).await
}

/// Receives into a buffer that is the thread's: one for each of ten thousand ports, for hardly
/// any of which a datagram ever comes, would be a gigabyte.
fn with_room<T>(
    receive: impl FnOnce(&mut [u8]) -> io::Result<(usize, T)>,
) -> io::Result<(Vec<u8>, T)> {
    thread_local! {
        static ROOM: RefCell<Vec<u8>> = RefCell::new(vec![0; DATAGRAM_LEN]);
    }
    ROOM.with_borrow_mut(|room| {
        let (len, with) = receive(room)?;
        Ok((room.get(..len).unwrap_or(room).to_vec(), with))
    })
}

async fn open(target: SocketAddr) -> io::Result<Arc<Flow>> {
    let any = match target {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    let container = UdpSocket::bind((any, 0)).await?;
    container.connect(target).await?;
    Ok(Arc::new(Flow { container, spoke: AtomicBool::new(true) }))
}

/// Carries what the container says back to the caller.
async fn answer(
    front: Arc<AsyncFd<Arc<OwnedFd>>>,
    flows: Flows,
    caller: SocketAddr,
    flow: Arc<Flow>,
) {
    let container = &flow.container;
    let receive = || with_room(|room| Ok((container.try_recv(room)?, ())));
    loop {
        let received = container.async_io(Interest::READABLE, receive);
        match tokio::time::timeout(SILENCE, received).await {
            Ok(Ok((datagram, ()))) => {
                let say = |socket: &Arc<OwnedFd>| {
                    Ok(sendto(socket, &datagram, SendFlags::empty(), &caller)?)
                };
                let _ = front.async_io(Interest::WRITABLE, say).await;
            }
            // Nobody listens there: the container may yet begin to.
            Ok(Err(error)) if error.kind() == io::ErrorKind::ConnectionRefused => {}
            Ok(Err(_)) => break,
            Err(_) if flow.spoke.swap(false, Ordering::Relaxed) => {}
            Err(_) => break,
        }
    }
    lock(&flows).remove(&caller);
}
