//! The parent of one container.
//!
//! A single thread waits for all descriptors at once and blocks on nothing else while the
//! container runs. It is started with one end of a socket as standard input and the task
//! directory as working directory.
//!
//! ```text
//! waiting --Run--> running --SIGCHLD of the first process--> ended --all told, cleaned up--> exit
//! ```
//! The end, in this order: output is drained into the log, `exit.json` is written, daemons are
//! told, clients get their end of file, and only then control group and namespaces go.

mod attachment;
mod clients;
mod end;
mod event;
mod exec;
mod failure;
mod foreign;
mod overlay;
mod report;
mod request;
mod session;
mod start;
mod stdio;

use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use gantry_cgroup::Cgroup;
use gantry_runtime::HeldNamespaces;
use gantry_shim_proto::ExitStatus;
use gantry_sys::signal::SignalFd;

use clients::Client;
use foreign::ForeignRuntime;
use session::Session;

/// Bytes read of a container's output at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// Runs as a shim until the container's end.
pub(crate) fn run(id: Option<OsString>) -> ExitCode {
    let Some(id) = id.and_then(|id| id.into_string().ok()) else {
        report::say("usage: gantry-shim ID, with a socket of the daemon as standard input");
        return ExitCode::FAILURE;
    };
    match Shim::open(id).and_then(Shim::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            report::say(&format!("giving up: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// Everything a shim holds.
struct Shim {
    id: String,
    /// The task directory.
    directory: PathBuf,
    /// This process has a session keyring that is the container's: whatever is started in it has
    /// it from birth.
    has_keyring: bool,
    signals: SignalFd,
    listener: Option<UnixListener>,
    clients: Vec<Client>,
    log: gantry_logs::Writer,
    log_failed: bool,
    chunk: Vec<u8>,
    /// When memory that is not in use is given back.
    trim_at: Option<Instant>,
    main: Option<Main>,
    execs: Vec<Running>,
    /// Execs that a foreign runtime is starting.
    starting: Vec<foreign::Starting>,
    exit: Option<ExitStatus>,
    deleting: bool,
    /// The start failed: the answer is all that is left to give.
    failed: bool,
    /// The process that compresses a rotated log.
    compressing: Option<u32>,
}

/// The container's first process and what belongs to the container.
struct Main {
    process: Running,
    cgroup: Option<Cgroup>,
    namespaces: HeldNamespaces,
    foreign: Option<ForeignRuntime>,
}

/// A process and its streams.
struct Running {
    /// Empty for the first process.
    id: String,
    pid: u32,
    pidfd: OwnedFd,
    session: Session,
    ended: bool,
    /// Output may still come from processes that the ended one left behind.
    linger: Option<Linger>,
}

/// How long output of left-behind processes is still given to clients.
struct Linger {
    until: Instant,
    last_output: Instant,
}

impl Shim {
    fn open(id: String) -> io::Result<Shim> {
        let control = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
        // The inherited number must not keep the connection open.
        rustix::stdio::dup2_stdin(rustix::stdio::stdout())?;
        rustix::fs::fcntl_setfl(&control, rustix::fs::OFlags::NONBLOCK)?;
        // A terminal's hangup or its keys must not reach the shim.
        let _ = rustix::process::setsid();
        gantry_sys::process::become_subreaper()?;
        Ok(Shim {
            id,
            directory: std::env::current_dir()?,
            has_keyring: gantry_sys::process::join_session_keyring(None).is_ok(),
            signals: SignalFd::new(&event::BLOCKED_SIGNALS)?,
            listener: None,
            clients: vec![Client::new(control)],
            log: gantry_logs::Writer::open(&gantry_logs::LogConfig::None)?,
            log_failed: false,
            chunk: Vec::new(),
            trim_at: None,
            main: None,
            execs: Vec::new(),
            starting: Vec::new(),
            exit: None,
            deleting: false,
            failed: false,
            compressing: None,
        })
    }

    fn serve(mut self) -> io::Result<()> {
        while !self.is_done() {
            let ready = event::wait(&self)?;
            for source in ready {
                self.handle(source);
            }
            self.tidy();
        }
        self.farewell();
        self.deliver_rest();
        Ok(())
    }

    /// Nothing is left to do: the task was never started, or has ended and everybody has got all.
    fn is_done(&self) -> bool {
        let told = self.clients.iter().all(|client| !client.channel.has_output());
        if self.failed {
            return told;
        }
        let Some(main) = &self.main else { return self.clients.is_empty() };
        let drained = |process: &Running| process.ended && process.session.is_drained();
        self.exit.is_some()
            && told
            && (self.deleting || (drained(&main.process) && self.execs.iter().all(drained)))
    }

    fn session_mut(&mut self, exec: Option<&str>) -> Option<&mut Running> {
        match exec {
            None => self.main.as_mut().map(|main| &mut main.process),
            Some(id) => self.execs.iter_mut().find(|running| running.id == id),
        }
    }
}

impl AsFd for Running {
    fn as_fd(&self) -> std::os::fd::BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}
