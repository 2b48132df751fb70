//! `create`, `start`, `run`, `exec`.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_oci::runtime::{Capabilities, NamespaceKind, Process, Spec, State, Status};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::args::{self, Flag, Parsed, switch, value};
use super::foreground::{self, Watch};
use super::state::{self, Directory, Known, Record};
use super::{Context, Failed, control, executable};
use crate::{
    AfterStart, CreateRequest, Created, ExecRequest, Rootfs, Running, StartGate, Stdio, agent,
    create as library,
};

const BUNDLE: Flag = value(&["bundle", "b"]);
const CONSOLE: Flag = value(&["console-socket"]);
const PID_FILE: Flag = value(&["pid-file"]);
const NO_PIVOT: Flag = switch(&["no-pivot"]);
const NO_KEYRING: Flag = switch(&["no-new-keyring"]);
const PRESERVE: Flag = value(&["preserve-fds"]);
const DETACH: Flag = switch(&["detach", "d"]);

/// `gantry oci create`.
pub(super) fn create(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let flags = [BUNDLE, CONSOLE, PID_FILE, NO_PIVOT, NO_KEYRING, PRESERVE];
    let (parsed, id) = super::one_id(rest, &flags)?;
    executable::protect(context)?;
    let bundle = Bundle::open(&parsed)?;
    let directory = Directory::make(&context.root, &id)?;
    let made = make(&directory, &bundle, &id, &parsed, true);
    match made {
        Ok(_) => Ok(0),
        Err(failed) => {
            // The first error is the one to tell.
            let _ = directory.remove();
            Err(failed)
        }
    }
}

/// `gantry oci run`.
pub(super) fn run(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let flags = [
        BUNDLE,
        CONSOLE,
        PID_FILE,
        NO_PIVOT,
        NO_KEYRING,
        PRESERVE,
        DETACH,
        switch(&["keep"]),
        switch(&["no-subreaper"]),
    ];
    let (parsed, id) = super::one_id(rest, &flags)?;
    executable::protect(context)?;
    let bundle = Bundle::open(&parsed)?;
    let detach = parsed.is_set("detach");
    check_console(&parsed, bundle.wants_terminal(), detach)?;
    let directory = Directory::make(&context.root, &id)?;
    let ended = run_made(&directory, &bundle, &id, &parsed, detach);
    if ended.is_err() || (!detach && !parsed.is_set("keep")) {
        let cleaned = control::destroy(&context.root, &id);
        let _ = directory.remove();
        return ended.and_then(|code| cleaned.map(|()| code));
    }
    ended
}

fn run_made(
    directory: &Directory,
    bundle: &Bundle,
    id: &str,
    parsed: &Parsed,
    detach: bool,
) -> Result<u8, Failed> {
    let watch = if detach { None } else { Some(Watch::new()?) };
    let mut created = make(directory, bundle, id, parsed, false)?;
    let terminal = created.terminal.take();
    let pid = created.pid;
    let running = match created.start() {
        Ok(running) => running,
        Err(error) => return Err(start_failed(error)),
    };
    match watch {
        None => Ok(0),
        Some(watch) => watch.until_exit(&running.pidfd, pid, terminal),
    }
}

fn start_failed(error: crate::StartError) -> Failed {
    let failed = Failed::from_error(error);
    Failed { text: format!("unable to start container process: {}", failed.text), ..failed }
}

/// A bundle as it lies on disk.
struct Bundle {
    path: PathBuf,
    spec: Spec,
    config: Vec<u8>,
}

impl Bundle {
    fn open(parsed: &Parsed) -> Result<Bundle, Failed> {
        let given = parsed.get("bundle").filter(|path| !path.is_empty()).unwrap_or(".");
        let path = fs::canonicalize(given)
            .map_err(Failed::during(|| format!("opening bundle {given}")))?;
        let (spec, config) = state::read_spec(&path.join("config.json"))?;
        Ok(Bundle { path, spec, config })
    }

    fn wants_terminal(&self) -> bool {
        self.spec.process.as_ref().is_some_and(|process| process.terminal)
    }

    fn rootfs(&self) -> Result<PathBuf, Failed> {
        let root = self.spec.root.as_ref().ok_or_else(|| Failed::new("root must be specified"))?;
        let path = self.path.join(&root.path);
        fs::canonicalize(&path)
            .map_err(|_| Failed::new(format!("rootfs ({}) does not exist", root.path.display())))
    }
}

fn check_console(parsed: &Parsed, terminal: bool, detach: bool) -> Result<(), Failed> {
    let socket = parsed.get("console-socket").is_some_and(|path| !path.is_empty());
    match (terminal, detach, socket) {
        (true, true, false) => Err(Failed::new(
            "cannot allocate tty if runc will detach without setting console socket",
        )),
        (false, true, true) | (_, false, true) => {
            Err(Failed::new("cannot use console socket if runc will not detach or allocate tty"))
        }
        _ => Ok(()),
    }
}

/// Creates a container and records it.
fn make(
    directory: &Directory,
    bundle: &Bundle,
    id: &str,
    parsed: &Parsed,
    separate_start: bool,
) -> Result<Created, Failed> {
    if separate_start {
        check_console(parsed, bundle.wants_terminal(), true)?;
    }
    let rootfs = bundle.rootfs()?;
    let (spec, preserve_fds) = with_listen_fds(bundle.spec.clone(), parsed)?;
    let notify = std::env::var_os("NOTIFY_SOCKET").map(PathBuf::from);
    let mut request = CreateRequest::new(id, &bundle.path, &spec);
    request.rootfs = Rootfs::Path(rootfs.clone());
    request.stdio = if bundle.wants_terminal() { Stdio::Terminal } else { Stdio::Inherit };
    request.notify_socket = notify.as_deref().filter(|path| path.is_absolute() && path.exists());
    request.preserve_fds = preserve_fds;
    request.no_pivot = parsed.is_set("no-pivot");
    request.no_new_keyring = parsed.is_set("no-new-keyring");
    if separate_start {
        request.start = StartGate::Listener(listen(&directory.start_socket())?);
    }
    let created = library::create(request).map_err(create_failed)?;
    let recorded = record(directory, bundle, id, &created, rootfs).and_then(|()| {
        write_pid_file(parsed, created.pid)?;
        send_console(parsed, created.terminal.as_ref())
    });
    match recorded {
        Ok(()) => Ok(created),
        Err(failed) => {
            created.abort();
            Err(failed)
        }
    }
}

fn create_failed(error: crate::CreateError) -> Failed {
    let failed = Failed::from_error(error);
    Failed { text: format!("unable to start container process: {}", failed.text), ..failed }
}

/// Adds the sockets that a service manager has passed (`sd_listen_fds(3)`) to the descriptors kept.
fn with_listen_fds(mut spec: Spec, parsed: &Parsed) -> Result<(Spec, u32), Failed> {
    let preserve: u32 = parsed.number("preserve-fds")?.unwrap_or(0);
    let Some(count) = std::env::var("LISTEN_FDS").ok().and_then(|text| text.parse::<u32>().ok())
    else {
        return Ok((spec, preserve));
    };
    if let Some(process) = &mut spec.process {
        process.env.push(format!("LISTEN_FDS={count}"));
        process.env.push("LISTEN_PID=1".to_owned());
    }
    Ok((spec, preserve.saturating_add(count)))
}

/// A socket at which the created process waits for its start.
fn listen(path: &Path) -> Result<OwnedFd, Failed> {
    let text = || "making the start socket";
    let socket = rustix::net::socket_with(
        AddressFamily::UNIX,
        SocketType::SEQPACKET,
        SocketFlags::CLOEXEC,
        None,
    );
    let socket = socket.map_err(|e| Failed::during(text)(e.into()))?;
    let address = short_address(path)?;
    rustix::net::bind(&socket, &address.1).map_err(|e| Failed::during(text)(e.into()))?;
    rustix::net::listen(&socket, 1).map_err(|e| Failed::during(text)(e.into()))?;
    Ok(socket)
}

/// A socket's address by its directory's descriptor: a path may be longer than an address takes.
fn short_address(path: &Path) -> Result<(OwnedFd, SocketAddrUnix), Failed> {
    use rustix::fs::{Mode, OFlags};
    use std::os::fd::AsRawFd;
    let text = || format!("opening {}", path.display());
    let directory = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().unwrap_or_default();
    let fd = rustix::fs::open(directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| Failed::during(text)(e.into()))?;
    let short = Path::new("/proc/self/fd").join(fd.as_raw_fd().to_string()).join(name);
    let address = SocketAddrUnix::new(&short).map_err(|e| Failed::during(text)(e.into()))?;
    Ok((fd, address))
}

fn connect(path: &Path, kind: SocketType) -> Result<OwnedFd, Failed> {
    let text = || format!("connecting to {}", path.display());
    let socket = rustix::net::socket_with(AddressFamily::UNIX, kind, SocketFlags::CLOEXEC, None)
        .map_err(|e| Failed::during(text)(e.into()))?;
    let address = short_address(path)?;
    rustix::net::connect(&socket, &address.1).map_err(|e| Failed::during(text)(e.into()))?;
    Ok(socket)
}

fn record(
    directory: &Directory,
    bundle: &Bundle,
    id: &str,
    created: &Created,
    rootfs: PathBuf,
) -> Result<(), Failed> {
    let start_time = state::process_stat(created.pid)
        .map(|(_, started)| started)
        .ok_or_else(|| Failed::new("container init is gone"))?;
    let linux = bundle.spec.linux.as_ref();
    let record = Record {
        oci_version: bundle.spec.oci_version.clone(),
        id: id.to_owned(),
        pid: created.pid,
        start_time,
        bundle: bundle.path.clone(),
        rootfs,
        created: state::now(),
        cgroup: created.cgroup.path().to_owned(),
        owner: String::new(),
        own_pid_namespace: linux.is_some_and(|linux| {
            linux.namespaces.iter().any(|n| n.kind == NamespaceKind::Pid && n.path.is_none())
        }),
        annotations: bundle.spec.annotations.clone(),
    };
    directory.save(&record, &bundle.config)
}

/// Writes the pid, whole or not at all: whoever waits for the file reads it at once.
fn write_pid_file(parsed: &Parsed, pid: u32) -> Result<(), Failed> {
    let Some(path) = parsed.get("pid-file").filter(|path| !path.is_empty()) else {
        return Ok(());
    };
    let path = Path::new(path);
    let text = || format!("writing {}", path.display());
    let mut name = OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    let new = path.with_file_name(name);
    fs::write(&new, pid.to_string())
        .and_then(|()| fs::rename(&new, path))
        .map_err(Failed::during(text))
}

/// Sends the terminal to whoever listens at `--console-socket`.
fn send_console(parsed: &Parsed, terminal: Option<&OwnedFd>) -> Result<(), Failed> {
    let socket = parsed.get("console-socket").filter(|path| !path.is_empty());
    let (Some(path), Some(terminal)) = (socket, terminal) else {
        return Ok(());
    };
    let connection = connect(Path::new(path), SocketType::STREAM)?;
    agent::send_with(connection.as_fd(), b"/dev/ptmx", terminal.as_fd())
        .map_err(|e| Failed::during(|| "sending the terminal")(e.into()))
}

/// `gantry oci start`.
pub(super) fn start(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let (_, id) = super::one_id(rest, &[])?;
    let directory = Directory::open(&context.root, &id)?;
    let _lock = directory.lock()?;
    let known = Known::load(&context.root, &id)?;
    match known.status() {
        Status::Created => {}
        Status::Stopped => return Err(Failed::new("cannot start a container that has stopped")),
        Status::Running | Status::Paused => {
            return Err(Failed::new("cannot start an already running container"));
        }
        Status::Creating => {
            return Err(Failed::new("cannot start a container in the creating state"));
        }
    }
    let socket = known.directory.start_socket();
    let connection = connect(&socket, SocketType::SEQPACKET)?;
    let spec = known.directory.spec()?;
    let after = AfterStart::new(&spec, known.state(Status::Running));
    let started = crate::start_through(connection.as_fd(), &after);
    // From here on the container is either running or stopped.
    let _ = fs::remove_file(&socket);
    started.map(|()| 0).map_err(start_failed)
}

/// `gantry oci exec`.
pub(super) fn exec(context: &Context, rest: Vec<OsString>) -> Result<u8, Failed> {
    let flags = [
        CONSOLE,
        PID_FILE,
        PRESERVE,
        DETACH,
        NO_KEYRING,
        value(&["cwd"]),
        value(&["env", "e"]),
        switch(&["tty", "t"]),
        value(&["user", "u"]),
        value(&["additional-gids", "g"]),
        value(&["process", "p"]),
        value(&["process-label"]),
        value(&["apparmor"]),
        switch(&["no-new-privs"]),
        value(&["cap", "c"]),
        value(&["cgroup"]),
        switch(&["ignore-paused"]),
    ];
    let parsed = args::parse(rest, &flags, true)?;
    let Some((id, command)) = parsed.rest.split_first() else {
        return Err(Failed::usage("a container id is needed"));
    };
    executable::protect(context)?;
    let known = Known::load(&context.root, id)?;
    match known.status() {
        Status::Stopped => return Err(Failed::new("cannot exec in a stopped container")),
        Status::Paused if !parsed.is_set("ignore-paused") => {
            return Err(Failed::new(
                "cannot exec in a paused container (use --ignore-paused to override)",
            ));
        }
        _ => {}
    }
    let spec = known.directory.spec()?;
    let process = exec_process(&parsed, command, &spec)?;
    let detach = parsed.is_set("detach");
    check_console(&parsed, process.terminal, detach)?;
    exec_in(&known, &spec, &process, &parsed, detach)
}

fn exec_in(
    known: &Known,
    spec: &Spec,
    process: &Process,
    parsed: &Parsed,
    detach: bool,
) -> Result<u8, Failed> {
    let pidfd = known.pidfd.as_ref().ok_or_else(|| Failed::new("container is not running"))?;
    let cgroup = exec_cgroup(known, parsed)?;
    let profile = spec.linux.as_ref().and_then(|linux| linux.seccomp.as_ref());
    let filter = profile.map(gantry_seccomp::compile).transpose().map_err(Failed::from_error)?;
    let program = filter.as_ref().map(gantry_seccomp::Program::to_bytes);
    let watch = if detach { None } else { Some(Watch::new()?) };
    let request = ExecRequest {
        id: &known.record.id,
        pid: known.record.pid,
        pidfd: pidfd.as_fd(),
        process,
        stdio: if process.terminal { Stdio::Terminal } else { Stdio::Inherit },
        cgroup: Some(&cgroup),
        seccomp: program.as_deref(),
        seccomp_flags: filter.as_ref().map_or(0, gantry_seccomp::Program::flags),
        preserve_fds: parsed.number("preserve-fds")?.unwrap_or(0),
        no_new_keyring: parsed.is_set("no-new-keyring"),
    };
    let running = crate::exec(request).map_err(|error| {
        let failed = Failed::from_error(error);
        Failed { text: format!("unable to start container process: {}", failed.text), code: 255 }
    })?;
    after_exec(parsed, running, watch)
}

fn after_exec(parsed: &Parsed, running: Running, watch: Option<Watch>) -> Result<u8, Failed> {
    let Running { pid, pidfd, terminal, .. } = running;
    let told = write_pid_file(parsed, pid).and_then(|()| send_console(parsed, terminal.as_ref()));
    if let Err(failed) = told {
        foreground::end(&pidfd);
        return Err(failed);
    }
    match watch {
        None => Ok(0),
        Some(watch) => watch.until_exit(&pidfd, pid, terminal),
    }
}

/// The control group of an exec: the container's, or an existing one below it.
fn exec_cgroup(known: &Known, parsed: &Parsed) -> Result<gantry_cgroup::Cgroup, Failed> {
    let host = gantry_cgroup::Host::detect().map_err(Failed::from_error)?;
    let Some(sub) = parsed.get("cgroup") else {
        return Ok(host.open(&known.record.cgroup));
    };
    if sub.contains(':') {
        return Err(Failed::new("--cgroup with a controller is not implemented"));
    }
    let inside = crate::resolve::normal(Path::new(sub));
    let path = Path::new(&known.record.cgroup).join(inside);
    let group = host.open(&path.to_string_lossy());
    if group.exists() {
        Ok(group)
    } else {
        Err(Failed::new(format!("bad --cgroup: {sub} does not exist")))
    }
}

/// The process of an exec: from a file, or the container's own changed by flags.
fn exec_process(parsed: &Parsed, command: &[String], spec: &Spec) -> Result<Process, Failed> {
    if let Some(path) = parsed.get("process") {
        let bytes = fs::read(path).map_err(Failed::during(|| format!("reading {path}")))?;
        return serde_json::from_slice(&bytes)
            .map_err(|error| Failed::new(format!("parsing {path}: {error}")));
    }
    if command.is_empty() {
        return Err(Failed::usage("process args cannot be empty"));
    }
    let mut process = spec.process.clone().unwrap_or_default();
    process.args = command.to_vec();
    process.terminal = parsed.is_set("tty");
    process.console_size = None;
    process.env.extend(parsed.all("env").map(str::to_owned));
    if let Some(cwd) = parsed.get("cwd") {
        cwd.clone_into(&mut process.cwd);
    }
    if let Some(user) = parsed.get("user") {
        let (uid, gid) = parse_user(user)?;
        process.user.uid = uid;
        process.user.gid = gid.unwrap_or(process.user.gid);
    }
    for gid in parsed.all("additional-gids") {
        process.user.additional_gids.push(number(gid)?);
    }
    let caps = process.capabilities.get_or_insert_with(Capabilities::default);
    for cap in parsed.all("cap") {
        for set in [&mut caps.bounding, &mut caps.effective, &mut caps.permitted] {
            set.push(cap.to_owned());
        }
    }
    process.no_new_privileges |= parsed.is_set("no-new-privs");
    if let Some(profile) = parsed.get("apparmor") {
        process.apparmor_profile = Some(profile.to_owned());
    }
    if let Some(label) = parsed.get("process-label") {
        process.selinux_label = Some(label.to_owned());
    }
    Ok(process)
}

/// `UID` or `UID:GID`, decimal, within 32 bits: nothing else may pass for a number, least of all for 0.
fn parse_user(user: &str) -> Result<(u32, Option<u32>), Failed> {
    match user.split_once(':') {
        Some((uid, gid)) => Ok((number(uid)?, Some(number(gid)?))),
        None => Ok((number(user)?, None)),
    }
}

fn number(text: &str) -> Result<u32, Failed> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    match text.parse::<u32>() {
        // All ones means "unchanged" to the kernel: it would leave the process root.
        Ok(number) if digits && number != u32::MAX => Ok(number),
        _ => Err(Failed::new(format!("invalid uid or gid: {text:?}"))),
    }
}

/// The state that a hook of the parent is given once the container has ended.
pub(super) fn stopped(known: &Known) -> State {
    known.state(Status::Stopped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_numbers_in_range() {
        for (text, want) in [
            ("0", Some((0, None))),
            ("1000:50", Some((1000, Some(50)))),
            ("2147483648", Some((1 << 31, None))),
            ("4294967295", None),
            ("4294967296", None),
            ("-1", None),
            ("+1", None),
            ("0x0", None),
            ("root", None),
            ("", None),
            (":", None),
            ("1:", None),
        ] {
            assert_eq!(parse_user(text).ok(), want, "{text:?}");
        }
    }
}
