//! Changes to a configuration, written as Dockerfile instructions: `import --change`,
//! `commit --change`.

use gantry_dockerfile::{
    CommandLine, ExpandError, Expander, Healthcheck as Check, InstructionKind, ParseError,
    PortError, PortSpec, Word, parse_changes,
};
use gantry_fault::{Fault, Kind};
use gantry_oci::{ContainerConfig, Healthcheck, image::Empty};

/// Instructions that change a configuration.
const CHANGES: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];
/// What escapes and continues lines.
const ESCAPE: char = '\\';

/// Why a change is refused, in the words that a Dockerfile with it is refused in.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// It is none, or its arguments are wrong. Its line is not told: changes come one a flag.
    #[error("{}", .0.problem)]
    Instruction(ParseError),
    /// A quote or a substitution of a variable is wrong.
    #[error(transparent)]
    Expand(#[from] ExpandError),
    /// A port is none.
    #[error(transparent)]
    Port(#[from] PortError),
    /// A volume's path is empty once variables have their values.
    #[error("VOLUME specified can not be an empty string")]
    BlankVolume,
    /// So is the working directory.
    #[error("cannot normalize nothing")]
    BlankDirectory,
}

impl Fault for ChangeError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Instruction(error) => error.hint(),
            _ => None,
        }
    }
}

/// Applies changes in order; each may have several lines. Variables have the values that the
/// configuration's environment gives them at that point.
///
/// # Errors
/// The first wrong instruction; `config` may be changed in part then.
pub fn apply(config: &mut ContainerConfig, changes: &[String]) -> Result<(), ChangeError> {
    if changes.is_empty() {
        return Ok(());
    }
    let instructions =
        parse_changes(&changes.join("\n"), &CHANGES).map_err(ChangeError::Instruction)?;
    let mut command_set = false;
    for instruction in instructions {
        let kind = instruction.kind.expand(&mut Expander::new(ESCAPE, &config.env))?;
        command_set |= matches!(kind, InstructionKind::Cmd(_));
        change(config, kind, command_set)?;
    }
    Ok(())
}

/// A health check as configurations have it.
#[must_use]
pub fn healthcheck(check: Check) -> Healthcheck {
    let Check::Cmd(probe) = check else {
        return Healthcheck { test: vec!["NONE".to_owned()], ..Healthcheck::default() };
    };
    let test = match probe.command {
        CommandLine::Exec(args) => std::iter::once("CMD".to_owned()).chain(args).collect(),
        CommandLine::Shell(line) => vec!["CMD-SHELL".to_owned(), line],
    };
    Healthcheck {
        test,
        interval: probe.interval_ns,
        timeout: probe.timeout_ns,
        start_period: probe.start_period_ns,
        start_interval: probe.start_interval_ns,
        retries: i64::from(probe.retries),
    }
}

fn change(
    config: &mut ContainerConfig,
    kind: InstructionKind,
    command_set: bool,
) -> Result<(), ChangeError> {
    use InstructionKind as Kind;
    match kind {
        Kind::Cmd(line) => {
            config.cmd = Some(command(config, line));
            config.args_escaped = false;
        }
        Kind::Entrypoint(line) => {
            config.entrypoint = Some(command(config, line));
            // A command that came with the image was meant for its old entry point.
            if !command_set {
                config.cmd = None;
            }
        }
        Kind::Env(pairs) => {
            pairs.pairs.iter().for_each(|pair| config.set_env(&pair.key, &pair.value));
        }
        Kind::Expose(words) => {
            for word in words {
                let ports = PortSpec::parse(&word.text)?;
                config.exposed_ports.extend(ports.entries().map(|port| (port, Empty {})));
            }
        }
        Kind::Healthcheck(check) => config.healthcheck = Some(healthcheck(check)),
        Kind::Label(pairs) => {
            config.labels.extend(pairs.pairs.into_iter().map(|pair| (pair.key, pair.value)));
        }
        Kind::Onbuild(trigger) => config.on_build.push(trigger),
        Kind::Stopsignal(signal) => config.stop_signal = signal.text,
        Kind::User(user) => config.user = user.text,
        Kind::Volume(paths) => {
            if paths.iter().any(|path| path.text.is_empty()) {
                return Err(ChangeError::BlankVolume);
            }
            config.volumes.extend(paths.into_iter().map(|path| (path.text, Empty {})));
        }
        Kind::Workdir(path) => config.working_dir = directory(&config.working_dir, &path)?,
        // `parse_changes` lets no other through.
        Kind::Add(_)
        | Kind::Arg(_)
        | Kind::Copy(_)
        | Kind::Maintainer(_)
        | Kind::Run(_)
        | Kind::Shell(_) => {}
    }
    Ok(())
}

fn command(config: &ContainerConfig, line: CommandLine) -> Vec<String> {
    match line {
        CommandLine::Exec(args) => args,
        CommandLine::Shell(line) => {
            let line = Some(line).filter(|line| !line.is_empty());
            config.line_shell().into_iter().chain(line).collect()
        }
    }
}

fn directory(base: &str, path: &Word) -> Result<String, ChangeError> {
    let path = path.text.as_str();
    if path.is_empty() {
        return Err(ChangeError::BlankDirectory);
    }
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    Ok(format!("/{}", crate::layout::clean(&joined)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(lines: &[&str]) -> Result<ContainerConfig, ChangeError> {
        let mut config = ContainerConfig {
            cmd: Some(vec!["old".into()]),
            env: vec!["PATH=/bin".into()],
            working_dir: "/w".into(),
            ..Default::default()
        };
        let lines: Vec<String> = lines.iter().map(ToString::to_string).collect();
        apply(&mut config, &lines)?;
        Ok(config)
    }

    #[test]
    fn changes_apply() {
        let config = changed(&[
            "cmd [\"a\", \"b\"]",
            "ENV A=1 B=\"x y\" PATH=/sbin",
            "ENV C one two",
            "LABEL l=v m='n o'",
            "EXPOSE 80 90-91/udp",
            "VOLUME /data /more",
            "WORKDIR sub/../x",
            "USER 1:2",
            "STOPSIGNAL SIGINT",
            "ONBUILD RUN x",
            "HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f x",
        ])
        .unwrap();
        assert_eq!(config.cmd.unwrap(), ["a", "b"]);
        assert_eq!(config.env, ["PATH=/sbin", "A=1", "B=x y", "C=one two"]);
        assert_eq!(config.labels["m"], "n o");
        let ports: Vec<_> = config.exposed_ports.keys().cloned().collect();
        assert_eq!(ports, ["80/tcp", "90/udp", "91/udp"]);
        assert_eq!(config.volumes.len(), 2);
        assert_eq!(config.working_dir, "/w/x");
        let check = config.healthcheck.unwrap();
        assert_eq!((check.interval, check.retries), (90_000_000_000, 3));
        assert_eq!(check.test, ["CMD-SHELL", "curl -f x"]);
    }

    #[test]
    fn variables_have_their_values() {
        let config = changed(&[
            "ENV PATH=$PATH:/x OLD=${NONE:-none}",
            "ENV A=1 \\\n  B=2\nENV C=$A$B",
            "WORKDIR $A",
            "LABEL l=\"$A z\"",
            "EXPOSE $A",
            "CMD echo $A",
        ])
        .unwrap();
        assert_eq!(config.env, ["PATH=/bin:/x", "OLD=none", "A=1", "B=2", "C=12"]);
        assert_eq!(config.working_dir, "/w/1");
        assert_eq!(config.labels["l"], "1 z");
        assert!(config.exposed_ports.contains_key("1/tcp"));
        assert_eq!(config.cmd.unwrap(), ["/bin/sh", "-c", "echo $A"]);
    }

    #[test]
    fn entry_point_resets_the_command() {
        assert_eq!(changed(&["ENTRYPOINT x"]).unwrap().cmd, None);
        assert!(changed(&["CMD y", "ENTRYPOINT x"]).unwrap().cmd.is_some());
        assert_eq!(changed(&["ENTRYPOINT x"]).unwrap().entrypoint.unwrap(), ["/bin/sh", "-c", "x"]);
    }

    #[test]
    fn wrong_changes() {
        for (line, want) in [
            ("RUN x", "run is not a valid change command"),
            ("FROM x", "from is not a valid change command"),
            ("ENV", "ENV requires at least one argument"),
            ("FOO x", "foo is not a valid change command"),
            ("", "file with no instructions"),
            ("ENV x", "ENV must have two arguments"),
            ("ENV =x", "ENV names can not be blank"),
            (
                "ENV a='x",
                "failed to process \"'x\": unexpected end of statement while looking for \
                 matching single-quote",
            ),
            ("EXPOSE x", "invalid containerPort: x"),
            ("EXPOSE 1/x", "invalid port: \"1/x\": invalid proto: x"),
            ("EXPOSE 99999", "invalid containerPort: 99999"),
            ("VOLUME $none", "VOLUME specified can not be an empty string"),
            ("WORKDIR $none", "cannot normalize nothing"),
            ("HEALTHCHECK x", "Unknown type \"X\" in HEALTHCHECK (try CMD)"),
            ("HEALTHCHECK --interval=x CMD y", "time: invalid duration \"x\""),
        ] {
            assert_eq!(changed(&[line]).unwrap_err().to_string(), want);
        }
    }
}
