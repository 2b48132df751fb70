//! Words with their variables' values.

use gantry_dockerfile::{Environment, Expander, InstructionKind, Mount, Names, Run};

use super::{
    error::{At, PlanError},
    variables::Variables,
};

impl Environment for Variables {
    fn get(&self, name: &str) -> Option<&str> {
        Self::get(self, name)
    }
}

/// A word's value.
#[derive(Debug)]
pub(super) struct Value {
    /// It.
    pub text: String,
    /// Variables that it was made of.
    pub names: Names,
}

/// The value of a word.
///
/// # Errors
/// When its quotes or substitutions are wrong.
pub(super) fn word(text: &str, escape: char, variables: &dyn Environment) -> Result<Value, At> {
    let mut expander = Expander::new(escape, variables);
    let text = expander.word(text).map_err(PlanError::Expand)?;
    Ok(Value { text, names: expander.take_names() })
}

/// An instruction with the values of its words.
///
/// # Errors
/// As [`word`].
pub(super) fn instruction(
    kind: &InstructionKind,
    escape: char,
    variables: &Variables,
) -> Result<(InstructionKind, Names), At> {
    let mut expander = Expander::new(escape, variables);
    let kind = kind.expand(&mut expander).map_err(PlanError::Expand)?;
    Ok((kind, expander.take_names()))
}

/// The mounts of a `RUN`.
///
/// # Errors
/// When one is wrong.
pub(super) fn mounts(run: &Run, escape: char, variables: &Variables) -> Result<Vec<Mount>, At> {
    let mounts = run.mounts(&mut Expander::new(escape, variables));
    Ok(mounts.map_err(PlanError::Mount)?)
}

/// What the mounts of a `RUN` are of, each: stages must be known before variables are. What is
/// wrong with a mount shows when its stage is worked on.
pub(super) fn mount_sources(run: &Run, escape: char) -> Vec<String> {
    let mounts = run.mounts(&mut Expander::new(escape, &Zeros)).unwrap_or_default();
    mounts.into_iter().map(|mount| mount.from).collect()
}

/// Every variable is 0, which wherever a mount takes a value is one.
struct Zeros;

impl Environment for Zeros {
    fn get(&self, _: &str) -> Option<&str> {
        Some("0")
    }
}

/// A command as names show it.
pub(super) fn shown(text: &str, escape: char, variables: &Variables) -> String {
    Expander::new(escape, variables).shown(text)
}
