//! How chores run programs and fail.

use std::io;
use std::path::PathBuf;
use std::process::Command;

/// Why a chore failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ChoreError {
    #[error("cannot run {0}: {1}")]
    Spawn(String, io::Error),
    #[error("{0} failed")]
    Failed(String),
    #[error("{0}: {1}")]
    Io(String, io::Error),
    #[error("{} rules broken:\n{}", .0.len(), .0.join("\n"))]
    Rules(Vec<String>),
    #[error("{0} of {1} comparisons differ without an explanation")]
    Differences(usize, usize),
    #[error("{0}")]
    Text(String),
}

/// Runs a program in the workspace's root and fails when it does.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<(), ChoreError> {
    let line = format!("{program} {}", args.join(" "));
    println!("$ {line}");
    let status = Command::new(program)
        .args(args)
        .current_dir(root())
        .status()
        .map_err(|error| ChoreError::Spawn(line.clone(), error))?;
    if status.success() { Ok(()) } else { Err(ChoreError::Failed(line)) }
}

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().map_or(here.clone(), PathBuf::from)
}

/// Turns an I/O error into a chore's, with what was being done.
pub(crate) fn io(what: &str) -> impl FnOnce(io::Error) -> ChoreError + '_ {
    move |error| ChoreError::Io(what.to_owned(), error)
}
