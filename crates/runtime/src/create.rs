//! Making a container: the parent's side.

use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use gantry_cgroup::{Cgroup, Host};
use gantry_oci::runtime::{DeviceRule, Hook, NamespaceKind, Process, Spec, State, Status};
use gantry_sys::namespace::Kind;
use rustix::thread::UnshareFlags;

use crate::channel::{self, Failure, FailureKind, FromInit, ToInit};
use crate::fork::{self, Fresh};
use crate::init::{self, InitPlan};
use crate::namespaces::NamespacePlan;
use crate::process_plan::{self, ProcessPlan};
use crate::{
    CgroupChoice, CreateError, CreateRequest, InitFailure, StartError, StartGate, Stdio, hooks,
    mount_plan, validate,
};

/// A container whose first process has done everything but execute its program, and waits.
#[derive(Debug)]
pub struct Created {
    /// The first process, in the caller's pid namespace.
    pub pid: u32,
    /// The same as a descriptor. The process is a child of the caller.
    pub pidfd: OwnedFd,
    /// Master side of the terminal, if one was asked for.
    pub terminal: Option<OwnedFd>,
    /// The control group.
    pub cgroup: Cgroup,
    /// The container's namespaces, if they were to be held.
    pub namespaces: HeldNamespaces,
    channel: OwnedFd,
    after: AfterStart,
    made_cgroup: bool,
}

/// Descriptors of a container's namespaces. While they are open, the end of the container's last
/// process does not wait for the namespaces' teardown: that happens when these are closed.
#[derive(Debug, Default)]
pub struct HeldNamespaces {
    /// The descriptors of the mount, network, IPC and UTS namespaces, where they are the container's own.
    pub fds: Vec<OwnedFd>,
}

/// A process that runs its program.
#[derive(Debug)]
pub struct Running {
    /// The process, in the caller's pid namespace.
    pub pid: u32,
    /// The same as a descriptor. The process is a child of the caller.
    pub pidfd: OwnedFd,
    /// Master side of the terminal, if one was asked for.
    pub terminal: Option<OwnedFd>,
    /// The control group; `None` for an exec, which lives in the container's.
    pub cgroup: Option<Cgroup>,
    /// The container's namespaces, if they were to be held.
    pub namespaces: HeldNamespaces,
}

/// What the starter has to do besides giving the word.
#[derive(Debug)]
pub struct AfterStart {
    /// `poststart` hooks.
    pub(crate) poststart: Vec<Hook>,
    /// What hooks and the system call agent are told.
    pub(crate) state: State,
    /// Socket and metadata of the agent of `SCMP_ACT_NOTIFY`.
    pub(crate) agent: Option<(PathBuf, String)>,
}

impl AfterStart {
    /// What a specification asks for.
    #[must_use]
    pub fn new(spec: &Spec, state: State) -> AfterStart {
        let seccomp = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
        AfterStart {
            poststart: spec.hooks.as_ref().map(|h| h.poststart.clone()).unwrap_or_default(),
            state,
            agent: seccomp.and_then(|profile| {
                let metadata = profile.listener_metadata.clone().unwrap_or_default();
                profile.listener_path.clone().map(|path| (path, metadata))
            }),
        }
    }
}

/// Makes a container. On return its first process waits in [`Created`]; on failure nothing is left.
///
/// The calling process must have a single thread.
///
/// # Errors
/// [`CreateError`] names the step.
pub fn create(request: CreateRequest<'_>) -> Result<Created, CreateError> {
    check_threads()?;
    let spec = request.spec;
    let linux = spec.linux.as_ref().ok_or_else(|| invalid("linux section must be set"))?;
    let process = spec.process.as_ref().ok_or_else(|| invalid("process section must be set"))?;
    let plan = NamespacePlan::new(linux, request.network)?;
    validate::check(spec, &plan).map_err(CreateError::Invalid)?;
    check_terminal(process, &request.stdio)?;
    check_preserved(request.preserve_fds)?;
    let process = process_plan(&request, process, linux.seccomp.as_ref())?;
    let mounts = mount_plan::parse(spec, request.bundle)?;
    let host = Host::detect()?;
    let (cgroup, made_cgroup) = cgroup(&request, &host)?;
    let agent = AfterStart::new(spec, state(&request, None, Status::Created));
    let listener = match request.start {
        StartGate::Pair => None,
        StartGate::Listener(socket) => Some(socket),
    };
    let mut init = InitPlan {
        id: request.id,
        bundle: request.bundle,
        spec,
        linux,
        rootfs: request.rootfs,
        stdio: request.stdio,
        namespaces: plan,
        mounts,
        process,
        host,
        cgroup: cgroup.clone(),
        notify_socket: request.notify_socket,
        no_pivot: request.no_pivot,
    };
    let empty = request.empty_mounts.filter(|_| init.may_start_empty());
    let planned = empty.map_or(Ok(()), |empty| init.namespaces.start_from(empty));
    let made = planned.and_then(|()| launch(init, listener, request.hold_namespaces, agent));
    match made {
        Ok(created) => Ok(Created { made_cgroup, ..created }),
        Err(error) => {
            if made_cgroup {
                // The error that matters is the first one.
                let _ = cgroup.remove();
            }
            Err(error)
        }
    }
}

/// A copy of a process with several threads could find locks taken for ever.
pub(crate) fn check_threads() -> Result<(), CreateError> {
    match gantry_sys::process::is_single_threaded() {
        Ok(true) => Ok(()),
        Ok(false) => Err(CreateError::Threads),
        Err(source) => Err(prepare("counting threads", source)),
    }
}

pub(crate) fn invalid(text: &str) -> CreateError {
    CreateError::Invalid(text.to_owned())
}

pub(crate) fn prepare(what: &str, source: impl Into<std::io::Error>) -> CreateError {
    CreateError::Prepare { what: what.to_owned(), source: source.into() }
}

fn check_terminal(process: &Process, stdio: &Stdio) -> Result<(), CreateError> {
    match (process.terminal, stdio) {
        (true, Stdio::Terminal) | (false, Stdio::Inherit | Stdio::Fds { .. }) => Ok(()),
        (true, _) => Err(invalid("process.terminal is set, but no terminal was asked for")),
        (false, Stdio::Terminal) => {
            Err(invalid("a terminal was asked for, but process.terminal is not set"))
        }
    }
}

/// Descriptors to preserve must be there already: else this program's own would take their numbers.
pub(crate) fn check_preserved(count: u32) -> Result<(), CreateError> {
    for number in 3..3_u32.saturating_add(count) {
        if !i32::try_from(number).is_ok_and(gantry_sys::descriptors::is_open) {
            return Err(CreateError::Invalid(format!(
                "unable to stat preserved-fd {}: please check that it is open",
                number - 3
            )));
        }
    }
    Ok(())
}

fn process_plan<'a>(
    request: &CreateRequest<'a>,
    process: &'a Process,
    profile: Option<&gantry_oci::runtime::Seccomp>,
) -> Result<ProcessPlan<'a>, CreateError> {
    let mut plan = process_plan::parse(process).map_err(CreateError::Invalid)?;
    plan.filter = process_plan::filter(request.seccomp, request.seccomp_flags, profile)?;
    plan.preserve_fds = request.preserve_fds;
    plan.dies_with_parent = request.dies_with_parent;
    if !request.no_new_keyring {
        plan.session_keyring = CString::new(format!("_ses.{}", request.id)).ok();
    }
    if request.notify_socket.is_some() {
        plan.env.retain(|var| !var.as_bytes().starts_with(b"NOTIFY_SOCKET="));
        plan.env.extend(CString::new(format!("NOTIFY_SOCKET={}", init::NOTIFY_SOCKET)));
    }
    Ok(plan)
}

/// The container's control group, and whether it was made here.
fn cgroup(request: &CreateRequest<'_>, host: &Host) -> Result<(Cgroup, bool), CreateError> {
    let linux = request.spec.linux.as_ref();
    let path = match &request.cgroup {
        CgroupChoice::Existing(group) => return Ok((group.clone(), false)),
        CgroupChoice::Path(path) => path.clone(),
        CgroupChoice::Spec => cgroup_path(request.spec, request.id),
    };
    let mut resources = linux.and_then(|linux| linux.resources.clone()).unwrap_or_default();
    resources.devices = device_rules(&resources.devices);
    Ok((host.create(&path, &resources)?, true))
}

/// Character devices that every container may use: null, zero, full, random, urandom, tty, the
/// terminals' multiplexer, and terminals.
const USABLE: [(i64, Option<i64>); 8] = [
    (1, Some(3)),
    (1, Some(5)),
    (1, Some(7)),
    (1, Some(8)),
    (1, Some(9)),
    (5, Some(0)),
    (5, Some(2)),
    (136, None),
];

/// The rules of a specification between a denial of everything and what every container may do:
/// make any node, and use the default devices.
fn device_rules(given: &[DeviceRule]) -> Vec<DeviceRule> {
    let rule = |allow, kind: &str, major, minor, access: &str| DeviceRule {
        allow,
        kind: Some(kind.to_owned()),
        major,
        minor,
        access: Some(access.to_owned()),
    };
    let mut rules = vec![rule(false, "a", None, None, "rwm")];
    rules.extend_from_slice(given);
    // Whoever is allowed everything needs no exceptions.
    let everything = given
        .last()
        .is_some_and(|last| last.allow && last.kind.as_deref().is_none_or(|kind| kind == "a"));
    if !everything {
        rules.extend(["c", "b"].map(|kind| rule(true, kind, None, None, "m")));
        rules.extend(USABLE.map(|(major, minor)| rule(true, "c", Some(major), minor, "rwm")));
    }
    rules
}

/// The path of a container's control group below each hierarchy.
pub(crate) fn cgroup_path(spec: &Spec, id: &str) -> String {
    match spec.linux.as_ref().and_then(|linux| linux.cgroups_path.as_deref()) {
        None | Some("") => format!("/{id}"),
        Some(path) if path.starts_with('/') => path.to_owned(),
        Some(path) => format!("/{path}"),
    }
}

fn state(request: &CreateRequest<'_>, pid: Option<u32>, status: Status) -> State {
    State {
        oci_version: request.spec.oci_version.clone(),
        id: request.id.to_owned(),
        status,
        pid: pid.and_then(|pid| i32::try_from(pid).ok()),
        bundle: request.bundle.to_owned(),
        annotations: request.spec.annotations.clone(),
    }
}

/// Forks the first process and leads it to its waiting point.
fn launch(
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

impl Created {
    /// Starts the program; returns once `execve(2)` has taken effect.
    ///
    /// # Errors
    /// [`StartError`]; the container's process has ended then, and its control group, if it was made
    /// here, is gone.
    pub fn start(self) -> Result<Running, StartError> {
        match start_through(self.channel.as_fd(), &self.after) {
            Ok(()) => Ok(Running {
                pid: self.pid,
                pidfd: self.pidfd,
                terminal: self.terminal,
                cgroup: Some(self.cgroup),
                namespaces: self.namespaces,
            }),
            Err(error) => {
                self.abort();
                Err(error)
            }
        }
    }

    /// Ends the container before it was started: process and control group, if it was made here, are
    /// gone on return.
    pub fn abort(self) {
        mount_plan::end(self.pidfd.as_fd());
        if self.made_cgroup {
            // Nothing can be done about a group that stays; it is empty.
            let _ = self.cgroup.remove();
        }
    }
}

/// Starts a container over a connection: of [`crate::StartGate::Listener`], or a [`Created`]'s own.
///
/// Returns once the program runs and the `poststart` hooks have been run.
///
/// # Errors
/// [`StartError`]; unless it is [`StartError::Hook`], the container's process has ended then.
pub fn start_through(connection: BorrowedFd<'_>, after: &AfterStart) -> Result<(), StartError> {
    match channel::tell(connection, ToInit::Start) {
        Ok(()) => {}
        // The process has ended; its last words may still be there.
        Err(rustix::io::Errno::PIPE | rustix::io::Errno::CONNRESET) => {}
        Err(errno) => return Err(StartError::Channel(errno.into())),
    }
    loop {
        match channel::await_report(connection).map_err(|e| StartError::Channel(e.into()))? {
            None => break,
            Some((FromInit::Failed(failure), _)) => return Err(start_failure(failure)),
            Some((FromInit::Listener, Some(fd))) => crate::agent::send(after, fd.as_fd())?,
            Some(_) => return Err(StartError::Channel(rustix::io::Errno::PROTO.into())),
        }
    }
    let state = State { status: Status::Running, ..after.state.clone() };
    hooks::run("poststart", &after.poststart, &state).map_err(StartError::Hook)
}

fn start_failure(failure: Failure) -> StartError {
    match failure.kind {
        FailureKind::Program => StartError::Exec { program: failure.text, errno: failure.errno },
        FailureKind::Hook => StartError::Hook(failure.text),
        FailureKind::Step => StartError::Init(init_failure(failure)),
    }
}
