//! Commands that speak of registries.

use crate::flags::{Kind, flag};
use crate::image::transfer;
use crate::registry::{login, manifest, search};

use super::{Arity, Command, FILTER, FORMAT, NO_TRUNC, command};
use Kind::{Bool, Int, Str, Strings};

const INSECURE: crate::flags::Flag =
    flag("insecure", Bool, "Take the registry without TLS, or with any certificate");

pub(super) static PUSH: Command = command(
    "[OPTIONS] NAME[:TAG]",
    "Upload an image to a registry",
    Arity::Exact(1),
    &[&[
        flag("all-tags", Bool, "Push all tags of the repository").short('a'),
        flag("disable-content-trust", Bool, "Skip image signing").default("true").hidden(),
        flag("platform", Str, "Push only if the image is for this platform, without its index")
            .since("1.46"),
        flag("quiet", Bool, "Print the name only").short('q'),
    ]],
    |call| Box::pin(transfer::push(call)),
);
pub(super) static LOGIN: Command = command(
    "[OPTIONS] [SERVER]",
    "Log in to a registry, Docker Hub without a name",
    Arity::AtMost(1),
    &[&[
        flag("password", Str, "Password or access token").short('p'),
        flag("password-stdin", Bool, "Take the password from STDIN"),
        flag("username", Str, "User name").short('u'),
    ]],
    |call| Box::pin(login::login(call)),
);
pub(super) static LOGOUT: Command = command(
    "[SERVER]",
    "Log out from a registry, Docker Hub without a name",
    Arity::AtMost(1),
    &[],
    |call| Box::pin(login::logout(call)),
);
pub(super) static SEARCH: Command = command(
    "[OPTIONS] TERM",
    "Search Docker Hub for images, or the registry that TERM begins with",
    Arity::Exact(1),
    &[&[FILTER, FORMAT, flag("limit", Int, "Most results to show").default("0"), NO_TRUNC]],
    |call| Box::pin(search::search(call)),
);
pub(super) static MANIFEST_INSPECT: Command = command(
    "[OPTIONS] [MANIFEST_LIST] MANIFEST",
    "Show a manifest, or a list of manifests",
    Arity::Between(1, 2),
    &[&[INSECURE, flag("verbose", Bool, "Show platforms and layers too").short('v')]],
    |call| Box::pin(manifest::inspect(call)),
);
pub(super) static MANIFEST_CREATE: Command = command(
    "MANIFEST_LIST MANIFEST [MANIFEST...]",
    "Begin a list of manifests here, to be pushed",
    Arity::AtLeast(2),
    &[&[flag("amend", Bool, "Change a list that is here already").short('a'), INSECURE]],
    |call| Box::pin(manifest::create(call)),
);
pub(super) static MANIFEST_ANNOTATE: Command = command(
    "[OPTIONS] MANIFEST_LIST MANIFEST",
    "Say more of a manifest in a list",
    Arity::Exact(2),
    &[&[
        flag("arch", Str, "Architecture"),
        flag("os", Str, "Operating system"),
        flag("os-features", Strings, "Features of the operating system"),
        flag("os-version", Str, "Version of the operating system"),
        flag("variant", Str, "Variant of the architecture"),
    ]],
    |call| Box::pin(manifest::annotate(call)),
);
pub(super) static MANIFEST_PUSH: Command = command(
    "[OPTIONS] MANIFEST_LIST",
    "Push a list of manifests",
    Arity::Exact(1),
    &[&[INSECURE, flag("purge", Bool, "Remove the list here once it is pushed").short('p')]],
    |call| Box::pin(manifest::push(call)),
);
pub(super) static MANIFEST_REMOVE: Command = command(
    "MANIFEST_LIST [MANIFEST_LIST...]",
    "Remove lists of manifests from here",
    Arity::AtLeast(1),
    &[],
    |call| Box::pin(manifest::remove(call)),
);
