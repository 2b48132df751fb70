//! Processes that end, and the end of the container.

use std::ffi::CString;
use std::fs;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

use gantry_logs::Stream;
use gantry_shim_proto::{EXIT_FILE, ExitStatus, FromShim, SOCKET_FILE, STATE_FILE};
use gantry_sys::spawn::{self, Spawn};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::io::Errno;
use rustix::process::{Pid, WaitOptions, WaitStatus};

use super::attachment::Output;
use super::{Linger, Shim, failure, report};

const SIGKILL: i32 = 9;
/// How long processes that outlive the one they came from may still write to its clients.
const LINGER: Duration = Duration::from_secs(2);
/// How long a client may take to read anything of what an ended task has left it.
const DELIVERY: Duration = Duration::from_secs(30);

impl Shim {
    /// Takes all pending signals; only `SIGCHLD` means anything, and every ended child is reaped.
    pub(super) fn signalled(&mut self) {
        while let Ok(Some(_)) = self.signals.next() {}
        let runtimes: Vec<u32> = self.starting.iter().map(|start| start.runtime_pid).collect();
        self.reap_these(&runtimes);
        if !self.starting.is_empty() {
            // An unknown child may be the process that a runtime has started and that has ended
            // before the runtime: it must stay until its number is known.
            let main =
                self.main.iter().filter(|_| self.exit.is_none()).map(|main| main.process.pid);
            let execs = self.execs.iter().filter(|exec| !exec.ended).map(|exec| exec.pid);
            let known: Vec<u32> = main.chain(execs).chain(self.compressing).collect();
            return self.reap_these(&known);
        }
        while let Ok(Some((pid, status))) = rustix::process::wait(WaitOptions::NOHANG) {
            self.reaped(pid.as_raw_pid().unsigned_abs(), status);
        }
    }

    fn reap_these(&mut self, pids: &[u32]) {
        for &number in pids {
            let Some(pid) = i32::try_from(number).ok().and_then(Pid::from_raw) else { continue };
            if let Ok(Some((_, status))) = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG)
            {
                self.reaped(number, status);
            }
        }
    }

    /// Logs a chunk of output. A full disk costs lines, never the container.
    pub(super) fn log(&mut self, output: Output, bytes: &[u8]) {
        let written = self.log.write(stream_of(output), bytes, gantry_logs::now_ns());
        self.note_log(written);
    }

    /// Logs the held line of an ended stream.
    pub(super) fn log_end(&mut self, output: Output) {
        let written = self.log.end(stream_of(output), gantry_logs::now_ns());
        self.note_log(written);
    }

    /// Starts compressing a rotated log, in a process of its own.
    pub(super) fn compress_log(&mut self) {
        if self.compressing.is_some() {
            return;
        }
        let Some(path) = self.log.take_compression() else { return };
        match start_compression(&path) {
            Ok(pid) => {
                self.compressing = Some(pid);
                self.log.hold_rotation(true);
            }
            Err(error) => report::say(&format!("compressing {}: {error}", path.display())),
        }
    }

    /// The last act: nobody can connect any more.
    pub(super) fn farewell(&mut self) {
        if self.listener.take().is_some() {
            let _ = fs::remove_file(SOCKET_FILE);
        }
    }

    /// Gives clients what they have not read yet. Daemons are let go first: the task is over for
    /// them, however slowly somebody reads.
    pub(super) fn deliver_rest(&mut self) {
        self.clients.clear();
        let main = self.main.as_mut().map(|main| &mut main.process.session);
        let mut sessions: Vec<_> =
            main.into_iter().chain(self.execs.iter_mut().map(|exec| &mut exec.session)).collect();
        sessions.iter_mut().for_each(|session| session.finish_clients());
        let mut until = Instant::now() + DELIVERY;
        loop {
            let mut polls: Vec<PollFd<'_>> = Vec::new();
            for client in sessions.iter().flat_map(|session| &session.attachments) {
                polls.push(PollFd::from_borrowed_fd(client.as_fd(), PollFlags::OUT));
            }
            let left = until.saturating_duration_since(Instant::now());
            if polls.is_empty() || left.is_zero() {
                return;
            }
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            match rustix::event::poll(&mut polls, Some(&timeout)) {
                Ok(0) => return,
                Ok(_) | Err(Errno::INTR) => until = Instant::now() + DELIVERY,
                Err(_) => return,
            }
            for session in &mut sessions {
                session.attachments.iter_mut().for_each(|client| client.flush());
                session.drop_done();
            }
        }
    }

    fn reaped(&mut self, pid: u32, status: WaitStatus) {
        if self.compressing == Some(pid) {
            self.compressing = None;
            self.log.hold_rotation(false);
        } else if self.main.as_ref().is_some_and(|main| main.process.pid == pid)
            && self.exit.is_none()
        {
            self.main_ended(status);
        } else if let Some(index) =
            self.execs.iter().position(|exec| exec.pid == pid && !exec.ended)
        {
            self.exec_ended(index, status);
        } else if let Some(index) = self.starting.iter().position(|start| start.runtime_pid == pid)
        {
            self.exec_started(index, status);
        }
        // Anything else was inherited from the container.
    }

    fn main_ended(&mut self, status: WaitStatus) {
        self.drain_main();
        let cgroup = self.main.as_ref().and_then(|main| main.cgroup.as_ref());
        // Nothing of the container outlives its first process, also without a pid namespace.
        if self.main.as_ref().is_some_and(|main| main.process.session.has_streams())
            && let Some(cgroup) = cgroup
        {
            let _ = cgroup.kill_all(SIGKILL);
        }
        let oom_killed = cgroup.is_some_and(|cgroup| cgroup.oom_kill_count() > 0);
        self.log_end(Output::Stdout);
        self.log_end(Output::Stderr);
        let exit = exit_status(status, oom_killed);
        // Before anybody is told: a daemon that comes later must find the same answer.
        if let Err(error) = report::save(&self.directory.join(EXIT_FILE), &exit) {
            report::say(&format!("writing {EXIT_FILE}: {error}"));
        }
        self.exit = Some(exit);
        self.broadcast(&FromShim::Exited(exit));
        if let Some(main) = &mut self.main {
            main.process.ended = true;
            end_streams(&mut main.process);
        }
        self.tear_down();
    }

    fn drain_main(&mut self) {
        let mut chunk = self.take_chunk();
        if let Some(main) = &mut self.main {
            let (log, failed) = (&mut self.log, &mut self.log_failed);
            main.process.session.drain(&mut chunk, |output, bytes| {
                let written = log.write(stream_of(output), bytes, gantry_logs::now_ns());
                *failed |= written.is_err();
            });
        }
        self.chunk = chunk;
    }

    fn exec_ended(&mut self, index: usize, status: WaitStatus) {
        let mut chunk = self.take_chunk();
        let exec = &mut self.execs[index];
        exec.session.drain(&mut chunk, |_, _| ());
        exec.ended = true;
        end_streams(exec);
        let id = exec.id.clone();
        self.chunk = chunk;
        self.broadcast(&FromShim::ExecExited { id, exit: exit_status(status, false) });
    }

    /// What the container holds in the kernel goes behind the answer.
    fn tear_down(&mut self) {
        let Some(main) = &mut self.main else { return };
        main.namespaces.fds.clear();
        if let Some(foreign) = main.foreign.take() {
            foreign.delete();
        }
        if let Some(cgroup) = main.cgroup.take() {
            let removed = cgroup.kill_all(SIGKILL).and_then(|()| cgroup.remove());
            if let Err(error) = removed {
                report::say(&failure::chain(&error));
                return;
            }
        }
        let _ = fs::remove_file(self.directory.join(STATE_FILE));
    }

    fn note_log(&mut self, written: std::io::Result<()>) {
        match written {
            Ok(()) => self.log_failed = false,
            Err(_) if self.log_failed => {}
            Err(error) => {
                self.log_failed = true;
                report::say(&format!("writing the log: {error}"));
            }
        }
    }
}

/// Clients get their end of file now, or once the processes left behind are silent.
fn end_streams(process: &mut super::Running) {
    if process.session.has_streams() {
        let now = Instant::now();
        process.linger = Some(Linger { until: now + LINGER, last_output: now });
    } else {
        process.session.finish_clients();
    }
}

fn exit_status(status: WaitStatus, oom_killed: bool) -> ExitStatus {
    let signal = status.terminating_signal();
    let code = signal.map_or_else(|| status.exit_status().unwrap_or(255), |signal| 128 + signal);
    ExitStatus { code, signal, oom_killed, exited_at_ns: gantry_logs::now_ns() }
}

fn stream_of(output: Output) -> Stream {
    match output {
        Output::Stdout => Stream::Stdout,
        Output::Stderr => Stream::Stderr,
    }
}

fn start_compression(path: &Path) -> std::io::Result<u32> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let (stdin, stdout, stderr) =
        (rustix::stdio::stdin(), rustix::stdio::stdout(), rustix::stdio::stderr());
    let (pid, _pidfd) = spawn::spawn(&Spawn {
        program: c"/proc/self/exe",
        args: &[c"gantry-compress".to_owned(), path],
        env: &[],
        descriptors: &[(stdin.as_fd(), 0), (stdout.as_fd(), 1), (stderr.as_fd(), 2)],
        new_session: false,
    })?;
    Ok(pid)
}
