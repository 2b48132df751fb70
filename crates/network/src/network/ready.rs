//! Namespaces that stand ready on a network where one container starts after the other.
//!
//! Making one takes milliseconds, and the longer the more interfaces the bridge has. They are not
//! seen from outside: they are on the network, but nobody is in them, and whoever asks for an
//! address of theirs gets it.

use std::collections::VecDeque;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::OwnedFd;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use crate::ipam::{Lease, lock};
use crate::sandbox::EndpointRecord;

/// Joins within [`WINDOW`] that make a network a busy one.
const BUSY: usize = 8;
/// See [`BUSY`].
const WINDOW: Duration = Duration::from_secs(10);
/// A busy network to which nobody has come for so long is one no more.
pub(crate) const IDLE: Duration = Duration::from_secs(5);
/// Namespaces that stand ready for a busy network.
const SIZE: usize = 2;

/// A namespace with its endpoint.
#[derive(Debug)]
pub(crate) struct ReadyEndpoint {
    pub(crate) netns: OwnedFd,
    pub(crate) sysfs: Option<OwnedFd>,
    pub(crate) record: EndpointRecord,
    pub(crate) v4: Option<Lease<Ipv4Addr>>,
    pub(crate) v6: Option<Lease<Ipv6Addr>>,
}

/// The namespaces of one network, and how busy it is.
#[derive(Debug, Default)]
pub(crate) struct Ready {
    state: Mutex<State>,
    /// Held while one is made, from before it has its addresses until it stands ready.
    pub(crate) making: tokio::sync::Mutex<()>,
    /// Told when one is taken, and at the end.
    wanted: Notify,
}

#[derive(Debug, Default)]
struct State {
    joins: VecDeque<Instant>,
    standing: VecDeque<ReadyEndpoint>,
    /// Somebody keeps them ready.
    filling: bool,
    /// The network is being removed.
    closed: bool,
}

impl Ready {
    /// Notes a join. True if the network has become a busy one: the caller then has to keep
    /// namespaces ready, until [`Ready::cool`].
    pub(crate) fn note_join(&self, now: Instant) -> bool {
        let mut state = lock(&self.state);
        state.joins.push_back(now);
        if state.joins.len() > BUSY {
            state.joins.pop_front();
        }
        let first = state.joins.front().copied();
        let busy = state.joins.len() == BUSY && first.is_some_and(|first| now - first < WINDOW);
        let starts = busy && !state.filling && !state.closed;
        state.filling |= starts;
        drop(state);
        self.wanted.notify_one();
        starts
    }

    /// Takes the oldest, or the one with this address.
    pub(crate) fn take(&self, address: Option<Ipv4Addr>) -> Option<ReadyEndpoint> {
        let mut state = lock(&self.state);
        match address {
            None => state.standing.pop_front(),
            Some(_) => {
                let has = |ready: &ReadyEndpoint| ready.record.v4.map(|v4| v4.address) == address;
                let at = state.standing.iter().position(has)?;
                state.standing.remove(at)
            }
        }
    }

    /// Takes those that have one of these addresses, or all.
    pub(crate) fn withdraw(
        &self,
        of: Option<(Option<Ipv4Addr>, Option<Ipv6Addr>)>,
    ) -> Vec<ReadyEndpoint> {
        let mut state = lock(&self.state);
        let goes = |ready: &ReadyEndpoint| {
            of.is_none_or(|(v4, v6)| {
                let has4 = ready.record.v4.map(|v4| v4.address);
                let has6 = ready.record.v6.map(|v6| v6.address);
                (v4.is_some() && v4 == has4) || (v6.is_some() && v6 == has6)
            })
        };
        let (gone, stay) = state.standing.drain(..).partition(goes);
        state.standing = stay;
        gone.into()
    }

    /// Addresses that those have which stand ready: of IPv4, of IPv6.
    pub(crate) fn addresses(&self) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
        let state = lock(&self.state);
        let v4 = state.standing.iter().filter_map(|ready| Some(ready.record.v4?.address));
        let v6 = state.standing.iter().filter_map(|ready| Some(ready.record.v6?.address));
        (v4.collect(), v6.collect())
    }

    /// Whether namespaces are kept ready at the moment.
    pub(crate) fn is_filling(&self) -> bool {
        lock(&self.state).filling
    }

    /// Whether one more should stand ready.
    pub(crate) fn lacks(&self) -> bool {
        let state = lock(&self.state);
        !state.closed && state.standing.len() < SIZE
    }

    /// Adds one; it comes back from a network that is being removed.
    pub(crate) fn put(&self, ready: ReadyEndpoint) -> Option<ReadyEndpoint> {
        let mut state = lock(&self.state);
        if state.closed {
            return Some(ready);
        }
        state.standing.push_back(ready);
        None
    }

    /// Ends the work of whoever keeps them ready, if nobody has joined lately or the network is
    /// being removed: the namespaces that are left. They are none of his business any more.
    pub(crate) fn cool(&self, now: Instant) -> Option<Vec<ReadyEndpoint>> {
        let mut state = lock(&self.state);
        let idle = state.joins.back().is_none_or(|last| now - *last >= IDLE);
        if !idle && !state.closed {
            return None;
        }
        state.filling = false;
        Some(state.standing.drain(..).collect())
    }

    /// Waits until one was taken or the network is being removed, for [`IDLE`] at most.
    pub(crate) async fn wanted(&self) {
        let _ = tokio::time::timeout(IDLE, self.wanted.notified()).await;
    }

    /// Has none stand ready any more: the network is being removed. Those that stood.
    pub(crate) fn close(&self) -> Vec<ReadyEndpoint> {
        let mut state = lock(&self.state);
        state.closed = true;
        let gone = state.standing.drain(..).collect();
        drop(state);
        self.wanted.notify_one();
        gone
    }

    /// Takes [`Ready::close`] back.
    pub(crate) fn reopen(&self) {
        lock(&self.state).closed = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn busy_networks() {
        let ready = Ready::default();
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        // Seven, and one that comes too late to make eight within ten seconds.
        for _ in 0..BUSY - 1 {
            assert!(!ready.note_join(begin));
        }
        assert!(!ready.note_join(at(20)));
        let told: Vec<bool> = (0..BUSY).map(|_| ready.note_join(at(21))).collect();
        assert_eq!(told.iter().filter(|busy| **busy).count(), 1, "{told:?}");
        assert!(ready.lacks());
        assert!(ready.cool(at(22)).is_none(), "somebody came a second ago");
        assert!(ready.cool(at(27)).is_some_and(|left| left.is_empty()));
        // It becomes busy again.
        assert!(ready.note_join(at(28)));
    }

    #[test]
    fn removed_networks_have_none() {
        let ready = Ready::default();
        ready.close();
        assert!(!ready.lacks());
        assert!((0..2 * BUSY).all(|_| !ready.note_join(Instant::now())));
        assert!(ready.cool(Instant::now()).is_some());
        ready.reopen();
        assert!(ready.note_join(Instant::now()));
    }
}
