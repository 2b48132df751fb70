//! Flags as runc takes them: `--name value`, `--name=value`, one dash or two.

use std::ffi::OsString;

/// One flag of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Flag {
    /// Its names, without dashes.
    pub(super) names: &'static [&'static str],
    /// Whether a value follows.
    pub(super) value: bool,
}

/// A flag with a value.
pub(super) const fn value(names: &'static [&'static str]) -> Flag {
    Flag { names, value: true }
}

/// A flag without one.
pub(super) const fn switch(names: &'static [&'static str]) -> Flag {
    Flag { names, value: false }
}

/// A parsed command line.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Parsed {
    flags: Vec<(&'static str, String)>,
    /// What is no flag.
    pub(super) rest: Vec<String>,
}

impl Parsed {
    /// The last value of a flag.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.flags.iter().rev().find(|(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    /// All values of a flag.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.flags.iter().filter(move |(flag, _)| *flag == name).map(|(_, value)| value.as_str())
    }

    /// Whether a switch is on.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|value| value != "false")
    }

    /// The flag's value as a number.
    pub(super) fn number<T: std::str::FromStr>(&self, name: &str) -> Result<Option<T>, String> {
        self.get(name)
            .map(|text| {
                text.parse()
                    .map_err(|_| format!("invalid value {text:?} for flag -{name}: parse error"))
            })
            .transpose()
    }
}

/// Parses arguments. With `stop` the first that is no flag ends the flags; otherwise flags may stand
/// anywhere before a `--`.
pub(super) fn parse(
    args: impl IntoIterator<Item = OsString>,
    flags: &[Flag],
    stop: bool,
) -> Result<Parsed, String> {
    let mut parsed = Parsed::default();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let arg = text(arg)?;
        let name = match arg.strip_prefix("--").or_else(|| arg.strip_prefix('-')) {
            Some("") if arg == "--" => break,
            Some(name) if !name.is_empty() => name,
            _ => {
                parsed.rest.push(arg);
                if stop {
                    break;
                }
                continue;
            }
        };
        let (name, given) = match name.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (name, None),
        };
        let flag = flags
            .iter()
            .find(|flag| flag.names.contains(&name))
            .ok_or_else(|| format!("flag provided but not defined: -{name}"))?;
        let value = match given {
            Some(value) => value,
            None if flag.value => match args.next() {
                Some(value) => text(value)?,
                None => return Err(format!("flag needs an argument: -{name}")),
            },
            None => String::new(),
        };
        parsed.flags.push((flag.names[0], value));
    }
    for arg in args {
        parsed.rest.push(text(arg)?);
    }
    Ok(parsed)
}

fn text(arg: OsString) -> Result<String, String> {
    arg.into_string().map_err(|arg| format!("argument {arg:?} is not UTF-8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_stand_before_and_between() {
        let flags = [value(&["bundle", "b"]), switch(&["force", "f"])];
        let run = |args: &[&str], stop| {
            parse(args.iter().map(OsString::from), &flags, stop)
                .map(|p| (p.get("bundle").map(str::to_owned), p.is_set("force"), p.rest))
        };
        let some = |s: &str| Some(s.to_owned());
        let list = |s: &[&str]| s.iter().map(ToString::to_string).collect::<Vec<_>>();
        for (args, stop, want) in [
            (&["-b", "x", "id"][..], false, Ok((some("x"), false, list(&["id"])))),
            (&["id", "--force", "-bundle=y"], false, Ok((some("y"), true, list(&["id"])))),
            (&["id", "ls", "-f"], true, Ok((None, false, list(&["id", "ls", "-f"])))),
            (&["--", "-f"], false, Ok((None, false, list(&["-f"])))),
            (&["-x"], false, Err("flag provided but not defined: -x".to_owned())),
            (&["-b"], false, Err("flag needs an argument: -b".to_owned())),
        ] {
            assert_eq!(run(args, stop), want, "{args:?}");
        }
    }
}
