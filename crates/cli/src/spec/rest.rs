//! Volumes, networks, and what comes later.

use crate::flags::{Kind, flag};
use crate::system::{network, volume};

use super::{
    Arity, Command, FILTER, FORCE, FORMAT, FORMAT_PLAIN, NO_TRUNC, PRUNE_FILTER, QUIET, command,
};
use Kind::{Bool, Int, List, Map, Str, Strings};

pub(super) static VOLUME_CREATE: Command = command(
    "[OPTIONS] [VOLUME]",
    "Create a volume",
    Arity::AtMost(1),
    &[&[
        flag("driver", Str, "Volume driver").short('d').default("local"),
        flag("label", List, "Set a label").check(super::create::label),
        flag("name", Str, "Name of the volume").hidden(),
        flag("opt", Map, "Option of the driver").short('o'),
    ]],
    |call| Box::pin(volume::create(call)),
);
pub(super) static VOLUME_INSPECT: Command = command(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Show volumes in every detail",
    Arity::AtLeast(1),
    &[&[FORMAT_PLAIN]],
    |call| Box::pin(crate::inspect::volumes(call)),
);
pub(super) static VOLUME_LIST: Command = command(
    "[OPTIONS]",
    "List volumes",
    Arity::None,
    &[&[
        FILTER,
        FORMAT,
        flag("quiet", Bool, "Print names only").short('q'),
        flag("size", Bool, "Print sizes too"),
    ]],
    |call| Box::pin(volume::list(call)),
);
pub(super) static VOLUME_BACKUP: Command = command(
    "[OPTIONS] VOLUME",
    "Write a volume's content as a tar archive",
    Arity::Exact(1),
    &[&[flag("output", Str, "Write to this file, compressed as its name ends").short('o')]],
    |call| Box::pin(volume::backup(call)),
);
pub(super) static VOLUME_RESTORE: Command = command(
    "[OPTIONS] VOLUME",
    "Fill a volume from a tar archive of any compression",
    Arity::Exact(1),
    &[&[
        flag("force", Bool, "Replace what is in it").short('f'),
        flag("input", Str, "Read from this file").short('i'),
    ]],
    |call| Box::pin(volume::restore(call)),
);
pub(super) static VOLUME_CLONE: Command = command(
    "VOLUME NEW_VOLUME",
    "Create a volume with the content of another",
    Arity::Exact(2),
    &[],
    |call| Box::pin(volume::duplicate(call)),
);
pub(super) static VOLUME_PRUNE: Command = command(
    "[OPTIONS]",
    "Remove unused volumes",
    Arity::None,
    &[&[flag("all", Bool, "Remove named ones too").short('a').since("1.42"), PRUNE_FILTER, FORCE]],
    |call| Box::pin(crate::prune::volumes(call)),
);
pub(super) static VOLUME_REMOVE: Command = command(
    "[OPTIONS] VOLUME [VOLUME...]",
    "Remove volumes",
    Arity::AtLeast(1),
    &[&[flag("force", Bool, "Do not fail if it does not exist").short('f').since("1.25")]],
    |call| Box::pin(volume::remove(call)),
);
pub(super) static NETWORK_LIST: Command = command(
    "[OPTIONS]",
    "List networks",
    Arity::None,
    &[&[FILTER, FORMAT, NO_TRUNC, QUIET]],
    |call| Box::pin(network::list(call)),
);
pub(super) static NETWORK_INSPECT: Command = command(
    "[OPTIONS] NETWORK [NETWORK...]",
    "Show networks in every detail",
    Arity::AtLeast(1),
    &[&[FORMAT_PLAIN, flag("verbose", Bool, "Show more, for diagnosis").short('v')]],
    |call| Box::pin(crate::inspect::networks(call)),
);
pub(super) static NETWORK_CREATE: Command = command(
    "[OPTIONS] NETWORK",
    "Create a network",
    Arity::Exact(1),
    &[&[
        flag("attachable", Bool, "Let containers be attached by hand").since("1.25"),
        flag("aux-address", Map, "Addresses to leave out"),
        flag("config-from", Str, "Network whose configuration to copy").since("1.30"),
        flag("config-only", Bool, "Create a configuration only").since("1.30"),
        flag("driver", Str, "Network driver").short('d').default("bridge"),
        flag("gateway", Strings, "Gateway of the subnet"),
        flag("ingress", Bool, "Create the swarm's routing mesh").since("1.29"),
        flag("internal", Bool, "No way to the outside"),
        flag("ip-range", Strings, "Part of the subnet for containers"),
        flag("ipam-driver", Str, "Driver of address management").default("default"),
        flag("ipam-opt", Map, "Option of that driver"),
        flag("ipv4", Bool, "Give IPv4 addresses").default("true"),
        flag("ipv6", Bool, "Give IPv6 addresses"),
        flag("label", List, "Set a label").check(super::create::label),
        flag("opt", Map, "Option of the driver").short('o'),
        flag("scope", Str, "Scope of the network").since("1.30"),
        flag("subnet", Strings, "Subnet, as address/bits"),
    ]],
    |call| Box::pin(network::create(call)),
);
pub(super) static NETWORK_REMOVE: Command = command(
    "NETWORK [NETWORK...]",
    "Remove networks",
    Arity::AtLeast(1),
    &[&[flag("force", Bool, "Do not fail if it does not exist").short('f')]],
    |call| Box::pin(network::remove(call)),
);
pub(super) static NETWORK_PRUNE: Command = command(
    "[OPTIONS]",
    "Remove unused networks",
    Arity::None,
    &[&[PRUNE_FILTER, FORCE]],
    |call| Box::pin(crate::prune::networks(call)),
);
pub(super) static NETWORK_CONNECT: Command = command(
    "[OPTIONS] NETWORK CONTAINER",
    "Connect a container to a network",
    Arity::Exact(2),
    &[&[
        flag("alias", Strings, "Another name on the network"),
        flag("driver-opt", Strings, "Option of the driver"),
        flag("gw-priority", Int, "Which network is the gateway: the highest").default("0"),
        flag("ip", Str, "IPv4 address (such as 172.30.100.104)"),
        flag("ip6", Str, "IPv6 address (such as 2001:db8::33)"),
        flag("link", List, "Link to another container").check(super::create::link),
        flag("link-local-ip", Strings, "Link-local address"),
    ]],
    |call| Box::pin(network::connect(call)),
);
pub(super) static NETWORK_DISCONNECT: Command = command(
    "[OPTIONS] NETWORK CONTAINER",
    "Disconnect a container from a network",
    Arity::Exact(2),
    &[&[flag("force", Bool, "Disconnect even if the container is stuck").short('f')]],
    |call| Box::pin(network::disconnect(call)),
);

pub(super) static NETWORK_REACHABLE: Command = command(
    "[OPTIONS] CONTAINER [PORT[/PROTO]]",
    "Explain who can reach a container's ports, and by which rule",
    Arity::Between(1, 2),
    &[&[FORMAT]],
    |call| Box::pin(network::reach::why_reachable(call)),
);
pub(super) static NETWORK_DOCTOR: Command = command(
    "[OPTIONS]",
    "Check the networks, the host's rules and what stands in their way",
    Arity::None,
    &[&[FORMAT]],
    |call| Box::pin(network::reach::doctor(call)),
);

macro_rules! later {
    ($($name:ident $about:literal;)+) => {
        $(pub(super) static $name: Command = command(
            "[OPTIONS] [ARG...]",
            $about,
            Arity::AtLeast(0),
            &[],
            |call| Box::pin(crate::app::not_implemented(call)),
        )
        .raw();)+
    };
}

later! {
    BAKE "Build from a file";
    BUILDERS "Manage builders";
    BUILD_DEBUG "Debug builds";
    BUILD_POLICY "Work on policies for sources";
    BUILD_HISTORY "Show earlier builds";
    IMAGE_TOOLS "Work on images in registries";
    CONTEXT_EXPORT "Write a context as a tar archive";
    CONTEXT_IMPORT "Read a context from a tar archive";
    VOLUME_UPDATE "Change a cluster volume";
    CHECKPOINT "Manage checkpoints";
    PLUGIN "Manage plugins";
    TRUST "Manage trust in images";
    SWARM "Manage the swarm";
    NODE "Manage the swarm's nodes";
    SERVICE "Manage services";
    STACK "Manage stacks";
    SECRET "Manage secrets";
    CONFIG "Manage configurations";
}
