//! Which command goes by which name.

use super::{
    Command, build as b, container as c, image as i, registry as g, rest as r, system as s,
};

/// Where help lists an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Common,
    Plain,
    Swarm,
    Management,
    Hidden,
}

/// A command under a name.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) command: &'static Command,
    pub(crate) place: Place,
}

/// A group of commands.
pub(crate) struct Group {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) entries: &'static [Entry],
}

const fn at(place: Place, name: &'static str, command: &'static Command) -> Entry {
    Entry { name, command, place }
}

const fn common(name: &'static str, command: &'static Command) -> Entry {
    at(Place::Common, name, command)
}

const fn plain(name: &'static str, command: &'static Command) -> Entry {
    at(Place::Plain, name, command)
}

const fn hidden(name: &'static str, command: &'static Command) -> Entry {
    at(Place::Hidden, name, command)
}

/// Commands that stand by themselves, in help's order.
pub(crate) static TOP: &[Entry] = &[
    common("run", &c::RUN),
    common("exec", &c::EXEC),
    common("ps", &c::LIST),
    common("build", &b::MAKE),
    common("pull", &i::PULL),
    common("push", &g::PUSH),
    common("images", &i::LIST),
    common("login", &g::LOGIN),
    common("logout", &g::LOGOUT),
    common("search", &g::SEARCH),
    common("version", &s::VERSION),
    common("info", &s::INFO),
    at(Place::Management, "checkpoint", &r::CHECKPOINT),
    at(Place::Management, "plugin", &r::PLUGIN),
    at(Place::Management, "trust", &r::TRUST),
    at(Place::Swarm, "config", &r::CONFIG),
    at(Place::Swarm, "node", &r::NODE),
    at(Place::Swarm, "secret", &r::SECRET),
    at(Place::Swarm, "service", &r::SERVICE),
    at(Place::Swarm, "stack", &r::STACK),
    at(Place::Swarm, "swarm", &r::SWARM),
    plain("attach", &c::ATTACH),
    plain("commit", &c::COMMIT),
    plain("cp", &c::COPY),
    plain("create", &c::MAKE),
    plain("diff", &c::DIFF),
    plain("events", &s::EVENTS),
    plain("export", &c::EXPORT),
    plain("history", &i::HISTORY),
    plain("import", &i::IMPORT),
    plain("inspect", &s::INSPECT),
    plain("kill", &c::KILL),
    plain("load", &i::LOAD),
    plain("logs", &c::LOGS),
    plain("pause", &c::PAUSE),
    plain("port", &c::PORT),
    plain("rename", &c::RENAME),
    plain("restart", &c::RESTART),
    plain("rm", &c::REMOVE),
    plain("rmi", &i::REMOVE),
    plain("save", &i::SAVE),
    plain("start", &c::START),
    plain("stats", &c::STATS),
    plain("stop", &c::STOP),
    plain("tag", &i::TAG),
    plain("top", &c::TOP),
    plain("unpause", &c::UNPAUSE),
    plain("update", &c::UPDATE),
    plain("wait", &c::WAIT),
    hidden("bake", &r::BAKE),
    hidden("completion", &s::COMPLETION),
    hidden("__complete", &s::COMPLETE),
];

/// Groups, in help's order.
pub(crate) static GROUPS: &[Group] = &[
    Group {
        name: "builder",
        about: "Manage builds",
        entries: &[
            plain("build", &b::MAKE),
            hidden("df", &b::USAGE),
            hidden("du", &b::USAGE),
            plain("prune", &b::BUILDER_PRUNE),
        ],
    },
    Group {
        name: "buildx",
        about: "Build with all that BuildKit's builder has",
        entries: &[
            plain("bake", &r::BAKE),
            hidden("f", &r::BAKE),
            plain("build", &b::MAKE),
            hidden("b", &b::MAKE),
            plain("create", &r::BUILDERS),
            hidden("dap", &r::BUILD_DEBUG),
            hidden("debug", &r::BUILD_DEBUG),
            hidden("dial-stdio", &r::BUILDERS),
            plain("du", &b::USAGE),
            plain("history", &r::BUILD_HISTORY),
            plain("imagetools", &r::IMAGE_TOOLS),
            plain("inspect", &r::BUILDERS),
            plain("ls", &r::BUILDERS),
            hidden("policy", &r::BUILD_POLICY),
            plain("prune", &b::BUILDX_PRUNE),
            plain("rm", &r::BUILDERS),
            plain("stop", &r::BUILDERS),
            plain("use", &r::BUILDERS),
            plain("version", &b::BUILDX_VERSION),
        ],
    },
    Group {
        name: "container",
        about: "Manage containers",
        entries: &[
            plain("attach", &c::ATTACH),
            plain("commit", &c::COMMIT),
            plain("cp", &c::COPY),
            plain("create", &c::MAKE),
            plain("diff", &c::DIFF),
            plain("exec", &c::EXEC),
            plain("export", &c::EXPORT),
            plain("inspect", &c::INSPECT),
            plain("kill", &c::KILL),
            plain("logs", &c::LOGS),
            plain("ls", &c::LIST),
            hidden("list", &c::LIST),
            hidden("ps", &c::LIST),
            plain("pause", &c::PAUSE),
            plain("port", &c::PORT),
            plain("prune", &c::PRUNE),
            plain("rename", &c::RENAME),
            plain("restart", &c::RESTART),
            plain("rm", &c::REMOVE),
            hidden("remove", &c::REMOVE),
            plain("run", &c::RUN),
            plain("start", &c::START),
            plain("stats", &c::STATS),
            plain("stop", &c::STOP),
            plain("top", &c::TOP),
            plain("unpause", &c::UNPAUSE),
            plain("update", &c::UPDATE),
            plain("wait", &c::WAIT),
        ],
    },
    Group {
        name: "context",
        about: "Manage contexts",
        entries: &[
            plain("create", &s::CONTEXT_CREATE),
            plain("export", &r::CONTEXT_EXPORT),
            plain("import", &r::CONTEXT_IMPORT),
            plain("inspect", &s::CONTEXT_INSPECT),
            plain("ls", &s::CONTEXT_LIST),
            hidden("list", &s::CONTEXT_LIST),
            plain("rm", &s::CONTEXT_REMOVE),
            hidden("remove", &s::CONTEXT_REMOVE),
            plain("show", &s::CONTEXT_SHOW),
            plain("update", &s::CONTEXT_UPDATE),
            plain("use", &s::CONTEXT_USE),
        ],
    },
    Group {
        name: "image",
        about: "Manage images",
        entries: &[
            plain("build", &b::MAKE),
            plain("history", &i::HISTORY),
            plain("import", &i::IMPORT),
            plain("inspect", &i::INSPECT),
            plain("load", &i::LOAD),
            plain("ls", &i::LIST),
            hidden("list", &i::LIST),
            plain("prune", &i::PRUNE),
            plain("pull", &i::PULL),
            plain("push", &g::PUSH),
            plain("rm", &i::REMOVE),
            hidden("remove", &i::REMOVE),
            plain("save", &i::SAVE),
            plain("tag", &i::TAG),
        ],
    },
    Group {
        name: "manifest",
        about: "Manage manifests and lists of manifests",
        entries: &[
            plain("annotate", &g::MANIFEST_ANNOTATE),
            plain("create", &g::MANIFEST_CREATE),
            plain("inspect", &g::MANIFEST_INSPECT),
            plain("push", &g::MANIFEST_PUSH),
            plain("rm", &g::MANIFEST_REMOVE),
        ],
    },
    Group {
        name: "network",
        about: "Manage networks",
        entries: &[
            plain("connect", &r::NETWORK_CONNECT),
            plain("create", &r::NETWORK_CREATE),
            plain("disconnect", &r::NETWORK_DISCONNECT),
            plain("inspect", &r::NETWORK_INSPECT),
            plain("ls", &r::NETWORK_LIST),
            hidden("list", &r::NETWORK_LIST),
            plain("prune", &r::NETWORK_PRUNE),
            plain("rm", &r::NETWORK_REMOVE),
            hidden("remove", &r::NETWORK_REMOVE),
            // Docker has none of these: its command list stays as it is.
            hidden("doctor", &r::NETWORK_DOCTOR),
            hidden("why-reachable", &r::NETWORK_REACHABLE),
        ],
    },
    Group {
        name: "system",
        about: "Manage the daemon",
        entries: &[
            plain("df", &s::DF),
            hidden("dial-stdio", &s::DIAL),
            plain("events", &s::EVENTS),
            plain("info", &s::INFO),
            plain("prune", &s::PRUNE),
        ],
    },
    Group {
        name: "volume",
        about: "Manage volumes",
        entries: &[
            plain("backup", &r::VOLUME_BACKUP),
            plain("clone", &r::VOLUME_CLONE),
            plain("create", &r::VOLUME_CREATE),
            plain("inspect", &r::VOLUME_INSPECT),
            plain("ls", &r::VOLUME_LIST),
            hidden("list", &r::VOLUME_LIST),
            plain("prune", &r::VOLUME_PRUNE),
            plain("restore", &r::VOLUME_RESTORE),
            plain("rm", &r::VOLUME_REMOVE),
            hidden("remove", &r::VOLUME_REMOVE),
            plain("update", &r::VOLUME_UPDATE),
        ],
    },
];

/// All names of a command, with its group's, for help.
pub(crate) fn names_of(command: &'static Command) -> Vec<String> {
    let same = |entry: &&Entry| std::ptr::eq(entry.command, command);
    let grouped = GROUPS.iter().flat_map(|group| {
        group.entries.iter().filter(same).map(|entry| format!("{} {}", group.name, entry.name))
    });
    let alone = TOP.iter().filter(same).map(|entry| entry.name.to_owned());
    grouped.chain(alone).collect()
}
