//! Rules that follow a stage from instruction to instruction.

use super::secret::is_secret;
use super::{Linter, Rule};
use crate::ast::{CommandLine, Instruction, InstructionKind, PairForm, Pairs, Written};
use crate::ports::PortSpec;
use crate::quote::quoted;

/// What is known of a stage up to an instruction.
#[derive(Debug, Clone, Default)]
pub struct StageCheck {
    has_shell: bool,
    has_workdir: bool,
    cmd: Option<Written>,
    entrypoint: Option<Written>,
    healthcheck: Option<Written>,
}

impl StageCheck {
    /// A stage on an image. `has_shell` is whether the image's configuration says which shell it
    /// has: then commands for the shell are meant to be so.
    #[must_use]
    pub fn of_image(has_shell: bool) -> Self {
        Self { has_shell, ..Self::default() }
    }

    /// A stage on another stage.
    #[must_use]
    pub fn of_stage(base: &Self) -> Self {
        Self { has_shell: base.has_shell, has_workdir: base.has_workdir, ..Self::default() }
    }

    /// Goes on by an instruction. `expanded` is it with the values of variables.
    pub fn instruction(
        &mut self,
        instruction: &Instruction,
        expanded: &InstructionKind,
        linter: &mut Linter,
    ) {
        let written = &instruction.written;
        match expanded {
            InstructionKind::Cmd(command) => {
                check_once(&mut self.cmd, written, linter);
                self.check_command(command, written, linter);
            }
            InstructionKind::Entrypoint(command) => {
                check_once(&mut self.entrypoint, written, linter);
                self.check_command(command, written, linter);
            }
            InstructionKind::Healthcheck(_) => {
                check_once(&mut self.healthcheck, written, linter);
            }
            InstructionKind::Shell(_) => self.has_shell = true,
            InstructionKind::Workdir(path) => {
                // The first relative one is reported; to mend it is to mend the others.
                if !self.has_workdir && !path.text.starts_with('/') {
                    let path = quoted(&path.text);
                    let message = format!(
                        "Relative workdir {path} can have unexpected results if the base image \
                         changes"
                    );
                    linter.report(Rule::WorkdirRelativePath, written, message);
                }
                self.has_workdir = true;
            }
            InstructionKind::Env(pairs) => {
                check_form(pairs, written, linter);
                for pair in &pairs.pairs {
                    check_secret("ENV", &pair.key, written, linter);
                }
            }
            InstructionKind::Label(pairs) => check_form(pairs, written, linter),
            InstructionKind::Arg(args) => {
                for arg in args {
                    check_secret("ARG", &arg.name, written, linter);
                }
            }
            InstructionKind::Expose(words) => {
                for word in words {
                    check_port(&word.text, written, linter);
                }
            }
            _ => {}
        }
    }

    fn check_command(&self, command: &CommandLine, written: &Written, linter: &mut Linter) {
        if self.has_shell || matches!(command, CommandLine::Exec(_)) {
            return;
        }
        let message = format!(
            "JSON arguments recommended for {} to prevent unintended behavior related to OS \
             signals",
            written.keyword
        );
        linter.report(Rule::JsonArgsRecommended, written, message);
    }
}

/// Of two of a kind, the first is the one without effect.
fn check_once(before: &mut Option<Written>, written: &Written, linter: &mut Linter) {
    if let Some(before) = before.replace(written.clone()) {
        let message = format!(
            "Multiple {} instructions should not be used in the same stage because only the last \
             one will be used",
            written.keyword
        );
        linter.report(Rule::MultipleInstructionsDisallowed, &before, message);
    }
}

fn check_form(pairs: &Pairs, written: &Written, linter: &mut Linter) {
    if pairs.form == PairForm::Space {
        let name = &written.keyword;
        let message = format!(
            r#""{name} key=value" should be used instead of legacy "{name} key value" format"#
        );
        linter.report(Rule::LegacyKeyValueFormat, written, message);
    }
}

fn check_secret(instruction: &str, name: &str, written: &Written, linter: &mut Linter) {
    if is_secret(name) {
        let name = quoted(name);
        let message =
            format!("Do not use ARG or ENV instructions for sensitive data ({instruction} {name})");
        linter.report(Rule::SecretsUsedInArgOrEnv, written, message);
    }
}

fn check_port(word: &str, written: &Written, linter: &mut Linter) {
    let Ok(port) = PortSpec::parse(word) else { return };
    if port.protocol != port.protocol.to_lowercase() {
        let message =
            format!("Defined protocol '{word}' in EXPOSE instruction should be lowercase");
        linter.report(Rule::ExposeProtoCasing, written, message);
    }
    if port.has_host {
        let message = format!(
            "EXPOSE instruction should not define an IP address or host-port mapping, found \
             '{word}'"
        );
        linter.report(Rule::ExposeInvalidFormat, written, message);
    }
}
