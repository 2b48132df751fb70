//! `build` under all its names, and commands on the build cache.

use crate::build;
use crate::container::body;
use crate::flags::{Flag, Kind, flag};

use super::{Arity, Command, FORCE, PRUNE_FILTER, command};
use Kind::{Bool, Bytes, Duration, Int, List, Named, Str, Strings};

/// A list whose values are taken as they are, commas and all.
const ARRAY: Kind = Named("stringArray");

/// Flags that `docker build` has with BuildKit.
const BUILD: &[Flag] = &[
    flag("add-host", List, "Add a line to the hosts file of steps (host:ip)")
        .check(body::check_host),
    flag("allow", ARRAY, "Allow steps more: \"network.host\", \"security.insecure\""),
    flag("annotation", ARRAY, "Set an annotation of the image's manifest"),
    flag("attest", ARRAY, "Attach an attestation (\"type=sbom\", \"type=provenance\")"),
    flag("build-arg", List, "Set a build argument"),
    flag("build-context", ARRAY, "Name a further context (name=path, URL or image)"),
    flag("builder", Str, "Builder to use; there is one, \"default\""),
    flag(
        "cache-from",
        ARRAY,
        "Take results from this cache (\"image:tag\", \"type=local,src=path\")",
    ),
    flag("cache-to", ARRAY, "Put results into this cache (\"type=local,dest=path\")"),
    flag("call", Str, "What is wanted: \"build\", \"check\", \"outline\", \"targets\"")
        .default("build"),
    flag("cgroup-parent", Str, "Cgroup above those of steps"),
    flag("check", Bool, "Only check the Dockerfile: \"--call=check\""),
    flag("compress", Bool, "Compress the context; it is never needed").hidden(),
    flag("cpu-period", Int, "CFS period of steps in µs").default("0"),
    flag("cpu-quota", Int, "CFS quota of steps in µs per period").default("0"),
    flag("cpu-shares", Int, "Relative CPU weight of steps").short('c').default("0"),
    flag("cpuset-cpus", Str, "CPUs for steps (0-3, 0,1)"),
    flag("cpuset-mems", Str, "Memory nodes for steps (0-3, 0,1)"),
    flag("debug", Bool, "Print warnings in full").short('D'),
    flag("disable-content-trust", Bool, "Skip image verification").default("true").hidden(),
    flag("explain", Bool, "Tell of each step why the cache had it or not"),
    flag("file", Str, "Dockerfile, \"-\" for STDIN (\"PATH/Dockerfile\" if not given)").short('f'),
    flag("force-rm", Bool, "Always remove intermediate containers; there are none").hidden(),
    flag("iidfile", Str, "Write the image's ID to this file"),
    flag("isolation", Str, "Isolation technology (Windows only)").hidden(),
    flag("label", List, "Set a label of the image"),
    flag("load", Bool, "Put the result into the image store: \"--output=type=docker\""),
    flag("memory", Bytes, "Limit of memory of steps").short('m').default("0"),
    flag("memory-swap", Bytes, "Limit of memory and swap together of steps, -1 for none")
        .default("0"),
    flag("metadata-file", Str, "Write what is known of the result to this file"),
    flag("network", Str, "Network of steps").default("default"),
    flag("no-cache", Bool, "Take nothing from the cache"),
    flag("no-cache-filter", ARRAY, "Take nothing of these stages from the cache"),
    flag("on-error", Str, "What to do when a step fails: \"shell\" starts a shell in what it left"),
    flag("output", ARRAY, "Where the result goes (\"path\", \"type=local,dest=path\")").short('o'),
    flag("platform", ARRAY, "Platform to build for, as os[/arch[/variant]]"),
    flag("policy", ARRAY, "Policy for sources").hidden(),
    flag("print", Str, "Old name of --call").hidden(),
    flag(
        "progress",
        Str,
        "How progress is shown: \"auto\", \"plain\", \"tty\", \"quiet\", \"rawjson\"",
    )
    .default("auto"),
    flag("provenance", Str, "Attach provenance: \"--attest=type=provenance\""),
    flag("pull", Bool, "Look base images up in their registries even if they are here"),
    flag("push", Bool, "Upload the result: \"--output=type=registry\""),
    flag("quiet", Bool, "Print the image's ID only").short('q'),
    flag("resource", ARRAY, "Resources for steps").hidden(),
    flag("rm", Bool, "Remove intermediate containers; there are none").default("true").hidden(),
    flag("sbom", Str, "Attach a list of contents: \"--attest=type=sbom\""),
    flag("secret", ARRAY, "Secret for steps (\"id=name[,src=file]\", \"id=name,env=VARIABLE\")"),
    flag("security-opt", Strings, "Security options of steps"),
    flag("shm-size", Bytes, "Size of /dev/shm of steps").default("0"),
    flag("squash", Bool, "Make one layer of all that are new"),
    flag("ssh", ARRAY, "SSH agent or keys for steps (\"default\", \"id=socket\", \"id=key,key\")"),
    flag("tag", ARRAY, "Name of the image (name[:tag])").short('t'),
    flag("target", Str, "Stage to build"),
    flag("ulimit", Named("ulimit"), "Limit of a resource of steps"),
];

pub(super) static MAKE: Command = command(
    "[OPTIONS] PATH | URL | -",
    "Build an image from a Dockerfile",
    Arity::Exact(1),
    &[BUILD],
    |call| Box::pin(build::build(call)),
);

const BUILDER: Flag = flag("builder", Str, "Builder to use; there is one, \"default\"");
const DEBUG: Flag = flag("debug", Bool, "Print what is being done").short('D');
const TIMEOUT: Flag =
    flag("timeout", Duration, "Longest wait for a builder").default("20s").hidden();
const KEEP: &str = "Amount of cache to keep";

pub(super) static BUILDER_PRUNE: Command = command(
    "",
    "Remove build cache",
    Arity::None,
    &[&[
        flag("all", Bool, "Remove all unused cache, not only dangling parts").short('a'),
        PRUNE_FILTER,
        FORCE,
        flag("keep-storage", Bytes, KEEP).default("0"),
        flag("max-used-space", Bytes, "Remove until the cache takes no more").default("0").hidden(),
        flag("min-free-space", Bytes, "Remove until so much of the disk is free")
            .default("0")
            .hidden(),
        flag("reserved-space", Bytes, KEEP).default("0").hidden(),
    ]],
    |call| Box::pin(crate::prune::builder(call)),
);
pub(super) static BUILDX_PRUNE: Command = command(
    "",
    "Remove build cache",
    Arity::None,
    &[&[
        flag("all", Bool, "Remove all unused cache, not only dangling parts").short('a'),
        BUILDER,
        DEBUG,
        PRUNE_FILTER,
        FORCE,
        flag("keep-storage", Bytes, KEEP).default("0").hidden(),
        flag("max-used-space", Bytes, "Remove until the cache takes no more").default("0"),
        flag("min-free-space", Bytes, "Remove until so much of the disk is free").default("0"),
        flag("reserved-space", Bytes, KEEP).default("0"),
        TIMEOUT,
        flag("verbose", Bool, "Print all that is known of each record"),
    ]],
    |call| Box::pin(build::usage::prune(call)),
);
pub(super) static USAGE: Command = command(
    "",
    "Show what the build cache takes",
    Arity::None,
    &[&[
        BUILDER,
        DEBUG,
        flag("filter", Kind::Filter, "Show only what matches"),
        flag("format", Str, super::FORMAT_HELP),
        TIMEOUT,
        flag("verbose", Bool, "Print all that is known of each record"),
    ]],
    |call| Box::pin(build::usage::usage(call)),
);
pub(super) static BUILDX_VERSION: Command =
    command("", "Show the builder's version", Arity::None, &[&[DEBUG]], |call| {
        Box::pin(build::usage::version(call))
    });
