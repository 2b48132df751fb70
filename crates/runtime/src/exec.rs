//! Running a further process inside a container.

use crate::{ExecError, ExecRequest, Running};

/// Runs a process in all namespaces and in the control group of a container.
///
/// Returns once `execve(2)` has taken effect. The calling process must have a single thread; it
/// becomes the parent of the new process.
///
/// # Errors
/// [`ExecError`] names the step.
pub fn exec(request: ExecRequest<'_>) -> Result<Running, ExecError> {
    todo!()
}
