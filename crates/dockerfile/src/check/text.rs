//! Rules that need the text alone.

use std::collections::BTreeSet;

use super::{Linter, Rule};
use crate::ast::{Dockerfile, InstructionKind, Stage, Written};
use crate::lex::directive_of_comment;
use crate::quote::quoted;

/// Names that mean something else where a stage can be named.
const RESERVED: [&str; 2] = ["context", "scratch"];

/// Runs the rules that need the text alone.
pub fn check_text(dockerfile: &Dockerfile, linter: &mut Linter) {
    for span in &dockerfile.empty_continuations {
        let message = "Empty continuation line".to_owned();
        linter.report_at(Rule::NoEmptyContinuation, *span, message);
    }
    for global in &dockerfile.global_args {
        let names: Vec<_> = global.args.iter().map(|arg| arg.name.as_str()).collect();
        check_description("ARG", &names, &global.written, linter);
    }
    for stage in &dockerfile.stages {
        check_from_words(stage, linter);
        for instruction in &stage.instructions {
            let written = &instruction.written;
            match &instruction.kind {
                InstructionKind::Maintainer(_) => {
                    let message = "Maintainer instruction is deprecated in favor of using label";
                    linter.report(Rule::MaintainerDeprecated, written, message.to_owned());
                }
                InstructionKind::Arg(args) => {
                    let names: Vec<_> = args.iter().map(|arg| arg.name.as_str()).collect();
                    check_description("ARG", &names, written, linter);
                }
                _ => {}
            }
        }
    }
    check_stage_names(&dockerfile.stages, linter);
    check_casing(&dockerfile.stages, linter);
}

fn check_from_words(stage: &Stage, linter: &mut Linter) {
    let Some(name) = &stage.from.name else { return };
    let written = &stage.written;
    if name.written.text != name.name {
        let message = format!("Stage name '{}' should be lowercase", name.written.text);
        linter.report(Rule::StageNameCasing, written, message);
    }
    // A `From` in mixed case is told of elsewhere; no case of `as` would match it.
    let matches = match case(&written.keyword) {
        Some(case) => self::case(&name.keyword) == Some(case),
        None => true,
    };
    if !matches {
        let (from, keyword) = (&written.keyword, &name.keyword);
        let message = format!("'{keyword}' and '{from}' keywords' casing do not match");
        linter.report(Rule::FromAsCasing, written, message);
    }
    check_description("FROM", &[&name.name], written, linter);
}

/// A comment directly above should say what a stage or an argument is for, beginning with its name.
fn check_description(instruction: &str, names: &[&str], written: &Written, linter: &mut Linter) {
    let mut comments = written.comments.iter().filter(|line| directive_of_comment(line).is_none());
    let Some(comment) = comments.next_back() else { return };
    if names.contains(&comment.split(' ').next().unwrap_or_default()) {
        return;
    }
    let name = if let [name] = names { *name } else { "<arg_key>" };
    let message =
        format!("Comment for {instruction} should follow the format: `# {name} <description>`");
    linter.report(Rule::InvalidDefinitionDescription, written, message);
}

fn check_stage_names(stages: &[Stage], linter: &mut Linter) {
    let mut seen = BTreeSet::new();
    for stage in stages {
        let Some(name) = stage.from.name.as_ref().map(|name| name.name.as_str()) else { continue };
        if RESERVED.contains(&name) {
            let name = quoted(name);
            let message =
                format!("Stage name should not use the same name as reserved stage {name}");
            linter.report(Rule::ReservedStageName, &stage.written, message);
        }
        if !seen.insert(name) {
            let name = quoted(name);
            let message = format!("Duplicate stage name {name}, stage names should be unique");
            linter.report(Rule::DuplicateStageName, &stage.written, message);
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Case {
    Lower,
    Upper,
}

/// The case of a word; none if it is mixed.
fn case(word: &str) -> Option<Case> {
    match word {
        _ if word == word.to_lowercase() => Some(Case::Lower),
        _ if word == word.to_uppercase() => Some(Case::Upper),
        _ => None,
    }
}

/// Instructions should be in the case that most are in.
fn check_casing(stages: &[Stage], linter: &mut Linter) {
    let written = || {
        stages.iter().flat_map(|stage| {
            let instructions = stage.instructions.iter().map(|instruction| &instruction.written);
            std::iter::once(&stage.written).chain(instructions)
        })
    };
    let count = |case| written().filter(|one| self::case(&one.keyword) == Some(case)).count();
    let (wanted, name) = match count(Case::Lower) > count(Case::Upper) {
        true => (Case::Lower, "lowercase"),
        false => (Case::Upper, "uppercase"),
    };
    for written in written().filter(|one| case(&one.keyword) != Some(wanted)) {
        let keyword = &written.keyword;
        let message =
            format!("Command '{keyword}' should match the case of the command majority ({name})");
        linter.report(Rule::ConsistentInstructionCasing, written, message);
    }
}
