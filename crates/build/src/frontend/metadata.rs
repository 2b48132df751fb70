//! Instructions that change the configuration alone, and `WORKDIR`.

use gantry_dockerfile::{
    Arg, CommandLine, Healthcheck as Check, Instruction, Pairs, PortSpec, Word,
};
use gantry_image::changes;
use gantry_oci::{image::Empty, signal};

use super::{
    copying::owner,
    error::{At, PlanError},
    go_text, paths, words,
    work::Work,
};
use crate::graph::{MakeDirectory, Op};

/// Permissions of working directories.
const DIRECTORY_MODE: u32 = 0o755;

impl Work<'_, '_> {
    pub(super) fn env(&mut self, pairs: &Pairs) {
        let mut entry = "ENV".to_owned();
        for pair in &pairs.pairs {
            entry.push_str(&format!(" {}={}", pair.key, pair.value));
            self.state.variables.set(&pair.key, &pair.value);
            self.state.config().set_env(&pair.key, &pair.value);
        }
        self.state.commit(entry);
    }

    pub(super) fn label(&mut self, pairs: &Pairs) {
        let mut entry = "LABEL".to_owned();
        for pair in &pairs.pairs {
            entry.push_str(&format!(" {}={}", pair.key, pair.value));
            self.state.config().labels.insert(pair.key.clone(), pair.value.clone());
        }
        self.state.commit(entry);
    }

    pub(super) fn arg(&mut self, args: &[Arg], instruction: &Instruction) -> Result<(), At> {
        let span = instruction.written.span;
        let mut texts = Vec::with_capacity(args.len());
        for arg in args {
            let given = self.planner.settings.args.get(&arg.name).cloned();
            let global = self.planner.global.get(&arg.name).cloned();
            let (value, own) = match (given, &arg.default) {
                (Some(given), _) => (Some(given), true),
                (None, Some(default)) => (Some(self.default_of(default, instruction)?), true),
                (None, None) => (global.clone(), global.is_none()),
            };
            if let Some(value) = &value {
                self.state.variables.set(&arg.name, value);
            }
            self.outline.declare(arg, value.as_deref().unwrap_or_default(), span, own);
            texts.push(match &value {
                Some(value) => format!("{}={value}", arg.name),
                None => arg.name.clone(),
            });
            self.state.build_args.push((arg.name.clone(), value.unwrap_or_default()));
        }
        self.state.commit(format!("ARG {}", texts.join(" ")));
        Ok(())
    }

    fn default_of(&mut self, default: &str, instruction: &Instruction) -> Result<String, At> {
        let escape = self.planner.dockerfile.escape;
        let value = words::word(default, escape, &self.state.variables)?;
        self.planner.findings.variables(&value.names, &self.state, &instruction.written);
        Ok(value.text)
    }

    pub(super) fn cmd(&mut self, line: &CommandLine) {
        let args = self.command_line(line);
        self.state.commit(format!("CMD {}", go_text::quoted_list(&args)));
        self.has_cmd = true;
        let config = self.state.config();
        config.cmd = Some(args);
        config.args_escaped = true;
    }

    pub(super) fn entrypoint(&mut self, line: &CommandLine) {
        let args = self.command_line(line);
        self.state.commit(format!("ENTRYPOINT {}", go_text::quoted_list(&args)));
        // A command that came with the base was meant for its entry point.
        let has_cmd = self.has_cmd;
        let config = self.state.config();
        config.entrypoint = Some(args);
        if !has_cmd {
            config.cmd = None;
        }
    }

    fn command_line(&mut self, line: &CommandLine) -> Vec<String> {
        match line {
            CommandLine::Exec(args) => args.clone(),
            CommandLine::Shell(text) => self.with_shell(text),
        }
    }

    /// A line as the shell is given it.
    pub(super) fn with_shell(&mut self, line: &str) -> Vec<String> {
        let mut args = self.state.config().line_shell();
        args.push(line.to_owned());
        args
    }

    pub(super) fn healthcheck(&mut self, check: &Check) {
        let check = changes::healthcheck(check.clone());
        self.state.commit(format!("HEALTHCHECK {}", go_text::healthcheck(&check)));
        self.state.config().healthcheck = Some(check);
    }

    pub(super) fn expose(&mut self, words: &[Word]) -> Result<(), At> {
        let mut all = Vec::new();
        for word in words {
            let ports = PortSpec::parse(&word.text).map_err(PlanError::Port)?;
            all.extend(ports.entries());
        }
        let config = self.state.config();
        config.exposed_ports.extend(all.iter().map(|port| (port.clone(), Empty {})));
        self.state.commit(format!("EXPOSE {}", go_text::list(&all)));
        Ok(())
    }

    pub(super) fn maintainer(&mut self, name: &str) {
        name.clone_into(&mut self.state.image.author);
        self.state.commit(format!("MAINTAINER {name}"));
    }

    pub(super) fn shell(&mut self, shell: &[String]) {
        self.state.config().shell = shell.to_vec();
        self.state.commit(format!("SHELL {}", go_text::list(shell)));
    }

    pub(super) fn stopsignal(&mut self, text: &str) -> Result<(), At> {
        signal::parse(text).map_err(PlanError::Signal)?;
        text.clone_into(&mut self.state.config().stop_signal);
        self.state.commit(format!("STOPSIGNAL {text}"));
        Ok(())
    }

    pub(super) fn user(&mut self, user: &str) {
        user.clone_into(&mut self.state.config().user);
        self.state.commit(format!("USER {user}"));
    }

    pub(super) fn volume(&mut self, words: &[Word]) -> Result<(), At> {
        let paths: Vec<String> = words.iter().map(|word| word.text.clone()).collect();
        if paths.iter().any(String::is_empty) {
            return Err(PlanError::BlankVolume.into());
        }
        self.state.config().volumes.extend(paths.iter().map(|path| (path.clone(), Empty {})));
        self.state.commit(format!("VOLUME {}", go_text::list(&paths)));
        Ok(())
    }

    pub(super) fn workdir(&mut self, path: &str, instruction: &Instruction) -> Result<(), At> {
        if path.is_empty() {
            return Err(PlanError::BlankDirectory.into());
        }
        let directory = paths::absolute(self.state.directory(), path);
        self.state.config().working_dir.clone_from(&directory);
        let entry = format!("WORKDIR {directory}");
        if directory == "/" {
            self.state.commit(entry);
            return Ok(());
        }
        let name = self.name_of(&instruction.written.text);
        let shown = self.shown(instruction, &name);
        let op = Op::MakeDirectory(MakeDirectory {
            base: self.state.vertex,
            path: directory,
            owner: owner(self.state.user()),
            mode: DIRECTORY_MODE,
            epoch_s: self.planner.epoch_s,
        });
        let vertex = self.planner.vertices.push(op, shown, self.fresh);
        self.state.commit_layer(entry, vertex);
        Ok(())
    }

    /// An instruction's text with its variables' values, for names; as it is if they are wrong.
    pub(super) fn name_of(&self, text: &str) -> String {
        let escape = self.planner.dockerfile.escape;
        match words::word(text, escape, &self.state.variables) {
            Ok(value) => value.text,
            Err(_) => text.to_owned(),
        }
    }
}
