//! Further processes in a running container.

use std::collections::HashMap;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use gantry_api_types::NullableList as _;
use gantry_api_types::exec::{ExecCreateBody, ExecInspect, ExecProcessConfig};
use gantry_oci::runtime::Process;
use gantry_task::{AttachOptions, AttachStream, ExecTask, Exit, StdioConfig, Task, TaskExec};
use tokio::sync::watch;

use crate::container::RunningProbe;
use crate::container::attach::parse_detach_keys;
use crate::container::{Cell, driver::LOST};
use crate::events::now_ns;
use crate::spec::{caps, process, resources, security, user};
use crate::{Container, Engine, ExecError, LookupError, error::Invalid, identity, names};

/// How long the end of an exec may follow that of its output.
const SETTLE_LIMIT: Duration = Duration::from_secs(5);
/// How long an exec that has ended can still be inspected.
const KEPT_NS: i64 = 300_000_000_000;
/// How long a resize waits for the start.
const RESIZE_WAIT: Duration = Duration::from_secs(10);

/// A handle on an exec.
#[derive(Debug, Clone)]
pub struct Exec {
    pub(crate) engine: Engine,
    pub(crate) cell: Arc<ExecCell>,
}

/// How to start an exec.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExecStart {
    /// Do not attach.
    pub detach: bool,
    /// The client expects a terminal's raw stream.
    pub tty: bool,
    /// Terminal height and width in cells.
    pub console_size: Option<[u32; 2]>,
}

/// A started exec.
#[derive(Debug)]
pub struct ExecAttached {
    /// Whether the stream is a terminal's, without frames.
    pub tty: bool,
    /// Its streams; `None` when detached.
    pub stream: Option<AttachStream>,
    /// The bytes that detach the client, empty for none.
    pub detach_keys: Vec<u8>,
}

/// One exec.
#[derive(Debug)]
pub(crate) struct ExecCell {
    id: String,
    container: Arc<Cell>,
    body: ExecCreateBody,
    detach_keys: Vec<u8>,
    phase: watch::Sender<ExecPhase>,
    exit: Mutex<Option<watch::Receiver<Option<Exit>>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ExecPhase {
    Created,
    Starting,
    Running { pid: u32 },
    Ended { code: i32, at_ns: i64 },
}

/// All execs by id.
#[derive(Debug, Default)]
pub(crate) struct Execs(Mutex<HashMap<String, Arc<ExecCell>>>);

impl Execs {
    pub(crate) fn find(&self, id: &str) -> Result<Arc<ExecCell>, LookupError> {
        self.lock().get(id).cloned().ok_or_else(|| LookupError::NoExec(id.to_owned()))
    }

    /// The execs of a container that have not ended, in order.
    pub(crate) fn of_container(&self, container: &str) -> Vec<String> {
        let execs = self.lock();
        let here = execs.values().filter(|exec| {
            exec.container.id == container && !matches!(exec.phase(), ExecPhase::Ended { .. })
        });
        let mut ids: Vec<String> = here.map(|exec| exec.id.clone()).collect();
        ids.sort_unstable();
        ids
    }

    /// Forgets all execs of a container that is gone.
    pub(crate) fn forget_container(&self, container: &str) {
        self.lock().retain(|_, exec| exec.container.id != container);
    }

    fn insert(&self, cell: Arc<ExecCell>) {
        let mut execs = self.lock();
        let now = now_ns();
        execs.retain(|_, exec| match exec.phase() {
            ExecPhase::Ended { at_ns, .. } => now - at_ns < KEPT_NS,
            _ => true,
        });
        execs.insert(cell.id.clone(), cell);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<ExecCell>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ExecCell {
    fn phase(&self) -> ExecPhase {
        *self.phase.borrow()
    }

    fn command(&self) -> String {
        self.body.cmd.as_deref().unwrap_or_default().join(" ")
    }
}

impl Container {
    /// Makes an exec; gives its id.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn exec_create(&self, body: ExecCreateBody) -> Result<String, ExecError> {
        self.check_exec().map_err(ExecError::Container)?;
        let exec = self.new_exec(body)?;
        Ok(exec.cell.id.clone())
    }

    fn new_exec(&self, body: ExecCreateBody) -> Result<Exec, ExecError> {
        if body.cmd.as_deref().unwrap_or_default().is_empty() {
            return Err(ExecError::NoCommand);
        }
        let detach_keys =
            parse_detach_keys(&body.detach_keys).map_err(|error| Invalid(error.to_string()))?;
        let cell = Arc::new(ExecCell {
            id: names::new_id(),
            container: Arc::clone(&self.cell),
            body,
            detach_keys,
            phase: watch::Sender::new(ExecPhase::Created),
            exit: Mutex::default(),
        });
        self.engine.0.execs.insert(Arc::clone(&cell));
        let exec = Exec { engine: self.engine.clone(), cell };
        exec.tell(&format!("exec_create: {}", exec.cell.command()), &[]);
        Ok(exec)
    }

    /// Runs a health probe: an exec that nobody asked for.
    pub(crate) async fn exec_probe(&self, args: &[String]) -> Result<RunningProbe, ExecError> {
        let exec = self.new_exec(ExecCreateBody {
            attach_stdout: true,
            attach_stderr: true,
            cmd: Some(args.to_vec()),
            ..ExecCreateBody::default()
        })?;
        let attached = exec.start(ExecStart::default()).await?;
        let stream = attached.stream.ok_or_else(|| ExecError::NotRunning(exec.cell.id.clone()))?;
        Ok(RunningProbe { stream, exec })
    }

    /// Takes over an exec that ran on while the daemon was away.
    pub(crate) fn adopt_exec(&self, id: String, running: TaskExec) {
        let cell = Arc::new(ExecCell {
            id,
            container: Arc::clone(&self.cell),
            body: ExecCreateBody::default(),
            detach_keys: Vec::new(),
            phase: watch::Sender::new(ExecPhase::Running { pid: running.pid }),
            exit: Mutex::new(Some(running.exit)),
        });
        self.engine.0.execs.insert(Arc::clone(&cell));
        let exec = Exec { engine: self.engine.clone(), cell };
        self.engine.0.work.spawn(async move { exec.see_end().await });
    }
}

impl Exec {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.cell.id
    }

    /// Whether it was made with a terminal.
    #[must_use]
    pub fn tty(&self) -> bool {
        self.cell.body.tty
    }

    /// Checks whether it can be started now, before a connection is taken over: gone container,
    /// frozen container, second start.
    ///
    /// # Errors
    /// [`ExecError`], with Docker's status for each.
    pub fn check_start(&self) -> Result<(), ExecError> {
        self.container().check_exec().map_err(ExecError::Container)?;
        self.check_fresh(self.cell.phase())
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn start(&self, start: ExecStart) -> Result<ExecAttached, ExecError> {
        let task = self.container().check_exec().map_err(ExecError::Container)?;
        let mut before = ExecPhase::Created;
        self.cell.phase.send_if_modified(|phase| {
            before = *phase;
            let fresh = *phase == ExecPhase::Created;
            if fresh {
                *phase = ExecPhase::Starting;
            }
            fresh
        });
        self.check_fresh(before)?;
        match self.run(&task, start).await {
            Ok(attached) => Ok(attached),
            Err(error) => {
                use gantry_task::StartKind as Step;
                let code = match &error {
                    ExecError::Runtime { kind: Step::NotFound, .. } => 127,
                    _ => 126,
                };
                self.cell.phase.send_replace(ExecPhase::Ended { code, at_ns: now_ns() });
                Err(error)
            }
        }
    }

    async fn run(&self, task: &Task, start: ExecStart) -> Result<ExecAttached, ExecError> {
        let body = &self.cell.body;
        let failed = |source| ExecError::Streams { id: self.cell.id.clone(), source };
        let options = AttachOptions {
            stdin: body.attach_stdin,
            stdout: body.attach_stdout,
            stderr: body.attach_stderr,
        };
        let (attachments, stream) = match start.detach {
            true => (Vec::new(), None),
            false => {
                let (far, near) = gantry_task::attachment(options).map_err(failed)?;
                (vec![far], Some(near))
            }
        };
        let console = start.console_size.or(body.console_size).unwrap_or_default();
        let (process, seccomp_bpf) = self.process(task, console)?;
        let request = ExecTask {
            id: self.cell.id.clone(),
            process,
            stdio: StdioConfig {
                tty: body.tty,
                open_stdin: body.attach_stdin,
                stdin_once: true,
                console_size: process::console_size(console),
            },
            attachments,
            seccomp_bpf,
        };
        self.tell(&format!("exec_start: {}", self.cell.command()), &[]);
        let running = task.exec(request).await.map_err(|error| match error {
            gantry_task::ExecError::Start { kind, message } => ExecError::Runtime { kind, message },
            gantry_task::ExecError::NotRunning(id) => {
                ExecError::Container(format!("container {id} is not running"))
            }
            other => ExecError::Task(other),
        })?;
        *self.exit() = Some(running.exit.clone());
        self.cell.phase.send_replace(ExecPhase::Running { pid: running.pid });
        let exec = self.clone();
        self.engine.0.work.spawn(async move { exec.see_end().await });
        let detach_keys = self.cell.detach_keys.clone();
        Ok(ExecAttached { tty: body.tty, stream, detach_keys })
    }

    /// The process: what the container's first one has, with the exec's own wishes.
    fn process(
        &self,
        task: &Task,
        console: [u32; 2],
    ) -> Result<(Process, Option<std::path::PathBuf>), ExecError> {
        let (body, inner) = (&self.cell.body, &self.engine.0);
        let record = self.cell.container.record();
        let (host, config) = (&record.host, &record.config);
        let options = security::parse(host.security_opt.items())?;
        let add = caps::normalize("CapAdd", host.cap_add.items())?;
        let drop = caps::normalize("CapDrop", host.cap_drop.items())?;
        let all = host.privileged || body.privileged;
        let own_caps = caps::resolve(&add, &drop, host.privileged, inner.facts.caps);
        let filter = match all {
            true => None,
            false => inner
                .seccomp
                .filter(&options.seccomp, &own_caps)
                .map_err(|error| Invalid(gantry_fault::chain(&error)))?,
        };
        let files = identity::root_of(task.pid())
            .map(|root| identity::user_files(root.as_fd()))
            .unwrap_or_default();
        let user = if body.user.is_empty() { &config.user } else { &body.user };
        let identity = user::resolve(user, host.group_add.items(), &files)?;
        let mut env = config.env.items().to_vec();
        process::merge(&mut env, body.env.items());
        let cwd = match body.working_dir.as_str() {
            "" => config.working_dir.as_str(),
            own => own,
        };
        let process = process::build(process::ProcessInput {
            args: body.cmd.clone().unwrap_or_default(),
            env: process::environment(&config.hostname, body.tty, &env, &identity.home),
            cwd,
            identity: &identity,
            caps: if all { caps::resolve(&[], &[], true, inner.facts.caps) } else { own_caps },
            tty: body.tty,
            console,
            rlimits: resources::rlimits(host.ulimits.items(), &inner.config.default_ulimits)?,
            no_new_privileges: options.no_new_privileges.unwrap_or(inner.config.no_new_privileges),
            apparmor: options.apparmor.filter(|_| !all),
            oom_score_adj: None,
        });
        Ok((process, filter.and_then(|filter| filter.bpf.clone())))
    }

    /// Sets the size of its terminal; waits up to ten seconds for its start.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn resize(&self, height: u16, width: u16) -> Result<(), ExecError> {
        let mut phase = self.cell.phase.subscribe();
        let begun = |phase: &ExecPhase| !matches!(phase, ExecPhase::Created | ExecPhase::Starting);
        // Mapped at once: what `wait_for` gives holds a lock.
        let wait = async { phase.wait_for(begun).await.map(|phase| *phase) };
        let begun = tokio::time::timeout(RESIZE_WAIT, wait).await;
        let not_running = || ExecError::NotRunning(self.cell.id.clone());
        let runs = matches!(begun, Ok(Ok(ExecPhase::Running { .. })));
        if !runs {
            return Err(not_running());
        }
        let task = self.cell.container.view().task.ok_or_else(not_running)?;
        let failed = |source| ExecError::Resize { id: self.cell.id.clone(), source };
        task.resize_exec(&self.cell.id, height, width).await.map_err(failed)
    }

    /// What it is and whether it runs.
    #[must_use]
    pub fn inspect(&self) -> ExecInspect {
        let body = &self.cell.body;
        let phase = self.cell.phase();
        let (running, pid, exit_code) = match phase {
            ExecPhase::Created | ExecPhase::Starting => (false, 0, None),
            ExecPhase::Running { pid } => (true, i64::from(pid), None),
            ExecPhase::Ended { code, .. } => (false, 0, Some(i64::from(code))),
        };
        let (entrypoint, arguments) = match body.cmd.as_deref() {
            Some([program, arguments @ ..]) => (program.clone(), arguments.to_vec()),
            _ => (String::new(), Vec::new()),
        };
        ExecInspect {
            id: self.cell.id.clone(),
            running,
            exit_code,
            process_config: ExecProcessConfig {
                tty: body.tty,
                entrypoint,
                arguments,
                privileged: Some(body.privileged),
                user: (!body.user.is_empty()).then(|| body.user.clone()),
            },
            open_stdin: body.attach_stdin,
            open_stderr: body.attach_stderr,
            open_stdout: body.attach_stdout,
            can_remove: matches!(phase, ExecPhase::Ended { .. }),
            container_id: self.cell.container.id.clone(),
            detach_keys: String::new(),
            pid,
        }
    }

    /// Waits until `inspect` tells its exit code. Its output ends a moment before: whoever waited
    /// for that would find it running. One that has closed its output and runs on is not waited for
    /// longer than a few seconds.
    pub async fn settled(&self) {
        let mut phase = self.cell.phase.subscribe();
        let ended = phase.wait_for(|phase| matches!(phase, ExecPhase::Ended { .. }));
        let _ = tokio::time::timeout(SETTLE_LIMIT, ended).await;
    }

    /// Waits for its end.
    pub(crate) async fn ended(&self) -> Exit {
        let exit = self.exit().clone();
        match exit {
            Some(mut exit) => match exit.wait_for(Option::is_some).await {
                Ok(exit) => exit.unwrap_or(LOST),
                Err(_) => LOST,
            },
            None => LOST,
        }
    }

    /// Sends it a signal; one that has ended takes none.
    pub(crate) async fn kill(&self, signal: i32) {
        if let Some(task) = self.cell.container.view().task {
            let _ = task.kill_exec(&self.cell.id, signal).await;
        }
    }

    async fn see_end(&self) {
        let exit = tokio::select! {
            exit = self.ended() => exit,
            () = self.engine.0.ending.cancelled() => return,
        };
        let ended = ExecPhase::Ended { code: exit.code, at_ns: now_ns() };
        self.cell.phase.send_replace(ended);
        self.tell("exec_die", &[("exitCode", exit.code.to_string())]);
    }

    fn check_fresh(&self, phase: ExecPhase) -> Result<(), ExecError> {
        match phase {
            ExecPhase::Created => Ok(()),
            ExecPhase::Starting | ExecPhase::Running { .. } => {
                Err(ExecError::Running(self.cell.id.clone()))
            }
            ExecPhase::Ended { .. } => Err(ExecError::AlreadyRun(self.cell.id.clone())),
        }
    }

    fn container(&self) -> Container {
        Container { engine: self.engine.clone(), cell: Arc::clone(&self.cell.container) }
    }

    fn tell(&self, action: &str, more: &[(&str, String)]) {
        let id = [("execID", self.cell.id.clone())];
        self.container().tell_more(action, &[&id, more].concat());
    }

    fn exit(&self) -> MutexGuard<'_, Option<watch::Receiver<Option<Exit>>>> {
        self.cell.exit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
