//! The command line as data: commands, groups, flags and what they take.

mod build;
mod container;
mod create;
mod image;
mod registry;
mod rest;
mod system;
pub(crate) mod tree;

use std::pin::Pin;

use crate::app::{Call, Outcome};
use crate::flags::{Flag, Kind, flag};

pub(crate) use tree::{Entry, GROUPS, Group, TOP};

/// How many arguments a command takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arity {
    None,
    Exact(usize),
    AtLeast(usize),
    AtMost(usize),
    Between(usize, usize),
}

/// What a command does.
pub(crate) type Handler = for<'a> fn(&'a Call<'a>) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// One command, under however many names.
pub(crate) struct Command {
    /// What stands behind its name in the usage line.
    pub(crate) usage: &'static str,
    pub(crate) about: &'static str,
    pub(crate) arity: Arity,
    pub(crate) flags: &'static [&'static [Flag]],
    /// Whether flags may stand behind arguments.
    pub(crate) mixed: bool,
    /// Whether it takes its arguments as they are, flags and all.
    pub(crate) raw: bool,
    pub(crate) run: Handler,
}

/// A command whose flags may stand anywhere.
pub(crate) const fn command(
    usage: &'static str,
    about: &'static str,
    arity: Arity,
    flags: &'static [&'static [Flag]],
    run: Handler,
) -> Command {
    Command { usage, about, arity, flags, mixed: true, raw: false, run }
}

impl Command {
    /// Flags end at the first argument.
    const fn ordered(self) -> Self {
        Self { mixed: false, ..self }
    }

    /// Arguments are taken as they are.
    const fn raw(self) -> Self {
        Self { raw: true, ..self }
    }
}

pub(crate) const FORMAT_HELP: &str = "Print by a template:\n'table':            Columns under a header (default)\n'table TEMPLATE':   Columns of your own\n'json':             One JSON document a row\n'TEMPLATE':         A Go template for each row";
pub(crate) const FORMAT_PLAIN_HELP: &str =
    "Print by a template:\n'json':             As JSON\n'TEMPLATE':         By a Go template";

const FORMAT: Flag = flag("format", Kind::Str, FORMAT_HELP);
const FORMAT_PLAIN: Flag = flag("format", Kind::Str, FORMAT_PLAIN_HELP).short('f');
const FILTER: Flag = flag("filter", Kind::Filter, "Show only what matches").short('f');
const QUIET: Flag = flag("quiet", Kind::Bool, "Print IDs only").short('q');
const NO_TRUNC: Flag = flag("no-trunc", Kind::Bool, "Print everything in full length");
const FORCE: Flag = flag("force", Kind::Bool, "Do not ask for confirmation").short('f');
const PRUNE_FILTER: Flag =
    flag("filter", Kind::Filter, "Remove only what matches, as in \"until=24h\"");
const DETACH_KEYS: Flag =
    flag("detach-keys", Kind::Str, "Keys that detach, instead of ctrl-p,ctrl-q");

/// Flags that stand before the command.
pub(crate) const GLOBAL: &[Flag] = &[
    flag("config", Kind::Str, "Directory of the client's configuration"),
    flag("context", Kind::Str, "Context to use, over DOCKER_HOST and \"context use\"").short('c'),
    flag("debug", Kind::Bool, "Print what is being done").short('D'),
    flag("host", Kind::List, "Daemon's socket").short('H'),
    flag(
        "log-level",
        Kind::Str,
        "Logging level (\"debug\", \"info\", \"warn\", \"error\", \"fatal\")",
    )
    .short('l')
    .default("info"),
    flag("tls", Kind::Bool, "Use TLS; --tlsverify implies it"),
    flag("tlscacert", Kind::Str, "Authority to trust, and no other"),
    flag("tlscert", Kind::Str, "TLS certificate"),
    flag("tlskey", Kind::Str, "Key of the TLS certificate"),
    flag("tlsverify", Kind::Bool, "Use TLS and verify the daemon"),
    flag("version", Kind::Bool, "Print the version and quit").short('v'),
];
