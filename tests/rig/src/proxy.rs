//! A proxy between a client and a server that counts bytes and breaks connections.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Pause between two looks for a new connection.
pub(crate) const PAUSE: Duration = Duration::from_millis(2);

/// Passes connections on to a server, as they are; ends when dropped.
#[derive(Debug)]
pub struct Proxy {
    /// Host and port.
    pub address: String,
    counts: Arc<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    /// Bytes from the server.
    down: AtomicU64,
    /// Bytes to the server.
    up: AtomicU64,
    /// At which counts of bytes from the server all connections are cut, the last first.
    cuts: Mutex<Vec<u64>>,
    ended: AtomicBool,
}

impl Proxy {
    /// Listens in the network namespace of process `netns_pid`, where `server` is too. Whenever so
    /// many bytes have come from the server as one of the ascending `cuts` says, all connections
    /// are broken.
    ///
    /// # Errors
    /// When the namespace cannot be entered.
    pub fn start(netns_pid: u32, server: &str, cuts: &[u64]) -> io::Result<Self> {
        let (found, place) = mpsc::channel();
        let counts = Arc::new(Counts::default());
        counts.cuts.lock().unwrap_or_else(PoisonError::into_inner).extend(cuts.iter().rev());
        let (shared, server) = (Arc::clone(&counts), server.to_owned());
        thread::spawn(move || match listen(netns_pid) {
            Ok(listener) => {
                let _ = found.send(listener.local_addr());
                accept(&listener, &server, &shared);
            }
            Err(error) => {
                let _ = found.send(Err(error));
            }
        });
        let address = place.recv().map_err(io::Error::other)??.to_string();
        Ok(Self { address, counts })
    }

    /// Bytes that have come from the server.
    #[must_use]
    pub fn down(&self) -> u64 {
        self.counts.down.load(Ordering::Relaxed)
    }

    /// Bytes that have gone to the server.
    #[must_use]
    pub fn up(&self) -> u64 {
        self.counts.up.load(Ordering::Relaxed)
    }

    /// How many of the cuts are still to come.
    #[must_use]
    pub fn cuts_left(&self) -> usize {
        self.counts.cuts.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.counts.ended.store(true, Ordering::Relaxed);
    }
}

/// Moves this thread into the namespace, which its children then begin in.
pub(crate) fn listen(netns_pid: u32) -> io::Result<TcpListener> {
    let netns = File::open(format!("/proc/{netns_pid}/ns/net"))?;
    move_into_link_name_space(netns.as_fd(), Some(LinkNameSpaceType::Network))?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    // So that the end is noticed.
    listener.set_nonblocking(true)?;
    Ok(listener)
}

fn accept(listener: &TcpListener, server: &str, counts: &Arc<Counts>) {
    let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
    while !counts.ended.load(Ordering::Relaxed) {
        let Ok((client, _)) = listener.accept() else {
            thread::sleep(PAUSE);
            continue;
        };
        let Ok(server) = TcpStream::connect(server) else { continue };
        let (Ok(from_client), Ok(to_server)) = (client.try_clone(), server.try_clone()) else {
            continue;
        };
        {
            let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
            open.extend(client.try_clone());
            open.extend(server.try_clone());
        }
        let (up, down, open) = (Arc::clone(counts), Arc::clone(counts), Arc::clone(&open));
        thread::spawn(move || {
            pass(from_client, to_server, |bytes| {
                up.up.fetch_add(bytes, Ordering::Relaxed);
                true
            })
        });
        thread::spawn(move || {
            pass(server, client, |bytes| {
                let before = down.down.fetch_add(bytes, Ordering::Relaxed);
                !down.is_cut(before, bytes, &open)
            })
        });
    }
}

impl Counts {
    /// Breaks everything that is open if the next cut is within these bytes.
    fn is_cut(&self, before: u64, bytes: u64, open: &Mutex<Vec<TcpStream>>) -> bool {
        let mut cuts = self.cuts.lock().unwrap_or_else(PoisonError::into_inner);
        if cuts.pop_if(|at| before + bytes >= *at).is_none() {
            return false;
        }
        for stream in open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        true
    }
}

/// Copies one direction until it ends or `go_on` says no.
fn pass(mut from: TcpStream, mut to: TcpStream, go_on: impl Fn(u64) -> bool) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let read = from.read(&mut buffer).unwrap_or(0);
        if read == 0 || !go_on(read as u64) || to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    let _ = from.shutdown(Shutdown::Read);
}
