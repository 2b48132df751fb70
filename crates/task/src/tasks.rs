//! All tasks of one daemon: running new ones, finding old ones.

use std::collections::BTreeMap;
use std::ffi::{CString, OsStr, OsString};
use std::fs::{File, TryLockError};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use gantry_shim_proto::{Answer, ERROR_FILE, Foreign, MAX_DESCRIPTORS, Request, Run, SOCKET_FILE};
use gantry_sys::launcher::{Launcher, Program};
use tokio::net::UnixStream;

use crate::link::Link;
use crate::{
    Adopted, RunError, RunTask, Task, TaskError, TasksConfig, convert, directory, leftover,
};

/// How long a shim may take to answer a daemon that adopts it; it may be creating its container.
const ADOPT_LIMIT: Duration = Duration::from_secs(30);
/// Pause between two looks at a shim that an earlier daemon's start has not brought up yet.
const STARTING_PAUSE: Duration = Duration::from_millis(5);
/// How long a shim whose start failed may take to end.
const FAILED_GRACE: Duration = Duration::from_secs(5);

/// Every task below one exec root.
#[derive(Debug, Clone)]
pub struct Tasks {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    config: TasksConfig,
    root: PathBuf,
    launcher: Launcher,
    null: File,
    /// A mount namespace that holds nothing, which those of containers are copies of. Without one
    /// they are copies of the host's.
    mntns: Option<OwnedFd>,
}

impl Tasks {
    /// Opens the tasks directory, making it if needed.
    ///
    /// # Errors
    /// [`TaskError::Directory`].
    pub fn open(config: TasksConfig) -> Result<Tasks, TaskError> {
        let root = config.exec_root.join("tasks");
        let made = std::fs::create_dir_all(&config.exec_root)
            .and_then(|()| match directory::make(&root) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
                other => other,
            })
            .and_then(|()| File::options().read(true).write(true).open("/dev/null"));
        match made.and_then(|null| Ok((null, Launcher::new()?))) {
            Ok((null, launcher)) => {
                let mntns = gantry_sys::mntns::empty().inspect_err(|error| {
                    tracing::warn!(%error, "containers start from a copy of the host's mounts");
                });
                let mntns = mntns.ok();
                Ok(Tasks { inner: Arc::new(Inner { config, root, launcher, null, mntns }) })
            }
            Err(source) => Err(TaskError::Directory { path: root, source }),
        }
    }

    /// Runs a container's first process: spawns a shim, creates, wires the streams and starts.
    ///
    /// # Errors
    /// [`RunError`]; nothing is left of the task then.
    pub async fn run(&self, request: RunTask) -> Result<Task, RunError> {
        let id = request.id.clone();
        directory::check_id(&id)
            .map_err(|error| RunError::Refused { id: id.clone(), message: error.to_string() })?;
        let (message, descriptors) = self.message(request)?;
        let directory = self.inner.root.join(&id);
        match directory::make(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return Err(RunError::Exists(id));
            }
            Err(source) => return Err(shim_error(&id, "making its directory", source)),
            Ok(()) => {}
        }
        let result = self.run_in(&id, &directory, message, descriptors).await;
        if result.is_err()
            && let Err(error) = directory::remove(&directory)
        {
            tracing::warn!(task = id, %error, "removing the directory of a failed task");
        }
        result
    }

    async fn run_in(
        &self,
        id: &str,
        directory: &Path,
        message: Run,
        descriptors: Vec<OwnedFd>,
    ) -> Result<Task, RunError> {
        let (shim_pid, child, stream) =
            self.spawn(id, directory).map_err(|source| shim_error(id, "starting it", source))?;
        let link = Link::start(stream, directory.to_owned(), Some(child));
        let answer = link.ask(Request::Run(Box::new(message)), descriptors).await;
        let failure = match answer {
            Some(Ok(Answer::Started { pid })) => {
                let (id, directory) = (id.to_owned(), directory.to_owned());
                return Ok(Task::new(id, pid, shim_pid, directory, link, BTreeMap::new()));
            }
            Some(Err(failure)) => convert::run_error(id, failure),
            Some(Ok(_)) | None => {
                let words = directory::last_words(&directory.join(ERROR_FILE))
                    .unwrap_or_else(|| "it ended without a word".to_owned());
                shim_error(id, "running the container", io::Error::other(words))
            }
        };
        let mut gone = link.gone.clone();
        let _ = tokio::time::timeout(FAILED_GRACE, gone.wait_for(|gone| *gone)).await;
        Err(failure)
    }

    /// Finds a task again that an earlier daemon ran.
    ///
    /// # Errors
    /// [`TaskError`] if its directory or shim cannot be used.
    pub async fn adopt(&self, id: &str) -> Result<Adopted, TaskError> {
        directory::check_id(id)?;
        let directory = self.inner.root.join(id);
        let opened = match File::open(&directory) {
            Ok(opened) => opened,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Adopted::Gone),
            Err(source) => return Err(TaskError::Directory { path: directory, source }),
        };
        // A socket's path holds 108 bytes; through the descriptor it is always short.
        let socket = format!("/proc/self/fd/{}/{SOCKET_FILE}", opened.as_raw_fd());
        let until = Instant::now() + ADOPT_LIMIT;
        loop {
            // Looked at before connecting: a start that ends in between is seen by one of the two.
            let starting = is_starting(&directory);
            match UnixStream::connect(&socket).await {
                Ok(stream) => return self.adopt_live(id, directory, stream).await,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused
                    ) =>
                {
                    if !starting || Instant::now() >= until {
                        return Ok(without_shim(&directory));
                    }
                    tokio::time::sleep(STARTING_PAUSE).await;
                }
                Err(source) => {
                    let id = id.to_owned();
                    return Err(TaskError::Shim { id, step: "connecting to it", source });
                }
            }
        }
    }

    /// Removes what an ended task left: its directory and control group.
    ///
    /// # Errors
    /// [`TaskError`]; a task that still runs is refused.
    pub async fn forget(&self, id: &str) -> Result<(), TaskError> {
        match self.adopt(id).await? {
            Adopted::Running(_) => {
                let message = "task is still running".to_owned();
                return Err(TaskError::Refused { id: id.to_owned(), message });
            }
            Adopted::Exited(_) | Adopted::Gone => {}
        }
        let path = self.inner.root.join(id);
        let directory = path.clone();
        let cleaned = tokio::task::spawn_blocking(move || {
            leftover::clear(&directory);
            directory::remove(&directory)
        });
        let removed = cleaned.await.map_err(io::Error::other).flatten();
        removed.map_err(|source| TaskError::Directory { path, source })
    }

    /// The ids that have a task directory.
    ///
    /// # Errors
    /// Those of reading the tasks directory.
    pub fn leftovers(&self) -> io::Result<Vec<String>> {
        directory::list(&self.inner.root)
    }

    async fn adopt_live(
        &self,
        id: &str,
        directory: PathBuf,
        stream: UnixStream,
    ) -> Result<Adopted, TaskError> {
        let shim_pid = stream.peer_cred().ok().and_then(|cred| cred.pid()).unwrap_or(0);
        let link = Link::start(stream, directory.clone(), None);
        let asked = tokio::time::timeout(ADOPT_LIMIT, link.ask(Request::Status, Vec::new())).await;
        let status = match asked {
            Ok(Some(Ok(Answer::Status(status)))) => status,
            // It ended just now.
            Ok(None) => return Ok(without_shim(&directory)),
            Ok(Some(Err(failure))) => return Err(convert::task_error(id, failure)),
            Ok(Some(Ok(_))) | Err(_) => {
                let (id, source) = (id.to_owned(), io::ErrorKind::TimedOut.into());
                return Err(TaskError::Shim { id, step: "asking how it stands", source });
            }
        };
        if let Some(exit) = status.exit {
            let mut gone = link.gone.clone();
            let _ = link.ask(Request::Delete, Vec::new()).await;
            let _ = tokio::time::timeout(ADOPT_LIMIT, gone.wait_for(|gone| *gone)).await;
            return Ok(Adopted::Exited(exit.into()));
        }
        let execs = link.adopted.borrow().clone();
        let shim_pid = u32::try_from(shim_pid).unwrap_or(0);
        let task = Task::new(id.to_owned(), status.pid, shim_pid, directory, link, execs);
        Ok(Adopted::Running(task))
    }

    fn message(&self, request: RunTask) -> Result<(Run, Vec<OwnedFd>), RunError> {
        let id = request.id.clone();
        let runtime = match request.runtime {
            None => None,
            Some(name) => match self.inner.config.runtimes.get(&name) {
                None => return Err(RunError::UnknownRuntime(name)),
                Some(found) => Some(Foreign { path: found.path.clone(), args: found.args.clone() }),
            },
        };
        let (streams, sockets) = convert::attachments(request.attachments);
        let mut descriptors = Vec::with_capacity(sockets.len() + 2);
        for namespace in [request.netns.as_deref(), self.inner.mntns.as_ref()].into_iter().flatten()
        {
            let copy = namespace.try_clone();
            descriptors.push(copy.map_err(|source| shim_error(&id, "namespaces", source))?);
        }
        descriptors.extend(sockets);
        if descriptors.len() > MAX_DESCRIPTORS {
            let message = "too many attachments".to_owned();
            return Err(RunError::Refused { id, message });
        }
        let message = Run {
            id,
            spec: request.spec,
            lower: request.rootfs.lower,
            upper: request.rootfs.upper,
            work: request.rootfs.work,
            volatile: request.rootfs.volatile,
            netns: request.netns.is_some(),
            mntns: self.inner.mntns.is_some(),
            stdio: convert::stdio(&request.stdio),
            log: request.log,
            runtime,
            seccomp_bpf: request.seccomp_bpf,
            attachments: streams,
        };
        Ok((message, descriptors))
    }

    /// Starts a shim with its end of a new connection as standard input; gives its pid and pidfd,
    /// and the near end.
    fn spawn(&self, id: &str, directory: &Path) -> io::Result<(u32, OwnedFd, UnixStream)> {
        let (near, far) = StdUnixStream::pair()?;
        near.set_nonblocking(true)?;
        far.set_nonblocking(true)?;
        let errors = File::options().append(true).create(true).open(directory.join(ERROR_FILE))?;
        // Held by the shim, as its standard error, for as long as it lives: see `is_starting`.
        errors.try_lock()?;
        let text = |text: &OsStr| CString::new(text.as_bytes()).map_err(io::Error::other);
        let mut env = Vec::new();
        if let Some(path) = std::env::var_os("PATH") {
            let mut variable = OsString::from("PATH=");
            variable.push(path);
            env.push(text(&variable)?);
        }
        let program = Program {
            path: &text(self.inner.config.shim.as_os_str())?,
            args: &[c"gantry-shim".to_owned(), text(OsStr::new(id))?],
            env: &env,
            directory: &text(directory.as_os_str())?,
        };
        let streams = [far.as_fd(), self.inner.null.as_fd(), errors.as_fd()];
        let (pid, pidfd) = self.inner.launcher.launch(&program, streams)?;
        Ok((pid, pidfd, UnixStream::from_std(near)?))
    }
}

/// Whether a shim is on its way to where a daemon can find it: it lives, but has neither a socket
/// nor a saved state yet. The daemon that asked for the start may have been killed meanwhile.
fn is_starting(directory: &Path) -> bool {
    if directory::saved_exit(directory).is_some() || directory::saved_state(directory).is_some() {
        return false;
    }
    let Ok(errors) = File::open(directory.join(ERROR_FILE)) else { return false };
    matches!(errors.try_lock_shared(), Err(TryLockError::WouldBlock))
}

/// What is left of a task whose shim is gone.
fn without_shim(directory: &Path) -> Adopted {
    if let Some(exit) = directory::saved_exit(directory) {
        return Adopted::Exited(exit);
    }
    match directory::saved_state(directory) {
        Some(_) => {
            leftover::clear(directory);
            Adopted::Exited(directory::killed())
        }
        None => Adopted::Gone,
    }
}

fn shim_error(id: &str, step: &'static str, source: io::Error) -> RunError {
    RunError::Shim { id: id.to_owned(), step, source }
}
