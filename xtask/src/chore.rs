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

/// Runs `chore` with a release build as the program under test, unless `GANTRY` names another.
///
/// The environment is set for a process of its own: one that runs threads must not change its own.
pub(crate) fn on_release_build(
    chore: impl FnOnce() -> Result<(), ChoreError>,
) -> Result<(), ChoreError> {
    if std::env::var_os("GANTRY").is_some() {
        return chore();
    }
    run("cargo", &["build", "--release", "--locked", "-p", "gantry"])?;
    let own = std::env::current_exe().map_err(io("own path"))?;
    let status = Command::new(own)
        .args(std::env::args_os().skip(1))
        .env("GANTRY", release_build())
        .status()
        .map_err(io("starting the chore anew"))?;
    if status.success() { Ok(()) } else { Err(ChoreError::Failed("the chore".to_owned())) }
}

/// Where cargo puts the release build.
pub(crate) fn release_build() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    root().join(target).join("release/gantry")
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
