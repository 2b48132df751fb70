//! Commands on the daemon, on contexts and for the shell.

use crate::flags::{Kind, flag};
use crate::system::{completion, context, df, events, info, version};

use super::{Arity, Command, FILTER, FORCE, FORMAT, FORMAT_PLAIN, PRUNE_FILTER, command};
use Kind::{Bool, Named, Str};

pub(super) static INSPECT: Command = command(
    "[OPTIONS] NAME|ID [NAME|ID...]",
    "Show objects in every detail",
    Arity::AtLeast(1),
    &[&[
        FORMAT_PLAIN,
        flag("size", Bool, "Show sizes of containers").short('s'),
        flag("type", Str, "Look for this type only"),
    ]],
    |call| Box::pin(crate::inspect::any(call)),
);
pub(super) static VERSION: Command =
    command("[OPTIONS]", "Show versions", Arity::None, &[&[FORMAT_PLAIN]], |call| {
        Box::pin(version::version(call))
    });
pub(super) static INFO: Command = command(
    "[OPTIONS]",
    "Show the daemon's state and settings",
    Arity::None,
    &[&[FORMAT_PLAIN]],
    |call| Box::pin(info::info(call)),
);
pub(super) static EVENTS: Command = command(
    "[OPTIONS]",
    "Print events as they happen",
    Arity::None,
    &[&[
        FILTER,
        flag("format", Str, super::FORMAT_PLAIN_HELP),
        flag("since", Str, "Begin with events from this time on"),
        flag("until", Str, "End at this time"),
    ]],
    |call| Box::pin(events::events(call)),
);
pub(super) static DF: Command = command(
    "[OPTIONS]",
    "Show what takes space",
    Arity::None,
    &[&[FORMAT, flag("verbose", Bool, "Show every object").short('v')]],
    |call| Box::pin(df::df(call)),
);
pub(super) static PRUNE: Command = command(
    "[OPTIONS]",
    "Remove what is not used",
    Arity::None,
    &[&[
        flag("all", Bool, "Remove all unused images, not only dangling ones").short('a'),
        PRUNE_FILTER,
        FORCE,
        flag("volumes", Bool, "Remove anonymous volumes too"),
    ]],
    |call| Box::pin(crate::prune::system(call)),
);
pub(super) static DIAL: Command = command(
    "",
    "Join the standard streams to the daemon's connection; not for use by hand",
    Arity::None,
    &[],
    |call| Box::pin(info::dial_stdio(call)),
);
pub(super) static CONTEXT_LIST: Command = command(
    "[OPTIONS]",
    "List contexts",
    Arity::None,
    &[&[FORMAT, flag("quiet", Bool, "Print names only").short('q')]],
    |call| Box::pin(context::list(call)),
);
pub(super) static CONTEXT_CREATE: Command = command(
    "[OPTIONS] CONTEXT",
    "Create a context",
    Arity::Exact(1),
    &[&[
        flag("description", Str, "Description"),
        flag("docker", Named("stringToString"), "Endpoint (host=,ca=,cert=,key=,skip-tls-verify=)"),
        flag("from", Str, "Copy this context"),
    ]],
    |call| Box::pin(context::create(call)),
);
pub(super) static CONTEXT_UPDATE: Command = command(
    "[OPTIONS] CONTEXT",
    "Change a context",
    Arity::Exact(1),
    &[&[
        flag("description", Str, "Description"),
        flag("docker", Named("stringToString"), "Endpoint (host=,ca=,cert=,key=,skip-tls-verify=)"),
    ]],
    |call| Box::pin(context::update(call)),
);
pub(super) static CONTEXT_USE: Command =
    command("CONTEXT", "Make a context the current one", Arity::Exact(1), &[], |call| {
        Box::pin(context::select(call))
    });
pub(super) static CONTEXT_SHOW: Command =
    command("", "Print the current context's name", Arity::None, &[], |call| {
        Box::pin(context::show(call))
    });
pub(super) static CONTEXT_INSPECT: Command = command(
    "[OPTIONS] [CONTEXT] [CONTEXT...]",
    "Show contexts in every detail",
    Arity::AtLeast(0),
    &[&[FORMAT_PLAIN]],
    |call| Box::pin(context::inspect(call)),
);
pub(super) static CONTEXT_REMOVE: Command = command(
    "CONTEXT [CONTEXT...]",
    "Remove contexts",
    Arity::AtLeast(1),
    &[&[flag("force", Bool, "Remove even the current one").short('f')]],
    |call| Box::pin(context::remove(call)),
);
pub(super) static COMPLETION: Command = command(
    "bash|zsh|fish",
    "Print a completion script for a shell",
    Arity::Exact(1),
    &[],
    |call| Box::pin(completion::script(call)),
);
pub(super) static COMPLETE: Command = command(
    "[ARG...]",
    "Print what may stand at the end of a command line",
    Arity::AtLeast(0),
    &[],
    |call| Box::pin(completion::complete(call)),
)
.raw();
