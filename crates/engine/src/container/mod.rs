//! One container: its handle, its phases, and the task that owns it.

pub mod attach;
pub mod logs;
pub mod phase;
pub mod restart_policy;
pub mod wait;

use std::future::Future;

use gantry_api_types::container::{ContainerInspect, UpdateBody, UpdateResponse, WaitResponse};
use gantry_api_types::exec::ExecCreateBody;

use crate::{
    AttachError, AttachOptions, Attached, ChangeError, ExecError, LogOptions, LogStream,
    RemoveError, StartError, WaitCondition,
};

/// A handle on a container; clones are the same container.
#[derive(Debug, Clone)]
pub struct Container {}

/// How to remove a container.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Kill it if it runs.
    pub force: bool,
    /// Remove its anonymous volumes.
    pub volumes: bool,
    /// Remove a link, not the container.
    pub link: bool,
}

impl Container {
    /// Full id.
    #[must_use]
    pub fn id(&self) -> &str {
        todo!()
    }

    /// Name without the leading slash.
    #[must_use]
    pub fn name(&self) -> String {
        todo!()
    }

    /// Whether it has a terminal.
    #[must_use]
    pub fn tty(&self) -> bool {
        todo!()
    }

    /// Whether its program is there, running or frozen.
    #[must_use]
    pub fn is_running(&self) -> bool {
        todo!()
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`StartError`]; [`gantry_fault::Kind::NotModified`] when it runs already.
    pub async fn start(&self) -> Result<(), StartError> {
        todo!()
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
        todo!("{signal:?} {timeout_s:?}")
    }

    /// Stops it if it runs, and starts it.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn restart(
        &self,
        signal: Option<&str>,
        timeout_s: Option<i64>,
    ) -> Result<(), ChangeError> {
        todo!("{signal:?} {timeout_s:?}")
    }

    /// Sends a signal, `SIGKILL` when absent.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn kill(&self, signal: Option<&str>) -> Result<(), ChangeError> {
        todo!("{signal:?}")
    }

    /// Freezes all its processes.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn pause(&self) -> Result<(), ChangeError> {
        todo!()
    }

    /// Lets its processes go on.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn unpause(&self) -> Result<(), ChangeError> {
        todo!()
    }

    /// Removes it; returns when name and id are free.
    ///
    /// # Errors
    /// [`RemoveError`].
    pub async fn remove(&self, options: RemoveOptions) -> Result<(), RemoveError> {
        todo!("{options:?}")
    }

    /// Gives it another name.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn rename(&self, name: &str) -> Result<(), ChangeError> {
        todo!("{name}")
    }

    /// Changes limits and restart policy.
    ///
    /// # Errors
    /// [`ChangeError`].
    pub async fn update(&self, body: UpdateBody) -> Result<UpdateResponse, ChangeError> {
        todo!("{body:?}")
    }

    /// Waits; registered when this is called, not when it is first polled.
    pub fn wait(
        &self,
        condition: WaitCondition,
    ) -> impl Future<Output = WaitResponse> + Send + 'static {
        let _ = condition;
        async { todo!() }
    }

    /// Everything about it; `size` measures its files.
    #[must_use]
    pub fn inspect(&self, size: bool) -> ContainerInspect {
        todo!("{size}")
    }

    /// Reads its log.
    ///
    /// # Errors
    /// [`AttachError`].
    pub async fn logs(&self, options: LogOptions) -> Result<LogStream, AttachError> {
        todo!("{options:?}")
    }

    /// Attaches a client.
    ///
    /// # Errors
    /// [`AttachError`].
    pub async fn attach(&self, options: AttachOptions) -> Result<Attached, AttachError> {
        todo!("{options:?}")
    }

    /// Tells that an attached client has left by its detach keys (an event).
    pub fn detached(&self) {
        todo!()
    }

    /// Sets the size of its terminal.
    ///
    /// # Errors
    /// [`ChangeError`]; [`gantry_fault::Kind::Conflict`] when it does not run.
    pub async fn resize(&self, height: u16, width: u16) -> Result<(), ChangeError> {
        todo!("{height} {width}")
    }

    /// Makes an exec; gives its id.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn exec_create(&self, body: ExecCreateBody) -> Result<String, ExecError> {
        todo!("{body:?}")
    }
}
