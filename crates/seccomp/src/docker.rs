//! Docker's default profile and Docker's profile files.

use gantry_oci::runtime::Seccomp;

use crate::SeccompError;

/// Docker's default profile in its effect, for a container with these capabilities (`CAP_CHOWN`).
#[must_use]
pub fn default_profile(caps: &[String]) -> Seccomp {
    todo!()
}

/// Reads a profile file as `--security-opt seccomp=FILE` takes it, for these capabilities and a kernel (major, minor).
///
/// # Errors
/// [`SeccompError::Json`] and [`SeccompError::Conflict`].
pub fn from_docker_json(
    json: &str,
    caps: &[String],
    kernel: (u32, u32),
) -> Result<Seccomp, SeccompError> {
    todo!()
}
