//! Changes to a configuration, written as Dockerfile instructions: `import --change`,
//! `commit --change`.

use gantry_fault::{Fault, Kind};
use gantry_oci::{ContainerConfig, Healthcheck, image::Empty};

/// Most ports that one range may stand for.
const PORTS_MAX: u32 = 65_536;

/// Why a change is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// An instruction that changes no configuration.
    #[error("{0} is not a valid change command")]
    NotAChange(String),
    /// An instruction without arguments.
    #[error("{0} requires at least one argument")]
    NoArguments(String),
    /// Arguments that the instruction does not take.
    #[error("{instruction}: {reason}: {text}")]
    Bad {
        /// The instruction.
        instruction: String,
        /// What is wrong.
        reason: &'static str,
        /// With what.
        text: String,
    },
}

impl Fault for ChangeError {
    fn kind(&self) -> Kind {
        Kind::InvalidArgument
    }
}

/// Applies changes in order; each may have several lines.
///
/// # Errors
/// The first wrong instruction; `config` may be changed in part then.
pub fn apply(config: &mut ContainerConfig, changes: &[String]) -> Result<(), ChangeError> {
    let mut command_set = false;
    for line in changes.iter().flat_map(|change| change.lines()) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (word, arguments) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let change = Change { instruction: word.to_uppercase(), arguments: arguments.trim() };
        command_set |= change.instruction == "CMD";
        change.apply(config, command_set)?;
    }
    Ok(())
}

struct Change<'a> {
    instruction: String,
    arguments: &'a str,
}

impl Change<'_> {
    fn apply(&self, config: &mut ContainerConfig, command_set: bool) -> Result<(), ChangeError> {
        let known = [
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
        if !known.contains(&self.instruction.as_str()) {
            return Err(ChangeError::NotAChange(self.instruction.to_lowercase()));
        }
        if self.arguments.is_empty() && !matches!(self.instruction.as_str(), "CMD" | "ENTRYPOINT") {
            return Err(ChangeError::NoArguments(self.instruction.clone()));
        }
        match self.instruction.as_str() {
            "CMD" => {
                config.cmd = Some(self.command(config));
                config.args_escaped = false;
            }
            "ENTRYPOINT" => {
                config.entrypoint = Some(self.command(config));
                // A command that came with the image was meant for its old entry point.
                if !command_set {
                    config.cmd = None;
                }
            }
            "ENV" => self
                .pairs()?
                .into_iter()
                .for_each(|(name, value)| set_env(&mut config.env, &name, &value)),
            "EXPOSE" => {
                for port in self.ports()? {
                    config.exposed_ports.insert(port, Empty {});
                }
            }
            "HEALTHCHECK" => config.healthcheck = Some(self.healthcheck(config)?),
            "LABEL" => config.labels.extend(self.pairs()?),
            "ONBUILD" => config.on_build.push(self.trigger()?),
            "STOPSIGNAL" => config.stop_signal = self.one()?,
            "USER" => config.user = self.one()?,
            "VOLUME" => {
                let volumes = self.json_list().map_or_else(|| self.words(), Ok)?;
                config.volumes.extend(volumes.into_iter().map(|path| (path, Empty {})));
            }
            _ => config.working_dir = join(&config.working_dir, &self.one()?),
        }
        Ok(())
    }

    fn bad(&self, reason: &'static str, text: &str) -> ChangeError {
        ChangeError::Bad { instruction: self.instruction.clone(), reason, text: text.to_owned() }
    }

    fn json_list(&self) -> Option<Vec<String>> {
        serde_json::from_str(self.arguments).ok()
    }

    /// The exec form if it is a JSON list of strings, else the shell form.
    fn command(&self, config: &ContainerConfig) -> Vec<String> {
        self.json_list().unwrap_or_else(|| in_shell(config, self.arguments))
    }

    fn one(&self) -> Result<String, ChangeError> {
        let words = self.words()?;
        Ok(words.join(" "))
    }

    fn words(&self) -> Result<Vec<String>, ChangeError> {
        split_words(self.arguments).ok_or_else(|| self.bad("unterminated quote", self.arguments))
    }

    /// `NAME=value …`, or the old form `NAME value`.
    fn pairs(&self) -> Result<Vec<(String, String)>, ChangeError> {
        let (first, rest) =
            self.arguments.split_once(char::is_whitespace).unwrap_or((self.arguments, ""));
        if !first.contains('=') {
            if rest.trim().is_empty() {
                return Err(self.bad("must have two arguments", self.arguments));
            }
            return Ok(vec![(first.to_owned(), rest.trim().to_owned())]);
        }
        let pair = |word: String| match word.split_once('=') {
            Some(("", _)) => Err(self.bad("names can not be blank", &word)),
            Some((name, value)) => Ok((name.to_owned(), value.to_owned())),
            None => Err(self.bad("must be of the form: name=value", &word)),
        };
        self.words()?.into_iter().map(pair).collect()
    }

    fn ports(&self) -> Result<Vec<String>, ChangeError> {
        let mut ports = Vec::new();
        for word in self.words()? {
            let invalid = || self.bad("invalid containerPort", &word);
            let (range, protocol) = word.split_once('/').unwrap_or((&word, "tcp"));
            let protocol = protocol.to_lowercase();
            if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
                return Err(self.bad("invalid proto", &protocol));
            }
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let number = |text: &str| text.parse::<u32>().ok().filter(|port| *port < PORTS_MAX);
            let (first, last) = number(first).zip(number(last)).ok_or_else(invalid)?;
            if first > last {
                return Err(invalid());
            }
            ports.extend((first..=last).map(|port| format!("{port}/{protocol}")));
        }
        Ok(ports)
    }

    fn trigger(&self) -> Result<String, ChangeError> {
        let word = self.arguments.split_whitespace().next().unwrap_or_default().to_uppercase();
        match word.as_str() {
            "ONBUILD" => {
                Err(self
                    .bad("chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", self.arguments))
            }
            "FROM" | "MAINTAINER" => Err(self.bad("isn't allowed as an ONBUILD trigger", &word)),
            _ => Ok(self.arguments.to_owned()),
        }
    }

    fn healthcheck(&self, config: &ContainerConfig) -> Result<Healthcheck, ChangeError> {
        let mut check = Healthcheck::default();
        let mut rest = self.arguments;
        while let Some(flag) = rest.strip_prefix("--") {
            let (flag, after) = flag.split_once(char::is_whitespace).unwrap_or((flag, ""));
            let (name, value) =
                flag.split_once('=').ok_or_else(|| self.bad("missing a value on flag", flag))?;
            let duration =
                || parse_duration(value).ok_or_else(|| self.bad("invalid duration", value));
            match name {
                "interval" => check.interval = duration()?,
                "timeout" => check.timeout = duration()?,
                "start-period" => check.start_period = duration()?,
                "start-interval" => check.start_interval = duration()?,
                "retries" => {
                    let retries = value.parse().ok().filter(|retries| *retries > 0);
                    check.retries =
                        retries.ok_or_else(|| self.bad("--retries must be at least 1", value))?;
                }
                _ => return Err(self.bad("unknown flag", name)),
            }
            rest = after.trim_start();
        }
        let (kind, command) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        check.test = match (kind.to_uppercase().as_str(), command.trim()) {
            ("NONE", "") => vec!["NONE".to_owned()],
            ("CMD", command) if !command.is_empty() => {
                match serde_json::from_str::<Vec<String>>(command) {
                    Ok(list) => ["CMD".to_owned()].into_iter().chain(list).collect(),
                    Err(_) if config.shell.is_empty() => {
                        vec!["CMD-SHELL".to_owned(), command.to_owned()]
                    }
                    Err(_) => {
                        ["CMD".to_owned()].into_iter().chain(in_shell(config, command)).collect()
                    }
                }
            }
            _ => return Err(self.bad("unknown type", rest)),
        };
        Ok(check)
    }
}

fn in_shell(config: &ContainerConfig, command: &str) -> Vec<String> {
    if command.is_empty() {
        return Vec::new();
    }
    let default = ["/bin/sh".to_owned(), "-c".to_owned()];
    let shell = if config.shell.is_empty() { &default[..] } else { &config.shell };
    shell.iter().cloned().chain([command.to_owned()]).collect()
}

fn set_env(env: &mut Vec<String>, name: &str, value: &str) {
    let entry = format!("{name}={value}");
    match env.iter_mut().find(|own| own.split_once('=').is_some_and(|(own, _)| own == name)) {
        Some(own) => *own = entry,
        None => env.push(entry),
    }
}

fn join(base: &str, path: &str) -> String {
    let joined = if path.starts_with('/') { path.to_owned() } else { format!("{base}/{path}") };
    format!("/{}", crate::layout::clean(&joined))
}

/// Splits at spaces; quotes and backslashes keep them. None if a quote is not closed.
fn split_words(text: &str) -> Option<Vec<String>> {
    let (mut words, mut word, mut open, mut started) = (Vec::new(), String::new(), None, false);
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (open, character) {
            (Some(quote), character) if character == quote => open = None,
            (Some('\''), character) => word.push(character),
            (_, '\\') => {
                started = true;
                word.extend(characters.next());
            }
            (None, '"' | '\'') => {
                started = true;
                open = Some(character);
            }
            (None, character) if character.is_whitespace() => {
                if std::mem::take(&mut started) {
                    words.push(std::mem::take(&mut word));
                }
            }
            (_, character) => {
                started = true;
                word.push(character);
            }
        }
    }
    if started {
        words.push(word);
    }
    open.is_none().then_some(words)
}

/// Go's durations in nanoseconds: `1h30m`, `1.5s`, `500ms`.
fn parse_duration(text: &str) -> Option<i64> {
    let mut rest = text;
    let mut total = 0.0_f64;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let number: f64 = rest[..digits].parse().ok()?;
        rest = &rest[digits..];
        let units = [("ns", 1.0), ("us", 1e3), ("ms", 1e6), ("s", 1e9), ("m", 60e9), ("h", 3600e9)];
        let (unit, scale) = units.into_iter().find(|(unit, _)| rest.starts_with(unit))?;
        total += number * scale;
        rest = &rest[unit.len()..];
    }
    #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
    (total > 0.0 && total < 9e18).then_some(total as i64)
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
            ("ENV x", "ENV: must have two arguments: x"),
            ("ENV =x", "ENV: names can not be blank: =x"),
            ("ENV a='x", "ENV: unterminated quote: a='x"),
            ("EXPOSE x", "EXPOSE: invalid containerPort: x"),
            ("EXPOSE 1/x", "EXPOSE: invalid proto: x"),
            ("EXPOSE 99999", "EXPOSE: invalid containerPort: 99999"),
            ("HEALTHCHECK x", "HEALTHCHECK: unknown type: x"),
        ] {
            assert_eq!(changed(&[line]).unwrap_err().to_string(), want);
        }
    }
}
