//! The handle of one task.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gantry_shim_proto::{Answer, Attach, Exec, Failure, Kill, Request, Resize};
use tokio::sync::watch;

use crate::link::Link;
use crate::{Attachment, ExecError, ExecTask, Exit, TaskError, convert, directory};

/// How long an ended task's shim may take to clean up before it is killed.
const SHIM_GRACE: Duration = Duration::from_secs(10);

/// A running or just ended task.
#[derive(Debug, Clone)]
pub struct Task {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: String,
    pid: u32,
    shim_pid: u32,
    directory: PathBuf,
    link: Link,
    adopted: BTreeMap<String, TaskExec>,
}

/// A process inside a task.
#[derive(Debug, Clone)]
pub struct TaskExec {
    /// Its process id in the daemon's pid namespace.
    pub pid: u32,
    /// Holds how it ended, once it has.
    pub exit: watch::Receiver<Option<Exit>>,
}

impl Task {
    pub(crate) fn new(
        id: String,
        pid: u32,
        shim_pid: u32,
        directory: PathBuf,
        link: Link,
        adopted: BTreeMap<String, TaskExec>,
    ) -> Task {
        Task { inner: Arc::new(Inner { id, pid, shim_pid, directory, link, adopted }) }
    }

    /// The container's id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.inner.id
    }

    /// The first process's id in the daemon's pid namespace.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.inner.pid
    }

    /// The shim's process id.
    #[must_use]
    pub fn shim_pid(&self) -> u32 {
        self.inner.shim_pid
    }

    /// Holds how the task ended, once it has.
    #[must_use]
    pub fn exit(&self) -> watch::Receiver<Option<Exit>> {
        self.inner.link.exit.clone()
    }

    /// Sends a signal to the first process, or with `all` to every process of the container.
    ///
    /// # Errors
    /// [`TaskError::NotRunning`] once it has ended.
    pub async fn kill(&self, signal: i32, all: bool) -> Result<(), TaskError> {
        self.request(Request::Kill(Kill { exec: None, signal, all }), Vec::new()).await
    }

    /// Sets the terminal's size in characters.
    ///
    /// # Errors
    /// [`TaskError::Refused`] without a terminal.
    pub async fn resize(&self, height: u16, width: u16) -> Result<(), TaskError> {
        self.request(Request::Resize(Resize { exec: None, height, width }), Vec::new()).await
    }

    /// Adds a client to the task's streams.
    ///
    /// # Errors
    /// [`TaskError::NotRunning`] once it has ended.
    pub async fn attach(&self, attachment: Attachment) -> Result<(), TaskError> {
        let streams = convert::streams(&attachment);
        self.request(Request::Attach(Attach { streams }), vec![attachment.socket]).await
    }

    /// Runs another process inside the container.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn exec(&self, request: ExecTask) -> Result<TaskExec, ExecError> {
        let ExecTask { id, process, stdio, attachments, seccomp_bpf } = request;
        let (streams, sockets) = convert::attachments(attachments);
        let (sender, exit) = watch::channel(None);
        let message = Exec {
            id: id.clone(),
            process,
            stdio: convert::stdio(&stdio),
            seccomp_bpf,
            attachments: streams,
        };
        let request = Request::Exec(Box::new(message));
        match self.inner.link.ask_with(request, sockets, Some((id, sender))).await {
            Some(Ok(Answer::Started { pid })) => Ok(TaskExec { pid, exit }),
            Some(Ok(_)) => Err(ExecError::Task { id: self.id().to_owned(), source: self.odd() }),
            Some(Err(failure)) => Err(convert::exec_error(self.id(), failure)),
            None => Err(ExecError::NotRunning(self.id().to_owned())),
        }
    }

    /// The execs that were running when this task was adopted, by id.
    #[must_use]
    pub fn execs(&self) -> BTreeMap<String, TaskExec> {
        self.inner.adopted.clone()
    }

    /// Sets the size of an exec's terminal.
    ///
    /// # Errors
    /// [`TaskError::NotRunning`] once it has ended.
    pub async fn resize_exec(&self, id: &str, height: u16, width: u16) -> Result<(), TaskError> {
        let resize = Resize { exec: Some(id.to_owned()), height, width };
        self.request(Request::Resize(resize), Vec::new()).await
    }

    /// Sends a signal to an exec.
    ///
    /// # Errors
    /// [`TaskError::NotRunning`] once it has ended.
    pub async fn kill_exec(&self, id: &str, signal: i32) -> Result<(), TaskError> {
        let kill = Kill { exec: Some(id.to_owned()), signal, all: false };
        self.request(Request::Kill(kill), Vec::new()).await
    }

    /// After the exit: waits until the shim is gone and removes the task directory.
    ///
    /// # Errors
    /// [`TaskError`]; a task that still runs is refused.
    pub async fn delete(self) -> Result<(), TaskError> {
        if self.inner.link.exit.borrow().is_none() {
            let message = "task is still running".to_owned();
            return Err(TaskError::Refused { id: self.id().to_owned(), message });
        }
        self.end_shim().await;
        let directory = self.inner.directory.clone();
        let removed = tokio::task::spawn_blocking(move || directory::remove(&directory)).await;
        removed
            .map_err(io::Error::other)
            .flatten()
            .map_err(|source| TaskError::Directory { path: self.inner.directory.clone(), source })
    }

    /// Waits for the shim's end, and kills it if it takes too long.
    pub(crate) async fn end_shim(&self) {
        let asked = self.inner.link.ask(Request::Delete, Vec::new());
        let _ = tokio::time::timeout(SHIM_GRACE, asked).await;
        let mut gone = self.inner.link.gone.clone();
        if tokio::time::timeout(SHIM_GRACE, gone.wait_for(|gone| *gone)).await.is_ok() {
            return;
        }
        tracing::warn!(task = self.id(), "shim does not end, killing it");
        // Its connection is open, so it lives and the number is still its own.
        if let Some(pid) =
            i32::try_from(self.inner.shim_pid).ok().and_then(rustix::process::Pid::from_raw)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        let _ = tokio::time::timeout(SHIM_GRACE, gone.wait_for(|gone| *gone)).await;
    }

    async fn request(&self, request: Request, descriptors: Vec<OwnedFd>) -> Result<(), TaskError> {
        match self.inner.link.ask(request, descriptors).await {
            Some(Ok(_)) => Ok(()),
            Some(Err(failure)) => Err(convert::task_error(self.id(), failure)),
            None => Err(TaskError::NotRunning(self.id().to_owned())),
        }
    }

    fn odd(&self) -> TaskError {
        convert::task_error(
            self.id(),
            Failure { message: "unexpected answer".to_owned(), ..Failure::default() },
        )
    }
}
