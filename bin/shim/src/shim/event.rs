//! Waiting for everything at once, and who is to be served.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;

use super::attachment::Output;
use super::{Running, Shim};

/// `SIGCHLD` is waited for; the others are to have no effect.
pub(super) const BLOCKED_SIGNALS: [i32; 8] = [17, 1, 2, 3, 10, 12, 13, 15];

/// Left-behind processes' output ends for clients when none came for so long.
const LINGER_QUIET: Duration = Duration::from_millis(100);

/// Memory that was not used for so long is given back. A short-lived container never gets there.
const IDLE: Duration = Duration::from_secs(1);

/// Which process's streams; the first process, or the exec with that index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    Main,
    Exec(usize),
}

/// What is ready.
#[derive(Debug, Clone, Copy)]
pub(super) enum Source {
    Signal,
    Listener,
    Client(usize),
    Output(Whose, Output),
    Stdin(Whose),
    Attachment(Whose, usize, PollFlags),
}

/// Waits until something is ready. Interest is taken anew each time from what the state allows:
/// a stream that may not be read now is simply not asked for.
pub(super) fn wait(shim: &Shim) -> io::Result<Vec<Source>> {
    let mut polls = Polls::default();
    polls.add(shim.signals.as_fd(), PollFlags::IN, Source::Signal);
    if let Some(listener) = &shim.listener {
        polls.add(listener.as_fd(), PollFlags::IN, Source::Listener);
    }
    for (index, client) in shim.clients.iter().enumerate() {
        let mut flags = PollFlags::IN;
        flags.set(PollFlags::OUT, client.channel.has_output());
        polls.add(client.channel.as_fd(), flags, Source::Client(index));
    }
    if let Some(main) = &shim.main {
        polls.add_process(&main.process, Whose::Main);
    }
    for (index, exec) in shim.execs.iter().enumerate() {
        polls.add_process(exec, Whose::Exec(index));
    }
    polls.wait(shim.deadline())
}

#[derive(Default)]
struct Polls<'a> {
    fds: Vec<PollFd<'a>>,
    sources: Vec<Source>,
}

impl<'a> Polls<'a> {
    fn add(&mut self, fd: BorrowedFd<'a>, flags: PollFlags, source: Source) {
        self.fds.push(PollFd::from_borrowed_fd(fd, flags));
        self.sources.push(source);
    }

    fn add_process(&mut self, process: &'a Running, whose: Whose) {
        let session = &process.session;
        for output in [Output::Stdout, Output::Stderr] {
            if let Some(stream) = session.readable(output) {
                self.add(stream, PollFlags::IN, Source::Output(whose, output));
            }
        }
        if let Some(stdin) = session.writable() {
            self.add(stdin, PollFlags::OUT, Source::Stdin(whose));
        }
        for (index, client) in session.attachments.iter().enumerate() {
            let reads = client.input_open && session.takes_input();
            // A client that has hung up is always "ready": ask only when its input can be taken.
            if client.hung && !reads {
                continue;
            }
            let mut flags = PollFlags::empty();
            flags.set(PollFlags::IN, reads);
            flags.set(PollFlags::OUT, client.has_output());
            self.add(client.as_fd(), flags, Source::Attachment(whose, index, flags));
        }
    }

    fn wait(mut self, deadline: Option<Instant>) -> io::Result<Vec<Source>> {
        let timeout = deadline.map(|deadline| {
            let left = deadline.saturating_duration_since(Instant::now());
            // Rounded up, so that the deadline has passed on return.
            let left = left + Duration::from_millis(1);
            Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            }
        });
        match rustix::event::poll(&mut self.fds, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        let mut ready = Vec::new();
        for (fd, source) in self.fds.iter().zip(self.sources) {
            let flags = fd.revents();
            if flags.is_empty() {
                continue;
            }
            ready.push(match source {
                Source::Attachment(whose, index, _) => Source::Attachment(whose, index, flags),
                other => other,
            });
        }
        Ok(ready)
    }
}

impl Shim {
    /// Serves one ready source. Indices stay valid until [`Shim::tidy`].
    pub(super) fn handle(&mut self, source: Source) {
        match source {
            Source::Signal => self.signalled(),
            Source::Listener => self.accept(),
            Source::Client(index) => self.serve_client(index),
            Source::Output(whose, output) => self.output(whose, output),
            Source::Stdin(whose) => {
                if let Some(process) = self.process(whose) {
                    process.session.write_input();
                }
            }
            Source::Attachment(whose, index, flags) => self.attachment(whose, index, flags),
        }
    }

    /// Drops what is done, and acts on deadlines.
    pub(super) fn tidy(&mut self) {
        let now = Instant::now();
        let main = self.main.as_mut().map(|main| &mut main.process);
        for process in main.into_iter().chain(&mut self.execs) {
            process.session.drop_done();
            let Some(linger) = &process.linger else { continue };
            let quiet = now.duration_since(linger.last_output) >= LINGER_QUIET;
            if quiet || now >= linger.until || !process.session.has_streams() {
                process.linger = None;
                process.session.finish_clients();
            }
        }
        let container_ended = self.exit.is_some();
        self.execs.retain(|exec| {
            // What left-behind processes write is read on, or they would get SIGPIPE.
            !(exec.ended
                && (exec.session.is_drained()
                    || container_ended
                        && exec.linger.is_none()
                        && exec.session.attachments.is_empty()))
        });
        self.clients.retain(|client| !client.dead);
        if self.trim_at.is_some_and(|at| now >= at) {
            self.trim_at = None;
            self.chunk = Vec::new();
            gantry_sys::memory::trim_heap();
        }
        self.compress_log();
    }

    /// When something is to be done without an event.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let main = self.main.as_ref().map(|main| &main.process);
        let lingers =
            main.into_iter().chain(&self.execs).filter_map(|process| process.linger.as_ref());
        lingers
            .map(|linger| linger.until.min(linger.last_output + LINGER_QUIET))
            .chain(self.trim_at)
            .min()
    }

    fn process(&mut self, whose: Whose) -> Option<&mut Running> {
        match whose {
            Whose::Main => self.main.as_mut().map(|main| &mut main.process),
            Whose::Exec(index) => self.execs.get_mut(index),
        }
    }

    fn output(&mut self, whose: Whose, output: Output) {
        let mut chunk = self.take_chunk();
        let log = whose == Whose::Main;
        if let Some(process) = self.process(whose) {
            match process.session.read(output, &mut chunk) {
                super::session::Read::Bytes(bytes) => {
                    if let Some(linger) = &mut process.linger {
                        linger.last_output = Instant::now();
                    }
                    process.session.give(output, &chunk[..bytes]);
                    if log {
                        self.log(output, &chunk[..bytes]);
                    }
                }
                super::session::Read::End if log => self.log_end(output),
                _ => {}
            }
        }
        self.chunk = chunk;
    }

    fn attachment(&mut self, whose: Whose, index: usize, flags: PollFlags) {
        let mut chunk = self.take_chunk();
        if let Some(process) = self.process(whose) {
            let session = &mut process.session;
            if flags.intersects(PollFlags::IN) {
                session.take_input(index, &mut chunk);
            }
            if let Some(client) = session.attachments.get_mut(index) {
                if flags.contains(PollFlags::OUT) {
                    client.flush();
                }
                if flags.intersects(PollFlags::HUP | PollFlags::ERR) {
                    client.lose();
                }
            }
        }
        self.chunk = chunk;
    }

    /// Memory is in use now: some of it can be given back once all is quiet.
    pub(super) fn used_memory(&mut self) {
        self.trim_at = Some(Instant::now() + IDLE);
    }

    /// The one buffer for all reading; to be put back.
    pub(super) fn take_chunk(&mut self) -> Vec<u8> {
        self.used_memory();
        let mut chunk = std::mem::take(&mut self.chunk);
        chunk.resize(super::CHUNK_BYTES, 0);
        chunk
    }
}
