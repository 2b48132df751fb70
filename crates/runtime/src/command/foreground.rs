//! Staying with a process: signals and the terminal are passed on until it ends.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use gantry_sys::signal::SignalFd;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions};
use rustix::termios::{OptionalActions, Termios};

use super::Failed;

/// What may be read in one go.
const CHUNK: usize = 32 * 1024;

/// Signals that are for the container: everything but what concerns this process alone.
fn passed_on() -> Vec<i32> {
    use libc::{
        SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGPWR, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
        SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH,
    };
    vec![
        SIGALRM, SIGCONT, SIGHUP, SIGINT, SIGPWR, SIGQUIT, SIGTERM, SIGTSTP, SIGTTIN, SIGTTOU,
        SIGURG, SIGUSR1, SIGUSR2, SIGVTALRM, SIGWINCH,
    ]
}

/// Signals held back from before the fork on, so that none is lost.
#[derive(Debug)]
pub(super) struct Watch {
    signals: SignalFd,
}

impl Watch {
    /// Blocks the signals and starts to collect them.
    pub(super) fn new() -> Result<Watch, Failed> {
        let signals = SignalFd::new(&passed_on()).map_err(Failed::during(|| "signalfd"))?;
        Ok(Watch { signals })
    }

    /// Passes on what comes until the process has ended; answers its exit code, or 128 and the
    /// number of the signal that ended it.
    pub(super) fn until_exit(
        &self,
        pidfd: &OwnedFd,
        pid: u32,
        terminal: Option<OwnedFd>,
    ) -> Result<u8, Failed> {
        let mut relay = terminal.map(Relay::new).transpose()?;
        let watched = self.pass_on(pidfd, pid, relay.as_mut());
        if let Some(relay) = &mut relay {
            relay.drain();
        }
        drop(relay);
        watched.map_err(Failed::during(|| "waiting for the container"))?;
        wait(pidfd).map_err(Failed::during(|| "waiting for the container"))
    }

    fn pass_on(&self, pidfd: &OwnedFd, pid: u32, mut relay: Option<&mut Relay>) -> io::Result<()> {
        let stdin = rustix::stdio::stdin();
        loop {
            let mut fds =
                vec![PollFd::new(pidfd, PollFlags::IN), PollFd::new(&self.signals, PollFlags::IN)];
            let waiting = relay.as_deref().map(|relay| (relay.wants_input(), relay.is_open()));
            if let Some(relay) = relay.as_deref() {
                let flags = if relay.is_open() { relay.interest() } else { PollFlags::empty() };
                fds.push(PollFd::from_borrowed_fd(relay.master.as_fd(), flags));
                if relay.wants_input() {
                    fds.push(PollFd::from_borrowed_fd(stdin, PollFlags::IN));
                }
            }
            match rustix::event::poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let ready: Vec<PollFlags> = fds.iter().map(PollFd::revents).collect();
            drop(fds);
            while let Some(signal) = self.signals.next()? {
                forward(pidfd, pid, signal, relay.as_deref());
            }
            if let (Some(relay), Some((input, open))) = (relay.as_deref_mut(), waiting) {
                if open && !ready[2].is_empty() {
                    relay.output(ready[2]);
                }
                if input && ready.get(3).is_some_and(|flags| !flags.is_empty()) {
                    relay.input();
                }
            }
            if !ready[0].is_empty() {
                return Ok(());
            }
        }
    }
}

fn forward(pidfd: &OwnedFd, _pid: u32, signal: i32, relay: Option<&Relay>) {
    if signal == libc::SIGWINCH {
        if let Some(relay) = relay {
            relay.resize();
            return;
        }
    }
    if let Some(signal) = Signal::from_named_raw(signal) {
        // It may just have ended; then there is nobody to signal.
        let _ = rustix::process::pidfd_send_signal(pidfd, signal);
    }
}

/// Waits for a child; answers its exit code as shells count it.
fn wait(pidfd: &OwnedFd) -> io::Result<u8> {
    let status = rustix::io::retry_on_intr(|| {
        rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
    })?;
    let code = status.and_then(|status| {
        status
            .exit_status()
            .map(|code| code & 0xff)
            .or_else(|| status.terminating_signal().map(|signal| 128 + signal))
    });
    Ok(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(255))
}

/// Ends a child that is not wanted any more.
pub(super) fn end(pidfd: &OwnedFd) {
    crate::mount_plan::end(pidfd.as_fd());
}

/// Between this process's standard streams and a container's terminal.
struct Relay {
    master: OwnedFd,
    /// The state of our own terminal, to be restored.
    saved: Option<Termios>,
    /// Read, but not yet taken by the container.
    pending: Vec<u8>,
    input_open: bool,
    output_open: bool,
}

impl Relay {
    fn new(master: OwnedFd) -> Result<Relay, Failed> {
        let stdin = rustix::stdio::stdin();
        let text = || "setting up the terminal";
        rustix::io::ioctl_fionbio(&master, true).map_err(|e| Failed::during(text)(e.into()))?;
        let saved = if rustix::termios::isatty(stdin) {
            rustix::termios::tcgetattr(stdin).ok()
        } else {
            None
        };
        if let Some(saved) = &saved {
            let mut raw = saved.clone();
            raw.make_raw();
            rustix::termios::tcsetattr(stdin, OptionalActions::Now, &raw)
                .map_err(|e| Failed::during(text)(e.into()))?;
        }
        let relay =
            Relay { master, saved, pending: Vec::new(), input_open: true, output_open: true };
        relay.resize();
        Ok(relay)
    }

    /// Gives the container's terminal the size of ours.
    fn resize(&self) {
        if self.saved.is_some() {
            if let Ok(size) = rustix::termios::tcgetwinsize(rustix::stdio::stdin()) {
                let _ = rustix::termios::tcsetwinsize(&self.master, size);
            }
        }
    }

    fn wants_input(&self) -> bool {
        self.input_open && self.pending.is_empty()
    }

    fn is_open(&self) -> bool {
        self.output_open
    }

    fn interest(&self) -> PollFlags {
        if self.pending.is_empty() { PollFlags::IN } else { PollFlags::IN | PollFlags::OUT }
    }

    fn input(&mut self) {
        let mut buffer = vec![0; CHUNK];
        match rustix::io::read(rustix::stdio::stdin(), &mut buffer) {
            Ok(0) => {
                self.input_open = false;
                // The end of input is a character to a terminal.
                self.pending.push(4);
            }
            Ok(count) => self.pending.extend(&buffer[..count]),
            Err(Errno::INTR | Errno::AGAIN) => return,
            Err(_) => self.input_open = false,
        }
        self.flush();
    }

    fn flush(&mut self) {
        match rustix::io::write(&self.master, &self.pending) {
            Ok(count) => drop(self.pending.drain(..count)),
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(_) => (self.input_open, self.pending) = (false, Vec::new()),
        }
    }

    fn output(&mut self, ready: PollFlags) {
        if ready.contains(PollFlags::OUT) && !self.pending.is_empty() {
            self.flush();
        }
        if ready.intersects(PollFlags::IN | PollFlags::HUP | PollFlags::ERR) {
            self.copy_once();
        }
    }

    /// Copies one piece of output; `false` when there is none.
    fn copy_once(&mut self) -> bool {
        let mut buffer = vec![0; CHUNK];
        match rustix::io::read(&self.master, &mut buffer) {
            Err(Errno::AGAIN | Errno::INTR) => false,
            // A terminal whose other side is closed answers EIO.
            Ok(0) | Err(_) => {
                self.output_open = false;
                false
            }
            Ok(count) => {
                use std::io::Write;
                let mut stdout = io::stdout();
                if stdout.write_all(&buffer[..count]).and_then(|()| stdout.flush()).is_err() {
                    self.output_open = false;
                }
                true
            }
        }
    }

    /// Copies what was written before the end.
    fn drain(&mut self) {
        while self.output_open && self.copy_once() {}
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        if let Some(saved) = &self.saved {
            let _ = rustix::termios::tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, saved);
        }
    }
}
