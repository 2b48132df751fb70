//! `create`, `start`, `run`, `exec`.

use std::ffi::OsString;
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use gantry_cgroup::Cgroup;
use gantry_oci::runtime::{NamespaceKind, Spec, State, Status};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::args::{Flag, Parsed, switch, value};
use super::control::Remains;
use super::foreground::Watch;
use super::state::{self, Directory, Known, Record};
use super::{Context, Failed, control, executable};
use crate::{
    AfterStart, CreateRequest, Created, Rootfs, StartGate, Stdio, agent, create as library,
};

const BUNDLE: Flag = value(&["bundle", "b"]);
pub(super) const CONSOLE: Flag = value(&["console-socket"]);
pub(super) const PID_FILE: Flag = value(&["pid-file"]);
const NO_PIVOT: Flag = switch(&["no-pivot"]);
pub(super) const NO_KEYRING: Flag = switch(&["no-new-keyring"]);
pub(super) const PRESERVE: Flag = value(&["preserve-fds"]);
pub(super) const DETACH: Flag = switch(&["detach", "d"]);

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
    match ended {
        Ok(Ended { code, group: Some(group) }) if !parsed.is_set("keep") => {
            let hooks = bundle.spec.hooks.as_ref();
            let remains = Remains {
                directory: &directory,
                group: Ok(group),
                own_pid_namespace: has_own_pid_namespace(&bundle.spec),
                poststop: hooks.map(|hooks| hooks.poststop.clone()).unwrap_or_default(),
            };
            remains.remove(|| bundle.stopped(&id)).map(|()| code)
        }
        Ok(ended) => Ok(ended.code),
        Err(failed) => {
            // The first error is the one to tell.
            let _ = control::destroy(&context.root, &id);
            let _ = directory.remove();
            Err(failed)
        }
    }
}

/// How `run` came out.
struct Ended {
    code: u8,
    /// The control group of a container that has ended; none if it lives on.
    group: Option<Cgroup>,
}

fn run_made(
    directory: &Directory,
    bundle: &Bundle,
    id: &str,
    parsed: &Parsed,
    detach: bool,
) -> Result<Ended, Failed> {
    let watch = if detach { None } else { Some(Watch::new()?) };
    let mut created = make(directory, bundle, id, parsed, false)?;
    let terminal = created.terminal.take();
    let pid = created.pid;
    let running = created.start().map_err(start_failed)?;
    let Some(watch) = watch else {
        return Ok(Ended { code: 0, group: None });
    };
    let code = watch.until_exit(&running.pidfd, pid, terminal)?;
    Ok(Ended { code, group: running.cgroup })
}

fn start_failed(error: crate::StartError) -> Failed {
    let failed = Failed::from_error(error);
    Failed { text: format!("unable to start container process: {}", failed.text), ..failed }
}

fn has_own_pid_namespace(spec: &Spec) -> bool {
    spec.linux.as_ref().is_some_and(|linux| {
        linux.namespaces.iter().any(|n| n.kind == NamespaceKind::Pid && n.path.is_none())
    })
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

    fn stopped(&self, id: &str) -> State {
        State {
            oci_version: self.spec.oci_version.clone(),
            id: id.to_owned(),
            status: Status::Stopped,
            pid: Some(0),
            bundle: self.path.clone(),
            annotations: self.spec.annotations.clone(),
        }
    }

    fn rootfs(&self) -> Result<PathBuf, Failed> {
        let root = self.spec.root.as_ref().ok_or_else(|| Failed::new("root must be specified"))?;
        let path = self.path.join(&root.path);
        fs::canonicalize(&path)
            .map_err(|_| Failed::new(format!("rootfs ({}) does not exist", root.path.display())))
    }
}

pub(super) fn check_console(parsed: &Parsed, terminal: bool, detach: bool) -> Result<(), Failed> {
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
        own_pid_namespace: has_own_pid_namespace(&bundle.spec),
        annotations: bundle.spec.annotations.clone(),
    };
    directory.save(&record, &bundle.config)
}

/// Writes the pid, whole or not at all: whoever waits for the file reads it at once.
pub(super) fn write_pid_file(parsed: &Parsed, pid: u32) -> Result<(), Failed> {
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
pub(super) fn send_console(parsed: &Parsed, terminal: Option<&OwnedFd>) -> Result<(), Failed> {
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

/// The state that a hook of the parent is given once the container has ended.
pub(super) fn stopped(known: &Known) -> State {
    known.state(Status::Stopped)
}
