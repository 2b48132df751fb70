//! The one owner of a container: commands come down its inbox, facts come up from its process.
//!
//! ```text
//! Container (handle) ──Ask──> inbox ─┐
//! task's exit watch ─────────────────┼──> Driver ──> Cell (view, life) ──> list, inspect, wait
//! restart timer ─────────────────────┘        └────> store, events
//! ```
//!
//! The loop of restart policies (exit comes up, start goes down) is closed here and nowhere else.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use gantry_api_types::container::{UpdateBody, UpdateResponse};
use gantry_api_types::network::EndpointSettings;
use gantry_fault::chain;
use gantry_store::Durability;
use gantry_task::{Attachment, Exit, Task};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::RemoveOptions;
use super::cell::{Cell, Life, View, attributes};
use super::mounting;
use super::phase::{Effect, Event, Phase, Reject};
use super::restart_policy::{Policy, PolicyName, Restarts};
use super::teardown::Leftovers;
use crate::engine::Inner;
use crate::error::NetworkFault;
use crate::events::EventKind;
use crate::record::{ContainerRecord, StateRecord, Status};
use crate::{AttachError, ChangeError, RemoveError, StartError};

/// Attachments that wait for a start; older ones are dropped for newer.
const EARLY_LIMIT: usize = 64;

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<T>;

/// A command for the driver.
#[derive(Debug)]
pub(crate) enum Ask {
    /// Start it.
    Start(Reply<Result<(), StartError>>),
    /// Send a signal.
    Signal(Signal, Reply<Result<(), ChangeError>>),
    /// Give up a restart that is due.
    CancelRestart(Reply<Result<(), ChangeError>>),
    /// Freeze it.
    Pause(Reply<Result<(), ChangeError>>),
    /// Thaw it.
    Unpause(Reply<Result<(), ChangeError>>),
    /// Rename it.
    Rename(String, Reply<Result<(), ChangeError>>),
    /// Change limits or policy.
    Update(Box<UpdateBody>, Reply<Result<UpdateResponse, ChangeError>>),
    /// Connect it to a network.
    Connect(String, Box<EndpointSettings>, Reply<Result<(), NetworkFault>>),
    /// Disconnect it from a network.
    Disconnect(String, Reply<Result<(), NetworkFault>>),
    /// Forget its link of this alias.
    Unlink(String, Reply<Result<(), RemoveError>>),
    /// Add a client to its streams.
    Attach(Attachment, Reply<Result<(), AttachError>>),
    /// Remove it.
    Remove(RemoveOptions, Reply<Result<(), RemoveError>>),
}

/// A signal and what it means.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Signal {
    /// Number.
    pub(crate) number: i32,
    /// Whether the next exit counts as wished, so that no policy restarts it.
    pub(crate) by_hand: bool,
    /// Whether `--rm` waits for the exit after the next.
    pub(crate) keep: bool,
}

/// The owner.
pub(crate) struct Driver {
    pub(super) engine: Arc<Inner>,
    pub(super) cell: Arc<Cell>,
    inbox: mpsc::Receiver<Ask>,
    pub(super) record: Arc<ContainerRecord>,
    pub(super) state: StateRecord,
    pub(super) phase: Phase,
    pub(super) task: Option<Task>,
    exit: Option<watch::Receiver<Option<Exit>>>,
    /// Keeps the network namespace while the container is up, so that the kernel takes it down
    /// behind the exit and not within it.
    pub(super) netns: Option<Arc<OwnedFd>>,
    restarts: Restarts,
    pub(super) restart_at: Option<Instant>,
    pub(super) early: Vec<Attachment>,
    /// The last run's leftovers being taken away.
    pub(super) teardown: Option<JoinHandle<()>>,
    pub(super) keep: bool,
    exits: u64,
    removal: Option<(RemoveOptions, Reply<Result<(), RemoveError>>)>,
    pub(super) health: Option<JoinHandle<()>>,
}

/// What the loop woke up for.
enum Woken {
    Asked(Option<Ask>),
    Exited(Exit),
    RestartDue,
}

impl Driver {
    /// A driver for a cell; run it with [`Driver::run`].
    pub(crate) fn new(engine: Arc<Inner>, cell: Arc<Cell>, inbox: mpsc::Receiver<Ask>) -> Self {
        let View { record, state, phase, task } = cell.view();
        let exit = task.as_ref().map(Task::exit);
        Self {
            engine,
            cell,
            inbox,
            record,
            state: (*state).clone(),
            phase,
            task,
            exit,
            netns: None,
            restarts: Restarts::default(),
            restart_at: None,
            early: Vec::new(),
            teardown: None,
            keep: false,
            exits: 0,
            removal: None,
            health: None,
        }
    }

    /// Owns the container until it is removed or the engine ends.
    pub(crate) async fn run(mut self) {
        if self.phase.is_up() {
            self.watch_health();
        }
        if matches!(self.phase, Phase::Restarting { .. }) {
            self.restart_at = Some(Instant::now());
        }
        loop {
            let goes_on = match self.wake().await {
                Woken::Asked(None) => false,
                Woken::Asked(Some(ask)) => self.answer(ask).await,
                Woken::Exited(exit) => self.exited(exit).await,
                Woken::RestartDue => self.restart().await,
            };
            if !goes_on {
                break;
            }
        }
        if let Some(health) = self.health.take() {
            health.abort();
        }
    }

    async fn wake(&mut self) -> Woken {
        let ended = async {
            match &mut self.exit {
                Some(exit) => match exit.wait_for(Option::is_some).await {
                    Ok(exit) => exit.unwrap_or(LOST),
                    // The task's reader died without a word: treat the process as lost.
                    Err(_) => LOST,
                },
                None => std::future::pending().await,
            }
        };
        let due = async {
            match self.restart_at {
                Some(at) => tokio::time::sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            exit = ended => Woken::Exited(exit),
            () = self.engine.ending.cancelled() => Woken::Asked(None),
            ask = self.inbox.recv() => Woken::Asked(ask),
            () = due => Woken::RestartDue,
        }
    }

    /// Does what is asked; `false` ends the driver.
    async fn answer(&mut self, ask: Ask) -> bool {
        match ask {
            Ask::Start(reply) => {
                if !self.phase.is_up() {
                    self.restarts.reset();
                    self.state.restart_count = 0;
                }
                // The future of a start is large; it is on the heap only while one runs.
                let started = Box::pin(self.start()).await;
                let failed =
                    started.is_err() && !matches!(started, Err(StartError::Rejected { .. }));
                let _ = reply.send(started);
                if failed && self.record.host.auto_remove {
                    self.delete(RemoveOptions { volumes: true, ..Default::default() }).await;
                    return false;
                }
            }
            Ask::Signal(signal, reply) => {
                let _ = reply.send(self.signal(signal).await);
            }
            Ask::CancelRestart(reply) => {
                let _ = reply.send(self.cancel_restart().await);
            }
            Ask::Pause(reply) => {
                let _ = reply.send(self.freeze(Event::Pause).await);
            }
            Ask::Unpause(reply) => {
                let _ = reply.send(self.freeze(Event::Unpause).await);
            }
            Ask::Rename(name, reply) => {
                let _ = reply.send(self.rename(name).await);
            }
            Ask::Update(body, reply) => {
                let _ = reply.send(self.update(&body).await);
            }
            Ask::Connect(network, settings, reply) => {
                let _ = reply.send(self.connect(&network, *settings).await);
            }
            Ask::Disconnect(network, reply) => {
                let _ = reply.send(self.disconnect(&network).await);
            }
            Ask::Unlink(alias, reply) => {
                let _ = reply.send(self.unlink(&alias).await);
            }
            Ask::Attach(attachment, reply) => {
                let _ = reply.send(self.attach(attachment).await);
            }
            Ask::Remove(options, reply) => return self.remove(options, reply).await,
        }
        true
    }

    /// Brings it up again because its policy says so.
    async fn restart(&mut self) -> bool {
        self.restart_at = None;
        if let Err(error) = Box::pin(self.start()).await {
            tracing::warn!(id = self.cell.id, error = chain(&error), "restart failed");
            // Docker gives the policy another chance after a failed restart.
            let code = error.exit_code();
            if let Some(pause) = self.next_restart(code, Duration::ZERO) {
                self.phase = Phase::Restarting { code };
                self.state.status = Status::Restarting;
                self.restart_at = Some(Instant::now() + pause);
                self.save_state(Durability::Relaxed).await;
                self.show();
            }
        }
        true
    }

    /// Takes over a task that runs.
    pub(super) fn hold(&mut self, task: Task, netns: Option<Arc<OwnedFd>>) {
        self.exit = Some(task.exit());
        self.task = Some(task);
        self.netns = netns;
        self.keep = false;
        self.restart_at = None;
        self.early.clear();
    }

    async fn exited(&mut self, exit: Exit) -> bool {
        tracing::debug!(id = self.record.short_id(), code = exit.code, "exit");
        self.exit = None;
        let task = self.task.take();
        let run = Duration::from_nanos(
            u64::try_from(exit.exited_at_ns - self.state.started_at_ns).unwrap_or_default(),
        );
        let pause = self.next_restart(exit.code, run).filter(|_| self.removal.is_none());
        let event = Event::Exit { code: exit.code, again: pause.is_some() };
        match self.phase.on(event) {
            Ok((phase, Effect::TearDown)) => self.phase = phase,
            other => tracing::error!(id = self.cell.id, ?other, "an exit out of order"),
        }
        self.state.exit_code = exit.code;
        self.state.oom_killed = exit.oom_killed;
        self.state.finished_at_ns = exit.exited_at_ns;
        self.state.status = match pause {
            Some(_) => Status::Restarting,
            None => Status::Exited,
        };
        self.exits += 1;
        // Whoever is told of the end shall not find it by name any more.
        self.engine.parts.networks.forget_names(&self.cell.id);
        // Nor, in the next container, what is mounted of a volume for this one alone.
        mounting::release_behind(&self.engine, &self.record).await;
        // Whoever waits is told now; everything else happens behind.
        self.show();
        self.tell_exit(exit, run);
        if let Some(health) = self.health.take() {
            health.abort();
        }
        let sandbox = self.state.take_sandbox();
        let auto = self.record.host.auto_remove && !self.keep && pause.is_none();
        let leaves = self.removal.is_some() || auto;
        if !leaves {
            self.save_state(Durability::Relaxed).await;
        }
        let leftovers = Leftovers {
            engine: Arc::clone(&self.engine),
            record: Arc::clone(&self.record),
            task,
            sandbox,
            netns: self.netns.take(),
        };
        leftovers.tell();
        self.teardown = Some(self.engine.work.spawn(leftovers.take_away()));
        if let Some((options, reply)) = self.removal.take() {
            self.delete(options).await;
            let _ = reply.send(Ok(()));
            return false;
        }
        if auto {
            self.delete(RemoveOptions { volumes: true, ..Default::default() }).await;
            return false;
        }
        self.restart_at = pause.map(|pause| Instant::now() + pause);
        true
    }

    fn next_restart(&mut self, code: i32, run: Duration) -> Option<Duration> {
        let wanted = &self.record.host.restart_policy;
        let policy = Policy::parse(&wanted.name, wanted.maximum_retry_count).unwrap_or_default();
        let pause = self.restarts.after_exit(policy, code, run, self.state.stopped_by_hand);
        self.state.restart_count = self.restarts.count();
        pause
    }

    fn tell_exit(&self, exit: Exit, run: Duration) {
        if exit.oom_killed {
            self.tell("oom", &[]);
        }
        let (code, seconds) = (exit.code.to_string(), run.as_secs().to_string());
        self.tell("die", &[("exitCode", &code), ("execDuration", &seconds)]);
    }

    /// Publishes an event about the container.
    pub(super) fn tell(&self, action: &str, more: &[(&str, &str)]) {
        let mut attributes = attributes(&self.record);
        attributes.extend(more.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        self.engine.events.publish(EventKind::Container, action, &self.cell.id, attributes);
    }

    /// Shows the present state to readers and waiters.
    pub(super) fn show(&self) {
        self.cell.show(View {
            record: Arc::clone(&self.record),
            state: Arc::new(self.state.clone()),
            phase: self.phase,
            task: self.task.clone(),
        });
        self.cell.life.send_replace(Life {
            running: self.phase.counts_as_running(),
            exits: self.exits,
            code: self.state.exit_code,
            removed: false,
        });
    }

    /// Tells waiters that it is gone.
    pub(super) fn show_removed(&self) {
        self.cell.life.send_modify(|life| {
            life.running = false;
            life.removed = true;
        });
    }

    /// Writes the state; a failure is logged, since disk and kernel tell the rest after a restart.
    pub(super) async fn save_state(&self, durability: Durability) {
        let mut batch = self.engine.parts.store.batch();
        batch.put(&self.cell.id, &self.state);
        if let Err(error) = self.engine.parts.store.commit_async(batch, durability).await {
            tracing::error!(id = self.cell.id, error = chain(&error), "recording a state");
        }
    }

    /// Writes the record.
    pub(super) async fn save_record(&self, record: &ContainerRecord) -> Result<(), ChangeError> {
        let mut batch = self.engine.parts.store.batch();
        batch.put(&self.cell.id, record);
        let durability = match record.host.auto_remove {
            true => Durability::Relaxed,
            false => Durability::Durable,
        };
        Ok(self.engine.parts.store.commit_async(batch, durability).await?)
    }

    async fn attach(&mut self, attachment: Attachment) -> Result<(), AttachError> {
        match (&self.task, self.phase) {
            (Some(_), Phase::Paused { .. }) => Err(AttachError::Paused(self.cell.id.clone())),
            (Some(task), _) => {
                let failed = |source| AttachError::Task { id: self.cell.id.clone(), source };
                task.attach(attachment).await.map_err(failed)
            }
            (None, Phase::Restarting { .. }) => Err(AttachError::Restarting(self.cell.id.clone())),
            (None, _) => {
                if self.early.len() == EARLY_LIMIT {
                    self.early.remove(0);
                }
                self.early.push(attachment);
                Ok(())
            }
        }
    }

    async fn remove(
        &mut self,
        options: RemoveOptions,
        reply: Reply<Result<(), RemoveError>>,
    ) -> bool {
        let (phase, effect) = match self.phase.on(Event::Remove { force: options.force }) {
            Ok(next) => next,
            Err(Reject::Removing) => {
                let _ = reply.send(Err(RemoveError::InProgress(self.cell.id.clone())));
                return true;
            }
            Err(reject) => {
                let words = reject.words(&self.cell.id, &self.record.name);
                let _ = reply.send(Err(RemoveError::Rejected { reject, words }));
                return true;
            }
        };
        if effect != Effect::KillThenRemove {
            self.phase = phase;
            self.delete(options).await;
            let _ = reply.send(Ok(()));
            return false;
        }
        let signal = Signal { number: super::signal::KILL, by_hand: true, keep: true };
        match self.signal(signal).await {
            Ok(()) => {
                self.phase = phase;
                self.removal = Some((options, reply));
                self.show();
            }
            Err(ChangeError::Kill { source, .. }) => {
                let name = self.record.name.clone();
                let _ = reply.send(Err(RemoveError::Kill { name, source }));
            }
            Err(error) => {
                tracing::warn!(id = self.cell.id, error = chain(&error), "killing for a removal");
                let _ = reply.send(Err(RemoveError::Gone(self.cell.id.clone())));
            }
        }
        true
    }

    /// Whether the policy of this container brings it up when the daemon starts.
    pub(crate) fn starts_with_daemon(record: &ContainerRecord, state: &StateRecord) -> bool {
        let wanted = &record.host.restart_policy;
        let policy = Policy::parse(&wanted.name, wanted.maximum_retry_count).unwrap_or_default();
        // A container that was only created is not started, whatever its policy.
        let has_run = state.started_at_ns != 0;
        policy.name != PolicyName::No
            && has_run
            && policy.starts_with_daemon(state.stopped_by_hand, state.exit_code)
    }
}

/// Stands for an exit that nobody saw: Docker's 255 of containers that a reboot ended.
pub(crate) const LOST: Exit = Exit { code: 255, signal: None, oom_killed: false, exited_at_ns: 0 };
