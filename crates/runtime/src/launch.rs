//! A container's first process, from the fork to its waiting point: the parent's side.

use std::os::fd::{AsFd, OwnedFd};

use gantry_oci::runtime::{NamespaceKind, Spec, State, Status};
use gantry_sys::namespace::Kind;
use rustix::thread::UnshareFlags;

use crate::channel::{self, Failure, FailureKind, FromInit, ToInit};
use crate::create::{Created, HeldNamespaces, prepare};
use crate::fork::{self, Fresh};
use crate::init::InitPlan;
use crate::start::AfterStart;
use crate::{CreateError, InitFailure, hooks, mount_plan};

/// Forks the first process and leads it to its waiting point.
pub(crate) fn launch(
    init: InitPlan<'_>,
    listener: Option<OwnedFd>,
    hold: bool,
    mut after: AfterStart,
) -> Result<Created, CreateError> {
    let (ours, theirs) = channel::pair().map_err(|e| prepare("making a socket pair", e))?;
    let spec = init.spec;
    let cgroup = init.cgroup.clone();
    let rlimits = init.process.rlimits.clone();
    let oom_score = init.process.process.oom_score_adj;
    let own: Vec<NamespaceKind> = OWNED.iter().map(|(kind, _)| *kind).collect();
    let own: Vec<bool> = own.into_iter().map(|kind| init.namespaces.is_own(kind)).collect();
    let new_user = init.namespaces.new.contains(UnshareFlags::NEWUSER);
    // On v2 the process starts in its group; on v1 it is moved while it makes its mounts.
    let directory = init.cgroup.directory_fd();
    let born_inside = directory.is_some();
    let (fresh, ours) = fork::fork(init, directory, (ours, theirs), listener)?;
    let mut lead = || -> Result<Option<OwnedFd>, CreateError> {
        if new_user {
            map_user(spec, fresh.pid, &ours)?;
        }
        if !born_inside {
            cgroup.attach(fresh.pid)?;
        }
        limit(fresh.pid, &rlimits, oom_score)?;
        // Should the process have failed already, its report is read below.
        let _ = channel::tell(&ours, ToInit::Go(fresh.pid));
        after.state.pid = i32::try_from(fresh.pid).ok();
        await_ready(&ours, spec, &after.state)
    };
    let terminal = lead().inspect_err(|_| fresh.end())?;
    let namespaces = if hold { held(&fresh, &own) } else { HeldNamespaces::default() };
    Ok(Created {
        pid: fresh.pid,
        pidfd: fresh.pidfd,
        terminal,
        cgroup,
        namespaces,
        channel: ours,
        after,
        made_cgroup: false,
    })
}

/// Namespaces whose teardown is worth being put off.
const OWNED: [(NamespaceKind, Kind); 4] = [
    (NamespaceKind::Mount, Kind::Mount),
    (NamespaceKind::Network, Kind::Network),
    (NamespaceKind::Ipc, Kind::Ipc),
    (NamespaceKind::Uts, Kind::Uts),
];

fn held(fresh: &Fresh, own: &[bool]) -> HeldNamespaces {
    let wanted = OWNED.iter().zip(own).filter(|(_, own)| **own);
    // What cannot be held only costs time later.
    let open = |kind: Kind| gantry_sys::namespace::of_process(fresh.pidfd.as_fd(), kind).ok();
    HeldNamespaces { fds: wanted.filter_map(|((_, kind), _)| open(*kind)).collect() }
}

fn map_user(spec: &Spec, pid: u32, channel: &OwnedFd) -> Result<(), CreateError> {
    let Some(linux) = &spec.linux else {
        return Ok(());
    };
    mount_plan::write_mappings(pid, &linux.uid_mappings, &linux.gid_mappings)
        .map_err(|e| prepare("writing the user namespace's mappings", e))?;
    channel::tell(channel, ToInit::Mapped).map_err(|e| prepare("talking to container init", e))
}

/// Limits that only somebody outside may set: inside a user namespace the right is gone.
pub(crate) fn limit(
    pid: u32,
    rlimits: &[(rustix::process::Resource, gantry_oci::runtime::Rlimit)],
    oom_score: Option<i32>,
) -> Result<(), CreateError> {
    let process = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
    for (resource, limit) in rlimits {
        let value = |number: u64| (number != u64::MAX).then_some(number);
        let new =
            rustix::process::Rlimit { current: value(limit.soft), maximum: value(limit.hard) };
        rustix::process::prlimit(process, *resource, new).map_err(|errno| {
            let what = format!(
                "error setting rlimits for ready process: error setting rlimit type {}",
                limit.kind
            );
            prepare(&what, errno)
        })?;
    }
    if let Some(score) = oom_score {
        std::fs::write(format!("/proc/{pid}/oom_score_adj"), score.to_string())
            .map_err(|e| prepare("error setting oom_score_adj", e))?;
    }
    Ok(())
}

/// Reads reports until the process is ready; answers its terminal.
fn await_ready(
    channel: &OwnedFd,
    spec: &Spec,
    state: &State,
) -> Result<Option<OwnedFd>, CreateError> {
    loop {
        let report = channel::await_report(channel);
        match report.map_err(|e| prepare("reading container init's report", e))? {
            Some((FromInit::Hooks, _)) => {
                let state = State { status: Status::Creating, ..state.clone() };
                if let Some(list) = &spec.hooks {
                    hooks::run("prestart", &list.prestart, &state).map_err(CreateError::Hook)?;
                    hooks::run("createRuntime", &list.create_runtime, &state)
                        .map_err(CreateError::Hook)?;
                }
                channel::tell(channel, ToInit::HooksDone)
                    .map_err(|e| prepare("talking to container init", e))?;
            }
            Some((FromInit::Ready, terminal)) => return Ok(terminal),
            Some((FromInit::Failed(failure), _)) => return Err(create_failure(failure)),
            Some((FromInit::Listener, _)) | None => {
                return Err(CreateError::Init(InitFailure {
                    text: "container init ended without a word".to_owned(),
                    errno: None,
                }));
            }
        }
    }
}

pub(crate) fn create_failure(failure: Failure) -> CreateError {
    match failure.kind {
        FailureKind::Program => {
            CreateError::Program { program: failure.text, errno: failure.errno }
        }
        FailureKind::Hook => CreateError::Hook(failure.text),
        FailureKind::Step => CreateError::Init(init_failure(failure)),
    }
}

pub(crate) fn init_failure(mut failure: Failure) -> InitFailure {
    if failure.errno == libc::ENOSYS {
        failure.text.push_str(&gantry_sys::kernel::OLDEST.needed());
    }
    InitFailure { text: failure.text, errno: (failure.errno != 0).then_some(failure.errno) }
}
