//! Seccomp profiles compiled to classic BPF.

#![forbid(unsafe_code)]

pub mod docker;
mod error;
mod program;

pub use error::SeccompError;
pub use program::{Program, SockFilter};

use gantry_oci::runtime::Seccomp;

/// Compiles a profile to a filter program.
///
/// # Errors
/// [`SeccompError`] names what is wrong with the profile.
pub fn compile(profile: &Seccomp) -> Result<Program, SeccompError> {
    todo!()
}
