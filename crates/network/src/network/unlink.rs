//! Deleting bridges behind the answers.
//!
//! The kernel takes some 40 ms to delete an interface, mostly waiting for readers, and lets
//! nobody else change one meanwhile. Many at once take hardly longer than one. So those that go
//! are collected until there is a pause, and then deleted together.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use super::link::delete;
use crate::error::NetworkError;
use crate::ipam::lock;
use crate::namespace::random_hex;
use crate::netlink::link;
use crate::netlink::message::Batch;
use crate::netlink::socket::Socket;

/// A pause this long ends a collection.
const PAUSE: Duration = Duration::from_millis(100);
/// Longest time that a collection takes.
const LONGEST: Duration = Duration::from_secs(1);
/// Most interfaces of one.
const MOST: usize = 256;

/// An interface that is to be deleted.
#[derive(Debug)]
struct Doomed {
    name: String,
    index: u32,
}

/// The collector, which has a thread from its first interface on, as long as it lives.
#[derive(Debug, Default)]
pub(crate) struct Unlinker(Mutex<Option<Sender<Doomed>>>);

impl Unlinker {
    /// Deletes an interface of this namespace soon.
    pub(crate) fn delete(&self, name: String, index: u32) -> Result<(), NetworkError> {
        let mut inbox = lock(&self.0);
        let sender = match inbox.take() {
            Some(sender) => sender,
            None => start()?,
        };
        // The thread ends with its senders alone.
        let sent = sender.send(Doomed { name, index });
        *inbox = Some(sender);
        sent.map_err(|_| NetworkError::Worker)
    }
}

fn start() -> Result<Sender<Doomed>, NetworkError> {
    let mut socket = Socket::route().map_err(NetworkError::Socket)?;
    let (sender, doomed) = channel();
    let work = move || run(&mut socket, &doomed);
    let spawned = std::thread::Builder::new().name("gantry-unlink".to_owned()).spawn(work);
    spawned.map(|_| sender).map_err(NetworkError::Thread)
}

fn run(socket: &mut Socket, inbox: &Receiver<Doomed>) {
    while let Ok(first) = inbox.recv() {
        let begun = Instant::now();
        let mut all = vec![first];
        while all.len() < MOST
            && begun.elapsed() < LONGEST
            && let Ok(next) = inbox.recv_timeout(PAUSE)
        {
            all.push(next);
        }
        if all.len() > 1 && delete_group(socket, &all) {
            continue;
        }
        for Doomed { name, index } in all {
            if let Err(error) = delete(socket, &name, index) {
                tracing::error!(?error, "a removed network's interface is left");
            }
        }
    }
}

/// Puts all in a group of their own and deletes that; false if it did not work.
fn delete_group(socket: &mut Socket, all: &[Doomed]) -> bool {
    // Group 0 is everybody's.
    let drawn = random_hex(4).ok().and_then(|digits| u32::from_str_radix(&digits, 16).ok());
    let Some(group) = drawn.filter(|group| *group != 0) else { return false };
    let mut batch = Batch::new();
    all.iter().for_each(|doomed| link::set_group(&mut batch, doomed.index, group));
    // One that is gone already is refused; the others are in the group all the same.
    if let Err(refused) = socket.request(batch) {
        tracing::debug!(?refused, "grouping interfaces to delete");
    }
    let mut batch = Batch::new();
    link::delete_group(&mut batch, group);
    socket.request(batch).is_ok()
}
