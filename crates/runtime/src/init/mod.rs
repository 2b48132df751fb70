//! What a container's first process does between the fork and its program.
//!
//! It is a copy of the runtime with a single thread, so ordinary code may run here. It never returns:
//! it executes the program, or says over the channel which step failed and ends.
//!
//! ```text
//! user namespace mapped -> other namespaces joined -> root mounted -> mounts, devices, terminal
//!   -> hooks -> sysctls -> masks -> pivot -> credentials, cwd, program found -> ready
//!   -> start -> filter -> exec
//! ```
//!
//! Where the mount namespace may start empty ([`gather`]), what is wanted of the host is opened
//! before the root is mounted, which this process then is in at once: there is no pivot.

pub(crate) mod cgroup_view;
mod copy_up;
mod devices;
mod gather;
mod masks;
mod mounts;
pub(crate) mod process;
mod rootfs;
mod terminal;

use std::cell::Cell;
use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use gantry_cgroup::{Cgroup, Host};
use gantry_oci::runtime::{Hook, Hooks, Linux, NamespaceKind, Spec, State, Status};
use gantry_sys::process::exit_now;
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::process::DumpableBehavior;
use rustix::thread::UnshareFlags;

use crate::channel::{self, During, Failure, FailureKind, FromInit, ToInit};
use crate::mount_plan::{Kind, MountPlan};
use crate::namespaces::NamespacePlan;
use crate::process_plan::ProcessPlan;
use crate::{Rootfs, Stdio, hooks};
pub(crate) use process::Ends;
pub(crate) use terminal::open_in_own_root as open_terminal_here;

/// Everything that the first process needs to know.
#[derive(Debug)]
pub(crate) struct InitPlan<'a> {
    pub(crate) id: &'a str,
    pub(crate) bundle: &'a Path,
    pub(crate) spec: &'a Spec,
    pub(crate) linux: &'a Linux,
    pub(crate) rootfs: Rootfs,
    pub(crate) stdio: Stdio,
    pub(crate) namespaces: NamespacePlan,
    pub(crate) mounts: Vec<MountPlan<'a>>,
    pub(crate) process: ProcessPlan<'a>,
    pub(crate) host: Host,
    pub(crate) cgroup: Cgroup,
    pub(crate) notify_socket: Option<&'a Path>,
    pub(crate) no_pivot: bool,
}

/// Where the readiness socket appears inside.
pub(crate) const NOTIFY_SOCKET: &str = "/run/host/notify";

/// The first process, from the fork on.
pub(crate) fn main(mut plan: InitPlan<'_>, channel: &OwnedFd, listener: Option<&OwnedFd>) -> ! {
    contained(channel, || {
        let ends = Ends { channel, listener, waits: true };
        let Err((failure, starter)) = run(&mut plan, &ends);
        fail(starter.as_ref().unwrap_or(channel), failure)
    })
}

/// Runs the copy's part. Should it panic, the copy must not unwind into what its parent is doing.
pub(crate) fn contained(channel: &OwnedFd, part: impl FnOnce() -> Infallible) -> ! {
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(part)) {
        Ok(never) => match never {},
        Err(_) => fail(channel, Failure::new("internal error in container init")),
    }
}

/// Says what failed and ends.
pub(crate) fn fail(channel: &OwnedFd, failure: Failure) -> ! {
    // If nobody listens any more there is nobody to tell.
    let _ = channel::report(channel, &FromInit::Failed(failure), None);
    exit_now(1)
}

fn run(plan: &mut InitPlan<'_>, ends: &Ends<'_>) -> Result<Infallible, (Failure, Option<OwnedFd>)> {
    let early = |failure| (failure, None);
    process::die_with_parent(&plan.process).map_err(early)?;
    let word = Word { channel: ends.channel, pid: Cell::new(None) };
    let ready = furnish(plan, &word).map_err(early)?;
    let state = state(plan, &word, Status::Created).map_err(early)?;
    let hooks: Vec<Hook> =
        plan.spec.hooks.as_ref().map(|hooks| hooks.start_container.clone()).unwrap_or_default();
    process::run(&mut plan.process, ends, ready.as_ref(), &|| {
        run_hooks("startContainer", &hooks, &state)
    })
}

/// What the parent has said so far.
struct Word<'a> {
    channel: &'a OwnedFd,
    pid: Cell<Option<u32>>,
}

impl Word<'_> {
    /// Waits until this process is in its control group; answers its pid as the parent sees it.
    fn go(&self) -> Result<u32, Failure> {
        if let Some(pid) = self.pid.get() {
            return Ok(pid);
        }
        match self.hear()? {
            ToInit::Go(pid) => {
                self.pid.set(Some(pid));
                Ok(pid)
            }
            other => Err(Failure::new(format!("unexpected message {other:?}"))),
        }
    }

    fn hear(&self) -> Result<ToInit, Failure> {
        channel::hear(self.channel)
            .during(|| "waiting for the runtime")?
            .ok_or_else(|| Failure::new("the runtime has gone"))
    }
}

/// Everything up to the new root. Answers the terminal's master side.
fn furnish(plan: &mut InitPlan<'_>, word: &Word<'_>) -> Result<Option<OwnedFd>, Failure> {
    // Nobody may look into this process, or through it at the host, while it changes sides.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .during(|| "PR_SET_DUMPABLE")?;
    enter_namespaces(plan, word)?;
    let proc = crate::resolve::host_proc().during(|| "opening /proc")?;
    rustix::process::umask(Mode::empty());
    if let Some(personality) = &plan.linux.personality {
        set_personality(&personality.domain)?;
    }
    let uts = "setting the host name";
    if let Some(name) = plan.spec.hostname.as_deref().filter(|name| !name.is_empty()) {
        rustix::system::sethostname(name.as_bytes()).during(|| uts)?;
    }
    if let Some(name) = plan.spec.domainname.as_deref().filter(|name| !name.is_empty()) {
        rustix::system::setdomainname(name.as_bytes()).during(|| uts)?;
    }
    if plan.namespaces.new.contains(UnshareFlags::NEWNET) {
        gantry_sys::namespace::loopback_up().during(|| "bringing up the loopback interface")?;
    }
    let terminal = if plan.namespaces.joins(NamespaceKind::Mount) {
        word.go()?;
        enter_cgroup_namespace(plan.namespaces.new_cgroup)?;
        process::label(&plan.process, proc.as_fd())?;
        set_sysctls(plan.linux, proc.as_fd())?;
        match &plan.stdio {
            Stdio::Terminal => Some(terminal::open_in_own_root(plan.process.process)?),
            _ => None,
        }
    } else {
        own_root(plan, word, proc.as_fd())?
    };
    let (master, slave) = terminal.map_or((None, None), |t| (Some(t.master), Some(t.slave)));
    process::connect(&plan.stdio, slave.as_ref())?;
    Ok(master)
}

fn enter_namespaces(plan: &InitPlan<'_>, word: &Word<'_>) -> Result<(), Failure> {
    if plan.namespaces.has_user() {
        if plan.namespaces.new.contains(UnshareFlags::NEWUSER) && word.hear()? != ToInit::Mapped {
            return Err(Failure::new("unexpected message before the mappings"));
        }
        become_root()?;
    }
    plan.namespaces.enter()?;
    if plan.namespaces.new_time {
        enter_time_namespace(plan.linux)?;
    }
    Ok(())
}

/// Takes on the identity of the user namespace's root: what is made must belong to it.
pub(crate) fn become_root() -> Result<(), Failure> {
    let (uid, gid) = (rustix::fs::Uid::ROOT, rustix::fs::Gid::ROOT);
    let text = || "becoming root of the user namespace";
    rustix::thread::set_thread_groups(&[]).during(text)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).during(text)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).during(text)
}

/// Offsets are fixed once a process is inside, so: make, write, enter.
fn enter_time_namespace(linux: &Linux) -> Result<(), Failure> {
    let text = || "setting up the time namespace";
    gantry_sys::namespace::unshare(UnshareFlags::NEWTIME).during(text)?;
    let offsets: String = linux
        .time_offsets
        .iter()
        .map(|(clock, offset)| format!("{clock} {} {}\n", offset.secs, offset.nanosecs))
        .collect();
    if !offsets.is_empty() {
        std::fs::write("/proc/self/timens_offsets", offsets).during(text)?;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let made = rustix::fs::open("/proc/self/ns/time_for_children", flags, Mode::empty());
    crate::namespaces::enter(made.during(text)?.as_fd(), NamespaceKind::Time).during(text)
}

fn set_personality(domain: &str) -> Result<(), Failure> {
    let persona = match domain {
        "LINUX" => 0,
        "LINUX32" => 8,
        other => return Err(Failure::new(format!("unknown personality domain {other:?}"))),
    };
    gantry_sys::process::set_personality(persona).during(|| "setting personality")
}

/// The group that this process is in now becomes the root of what it sees, if that is `wanted`.
fn enter_cgroup_namespace(wanted: bool) -> Result<(), Failure> {
    if wanted {
        gantry_sys::namespace::unshare(UnshareFlags::NEWCGROUP)
            .during(|| "making the cgroup namespace")?;
    }
    Ok(())
}

/// Mounts, furnishes and enters a root of the container's own.
fn own_root(
    plan: &mut InitPlan<'_>,
    word: &Word<'_>,
    proc: BorrowedFd<'_>,
) -> Result<Option<terminal::Terminal>, Failure> {
    let own_group = plan.namespaces.new_cgroup;
    let group = plan.cgroup.exists().then_some(&plan.cgroup);
    let root = match &plan.namespaces.empty_mounts {
        Some(empty) => {
            // The root comes first in the list of mounts, as programs are used to.
            let root = rootfs::detached(&plan.rootfs)?;
            gather::sources(&mut plan.mounts, (&plan.host, group, own_group))?;
            rootfs::start_from(empty.as_fd(), &root)?;
            root
        }
        None => rootfs::prepare(&plan.rootfs, plan.linux.rootfs_propagation.as_deref())?,
    };
    let mut furnisher = mounts::Furnisher {
        root: root.as_fd(),
        has_user_namespace: plan.namespaces.has_user(),
        label: mount_label(plan.linux),
        read_only_later: Vec::new(),
    };
    let mut in_cgroup_namespace = false;
    for mount in &mut plan.mounts {
        let Kind::Cgroup(sources) = &mut mount.kind else {
            furnisher.mount(mount)?;
            continue;
        };
        word.go()?;
        if !std::mem::replace(&mut in_cgroup_namespace, true) {
            enter_cgroup_namespace(own_group)?;
        }
        let sources = match sources.take() {
            Some(sources) => sources,
            None => cgroup_view::Sources::gather(&plan.host, group, own_group, &mount.options)?,
        };
        let place = (mount.destination, &mount.options);
        cgroup_view::mount(root.as_fd(), place, &plan.host, sources)?;
    }
    let makes_devices =
        !plan.mounts.iter().any(|m| is_dev(m) && !matches!(m.kind, Kind::FileSystem { .. }));
    if makes_devices {
        devices::furnish(root.as_fd(), &plan.linux.devices, plan.namespaces.has_user())?;
    }
    let terminal = match &plan.stdio {
        Stdio::Terminal => Some(terminal::open(root.as_fd(), plan.process.process)?),
        _ => None,
    };
    if let (Some(terminal), true) = (&terminal, makes_devices) {
        devices::console(root.as_fd(), terminal.slave.as_fd())?;
    }
    if let Some(socket) = plan.notify_socket {
        bind_notify_socket(root.as_fd(), socket)?;
    }
    furnisher.finish()?;
    word.go()?;
    if !in_cgroup_namespace {
        enter_cgroup_namespace(own_group)?;
    }
    run_creation_hooks(plan, word)?;
    close_root(plan, root.as_fd(), proc)?;
    Ok(terminal)
}

fn is_dev(mount: &MountPlan<'_>) -> bool {
    crate::resolve::normal(mount.destination) == Path::new("dev")
}

fn mount_label(linux: &Linux) -> Option<&str> {
    let label = linux.mount_label.as_deref().filter(|label| !label.is_empty())?;
    Path::new("/sys/fs/selinux/enforce").exists().then_some(label)
}

fn bind_notify_socket(root: BorrowedFd<'_>, socket: &Path) -> Result<(), Failure> {
    let text = || format!("binding the notify socket {}", socket.display());
    let tree = mounts::clone(socket, false).during(text)?;
    let want = crate::resolve::Want::File;
    let target = crate::resolve::ensure(root, Path::new(NOTIFY_SOCKET), want).during(text)?;
    mounts::attach(tree.as_fd(), target.as_fd())
}

/// What is done once nothing more has to be written, and the step into the root.
fn close_root(
    plan: &InitPlan<'_>,
    root: BorrowedFd<'_>,
    proc: BorrowedFd<'_>,
) -> Result<(), Failure> {
    set_sysctls(plan.linux, proc)?;
    process::label(&plan.process, proc)?;
    // The mounted file systems' files are the container's to see as they will be: masks come last.
    masks::read_only(root, &plan.linux.readonly_paths)?;
    masks::mask(root, &plan.linux.masked_paths)?;
    if plan.spec.root.as_ref().is_some_and(|root| root.readonly) {
        rootfs::set_read_only(root)?;
    }
    if plan.namespaces.empty_mounts.is_some() {
        // This process has been at the root since it left the host's mounts.
        return Ok(());
    }
    let propagation = plan.linux.rootfs_propagation.as_deref();
    if plan.no_pivot {
        rootfs::move_root(root)?;
    } else {
        rootfs::pivot(root, propagation.is_some_and(|word| word.ends_with("shared")))?;
    }
    rootfs::finish_propagation(propagation)
}

/// Writes the kernel parameters of this process's namespaces: the kernel looks at who writes.
fn set_sysctls(linux: &Linux, proc: BorrowedFd<'_>) -> Result<(), Failure> {
    for (key, value) in &linux.sysctl {
        let text = || format!("write sysctl key {key}");
        let path = if key.contains('/') { key.clone() } else { key.replace('.', "/") };
        let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        let sys = rustix::fs::openat(proc, "sys", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .during(text)?;
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let file = rustix::fs::openat2(&sys, path, flags, Mode::empty(), resolve).during(text)?;
        rustix::io::write(&file, value.as_bytes()).during(text)?;
    }
    Ok(())
}

/// The container's state as hooks are given it.
fn state(plan: &InitPlan<'_>, word: &Word<'_>, status: Status) -> Result<State, Failure> {
    Ok(State {
        oci_version: plan.spec.oci_version.clone(),
        id: plan.id.to_owned(),
        status,
        pid: i32::try_from(word.go()?).ok(),
        bundle: plan.bundle.to_owned(),
        annotations: plan.spec.annotations.clone(),
    })
}

fn run_hooks(kind: &str, hooks: &[Hook], state: &State) -> Result<(), Failure> {
    hooks::run(kind, hooks, state).map_err(|text| Failure {
        kind: FailureKind::Hook,
        text,
        errno: 0,
    })
}

/// Has the parent run its hooks, then runs those of the container's own namespaces.
fn run_creation_hooks(plan: &InitPlan<'_>, word: &Word<'_>) -> Result<(), Failure> {
    let Some(hooks) = &plan.spec.hooks else {
        return Ok(());
    };
    if has_runtime_hooks(hooks) {
        channel::report(word.channel, &FromInit::Hooks, None).during(|| "asking for hooks")?;
        if word.hear()? != ToInit::HooksDone {
            return Err(Failure::new("unexpected message after the hooks"));
        }
    }
    if hooks.create_container.is_empty() {
        return Ok(());
    }
    run_hooks("createContainer", &hooks.create_container, &state(plan, word, Status::Creating)?)
}

/// Whether the parent has hooks to run while the container is made.
pub(crate) fn has_runtime_hooks(hooks: &Hooks) -> bool {
    !hooks.prestart.is_empty() || !hooks.create_runtime.is_empty()
}
