//! The command line of an OCI runtime, as runc has it: commands, flags, files, exit codes.

mod args;
mod control;
mod executable;
mod foreground;
mod inspect;
mod launch;
mod processes;
mod spec;
mod state;

use std::error::Error;
use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use args::{Flag, switch, value};

/// Where state is kept unless `--root` says otherwise.
const DEFAULT_ROOT: &str = "/run/gantry/oci";

const GLOBAL: [Flag; 9] = [
    value(&["root"]),
    value(&["log"]),
    value(&["log-format"]),
    value(&["criu"]),
    value(&["rootless"]),
    switch(&["debug"]),
    switch(&["systemd-cgroup"]),
    switch(&["help", "h"]),
    switch(&["version", "v"]),
];

const USAGE: &str = "\
Usage: gantry oci [global options] COMMAND [options] [arguments]

Runs containers by the Open Container Initiative's runtime specification.

Commands:
  create    create a container
  delete    delete any resources held by a container
  events    display a container's resource usage
  exec      execute a further process inside a container
  features  show what this runtime can do
  kill      send a signal to a container (default: SIGTERM)
  list      list containers
  pause     suspend all processes of a container
  ps        display the processes of a container
  resume    resume a paused container
  run       create and start a container
  spec      write a new specification file
  start     run the program of a created container
  state     display the state of a container
  update    change a container's resource limits

Global options:
  --root DIR          where state is kept (default: /run/gantry/oci)
  --log FILE          where errors are written too
  --log-format FORMAT text (default) or json
  --debug             accepted
  --systemd-cgroup    not implemented
  --help, --version
";

/// What a command is given besides its own arguments.
#[derive(Debug)]
struct Context {
    root: PathBuf,
    /// This call's arguments, to be repeated when the executable is replaced by a protected copy.
    original: Vec<OsString>,
}

/// A command that failed: a sentence, and the exit code.
#[derive(Debug)]
struct Failed {
    text: String,
    code: u8,
}

impl Failed {
    fn new(text: impl Into<String>) -> Failed {
        Failed { text: text.into(), code: 1 }
    }

    /// Names what was tried in an I/O error.
    fn during<S: Into<String>>(text: impl FnOnce() -> S) -> impl FnOnce(io::Error) -> Failed {
        move |error| {
            let why = error.raw_os_error().map_or_else(|| error.to_string(), crate::reason);
            Failed::new(format!("{}: {why}", text().into()))
        }
    }

    /// An error with everything that it stems from.
    fn from_error(error: impl Error) -> Failed {
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let why = cause
                .downcast_ref::<io::Error>()
                .and_then(io::Error::raw_os_error)
                .map_or_else(|| cause.to_string(), crate::reason);
            text = format!("{text}: {why}");
            source = cause.source();
        }
        Failed::new(text)
    }

    /// A usage error.
    fn usage(text: impl Into<String>) -> Failed {
        Failed::new(text)
    }
}

impl From<String> for Failed {
    fn from(text: String) -> Failed {
        Failed::new(text)
    }
}

/// Runs the command line; `args` are those after `gantry oci`.
#[must_use]
pub fn main(args: Vec<OsString>) -> ExitCode {
    let parsed = match args::parse(args.iter().cloned(), &GLOBAL, true) {
        Ok(parsed) => parsed,
        Err(text) => return complain(None, false, &text, 1),
    };
    let log = parsed.get("log").filter(|path| !path.is_empty() && *path != "/dev/stderr");
    let json = parsed.get("log-format") == Some("json");
    let Some((name, rest)) = parsed.rest.split_first() else {
        return preface(parsed.is_set("version"));
    };
    if parsed.is_set("help") || parsed.is_set("version") || name == "help" {
        return preface(parsed.is_set("version"));
    }
    if let Some(format) = parsed.get("log-format").filter(|f| !matches!(*f, "text" | "json")) {
        return complain(log, false, &format!("invalid log-format: {format}"), 1);
    }
    if parsed.is_set("systemd-cgroup") {
        return complain(
            log,
            json,
            "--systemd-cgroup is not implemented: groups are made by file",
            1,
        );
    }
    let root = parsed.get("root").filter(|root| !root.is_empty()).unwrap_or(DEFAULT_ROOT);
    let context = Context { root: PathBuf::from(root), original: args.clone() };
    match dispatch(&context, name, rest) {
        Ok(code) => ExitCode::from(code),
        Err(failed) => complain(log, json, &format!("{name} failed: {}", failed.text), failed.code),
    }
}

fn dispatch(context: &Context, name: &str, rest: &[String]) -> Result<u8, Failed> {
    let rest: Vec<OsString> = rest.iter().map(OsString::from).collect();
    match name {
        "create" => launch::create(context, rest),
        "run" => launch::run(context, rest),
        "start" => launch::start(context, rest),
        "exec" => launch::exec(context, rest),
        "kill" => control::kill(context, rest),
        "delete" => control::delete(context, rest),
        "pause" => control::pause(context, rest),
        "resume" => control::resume(context, rest),
        "update" => control::update(context, rest),
        "state" => inspect::state(context, rest),
        "list" => inspect::list(context, rest),
        "events" => inspect::events(context, rest),
        "ps" => processes::ps(context, rest),
        "spec" => spec::spec(rest),
        "features" => spec::features(rest),
        "checkpoint" | "restore" => Err(Failed::new("checkpoint and restore are not implemented")),
        other => Err(Failed::usage(format!("no such command: {other}"))),
    }
}

fn preface(version: bool) -> ExitCode {
    let text = if version {
        format!("gantry oci version {}\nspec: {}\n", env!("CARGO_PKG_VERSION"), spec::VERSION)
    } else {
        USAGE.to_owned()
    };
    match say(&text) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

/// Writes to standard output.
fn say(text: &str) -> Result<(), Failed> {
    io::stdout().write_all(text.as_bytes()).map_err(Failed::during(|| "writing to standard output"))
}

/// Tells an error: to standard error, and in the log file if there is one.
fn complain(log: Option<&str>, json: bool, text: &str, code: u8) -> ExitCode {
    let line = |json: bool| {
        let time = state::now();
        if json {
            format!("{}\n", serde_json::json!({"level": "error", "msg": text, "time": time}))
        } else {
            format!("time=\"{time}\" level=error msg={text:?}\n")
        }
    };
    // An error that cannot be told has the exit code left.
    let _ = match log {
        None => io::stderr().write_all(line(json).as_bytes()),
        Some(path) => append(Path::new(path), &line(json))
            .and_then(|()| io::stderr().write_all(format!("{text}\n").as_bytes())),
    };
    ExitCode::from(code)
}

fn append(path: &Path, line: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes())
}

/// Parses the arguments of a command that takes one id.
fn one_id(rest: Vec<OsString>, flags: &[Flag]) -> Result<(args::Parsed, String), Failed> {
    let mut parsed = args::parse(rest, flags, false)?;
    if parsed.rest.len() != 1 {
        return Err(Failed::usage(format!(
            "exactly 1 argument is needed, got {}",
            parsed.rest.len()
        )));
    }
    let id = parsed.rest.remove(0);
    Ok((parsed, id))
}
