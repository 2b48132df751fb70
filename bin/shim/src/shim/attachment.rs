//! One client of a process's streams.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_shim_proto::Streams;
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendFlags, Shutdown};

/// Output that a client may leave unread before the container has to wait.
const MAX_QUEUE_BYTES: usize = 1024 * 1024;
/// Unread input that is thrown away at the end, so that the client's socket is not reset.
const MAX_DISCARD_BYTES: usize = 4 * 1024 * 1024;

/// Docker's number of a stream in a frame's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    Stdout = 1,
    Stderr = 2,
}

/// A client's socket and what it has not read yet.
#[derive(Debug)]
pub(super) struct Attachment {
    socket: OwnedFd,
    streams: Streams,
    queue: Vec<u8>,
    sent: usize,
    /// The client may still send input.
    pub(super) input_open: bool,
    /// The client has closed both directions; what it sent before is still read.
    pub(super) hung: bool,
    /// No more output will come.
    finished: bool,
    dead: bool,
}

impl Attachment {
    /// `takes_input` tells whether the process has a standard input for it.
    pub(super) fn new(socket: OwnedFd, streams: Streams, takes_input: bool) -> Attachment {
        let _ = rustix::fs::fcntl_setfl(&socket, rustix::fs::OFlags::NONBLOCK);
        Attachment {
            socket,
            streams,
            queue: Vec::new(),
            sent: 0,
            input_open: streams.stdin && takes_input,
            hung: false,
            finished: false,
            dead: false,
        }
    }

    /// Whether the container has to wait for this client to read.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() - self.sent >= MAX_QUEUE_BYTES
    }

    pub(super) fn wants(&self, output: Output) -> bool {
        !self.dead
            && !self.hung
            && match output {
                Output::Stdout => self.streams.stdout,
                Output::Stderr => self.streams.stderr,
            }
    }

    pub(super) fn has_output(&self) -> bool {
        self.sent < self.queue.len()
    }

    /// Nothing is left to give or take.
    pub(super) fn is_done(&self) -> bool {
        self.dead || (self.hung && !self.input_open) || (self.finished && !self.has_output())
    }

    /// Gives a chunk of output: with Docker's header, or as it is for a terminal.
    pub(super) fn give(&mut self, output: Output, framed: bool, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes();
        let mut header = [output as u8, 0, 0, 0, 0, 0, 0, 0];
        header[4..].copy_from_slice(&length);
        let header = if framed { &header[..] } else { &[] };
        let mut done = 0;
        if !self.has_output() {
            match send(self.socket.as_fd(), header, bytes) {
                Ok(sent) => done = sent,
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(_) => return self.lose(),
            }
        }
        if done < header.len() {
            self.queue.extend_from_slice(&header[done..]);
            self.queue.extend_from_slice(bytes);
        } else {
            self.queue.extend_from_slice(&bytes[done - header.len()..]);
        }
    }

    /// Sends what the client left unread.
    pub(super) fn flush(&mut self) {
        while self.has_output() {
            match send(self.socket.as_fd(), &[], &self.queue[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(Errno::AGAIN) => return self.compact(),
                Err(Errno::INTR) => {}
                Err(_) => return self.lose(),
            }
        }
        // The memory is given back: most clients read at once and need no queue.
        self.queue = Vec::new();
        self.sent = 0;
    }

    /// Reads input; `Ok(0)` is its end, `WouldBlock` that there is none now.
    pub(super) fn read_input(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(&self.socket, buffer)?)
    }

    /// The client has gone as a reader.
    pub(super) fn lose(&mut self) {
        self.queue = Vec::new();
        self.sent = 0;
        if self.input_open {
            self.hung = true;
        } else {
            self.dead = true;
        }
    }

    /// The last byte of output was given: the client gets its end of file once it has read all.
    pub(super) fn finish(&mut self) {
        self.finished = true;
        self.input_open = false;
    }

    fn compact(&mut self) {
        if self.sent > MAX_QUEUE_BYTES / 2 {
            self.queue.drain(..self.sent);
            self.sent = 0;
        }
    }
}

impl Drop for Attachment {
    /// Input that was never read would make the kernel reset the connection, and the client lose
    /// the end of the output.
    fn drop(&mut self) {
        let _ = rustix::net::shutdown(&self.socket, Shutdown::Both);
        let mut buffer = [0; 4096];
        let mut discarded = 0;
        while discarded < MAX_DISCARD_BYTES {
            match rustix::io::read(&self.socket, &mut buffer) {
                Ok(0) | Err(_) => return,
                Ok(bytes) => discarded += bytes,
            }
        }
    }
}

impl AsFd for Attachment {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn send(socket: BorrowedFd<'_>, header: &[u8], bytes: &[u8]) -> rustix::io::Result<usize> {
    let mut space: [MaybeUninit<u8>; 0] = [];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let parts = [IoSlice::new(header), IoSlice::new(bytes)];
    let parts = if header.is_empty() { &parts[1..] } else { &parts[..] };
    rustix::net::sendmsg(socket, parts, &mut control, SendFlags::NOSIGNAL | SendFlags::DONTWAIT)
}
