//! Flags in the manner of Go's pflag, which Docker's command line is made of.
//!
//! Ready-made parsers differ from it where scripts notice: `--rm=false`, `-it`, `-m=1g`, flags
//! ending at the first argument of `run`, and the wording of every error. So the parser is ours
//! and works straight from static tables, which also makes starting it free.

use std::collections::BTreeMap;

use crate::values;

/// What a flag takes, and how help names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Str,
    Int,
    Uint,
    Uint16,
    Bytes,
    Decimal,
    Duration,
    List,
    Strings,
    Map,
    Filter,
    /// A list whose help names its own type.
    Named(&'static str),
}

/// Checks a value as it is read; the error is the part behind `flag: `.
pub(crate) type Check = fn(&str) -> Result<(), String>;

/// One flag.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Flag {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) kind: Kind,
    /// What it is without being given; help shows it.
    pub(crate) default: &'static str,
    pub(crate) usage: &'static str,
    pub(crate) hidden: bool,
    /// API version that it needs.
    pub(crate) since: Option<&'static str>,
    pub(crate) check: Option<Check>,
    /// The flag that this one is another name of: the values of both are one list, in order.
    pub(crate) other_name_of: Option<&'static str>,
}

/// Makes a flag.
pub(crate) const fn flag(long: &'static str, kind: Kind, usage: &'static str) -> Flag {
    Flag {
        long,
        short: None,
        kind,
        default: "",
        usage,
        hidden: false,
        since: None,
        check: None,
        other_name_of: None,
    }
}

impl Flag {
    pub(crate) const fn short(self, short: char) -> Self {
        Self { short: Some(short), ..self }
    }

    pub(crate) const fn default(self, default: &'static str) -> Self {
        Self { default, ..self }
    }

    pub(crate) const fn hidden(self) -> Self {
        Self { hidden: true, ..self }
    }

    pub(crate) const fn since(self, version: &'static str) -> Self {
        Self { since: Some(version), ..self }
    }

    pub(crate) const fn check(self, check: Check) -> Self {
        Self { check: Some(check), ..self }
    }

    pub(crate) const fn other_name_of(self, name: &'static str) -> Self {
        Self { other_name_of: Some(name), hidden: true, ..self }
    }

    /// How error texts name it: `-m, --memory`.
    fn display(&self) -> String {
        match self.short {
            Some(short) => format!("-{short}, --{}", self.long),
            None => format!("--{}", self.long),
        }
    }

    fn validate(&self, value: &str) -> Result<(), String> {
        let result = match self.kind {
            Kind::Bool => values::go_bool(value).map(drop),
            Kind::Int => values::go_int(value, 64).map(drop),
            Kind::Uint => values::go_uint(value, 64).map(drop),
            Kind::Uint16 => values::go_uint(value, 16).map(drop),
            Kind::Bytes => values::bytes(value).map(drop),
            Kind::Decimal => values::nano_cpus(value).map(drop),
            Kind::Duration => values::duration(value).map(drop),
            Kind::Filter => values::filter(value).map(drop),
            _ => Ok(()),
        };
        let result = result.and_then(|()| self.check.map_or(Ok(()), |check| check(value)));
        result.map_err(|why| {
            format!("invalid argument {} for {} flag: {why}", quote(value), quote(&self.display()))
        })
    }
}

fn quote(text: &str) -> String {
    gantry_gotext::quote(text)
}

/// The flags that were given.
#[derive(Debug, Default, Clone)]
pub(crate) struct Flags {
    given: BTreeMap<&'static str, Vec<String>>,
    defaults: BTreeMap<&'static str, &'static str>,
}

impl Flags {
    /// The last value given, or the default.
    pub(crate) fn text(&self, name: &str) -> &str {
        match self.given.get(name).and_then(|values| values.last()) {
            Some(value) => value,
            None => self.defaults.get(name).copied().unwrap_or(""),
        }
    }

    /// All values given.
    pub(crate) fn list(&self, name: &str) -> &[String] {
        self.given.get(name).map_or(&[], Vec::as_slice)
    }

    /// All values given, each split at its commas; an empty value is none.
    pub(crate) fn strings(&self, name: &str) -> Vec<String> {
        let given = self.list(name).iter().filter(|value| !value.is_empty());
        given.flat_map(|value| value.split(',')).map(str::to_owned).collect()
    }

    pub(crate) fn is_on(&self, name: &str) -> bool {
        values::go_bool(self.text(name)).unwrap_or(false)
    }

    pub(crate) fn is_given(&self, name: &str) -> bool {
        self.given.contains_key(name)
    }

    /// An integer; the parser has checked it.
    pub(crate) fn int(&self, name: &str) -> i64 {
        values::go_int(self.text(name), 64).unwrap_or(0)
    }

    /// A size in bytes; the parser has checked it.
    pub(crate) fn bytes(&self, name: &str) -> i64 {
        values::bytes(self.text(name)).unwrap_or(0)
    }

    /// Names of the flags given.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.given.keys().copied()
    }
}

/// Flags and what is left, or the wish for help.
#[derive(Debug)]
pub(crate) enum Parsed {
    Run(Flags, Vec<String>),
    Help,
}

/// Parses `args`. If not `mixed`, flags end at the first argument.
pub(crate) fn parse(table: &[&[Flag]], args: &[String], mixed: bool) -> Result<Parsed, String> {
    let mut flags = Flags::default();
    for known in table.iter().copied().flatten() {
        flags.defaults.insert(known.long, known.default);
    }
    let mut rest = Vec::new();
    let mut args = args.iter();
    while let Some(arg) = args.next() {
        if arg == "--" {
            rest.extend(args.cloned());
            break;
        }
        if let Some(long) = arg.strip_prefix("--") {
            if long == "help" {
                return Ok(Parsed::Help);
            }
            parse_long(table, long, arg, &mut args, &mut flags)?;
        } else if arg.len() > 1 && arg.starts_with('-') {
            if parse_short(table, &arg[1..], &mut args, &mut flags)? {
                return Ok(Parsed::Help);
            }
        } else {
            rest.push(arg.clone());
            if !mixed {
                rest.extend(args.cloned());
                break;
            }
        }
    }
    Ok(Parsed::Run(flags, rest))
}

fn parse_long<'a>(
    table: &[&[Flag]],
    long: &str,
    arg: &str,
    args: &mut impl Iterator<Item = &'a String>,
    flags: &mut Flags,
) -> Result<(), String> {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    if name.is_empty() || name.starts_with('-') {
        return Err(format!("bad flag syntax: {arg}"));
    }
    let known = table.iter().copied().flatten().find(|known| known.long == name);
    let Some(known) = known else { return Err(format!("unknown flag: --{name}")) };
    let value = match (value, known.kind) {
        (Some(value), _) => value.to_owned(),
        (None, Kind::Bool) => "true".to_owned(),
        (None, _) => match args.next() {
            Some(value) => value.clone(),
            None => return Err(format!("flag needs an argument: --{name}")),
        },
    };
    add(flags, known, value)
}

/// Reads the letters of `-xyz`; true if one of them asks for help.
fn parse_short<'a>(
    table: &[&[Flag]],
    letters: &str,
    args: &mut impl Iterator<Item = &'a String>,
    flags: &mut Flags,
) -> Result<bool, String> {
    let mut rest = letters;
    while let Some(letter) = rest.chars().next() {
        let shown = rest;
        rest = &rest[letter.len_utf8()..];
        let found = table.iter().copied().flatten().find(|known| known.short == Some(letter));
        let Some(known) = found else {
            if letter == 'h' {
                return Ok(true);
            }
            return Err(format!("unknown shorthand flag: '{letter}' in -{shown}"));
        };
        let value = if let Some(value) = rest.strip_prefix('=') {
            rest = "";
            value.to_owned()
        } else if known.kind == Kind::Bool {
            "true".to_owned()
        } else if !rest.is_empty() {
            std::mem::take(&mut rest).to_owned()
        } else {
            match args.next() {
                Some(value) => value.clone(),
                None => return Err(format!("flag needs an argument: '{letter}' in -{shown}")),
            }
        };
        add(flags, known, value)?;
    }
    Ok(false)
}

fn add(flags: &mut Flags, known: &Flag, value: String) -> Result<(), String> {
    known.validate(&value)?;
    flags.given.entry(known.other_name_of.unwrap_or(known.long)).or_default().push(value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &[Flag] = &[
        flag("net", Kind::List, "").other_name_of("network"),
        flag("network", Kind::List, ""),
        flag("memory", Kind::Bytes, "").short('m'),
        flag("rm", Kind::Bool, ""),
        flag("interactive", Kind::Bool, "").short('i'),
        flag("tty", Kind::Bool, "").short('t'),
        flag("env", Kind::List, "").short('e'),
    ];

    fn run(args: &[&str], mixed: bool) -> String {
        let args: Vec<String> = args.iter().map(|&arg| arg.to_owned()).collect();
        match parse(&[TABLE], &args, mixed) {
            Ok(Parsed::Run(flags, rest)) => format!("{:?} {rest:?}", flags.given),
            Ok(Parsed::Help) => "help".into(),
            Err(error) => error,
        }
    }

    #[test]
    fn parses_as_pflag_does() {
        for (args, mixed, want) in [
            (
                &["-it", "x", "-y"][..],
                false,
                r#"{"interactive": ["true"], "tty": ["true"]} ["x", "-y"]"#,
            ),
            (&["x", "--rm=false", "-m1g"], true, r#"{"memory": ["1g"], "rm": ["false"]} ["x"]"#),
            (
                &["-e", "A=b", "-eC", "-e=D", "--", "-m"],
                true,
                r#"{"env": ["A=b", "C", "D"]} ["-m"]"#,
            ),
            (&["-"], true, r#"{} ["-"]"#),
            (&["--net", "a", "--network=b", "--net=c"], true, r#"{"network": ["a", "b", "c"]} []"#),
            (&["--nope"], true, "unknown flag: --nope"),
            (&["-itZ"], true, "unknown shorthand flag: 'Z' in -Z"),
            (&["--memory"], true, "flag needs an argument: --memory"),
            (&["-im"], true, "flag needs an argument: 'm' in -m"),
            (
                &["-m", "abc"],
                true,
                r#"invalid argument "abc" for "-m, --memory" flag: invalid size: 'abc'"#,
            ),
            (
                &["--rm=x"],
                true,
                r#"invalid argument "x" for "--rm" flag: strconv.ParseBool: parsing "x": invalid syntax"#,
            ),
            (&["-h"], true, "help"),
            (&["a", "--help"], true, "help"),
        ] {
            assert_eq!(run(args, mixed), want, "{args:?}");
        }
    }
}
