//! One container: its handle, its phases, and the task that owns it.

pub mod attach;
mod cell;
mod commands;
mod connect;
pub(crate) mod driver;
mod health;
mod inspect;
pub mod logs;
pub(crate) mod mounting;
pub mod phase;
pub mod restart_policy;
pub(crate) mod signal;
mod start;
pub(crate) mod teardown;
mod update;
pub mod wait;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use gantry_api_types::container::{UpdateBody, UpdateResponse};
use tokio::sync::oneshot;

pub(crate) use cell::{Cell, View, attributes};
use driver::{Ask, Signal};
pub(crate) use health::RunningProbe;
pub(crate) use inspect::{endpoints, mount_points};
use phase::{Phase, Reject};

use crate::events::EventKind;
use crate::{
    AttachError, ChangeError, CreateError, Engine, RemoveError, StartError, WaitCondition, names,
};

/// How long a killed process may take to go.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// A handle on a container; clones are the same container.
#[derive(Debug, Clone)]
pub struct Container {
    pub(crate) engine: Engine,
    pub(crate) cell: Arc<Cell>,
}

/// How to remove a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill it if it runs.
    pub force: bool,
    /// Remove its anonymous volumes.
    pub volumes: bool,
}

impl Container {
    /// Full id.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.cell.id
    }

    /// Name without the leading slash.
    #[must_use]
    pub fn name(&self) -> String {
        self.cell.record().name.clone()
    }

    /// Whether it has a terminal.
    #[must_use]
    pub fn tty(&self) -> bool {
        self.cell.record().config.tty
    }

    /// Whether its program is there, running or frozen.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.cell.phase().is_up()
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`StartError`]; [`gantry_fault::Kind::NotModified`] when it runs already.
    pub async fn start(&self) -> Result<(), StartError> {
        self.ask(Ask::Start).await.unwrap_or_else(|| Err(StartError::Gone(self.cell.id.clone())))
    }

    /// Stops it: the stop signal, then after `timeout_s` (the container's when absent, for ever
    /// when negative) `SIGKILL`. Goes on when the caller gives up.
    ///
    /// # Errors
    /// [`ChangeError`]; [`gantry_fault::Kind::NotModified`] when it does not run.
    pub async fn stop(
        &self,
        signal: Option<&str>,
        timeout_s: Option<i64>,
    ) -> Result<(), ChangeError> {
        let number = self.stop_signal(signal)?;
        let container = self.clone();
        let stopped = async move {
            container.bring_down(number, timeout_s, false).await?;
            container.tell("stop");
            Ok(())
        };
        self.behind(stopped).await
    }

    /// Stops it if it runs, and starts it. Goes on when the caller gives up.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn restart(
        &self,
        signal: Option<&str>,
        timeout_s: Option<i64>,
    ) -> Result<(), ChangeError> {
        let number = self.stop_signal(signal)?;
        let container = self.clone();
        let restarted = async move {
            match container.bring_down(number, timeout_s, true).await {
                Ok(()) => container.tell("stop"),
                Err(ChangeError::Rejected { reject: Reject::AlreadyStopped, .. }) => {}
                Err(error) => return Err(error),
            }
            container.start().await.map_err(|error| ChangeError::Start(Box::new(error)))?;
            container.tell("restart");
            Ok(())
        };
        self.behind(restarted).await
    }

    /// Sends a signal, `SIGKILL` when absent; with that one, waits until the process is gone.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn kill(&self, signal: Option<&str>) -> Result<(), ChangeError> {
        let number = match signal {
            None | Some("") => signal::KILL,
            Some(text) => signal::parse(text)?,
        };
        let record = self.cell.record();
        // A container with a stop signal of its own takes other signals as messages.
        let stop = match record.config.stop_signal.as_str() {
            "" => None,
            text => Some(signal::parse(text)?),
        };
        let by_hand = number == signal::KILL || stop.is_none_or(|stop| stop == number);
        let ended = self.wait(WaitCondition::NextExit);
        self.signal(Signal { number, by_hand, keep: false }).await?;
        if number == signal::KILL {
            // Docker's kill returns when the container has stopped.
            let _ = tokio::time::timeout(KILL_LIMIT, ended).await;
        }
        Ok(())
    }

    /// Freezes all its processes.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn pause(&self) -> Result<(), ChangeError> {
        self.ask(Ask::Pause).await.unwrap_or_else(|| Err(self.gone()))
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn unpause(&self) -> Result<(), ChangeError> {
        self.ask(Ask::Unpause).await.unwrap_or_else(|| Err(self.gone()))
    }

    /// Removes it; returns when name and id are free.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub async fn remove(&self, options: RemoveOptions) -> Result<(), RemoveError> {
        let gone = || RemoveError::Gone(self.cell.id.clone());
        self.ask(|reply| Ask::Remove(options, reply)).await.unwrap_or_else(|| Err(gone()))
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn rename(&self, name: &str) -> Result<(), ChangeError> {
        let name = name.strip_prefix('/').unwrap_or(name);
        let refused = |error| ChangeError::Name(Box::new(error));
        if !names::is_valid(name) {
            return Err(refused(CreateError::InvalidName(format!("/{name}"))));
        }
        if self.name() == name {
            return Err(ChangeError::Invalid(crate::error::Invalid(
                "Renaming a container with the same name as its current name".to_owned(),
            )));
        }
        self.engine
            .0
            .registry
            .claim(name, &self.cell.id)
            .map_err(|holder| refused(CreateError::NameInUse { name: name.to_owned(), holder }))?;
        let (container, name) = (self.clone(), name.to_owned());
        let renamed = async move {
            let asked = container.ask(|reply| Ask::Rename(name.clone(), reply)).await;
            if matches!(asked, None | Some(Err(ChangeError::Rejected { .. }))) {
                container.engine.0.registry.release(&name, &container.cell.id);
            }
            asked.unwrap_or_else(|| Err(container.gone()))
        };
        self.behind(renamed).await
    }

    /// Changes limits and restart policy.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn update(&self, body: UpdateBody) -> Result<UpdateResponse, ChangeError> {
        let ask = |reply| Ask::Update(Box::new(body), reply);
        self.ask(ask).await.unwrap_or_else(|| Err(self.gone()))
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// [`ChangeError`]; [`gantry_fault::Kind::Conflict`] when it does not run.
    pub async fn resize(&self, height: u16, width: u16) -> Result<(), ChangeError> {
        let view = self.cell.view();
        let Some(task) = view.task else {
            let reject = Reject::NotRunning;
            let words = reject.words(&self.cell.id, &view.record.name);
            return Err(ChangeError::Rejected { reject, words });
        };
        let failed = |source| ChangeError::Resize { id: self.cell.id.clone(), source };
        task.resize(height, width).await.map_err(failed)?;
        let sizes = [("height", height.to_string()), ("width", width.to_string())];
        self.tell_more("resize", &sizes);
        Ok(())
    }

    fn stop_signal(&self, asked: Option<&str>) -> Result<i32, ChangeError> {
        let record = self.cell.record();
        match asked.filter(|text| !text.is_empty()) {
            Some(text) => signal::parse(text),
            None if record.config.stop_signal.is_empty() => Ok(signal::TERM),
            None => signal::parse(&record.config.stop_signal),
        }
    }

    /// Ends its program, or the wait between two of its runs.
    async fn bring_down(
        &self,
        number: i32,
        timeout_s: Option<i64>,
        keep: bool,
    ) -> Result<(), ChangeError> {
        let phase = self.cell.phase();
        if !phase.is_up() {
            return self.ask(Ask::CancelRestart).await.unwrap_or_else(|| Err(self.gone()));
        }
        let default_s = i64::from(self.engine.0.config.stop_timeout_s);
        let configured = self.cell.record().config.stop_timeout;
        let grace_s = timeout_s.or(configured).unwrap_or(default_s);
        let mut ended = std::pin::pin!(self.wait(WaitCondition::NextExit));
        match self.signal(Signal { number, by_hand: true, keep }).await {
            Ok(()) => {}
            // It ended meanwhile.
            Err(ChangeError::Rejected { reject: Reject::NotRunning, .. }) => return Ok(()),
            Err(error) => return Err(error),
        }
        let Ok(grace_s) = u64::try_from(grace_s) else {
            ended.await;
            return Ok(());
        };
        if tokio::time::timeout(Duration::from_secs(grace_s), &mut ended).await.is_ok() {
            return Ok(());
        }
        let kill = Signal { number: signal::KILL, by_hand: true, keep };
        match self.signal(kill).await {
            Ok(()) | Err(ChangeError::Rejected { .. }) => {}
            Err(error) => return Err(error),
        }
        let gone = tokio::time::timeout(KILL_LIMIT, ended).await;
        gone.map(drop).map_err(|_| ChangeError::Undead(self.cell.id.clone()))
    }

    pub(crate) async fn signal(&self, signal: Signal) -> Result<(), ChangeError> {
        let ask = |reply| Ask::Signal(signal, reply);
        self.ask(ask).await.unwrap_or_else(|| Err(self.gone()))
    }

    /// Runs to the end even when the caller is dropped, as a client that hangs up does.
    async fn behind(
        &self,
        work: impl Future<Output = Result<(), ChangeError>> + Send + 'static,
    ) -> Result<(), ChangeError> {
        let work = self.engine.0.work.spawn(work);
        work.await.unwrap_or_else(|_| Err(self.gone()))
    }

    /// Asks the driver; `None` when it has ended.
    pub(crate) async fn ask<T>(&self, ask: impl FnOnce(oneshot::Sender<T>) -> Ask) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.cell.inbox.send(ask(reply)).await.ok()?;
        answer.await.ok()
    }

    fn gone(&self) -> ChangeError {
        ChangeError::Gone(self.cell.id.clone())
    }

    /// Publishes an event about it.
    pub(crate) fn tell(&self, action: &str) {
        self.tell_more(action, &[]);
    }

    /// Publishes an event about it, with further attributes.
    pub(crate) fn tell_more(&self, action: &str, more: &[(&str, String)]) {
        let mut attributes = attributes(&self.cell.record());
        attributes.extend(more.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
        self.engine.0.events.publish(EventKind::Container, action, &self.cell.id, attributes);
    }

    /// The error for a container whose phase does not allow an exec, or `Ok`.
    pub(crate) fn check_exec(&self) -> Result<gantry_task::Task, String> {
        let view = self.cell.view();
        let id = &self.cell.id;
        match (view.phase, view.task) {
            (Phase::Running { .. }, Some(task)) => Ok(task),
            (Phase::Paused { .. }, _) => {
                Err(format!("container {id} is paused, unpause the container before exec"))
            }
            (Phase::Restarting { .. }, _) => {
                Err(format!("container {id} is restarting, wait until the container is running"))
            }
            _ => Err(format!("container {id} is not running")),
        }
    }
}

impl Container {
    /// Hands an attachment to the streams, or keeps it for the start.
    async fn add_attachment(&self, attachment: gantry_task::Attachment) -> Result<(), AttachError> {
        let closed = || AttachError::Streams {
            id: self.cell.id.clone(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let ask = |reply| Ask::Attach(attachment, reply);
        self.ask(ask).await.unwrap_or_else(|| Err(closed()))
    }
}
