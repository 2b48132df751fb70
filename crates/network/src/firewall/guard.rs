//! Healing: what somebody took from the table, or from other tables, is put back.
//!
//! The kernel tells of every change to nftables, with the socket that made it, so that our own
//! are known and passed over. Nothing is done, and nothing is asked, while nothing changes.

use std::io;
use std::sync::{Mutex, Weak};
use std::time::Duration;

use rustix::io::Errno;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Firewall;
use crate::ipam::lock;
use crate::netlink::expr::FAMILY_INET;
use crate::netlink::ruleset::{self, Change};
use crate::netlink::socket::Socket;

/// A reload comes in several transactions: how long to wait for the rest of it.
const GATHER: Duration = Duration::from_millis(50);
/// Shortest time between two repairs, so that a program which does and undoes cannot keep us
/// busy. With [`GATHER`] it stays under the second that is promised.
const PAUSE: Duration = Duration::from_millis(500);
/// Repairs that may fail one after the other; then the next change is waited for.
const ATTEMPTS: u32 = 5;

/// What needs a look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Our table was changed by somebody.
    pub(super) ours: bool,
    /// Another table was.
    pub(super) elsewhere: bool,
}

impl Damage {
    const UNKNOWN: Damage = Damage { ours: true, elsewhere: true };

    fn is_some(self) -> bool {
        self.ours || self.elsewhere
    }

    fn and(self, other: Damage) -> Damage {
        Damage { ours: self.ours || other.ours, elsewhere: self.elsewhere || other.elsewhere }
    }

    fn note(&mut self, change: Change) {
        match change {
            Change::Ours => self.ours = true,
            Change::Elsewhere => self.elsewhere = true,
        }
    }
}

/// What the guard watches by.
pub(super) struct Watch {
    pub(super) changes: AsyncFd<Socket>,
    /// The socket of our own changes.
    pub(super) own: u32,
    pub(super) table: String,
    /// Whether the table was not whole when the watch began.
    pub(super) damaged: bool,
    /// Closed when the firewall goes.
    pub(super) end: oneshot::Receiver<()>,
}

/// Watches the rules until the firewall is dropped or removed.
pub(crate) async fn guard(firewall: Weak<Mutex<Firewall>>) {
    let Some(begun) = firewall.upgrade().map(|firewall| lock(&firewall).watch()) else {
        return;
    };
    let ended = match begun {
        Ok(watch) => keep(&firewall, watch).await,
        Err(error) => Err(error),
    };
    if let Err(error) = ended {
        tracing::warn!(%error, "the firewall is not watched: a flush stays until the next change");
    }
}

async fn keep(firewall: &Weak<Mutex<Firewall>>, mut watch: Watch) -> io::Result<()> {
    // What happened before the watch began is not told.
    let mut damage = Damage { ours: watch.damaged, elsewhere: true };
    loop {
        if !repair(firewall, damage).await {
            return Ok(());
        }
        let rested = Instant::now() + PAUSE;
        damage = tokio::select! {
            _ = &mut watch.end => return Ok(()),
            seen = next(&mut watch.changes, watch.own, &watch.table) => seen?,
        };
        let gathered = rested.max(Instant::now() + GATHER);
        loop {
            let more = next(&mut watch.changes, watch.own, &watch.table);
            match tokio::time::timeout_at(gathered, more).await {
                Ok(seen) => damage = damage.and(seen?),
                Err(_) => break,
            }
        }
    }
}

/// Waits for changes by others.
async fn next(changes: &mut AsyncFd<Socket>, own: u32, table: &str) -> io::Result<Damage> {
    loop {
        let mut ready = changes.readable_mut().await?;
        let mut damage = Damage::default();
        let drained = ready.try_io(|changes| drain(changes.get_mut(), own, table, &mut damage));
        if damage.is_some() {
            return Ok(damage);
        }
        if let Ok(Err(error)) = drained {
            return Err(error);
        }
    }
}

/// Reads until there is no more, which is `WouldBlock`.
fn drain(socket: &mut Socket, own: u32, table: &str, damage: &mut Damage) -> io::Result<()> {
    loop {
        match socket.next_datagram() {
            Ok(datagram) => {
                for change in ruleset::changes(datagram, own, FAMILY_INET, table) {
                    damage.note(change);
                }
            }
            Err(error) if error.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => {
                *damage = Damage::UNKNOWN;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Puts things right; `false` if there is no firewall any more.
async fn repair(firewall: &Weak<Mutex<Firewall>>, damage: Damage) -> bool {
    for attempt in 0..ATTEMPTS {
        let Some(firewall) = firewall.upgrade() else {
            return false;
        };
        let work = move || lock(&firewall).heal(damage);
        match tokio::task::spawn_blocking(work).await {
            Ok(Ok(())) => return true,
            Ok(Err(error)) => tracing::warn!(?error, attempt, "the firewall could not be healed"),
            // The runtime is going down.
            Err(_) => return false,
        }
        tokio::time::sleep(GATHER * 2_u32.pow(attempt)).await;
    }
    true
}
