//! Steps of builds: a process on a prepared file system, isolated as a container is, that is no
//! container. No list shows it and nothing of it is recorded; it ends with the daemon, and what a
//! killed one leaves of it the next sweeps, as it does with creations that were not complete.
//!
//! ```text
//! prepare   users, missing mount points, mounts bound        blocking, by descriptors
//! join      as a container's start                           at the same time
//! spawn     specification and task as a container's start
//! follow    output to its reader, until output and process have ended   -> answer
//! release   network, task, files                             behind the answer
//! ```

mod follow;
mod points;
mod request;

use std::collections::{BTreeMap, HashSet};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_fault::{Fault, Kind, chain};
use gantry_network::Sandbox;
use gantry_snapshot::Rootfs;
use gantry_task::{AttachOptions, Exit, Task};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use crate::container::driver::LOST;
use crate::container::mounting::{self, Sources};
use crate::container::signal;
use crate::engine::Inner;
use crate::launch::{self, Files, Plan};
use crate::record::ContainerRecord;
use crate::{CreateError, Engine, StartError, identity};

pub use request::{StepMount, StepRequest, StepSource};

/// How long a step that is cancelled may take to end before the answer is given without it.
const CANCEL_LIMIT: Duration = Duration::from_millis(900);
/// Pause between two attempts to kill.
const KILL_PAUSE: Duration = Duration::from_secs(1);

/// Which stream a step's output is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Where a step's output goes. A reader that does not read holds the step up; one that is gone
/// does not.
pub type StepOutput = mpsc::Sender<(StepStream, Vec<u8>)>;

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepEnd {
    /// Exit code; 128 + n for signal n.
    pub code: i32,
    /// The kernel killed it, or a process of it, for want of memory.
    pub oom_killed: bool,
}

/// Why a step did not come to its end.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// What it asks for cannot be.
    #[error(transparent)]
    Request(Box<CreateError>),
    /// Another step with this id runs.
    #[error("step {0} already exists")]
    Exists(String),
    /// It could not be started.
    #[error(transparent)]
    Start(Box<StartError>),
    /// A mount.
    #[error("mounting {target}")]
    Mount {
        /// Where.
        target: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Its streams.
    #[error("reading a step's output")]
    Output(#[source] std::io::Error),
    /// It was cancelled, or the daemon ends.
    #[error("context canceled")]
    Cancelled,
    /// A worker ended before its time.
    #[error("engine is shutting down")]
    Closed,
}

impl From<CreateError> for StepError {
    fn from(error: CreateError) -> Self {
        Self::Request(Box::new(error))
    }
}

impl From<StartError> for StepError {
    fn from(error: StartError) -> Self {
        Self::Start(Box::new(error))
    }
}

impl Fault for StepError {
    fn kind(&self) -> Kind {
        match self {
            StepError::Request(error) => error.kind(),
            StepError::Exists(_) => Kind::Conflict,
            StepError::Start(error) => error.kind(),
            StepError::Mount { .. } | StepError::Output(_) => Kind::Internal,
            StepError::Cancelled => Kind::Cancelled,
            StepError::Closed => Kind::Unavailable,
        }
    }
}

/// The steps that run, by id: they have places on networks, but are in no list.
#[derive(Debug, Default)]
pub(crate) struct LiveSteps(Mutex<HashSet<String>>);

impl LiveSteps {
    /// Whether a step runs.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.lock().contains(id)
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine {
    /// Runs a step to its end. When `cancelled` fires, or nobody polls the future any more, all its
    /// processes are killed; the answer comes within a second. What it had is released behind the
    /// answer; its root file system stays, and is the caller's.
    ///
    /// # Errors
    /// [`StepError`].
    pub async fn run_step(
        &self,
        request: StepRequest,
        output: StepOutput,
        cancelled: &CancellationToken,
    ) -> Result<StepEnd, StepError> {
        let stop = cancelled.child_token();
        let _abandoned = stop.clone().drop_guard();
        let (answer, answered) = oneshot::channel();
        let span = tracing::debug_span!("step", id = request.id.get(..12));
        let work = Step::run(Arc::clone(&self.0), request, output, stop, answer);
        // It goes on when the caller gives up, so that nothing is left half done.
        self.0.work.spawn(work.instrument(span));
        tokio::select! {
            biased;
            done = answered => done.unwrap_or(Err(StepError::Closed)),
            () = overdue(cancelled) => Err(StepError::Cancelled),
        }
    }
}

/// Returns when an answer has to be given.
async fn overdue(cancelled: &CancellationToken) {
    cancelled.cancelled().await;
    tokio::time::sleep(CANCEL_LIMIT).await;
}

/// What a step has, to be released when it has ended.
struct Step {
    engine: Arc<Inner>,
    record: Arc<ContainerRecord>,
    stop: CancellationToken,
    sandbox: Option<Sandbox>,
    task: Option<Task>,
}

impl Step {
    async fn run(
        engine: Arc<Inner>,
        mut request: StepRequest,
        output: StepOutput,
        stop: CancellationToken,
        answer: oneshot::Sender<Result<StepEnd, StepError>>,
    ) {
        let record = match request.record(&engine) {
            Ok(record) => Arc::new(record),
            Err(error) => return drop(answer.send(Err(error.into()))),
        };
        if !engine.steps.lock().insert(record.id.clone()) {
            return drop(answer.send(Err(StepError::Exists(record.id.clone()))));
        }
        let mut step = Step { engine, record, stop, sandbox: None, task: None };
        let stdin = request.stdin.take();
        let done = step.bring_up(request.rootfs, request.mounts, stdin, output).await;
        // From here on it is about to leave its network, which whoever is answered may wait for.
        step.engine.steps.lock().remove(&step.record.id);
        // Whoever asked may have given up.
        let _ = answer.send(done);
        step.release().await;
    }

    async fn bring_up(
        &mut self,
        rootfs: Rootfs,
        mounts: Vec<StepMount>,
        stdin: Option<Vec<u8>>,
        output: StepOutput,
    ) -> Result<StepEnd, StepError> {
        let (engine, record) = (Arc::clone(&self.engine), Arc::clone(&self.record));
        let nothing = BTreeMap::new();
        let (files, joined) = tokio::join!(
            self.prepare(rootfs, mounts).instrument(tracing::debug_span!("prepare")),
            launch::join(&engine, &record, &nothing).instrument(tracing::debug_span!("join")),
        );
        self.sandbox = joined?;
        let plan = Plan::make(&engine, &record, files?)?;
        let sandbox = self.sandbox.as_ref();
        launch::write_network_files(&engine, &record, sandbox, plan.linked_hosts())?;
        if self.is_stopped() {
            return Err(StepError::Cancelled);
        }
        let wanted = AttachOptions { stdin: stdin.is_some(), stdout: true, stderr: true };
        let (far, near) = gantry_task::attachment(wanted).map_err(StepError::Output)?;
        let spec = plan.spec(&engine, &record)?;
        let request = plan.request(&record, spec, sandbox, vec![far]);
        let span = tracing::debug_span!("spawn");
        let task = launch::run(&engine, request).instrument(span).await?;
        mounting::remove_subpaths(&engine, &record.id);
        self.task = Some(task.clone());
        let ended = async {
            follow::streams(near, stdin, output).await.map_err(StepError::Output)?;
            Ok::<_, StepError>(exit_of(&task).await)
        };
        let ended = tokio::select! {
            biased;
            ended = ended => ended?,
            () = self.stopped() => {
                self.end().await;
                return Err(StepError::Cancelled);
            }
        };
        Ok(StepEnd { code: ended.code, oom_killed: ended.oom_killed })
    }

    /// Finds the users, and makes the mounts ready.
    async fn prepare(&self, rootfs: Rootfs, mounts: Vec<StepMount>) -> Result<Files, StepError> {
        let (engine, record) = (Arc::clone(&self.engine), Arc::clone(&self.record));
        let prepared =
            tokio::task::spawn_blocking(move || prepare(&engine, &record, rootfs, mounts));
        prepared.await.map_err(|_| StepError::Closed)?
    }

    fn is_stopped(&self) -> bool {
        self.stop.is_cancelled() || self.engine.ending.is_cancelled()
    }

    async fn stopped(&self) {
        tokio::select! {
            () = self.stop.cancelled() => {}
            () = self.engine.ending.cancelled() => {}
        }
    }

    /// Kills what runs, and waits for its end.
    async fn end(&self) {
        let Some(task) = &self.task else { return };
        loop {
            // One that has ended takes no signal.
            let _ = task.kill(signal::KILL, true).await;
            if tokio::time::timeout(KILL_PAUSE, exit_of(task)).await.is_ok() {
                return;
            }
        }
    }

    /// Takes everything away but the root file system; what fails is logged, and the rest goes on.
    async fn release(mut self) {
        self.end().await;
        let (engine, id) = (&self.engine, self.record.id.as_str());
        mounting::remove_subpaths(engine, id);
        // The task's end lets go of the root file system, which may be a layer of others already.
        let deleted = async {
            if let Some(task) = self.task.take()
                && let Err(error) = task.delete().await
            {
                tracing::error!(id, error = chain(&error), "deleting a step's task");
            }
        };
        let left = async {
            if self.sandbox.take().is_some()
                && let Err(error) = engine.parts.networks.leave(id).await
            {
                tracing::error!(id, error = chain(&error), "leaving a step's network");
            }
        };
        tokio::join!(deleted, left);
        let dir = engine.config.container_dir(id);
        if let Err(error) = std::fs::remove_dir_all(&dir)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            tracing::error!(id, %error, "removing {}", dir.display());
        }
    }
}

/// How a task ended, when it has.
async fn exit_of(task: &Task) -> Exit {
    let mut exit = task.exit();
    match exit.wait_for(Option::is_some).await {
        Ok(exit) => exit.unwrap_or(LOST),
        // The task's reader died without a word: treat the process as lost.
        Err(_) => LOST,
    }
}

fn prepare(
    engine: &Inner,
    record: &ContainerRecord,
    mut rootfs: Rootfs,
    mounts: Vec<StepMount>,
) -> Result<Files, StepError> {
    let dir = engine.config.container_dir(&record.id);
    let failed = |source| StartError::File { step: "creating", path: dir.clone(), source };
    std::fs::create_dir(&dir).map_err(failed)?;
    let snapshots = &engine.parts.snapshots;
    let root = snapshots.mount_lower(&rootfs).map_err(StartError::from)?;
    let users = Arc::new(identity::user_files(root.as_fd()));
    points::add(snapshots, &dir, root.as_fd(), &mut rootfs, &mounts)?;
    let mut sources = Sources::with_capacity(mounts.len());
    for (number, mount) in mounts.into_iter().enumerate() {
        let target = mount.target.clone();
        let ready = mount.ready(engine, &record.id, number);
        sources.push(ready.map_err(|source| StepError::Mount { target, source })?);
    }
    Ok(Files { rootfs, volatile: true, users, mounts: sources })
}
