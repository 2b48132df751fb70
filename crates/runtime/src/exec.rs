//! Running a further process inside a container.

use std::convert::Infallible;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use gantry_sys::namespace::Kind;
use gantry_sys::process::{Fork, Forked, Namespaces};
use rustix::io::Errno;
use rustix::process::DumpableBehavior;
use rustix::thread::ThreadNameSpaceType;

use crate::channel::{self, During, Failure, FailureKind, FromInit, ToInit};
use crate::create::{self, HeldNamespaces};
use crate::init::{self, Ends, process};
use crate::process_plan::{self, ProcessPlan};
use crate::{
    CreateError, ExecError, ExecRequest, Running, Stdio, fork, launch, mount_plan, resolve,
};

/// Namespaces that are entered together. The pid namespace is not among them: a process is born in it.
const TOGETHER: ThreadNameSpaceType = ThreadNameSpaceType::MOUNT
    .union(ThreadNameSpaceType::NETWORK)
    .union(ThreadNameSpaceType::INTER_PROCESS_COMMUNICATION)
    .union(ThreadNameSpaceType::HOST_NAME_AND_NIS_DOMAIN_NAME)
    .union(ThreadNameSpaceType::CONTROL_GROUP);

/// Runs a process in all namespaces and in the control group of a container.
///
/// Returns once `execve(2)` has taken effect. The calling process must have a single thread; it
/// becomes the parent of the new process.
///
/// # Errors
/// [`ExecError`] names the step.
pub fn exec(request: ExecRequest<'_>) -> Result<Running, ExecError> {
    let process = request.process;
    if process.terminal != matches!(request.stdio, Stdio::Terminal) {
        return Err(ExecError::Invalid("process.terminal and the streams given differ".to_owned()));
    }
    create::check_threads().map_err(exec_error)?;
    create::check_preserved(request.preserve_fds).map_err(exec_error)?;
    let mut plan = process_plan::parse(process).map_err(ExecError::Invalid)?;
    plan.filter = process_plan::filter(request.seccomp, request.seccomp_flags, None)?;
    plan.preserve_fds = request.preserve_fds;
    if !request.no_new_keyring {
        plan.session_keyring = CString::new(format!("_ses.{}", request.id)).ok();
    }
    let join = Join::of(request.pidfd)?;
    let rlimits = plan.rlimits.clone();
    let directory = request.cgroup.and_then(gantry_cgroup::Cgroup::directory_fd);
    let born_inside = directory.is_some();
    let (pid, pidfd, ours) = fork_into(&request, plan, &join, directory)?;
    let lead = || -> Result<Option<OwnedFd>, ExecError> {
        if let Some(cgroup) = request.cgroup.filter(|_| !born_inside) {
            cgroup.attach(pid)?;
        }
        launch::limit(pid, &rlimits, process.oom_score_adj).map_err(exec_error)?;
        let _ = channel::tell(&ours, ToInit::Go(pid));
        await_exec(&ours)
    };
    let terminal = lead().inspect_err(|_| mount_plan::end(pidfd.as_fd()))?;
    Ok(Running { pid, pidfd, terminal, cgroup: None, namespaces: HeldNamespaces::default() })
}

/// What has to be joined.
struct Join {
    pid: OwnedFd,
    together: ThreadNameSpaceType,
    user: bool,
}

impl Join {
    fn of(pidfd: BorrowedFd<'_>) -> Result<Join, ExecError> {
        let pid = open(pidfd, Kind::Pid)?;
        let user = differs(&open(pidfd, Kind::User)?, "user")?;
        let time = differs(&open(pidfd, Kind::Time)?, "time")?;
        let mut together = TOGETHER;
        if user {
            together |= ThreadNameSpaceType::USER;
        }
        if time {
            together |= ThreadNameSpaceType::TIME;
        }
        Ok(Join { pid, together, user })
    }
}

fn open(pidfd: BorrowedFd<'_>, kind: Kind) -> Result<OwnedFd, ExecError> {
    gantry_sys::namespace::of_process(pidfd, kind).map_err(|source| {
        if source.raw_os_error() == Some(libc::ESRCH) {
            ExecError::Gone
        } else {
            prepare("opening the container's namespaces", source)
        }
    })
}

/// Whether a namespace is another than this process's own: its own user namespace cannot be joined.
fn differs(namespace: &OwnedFd, own: &str) -> Result<bool, ExecError> {
    let error = |errno: Errno| prepare("comparing namespaces", errno);
    let theirs = rustix::fs::fstat(namespace).map_err(error)?;
    let ours = rustix::fs::stat(format!("/proc/self/ns/{own}")).map_err(error)?;
    Ok((theirs.st_dev, theirs.st_ino) != (ours.st_dev, ours.st_ino))
}

fn prepare(what: &str, source: impl Into<std::io::Error>) -> ExecError {
    ExecError::Prepare { what: what.to_owned(), source: source.into() }
}

fn exec_error(error: CreateError) -> ExecError {
    match error {
        CreateError::Threads => ExecError::Threads,
        CreateError::Invalid(text) => ExecError::Invalid(text),
        CreateError::Prepare { what, source } => ExecError::Prepare { what, source },
        other => ExecError::Invalid(other.to_string()),
    }
}

fn fork_into(
    request: &ExecRequest<'_>,
    plan: ProcessPlan<'_>,
    join: &Join,
    directory: Option<OwnedFd>,
) -> Result<(u32, OwnedFd, OwnedFd), ExecError> {
    let (ours, theirs) = channel::pair().map_err(|e| prepare("making a socket pair", e))?;
    let back = fork::enter_pid_namespace(join.pid.as_fd()).map_err(exec_error)?;
    let forked = gantry_sys::process::fork(Fork {
        namespaces: Namespaces::default(),
        cgroup: directory.as_ref().map(AsFd::as_fd),
        sibling: false,
    });
    if let Ok(Forked::Child) = forked {
        drop(ours);
        init::contained(&theirs, || {
            let Err((failure, _)) = inside(request, plan, join, &theirs);
            init::fail(&theirs, failure)
        });
    }
    let returned = crate::namespaces::enter(back.as_fd(), gantry_oci::runtime::NamespaceKind::Pid);
    match forked {
        Ok(Forked::Parent { pid, pidfd }) => {
            returned.map_err(|errno| {
                mount_plan::end(pidfd.as_fd());
                prepare("leaving the pid namespace", errno)
            })?;
            Ok((pid, pidfd, ours))
        }
        // The pid namespace takes no new processes once its first has ended.
        Err(error) if error.raw_os_error() == Some(libc::ENOMEM) => Err(ExecError::Gone),
        Err(error) => Err(prepare("clone3", error)),
        Ok(Forked::Child) => Err(ExecError::Threads),
    }
}

/// The new process: into the container, then to its program.
fn inside(
    request: &ExecRequest<'_>,
    mut plan: ProcessPlan<'_>,
    join: &Join,
    channel: &OwnedFd,
) -> Result<Infallible, (Failure, Option<OwnedFd>)> {
    let terminal = enter(request, &plan, join, channel).map_err(|failure| (failure, None))?;
    let ends = Ends { channel, listener: None, waits: false };
    process::run(&mut plan, &ends, terminal.as_ref(), &|| Ok(()))
}

fn enter(
    request: &ExecRequest<'_>,
    plan: &ProcessPlan<'_>,
    join: &Join,
    channel: &OwnedFd,
) -> Result<Option<OwnedFd>, Failure> {
    // A process of the container must not get hold of this one, which still has the host's files open.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .during(|| "PR_SET_DUMPABLE")?;
    let proc = resolve::host_proc().during(|| "opening /proc")?;
    match channel::hear(channel).during(|| "waiting for the runtime")? {
        Some(ToInit::Go(_)) => {}
        _ => return Err(Failure::new("the runtime has gone")),
    }
    process::label(plan, proc.as_fd())?;
    rustix::thread::move_into_thread_name_spaces(request.pidfd, join.together)
        .during(|| "joining the container's namespaces")?;
    if join.user {
        init::become_root()?;
    }
    let terminal = match request.stdio {
        Stdio::Terminal => Some(init::open_terminal_here(request.process)?),
        _ => None,
    };
    let (master, slave) = terminal.map_or((None, None), |t| (Some(t.master), Some(t.slave)));
    process::connect(&request.stdio, slave.as_ref())?;
    Ok(master)
}

/// Reads reports until the program runs; answers its terminal.
fn await_exec(channel: &OwnedFd) -> Result<Option<OwnedFd>, ExecError> {
    let mut terminal = None;
    loop {
        let report = channel::await_report(channel);
        match report.map_err(|e| prepare("reading the process's report", e))? {
            None => return Ok(terminal),
            Some((FromInit::Ready, fd)) => terminal = fd,
            Some((FromInit::Failed(failure), _)) => {
                return Err(match failure.kind {
                    FailureKind::Program => {
                        ExecError::Program { program: failure.text, errno: failure.errno }
                    }
                    _ => ExecError::Init(launch::init_failure(failure)),
                });
            }
            Some(_) => return Err(prepare("reading the process's report", Errno::PROTO)),
        }
    }
}
