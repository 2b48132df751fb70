//! The streams of one process: its side, and its clients.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_shim_proto::Streams;
use rustix::io::Errno;
use rustix::termios::Winsize;

use super::attachment::{Attachment, Output};

/// Input that waits for a process that does not read.
const MAX_PENDING_BYTES: usize = 64 * 1024;
/// Output that is taken at once after the process's end: more than any pipe holds.
const MAX_DRAIN_BYTES: usize = 8 * 1024 * 1024;

/// Size of a pipe whose writer has filled it: it need not wait for every one of our reads then.
const WIDE_PIPE_BYTES: usize = 1024 * 1024;

/// What became of reading an output stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    /// So many bytes are in the buffer.
    Bytes(usize),
    /// None are there now.
    Empty,
    /// There will be none any more.
    End,
}

/// A process's standard streams as the shim holds them.
#[derive(Debug, Default)]
pub(super) struct Session {
    pub(super) stdin: Option<OwnedFd>,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    /// The streams are a terminal; `stdout` is its master side.
    pub(super) tty: bool,
    /// Standard input closes with the first client that had it.
    pub(super) stdin_once: bool,
    pub(super) attachments: Vec<Attachment>,
    pub(super) pending: Vec<u8>,
    pub(super) closing: bool,
}

impl Session {
    /// Adds a client.
    pub(super) fn attach(&mut self, socket: OwnedFd, streams: Streams) {
        let takes_input = self.stdin.is_some() && !self.closing;
        self.attachments.push(Attachment::new(socket, streams, takes_input));
    }

    /// The descriptor of an output stream, if it is to be read now.
    pub(super) fn readable(&self, output: Output) -> Option<BorrowedFd<'_>> {
        let stuck = |client: &Attachment| client.wants(output) && client.is_full();
        if self.attachments.iter().any(stuck) {
            return None;
        }
        self.stream(output).map(AsFd::as_fd)
    }

    /// Standard input, if something waits to be written to it.
    pub(super) fn writable(&self) -> Option<BorrowedFd<'_>> {
        self.stdin.as_ref().filter(|_| !self.pending.is_empty()).map(AsFd::as_fd)
    }

    /// Whether clients' input can be taken now.
    pub(super) fn takes_input(&self) -> bool {
        self.pending.len() < MAX_PENDING_BYTES
    }

    /// All output was read and all clients have theirs.
    pub(super) fn is_drained(&self) -> bool {
        self.stdout.is_none() && self.stderr.is_none() && self.attachments.is_empty()
    }

    /// Whether output may still come.
    pub(super) fn has_streams(&self) -> bool {
        self.stdout.is_some() || self.stderr.is_some()
    }

    /// Reads a chunk of output into `buffer`.
    pub(super) fn read(&mut self, output: Output, buffer: &mut [u8]) -> Read {
        let Some(stream) = self.stream(output) else { return Read::End };
        loop {
            match rustix::io::read(stream, &mut *buffer) {
                Ok(bytes) if bytes > 0 => {
                    if bytes == buffer.len() {
                        widen(stream);
                    }
                    return Read::Bytes(bytes);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Read::Empty,
                // A terminal whose last user has gone answers EIO.
                Ok(_) | Err(_) => {
                    self.close(output);
                    return Read::End;
                }
            }
        }
    }

    /// Gives a chunk of output to every client that wants it.
    pub(super) fn give(&mut self, output: Output, bytes: &[u8]) {
        let framed = !self.tty;
        for client in self.attachments.iter_mut().filter(|client| client.wants(output)) {
            client.give(output, framed, bytes);
        }
    }

    /// Takes input of a client, as much as there is room for.
    pub(super) fn take_input(&mut self, index: usize, buffer: &mut [u8]) {
        let room = MAX_PENDING_BYTES.saturating_sub(self.pending.len()).min(buffer.len());
        let Some(client) = self.attachments.get_mut(index).filter(|_| room > 0) else { return };
        match client.read_input(&mut buffer[..room]) {
            Ok(0) => self.input_ended(index),
            Ok(bytes) => {
                if self.stdin.is_some() {
                    self.pending.extend_from_slice(&buffer[..bytes]);
                    self.write_input();
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.input_ended(index),
        }
    }

    /// Writes waiting input to the process.
    pub(super) fn write_input(&mut self) {
        while let Some(stdin) = self.stdin.as_ref().filter(|_| !self.pending.is_empty()) {
            match rustix::io::write(stdin, &self.pending) {
                Ok(bytes) => drop(self.pending.drain(..bytes)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Err(_) => {
                    self.stdin = None;
                    self.pending = Vec::new();
                }
            }
        }
        self.pending = Vec::new();
        if self.closing {
            self.stdin = None;
        }
    }

    /// Ends clients' part: they get their end of file when they have read everything.
    pub(super) fn finish_clients(&mut self) {
        for client in &mut self.attachments {
            client.finish();
        }
        self.stdin = None;
        self.pending = Vec::new();
        self.drop_done();
    }

    /// Removes the clients that are done.
    pub(super) fn drop_done(&mut self) {
        self.attachments.retain(|client| !client.is_done());
    }

    /// Reads all output that is there after the process's end, passing it to `sink`; clients get
    /// it even beyond what they may queue, since a pipe's content is bounded.
    pub(super) fn drain(&mut self, buffer: &mut [u8], mut sink: impl FnMut(Output, &[u8])) {
        for output in [Output::Stdout, Output::Stderr] {
            let mut total = 0;
            while total < MAX_DRAIN_BYTES {
                let Read::Bytes(bytes) = self.read(output, buffer) else { break };
                total += bytes;
                sink(output, &buffer[..bytes]);
                self.give(output, &buffer[..bytes]);
            }
        }
    }

    /// Sets the terminal's size; false without one.
    pub(super) fn resize(&self, height: u16, width: u16) -> bool {
        let Some(master) = self.stdout.as_ref().filter(|_| self.tty) else { return false };
        let size = Winsize { ws_row: height, ws_col: width, ws_xpixel: 0, ws_ypixel: 0 };
        rustix::termios::tcsetwinsize(master, size).is_ok()
    }

    fn stream(&self, output: Output) -> Option<&OwnedFd> {
        match output {
            Output::Stdout => self.stdout.as_ref(),
            Output::Stderr => self.stderr.as_ref(),
        }
    }

    fn close(&mut self, output: Output) {
        match output {
            Output::Stdout => self.stdout = None,
            Output::Stderr => self.stderr = None,
        }
    }

    /// A client has closed its input. A terminal stays open: there is no half-close of one.
    fn input_ended(&mut self, index: usize) {
        self.attachments[index].input_open = false;
        if self.stdin_once && !self.tty {
            self.closing = true;
            self.write_input();
        }
    }
}

/// Makes a pipe larger, once. A terminal is no pipe, and where the user's pipes have used up what
/// they may have, a small one works as well.
fn widen(stream: &OwnedFd) {
    if rustix::pipe::fcntl_getpipe_size(stream).is_ok_and(|size| size < WIDE_PIPE_BYTES) {
        let _ = rustix::pipe::fcntl_setpipe_size(stream, WIDE_PIPE_BYTES);
    }
}
