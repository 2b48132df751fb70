//! Commands on images.

use crate::flags::{Kind, flag};
use crate::image::{list, manage, remote, transfer};

use super::{
    Arity, Command, FILTER, FORCE, FORMAT, FORMAT_PLAIN, NO_TRUNC, PRUNE_FILTER, QUIET, command,
};
use Kind::{Bool, List, Str, Strings};

const PLATFORM_HELP: &str = "Platform, as os[/arch[/variant]]";

pub(super) static LIST: Command = command(
    "[OPTIONS] [REPOSITORY[:TAG]]",
    "List images",
    Arity::AtMost(1),
    &[&[
        flag("all", Bool, "Show intermediate images too").short('a'),
        flag("digests", Bool, "Show digests"),
        FILTER,
        FORMAT,
        NO_TRUNC,
        QUIET,
        flag("tree", Bool, "Show the platforms of every image").since("1.47").hidden(),
    ]],
    |call| Box::pin(list::images(call)),
);
pub(super) static HISTORY: Command = command(
    "[OPTIONS] IMAGE",
    "Show an image's history",
    Arity::Exact(1),
    &[&[
        FORMAT,
        flag("human", Bool, "Print sizes and times for people").short('H').default("true"),
        NO_TRUNC,
        flag("platform", Str, PLATFORM_HELP).since("1.48"),
        QUIET,
    ]],
    |call| Box::pin(list::history(call)),
);
pub(super) static IMPORT: Command = command(
    "[OPTIONS] file|URL|- [REPOSITORY[:TAG]]",
    "Make an image of a file system's tar archive",
    Arity::AtLeast(1),
    &[&[
        flag("change", List, "Apply a Dockerfile instruction").short('c'),
        flag("message", Str, "Commit message").short('m'),
        flag("platform", Str, PLATFORM_HELP).since("1.32"),
    ]],
    |call| Box::pin(transfer::import(call)),
);
pub(super) static INSPECT: Command = command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Show images in every detail",
    Arity::AtLeast(1),
    &[&[FORMAT_PLAIN, flag("platform", Str, PLATFORM_HELP).since("1.49")]],
    |call| Box::pin(crate::inspect::images(call)),
);
pub(super) static LOAD: Command = command(
    "[OPTIONS]",
    "Load images from a tar archive or STDIN",
    Arity::None,
    &[&[
        flag("input", Str, "Read from a file, not from STDIN").short('i'),
        flag("platform", Strings, PLATFORM_HELP).since("1.48"),
        flag("quiet", Bool, "Do not print progress").short('q'),
    ]],
    |call| Box::pin(transfer::load(call)),
);
pub(super) static PRUNE: Command = command(
    "[OPTIONS]",
    "Remove unused images",
    Arity::None,
    &[&[
        flag("all", Bool, "Remove all unused images, not only dangling ones").short('a'),
        PRUNE_FILTER,
        FORCE,
    ]],
    |call| Box::pin(crate::prune::images(call)),
);
pub(super) static PULL: Command = command(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Download an image from a registry",
    Arity::Exact(1),
    &[&[
        flag("all-tags", Bool, "Download all tags").short('a'),
        flag("disable-content-trust", Bool, "Skip image verification").default("true").hidden(),
        flag("platform", Str, PLATFORM_HELP).since("1.32"),
        flag("quiet", Bool, "Print the name only").short('q'),
    ]],
    |call| Box::pin(remote::pull(call)),
);
pub(super) static REMOVE: Command = command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Remove images",
    Arity::AtLeast(1),
    &[&[
        flag("force", Bool, "Remove even if it is in use").short('f'),
        flag("no-prune", Bool, "Keep parents without a name"),
        flag("platform", Strings, PLATFORM_HELP).since("1.50"),
    ]],
    |call| Box::pin(manage::rmi(call)),
);
pub(super) static SAVE: Command = command(
    "[OPTIONS] IMAGE [IMAGE...]",
    "Write images as a tar archive",
    Arity::AtLeast(1),
    &[&[
        flag("output", Str, "Write to a file, not to STDOUT").short('o'),
        flag("platform", Strings, PLATFORM_HELP).since("1.48"),
    ]],
    |call| Box::pin(transfer::save(call)),
);
pub(super) static TAG: Command = command(
    "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    "Give an image another name",
    Arity::Exact(2),
    &[],
    |call| Box::pin(manage::tag(call)),
);
