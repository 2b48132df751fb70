//! Signals by name or number.

pub(crate) use gantry_oci::signal::{KILL, TERM};

use crate::ChangeError;

/// Reads `9`, `KILL`, `SIGKILL`, `sigkill`, `RTMIN+3`.
///
/// # Errors
/// [`ChangeError::Signal`].
pub(crate) fn parse(text: &str) -> Result<i32, ChangeError> {
    gantry_oci::signal::parse(text).map_err(|error| ChangeError::Signal(error.0))
}
