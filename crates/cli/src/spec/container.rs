//! Commands on containers.

use crate::container::{attach, copy, exec, list, manage, run, stats};
use crate::flags::{Flag, Kind, flag};

use super::create::{CREATE, RUN as RUN_FLAGS};
use super::{
    Arity, Command, DETACH_KEYS, FILTER, FORCE, FORMAT, FORMAT_PLAIN, NO_TRUNC, PRUNE_FILTER,
    QUIET, command,
};
use Kind::{Bool, Int, List, Str};

const SIGNAL: Flag = flag("signal", Str, "Signal to send").short('s');
const TIMEOUT: Flag =
    flag("timeout", Int, "Seconds to wait before killing").short('t').default("0");
const TIME: Flag = flag("time", Int, "Seconds to wait before killing").default("0").hidden();
const SINCE: Flag =
    flag("since", Str, "Only from this time on (\"2013-01-02T13:23:37Z\" or \"42m\")");
const UNTIL: Flag =
    flag("until", Str, "Only up to this time (\"2013-01-02T13:23:37Z\" or \"42m\")").since("1.35");

pub(super) static RUN: Command = command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a container and run a command in it",
    Arity::AtLeast(1),
    &[CREATE, RUN_FLAGS],
    |call| Box::pin(run::run(call)),
)
.ordered();
pub(super) static MAKE: Command = command(
    "[OPTIONS] IMAGE [COMMAND] [ARG...]",
    "Create a container",
    Arity::AtLeast(1),
    &[CREATE],
    |call| Box::pin(run::create(call)),
)
.ordered();
pub(super) static EXEC: Command = command(
    "[OPTIONS] CONTAINER COMMAND [ARG...]",
    "Run a command in a running container",
    Arity::AtLeast(2),
    &[&[
        flag("detach", Bool, "Run in the background").short('d'),
        DETACH_KEYS,
        flag("env", List, "Set a variable").short('e').since("1.25"),
        flag("env-file", List, "Read variables from a file").since("1.25"),
        flag("interactive", Bool, "Keep STDIN open even if not attached").short('i'),
        flag("privileged", Bool, "Give all privileges"),
        flag("tty", Bool, "Allocate a terminal").short('t'),
        flag("user", Str, "User, by name or number (name[:group])").short('u'),
        flag("workdir", Str, "Working directory").short('w').since("1.35"),
    ]],
    |call| Box::pin(exec::exec(call)),
)
.ordered();
pub(super) static LIST: Command = command(
    "[OPTIONS]",
    "List containers",
    Arity::None,
    &[&[
        flag("all", Bool, "Show stopped ones too").short('a'),
        FILTER,
        FORMAT,
        flag("last", Int, "Show the last n, in any state").short('n').default("-1"),
        flag("latest", Bool, "Show the last one, in any state").short('l'),
        NO_TRUNC,
        QUIET,
        flag("size", Bool, "Show sizes").short('s'),
    ]],
    |call| Box::pin(list::ps(call)),
);
pub(super) static ATTACH: Command = command(
    "[OPTIONS] CONTAINER",
    "Attach to a running container's streams",
    Arity::Exact(1),
    &[&[
        DETACH_KEYS,
        flag("no-stdin", Bool, "Leave STDIN out"),
        flag("sig-proxy", Bool, "Pass signals on to the process").default("true"),
    ]],
    |call| Box::pin(attach::attach(call)),
);
pub(super) static COMMIT: Command = command(
    "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    "Make an image of what a container has changed",
    Arity::Between(1, 2),
    &[&[
        flag("author", Str, "Author (such as \"A. Writer <a@example.com>\")").short('a'),
        flag("change", List, "Apply a Dockerfile instruction").short('c'),
        flag("message", Str, "Commit message").short('m'),
        flag("no-pause", Bool, "Do not pause the container meanwhile"),
        flag("pause", Bool, "Pause the container meanwhile").short('p').default("true").hidden(),
    ]],
    |call| Box::pin(manage::commit(call)),
);
pub(super) static COPY: Command = command(
    "[OPTIONS] CONTAINER:SRC_PATH DEST_PATH|-\n\tdocker cp [OPTIONS] SRC_PATH|- CONTAINER:DEST_PATH",
    "Copy files between a container and this host",
    Arity::Exact(2),
    &[&[
        flag("archive", Bool, "Keep owners").short('a'),
        flag("follow-link", Bool, "Follow a symbolic link in SRC_PATH").short('L'),
        flag("quiet", Bool, "Do not print progress").short('q'),
    ]],
    |call| Box::pin(copy::cp(call)),
);
pub(super) static DIFF: Command = command(
    "CONTAINER",
    "List what a container has changed in its file system",
    Arity::Exact(1),
    &[],
    |call| Box::pin(manage::diff(call)),
);
pub(super) static EXPORT: Command = command(
    "[OPTIONS] CONTAINER",
    "Write a container's file system as a tar archive",
    Arity::Exact(1),
    &[&[flag("output", Str, "Write to a file, not to STDOUT").short('o')]],
    |call| Box::pin(manage::export(call)),
);
pub(super) static INSPECT: Command = command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Show containers in every detail",
    Arity::AtLeast(1),
    &[&[FORMAT_PLAIN, flag("size", Bool, "Show sizes").short('s')]],
    |call| Box::pin(crate::inspect::containers(call)),
);
pub(super) static KILL: Command = command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Kill running containers",
    Arity::AtLeast(1),
    &[&[SIGNAL]],
    |call| Box::pin(manage::kill(call)),
);
pub(super) static LOGS: Command = command(
    "[OPTIONS] CONTAINER",
    "Print a container's log",
    Arity::Exact(1),
    &[&[
        flag("details", Bool, "Show the log driver's attributes"),
        flag("follow", Bool, "Stay for what comes").short('f'),
        SINCE,
        flag("tail", Str, "Number of lines from the end").short('n').default("all"),
        flag("timestamps", Bool, "Show times").short('t'),
        UNTIL,
    ]],
    |call| Box::pin(attach::logs(call)),
);
pub(super) static PAUSE: Command = command(
    "CONTAINER [CONTAINER...]",
    "Freeze all processes of containers",
    Arity::AtLeast(1),
    &[],
    |call| Box::pin(manage::pause(call)),
);
pub(super) static UNPAUSE: Command = command(
    "CONTAINER [CONTAINER...]",
    "Let frozen containers go on",
    Arity::AtLeast(1),
    &[],
    |call| Box::pin(manage::unpause(call)),
);
pub(super) static PORT: Command = command(
    "CONTAINER [PRIVATE_PORT[/PROTO]]",
    "List published ports of a container",
    Arity::Between(1, 2),
    &[],
    |call| Box::pin(manage::port(call)),
);
pub(super) static PRUNE: Command = command(
    "[OPTIONS]",
    "Remove all stopped containers",
    Arity::None,
    &[&[PRUNE_FILTER, FORCE]],
    |call| Box::pin(crate::prune::containers(call)),
);
pub(super) static RENAME: Command =
    command("CONTAINER NEW_NAME", "Rename a container", Arity::Exact(2), &[], |call| {
        Box::pin(manage::rename(call))
    });
pub(super) static RESTART: Command = command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Restart containers",
    Arity::AtLeast(1),
    &[&[SIGNAL, TIME, TIMEOUT]],
    |call| Box::pin(manage::restart(call)),
);
pub(super) static REMOVE: Command = command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Remove containers",
    Arity::AtLeast(1),
    &[&[
        flag("force", Bool, "Remove a running one too (uses SIGKILL)").short('f'),
        flag("link", Bool, "Remove the link of that name").short('l'),
        flag("volumes", Bool, "Remove its anonymous volumes").short('v'),
    ]],
    |call| Box::pin(manage::rm(call)),
);
pub(super) static START: Command = command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Start stopped containers",
    Arity::AtLeast(1),
    &[&[
        flag("attach", Bool, "Attach STDOUT and STDERR, pass signals on").short('a'),
        flag("checkpoint", Str, "Restore from this checkpoint").hidden(),
        flag("checkpoint-dir", Str, "Directory of the checkpoints").hidden(),
        DETACH_KEYS,
        flag("interactive", Bool, "Attach STDIN").short('i'),
    ]],
    |call| Box::pin(run::start(call)),
);
pub(super) static STATS: Command = command(
    "[OPTIONS] [CONTAINER...]",
    "Show what containers use, live",
    Arity::AtLeast(0),
    &[&[
        flag("all", Bool, "Show stopped ones too").short('a'),
        FORMAT,
        flag("no-stream", Bool, "Print one result and end"),
        NO_TRUNC,
    ]],
    |call| Box::pin(stats::stats(call)),
);
pub(super) static STOP: Command = command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Stop running containers",
    Arity::AtLeast(1),
    &[&[SIGNAL, TIME, TIMEOUT]],
    |call| Box::pin(manage::stop(call)),
);
pub(super) static TOP: Command = command(
    "CONTAINER [ps OPTIONS]",
    "List a container's processes",
    Arity::AtLeast(1),
    &[],
    |call| Box::pin(manage::top(call)),
)
.ordered();
pub(super) static UPDATE: Command = command(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Change containers' limits",
    Arity::AtLeast(1),
    &[&[
        flag("blkio-weight", Kind::Uint16, "Relative block I/O weight, 10 to 1000, 0 for none")
            .default("0"),
        flag("cpu-period", Int, "CFS period in µs").default("0"),
        flag("cpu-quota", Int, "CFS quota in µs per period").default("0"),
        flag("cpu-rt-period", Int, "Realtime period in µs").default("0").since("1.25"),
        flag("cpu-rt-runtime", Int, "Realtime runtime in µs").default("0").since("1.25"),
        flag("cpu-shares", Int, "Relative CPU weight").short('c').default("0"),
        flag("cpus", Kind::Decimal, "Number of CPUs").since("1.29"),
        flag("cpuset-cpus", Str, "CPUs to run on (0-3, 0,1)"),
        flag("cpuset-mems", Str, "Memory nodes to use (0-3, 0,1)"),
        flag("kernel-memory", Kind::Bytes, "Limit of kernel memory").hidden(),
        flag("memory", Kind::Bytes, "Limit of memory").short('m').default("0"),
        flag("memory-reservation", Kind::Bytes, "Soft limit of memory").default("0"),
        flag("memory-swap", Kind::Bytes, "Limit of memory and swap together, -1 for none")
            .default("0"),
        flag("pids-limit", Int, "Limit of processes (-1 for none)").default("0").since("1.40"),
        flag("restart", Str, "What to do when the container exits"),
    ]],
    |call| Box::pin(manage::update(call)),
);
pub(super) static WAIT: Command = command(
    "CONTAINER [CONTAINER...]",
    "Wait until containers stop, then print their exit codes",
    Arity::AtLeast(1),
    &[],
    |call| Box::pin(manage::wait(call)),
);
