//! Rules of `FROM`.

use std::collections::BTreeSet;

use super::{Linter, Rule};
use crate::ast::{Dockerfile, Stage, Written};
use crate::error::did_you_mean;
use crate::expand::{Expander, Names};
use crate::quote::quoted;
use crate::scope::Scope;
use crate::suggest::{Case, closest};

/// The argument that is the platform built for.
const TARGET_PLATFORM: &str = "TARGETPLATFORM";

/// `--platform` of `FROM`, as it was found to be.
#[derive(Debug, Clone, Copy)]
pub struct FromPlatform<'a> {
    /// Variables that it named.
    pub names: &'a Names,
    /// Its value.
    pub value: &'a str,
    /// The value's operating system.
    pub os: &'a str,
    /// The value's architecture.
    pub architecture: &'a str,
}

/// Whether `FROM` makes sense when no build argument is given. `predefined` are the arguments that
/// there are in any case, and `is_reference` tells whether a text can name an image.
pub fn check_default_bases(
    dockerfile: &Dockerfile,
    predefined: &Scope,
    is_reference: &dyn Fn(&str) -> bool,
    linter: &mut Linter,
) {
    // What cannot be expanded is an error elsewhere.
    let Ok(scope) = dockerfile.global_scope(predefined, &Scope::new()) else { return };
    for stage in &dockerfile.stages {
        let base = &stage.from.base.text;
        let Ok(value) = Expander::new(dockerfile.escape, &scope).word(base) else { return };
        if !is_reference(&value) {
            let message =
                format!("Default value for ARG {base} results in empty or invalid base image name");
            linter.report(Rule::InvalidDefaultArgInFrom, &stage.written, message);
        }
    }
}

/// The rules of `FROM` of one stage. `base` are the variables that the base named; `scope` is what
/// it saw ([`Dockerfile::global_scope`]).
pub fn check_from(
    dockerfile: &Dockerfile,
    stage: &Stage,
    base: &Names,
    platform: Option<FromPlatform<'_>>,
    scope: &Scope,
    linter: &mut Linter,
) {
    let args = dockerfile.global_args.iter().flat_map(|global| &global.args);
    let declared = args.map(|arg| arg.name.as_str());
    let known: BTreeSet<&str> = declared.chain(scope.keys().map(String::as_str)).collect();
    check_declared(&base.undefined, &known, &stage.written, linter);
    let (Some(platform), Some(word)) = (platform, &stage.from.platform) else { return };
    check_declared(&platform.names.undefined, &known, &stage.written, linter);
    let used: Vec<&String> = platform.names.used.iter().collect();
    if !platform.names.undefined.is_empty() {
        return;
    }
    let is_target = scope.get(TARGET_PLATFORM).is_some_and(|target| target == platform.value);
    if used.is_empty() {
        check_constant(stage, platform, linter);
    } else if used == [TARGET_PLATFORM] && is_target {
        let message = format!(
            "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
            word.text
        );
        linter.report(Rule::RedundantTargetPlatform, &stage.written, message);
    }
}

fn check_declared(
    undefined: &BTreeSet<String>,
    known: &BTreeSet<&str>,
    written: &Written,
    linter: &mut Linter,
) {
    for name in undefined.iter().filter(|name| !known.contains(name.as_str())) {
        let hint = closest(name, known.iter().copied(), Case::Counts);
        let hint = did_you_mean(hint.as_deref());
        let message = format!("FROM argument '{name}' is not declared{hint}");
        linter.report(Rule::UndefinedArgInFrom, written, message);
    }
}

/// A stage that says in its name which platform it is for may have a constant one.
fn check_constant(stage: &Stage, platform: FromPlatform<'_>, linter: &mut Linter) {
    let name = stage.from.name.as_ref().map(|name| name.name.as_str()).unwrap_or_default();
    if name.contains(platform.os) || name.contains(platform.architecture) {
        return;
    }
    let value = quoted(platform.value);
    let message = format!("FROM --platform flag should not use constant value {value}");
    linter.report(Rule::FromPlatformFlagConstDisallowed, &stage.written, message);
}

/// Reports that the base image is of another platform than was asked for: its operating system or
/// architecture is another.
pub fn check_base_platform(
    stage: &Stage,
    image: &str,
    expected: &str,
    actual: &str,
    linter: &mut Linter,
) {
    if expected == actual {
        return;
    }
    let (expected, actual) = (quoted(expected), quoted(actual));
    let message = format!(
        "Base image {image} was pulled with platform {actual}, expected {expected} for current \
         build"
    );
    linter.report(Rule::InvalidBaseImagePlatform, &stage.written, message);
}
