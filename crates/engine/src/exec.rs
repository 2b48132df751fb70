//! Further processes in a running container.

use gantry_api_types::exec::ExecInspect;
use gantry_task::AttachStream;

use crate::ExecError;

/// A handle on an exec.
#[derive(Debug, Clone)]
pub struct Exec {}

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

impl Exec {
    /// Its id.
    #[must_use]
    pub fn id(&self) -> &str {
        todo!()
    }

    /// Whether it was made with a terminal.
    #[must_use]
    pub fn tty(&self) -> bool {
        todo!()
    }

    /// Checks whether it can be started now, before a connection is taken over: gone container,
    /// frozen container, second start.
    ///
    /// # Errors
    /// [`ExecError`], with Docker's status for each.
    pub fn check_start(&self) -> Result<(), ExecError> {
        todo!()
    }

    /// Starts it.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn start(&self, start: ExecStart) -> Result<ExecAttached, ExecError> {
        todo!("{start:?}")
    }

    /// Sets the size of its terminal; waits up to ten seconds for its start.
    ///
    /// # Errors
    /// [`ExecError`].
    pub async fn resize(&self, height: u16, width: u16) -> Result<(), ExecError> {
        todo!("{height} {width}")
    }

    /// What it is and whether it runs.
    #[must_use]
    pub fn inspect(&self) -> ExecInspect {
        todo!()
    }
}
