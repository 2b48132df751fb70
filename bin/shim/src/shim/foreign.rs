//! Another OCI runtime (runc, crun, kata) through the same door: its command line.
//!
//! The shim stays the parent: the runtime's own processes end once the container is made, and the
//! kernel gives the container's first process to the shim as its subreaper.

use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use gantry_cgroup::{Cgroup, Host};
use gantry_oci::runtime::{Namespace, NamespaceKind, Root, Spec};
use gantry_runtime::HeldNamespaces;
use gantry_shim_proto::{Answer, Exec, Failure, FailureKind, Foreign, Run, Streams};
use gantry_sys::spawn::{self, Spawn};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, WaitOptions, WaitStatus};

use super::session::Session;
use super::stdio::Ends;
use super::{Main, Running, Shim, failure, overlay, report, start, stdio};

/// How much of a runtime's log is read for its last words.
const MAX_LOG_BYTES: u64 = 64 * 1024;

/// A runtime and the one container that it has here.
pub(super) struct ForeignRuntime {
    program: PathBuf,
    args: Vec<String>,
    id: String,
    directory: PathBuf,
    /// Kept open: the container's network namespace is named by it.
    netns: Option<OwnedFd>,
}

/// An exec whose runtime process is at work.
pub(super) struct Starting {
    pub(super) id: String,
    pub(super) runtime_pid: u32,
    client: u64,
    seq: u64,
    stdio: gantry_shim_proto::Stdio,
    session: Session,
    clients: Vec<(OwnedFd, Streams)>,
    console: Option<UnixListener>,
    name: String,
}

/// Where a runtime's process gets its streams from.
struct Prepared {
    ends: Ends,
    session: Session,
    console: Option<UnixListener>,
}

impl ForeignRuntime {
    pub(super) fn new(foreign: Foreign, id: &str, directory: &Path) -> ForeignRuntime {
        ForeignRuntime {
            program: foreign.path,
            args: foreign.args,
            id: id.to_owned(),
            directory: directory.to_owned(),
            netns: None,
        }
    }

    /// The program, for whoever cleans up after a killed shim.
    pub(super) fn program(&self) -> Foreign {
        Foreign { path: self.program.clone(), args: self.args.clone() }
    }

    /// Mounts the root file system, writes the bundle, creates and starts.
    pub(super) fn run(mut self, run: &mut Run, netns: Option<OwnedFd>) -> Result<Main, Failure> {
        self.netns = netns;
        self.write_bundle(run)?;
        let owner = run.spec.process.as_ref().map(|process| &process.user);
        let owner = owner.map_or((0, 0), |user| stdio::host_owner(&run.spec, user.uid, user.gid));
        let prepared = self.streams(&run.stdio, owner, "init")?;
        let bundle = self.bundle();
        let pid_file = self.directory.join("init.pid");
        let mut args: Vec<&OsStr> =
            vec!["create".as_ref(), "--bundle".as_ref(), bundle.as_ref(), "--pid-file".as_ref()];
        args.push(pid_file.as_ref());
        let console = self.console_path("init");
        if prepared.console.is_some() {
            args.extend([OsStr::new("--console-socket"), console.as_ref()]);
        }
        args.push(self.id.as_ref());
        let created =
            self.spawn(&args, &prepared.ends, "init").and_then(|pid| self.finish(pid, "init"));
        drop(prepared.ends);
        let started = created.and_then(|()| {
            let process =
                running(String::new(), &pid_file, prepared.session, prepared.console, &run.stdio)?;
            self.command(&["start".as_ref(), self.id.as_ref()])?;
            Ok(process)
        });
        match started {
            Ok(process) => {
                let cgroup = cgroup_of(&run.spec);
                let namespaces = HeldNamespaces::default();
                Ok(Main { process, cgroup, namespaces, foreign: Some(self) })
            }
            Err(failure) => {
                self.delete();
                Err(failure)
            }
        }
    }

    /// Starts the runtime for an exec; [`Shim::exec_started`] goes on when it has ended.
    pub(super) fn begin_exec(
        &self,
        exec: Exec,
        clients: Vec<(OwnedFd, Streams)>,
        client: u64,
        seq: u64,
    ) -> Result<Starting, Failure> {
        let name = format!("exec-{seq}-{client}");
        let user = &exec.process.user;
        let prepared = self.streams(&exec.stdio, (user.uid, user.gid), &name)?;
        let process = self.directory.join(format!("{name}.json"));
        let pid_file = self.directory.join(format!("{name}.pid"));
        report::save(&process, &exec.process).map_err(|error| failure::other("exec", &error))?;
        let mut args: Vec<&OsStr> =
            vec!["exec".as_ref(), "--detach".as_ref(), "--process".as_ref()];
        args.extend([process.as_os_str(), OsStr::new("--pid-file"), pid_file.as_ref()]);
        let console = self.console_path(&name);
        if prepared.console.is_some() {
            args.extend([OsStr::new("--console-socket"), console.as_ref()]);
        }
        args.push(self.id.as_ref());
        let runtime_pid = self.spawn(&args, &prepared.ends, &name)?;
        Ok(Starting {
            id: exec.id,
            runtime_pid,
            client,
            seq,
            stdio: exec.stdio,
            session: prepared.session,
            clients,
            console: prepared.console,
            name,
        })
    }

    /// Removes what the runtime keeps of the container.
    pub(super) fn delete(&self) {
        if let Err(error) = self.command(&["delete".as_ref(), "--force".as_ref(), self.id.as_ref()])
        {
            report::say(&error.message);
        }
    }

    fn bundle(&self) -> PathBuf {
        self.directory.join("bundle")
    }

    fn console_path(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.tty"))
    }

    fn write_bundle(&self, run: &mut Run) -> Result<(), Failure> {
        let mount = |error: io::Error| Failure {
            kind: FailureKind::Mount,
            message: format!("mounting the root file system: {error}"),
        };
        let bundle = self.bundle();
        fs::create_dir(&bundle).map_err(mount)?;
        start::prepare_spec(&mut run.spec, &run.stdio)?;
        // crun before 1.8.5 takes no other; newer fields are read or passed over all the same.
        "1.0.2".clone_into(&mut run.spec.oci_version);
        let mut root = run.spec.root.take().unwrap_or_default();
        if !run.upper.as_os_str().is_empty() {
            let rootfs = bundle.join("rootfs");
            fs::create_dir(&rootfs).map_err(mount)?;
            overlay::mount(run, &rootfs).map_err(mount)?;
            root = Root { path: rootfs, ..root };
        }
        run.spec.root = Some(root);
        if let Some(netns) = &self.netns {
            join_network(&mut run.spec, netns);
        }
        report::save(&bundle.join("config.json"), &run.spec)
            .map_err(|error| failure::other("writing the bundle", &error))
    }

    fn streams(
        &self,
        config: &gantry_shim_proto::Stdio,
        owner: (u32, u32),
        name: &str,
    ) -> Result<Prepared, Failure> {
        let prepare = || -> io::Result<Prepared> {
            if !config.tty {
                let (ends, session) = stdio::pipes(config, owner)?;
                return Ok(Prepared { ends, session, console: None });
            }
            let path = self.console_path(name);
            let console = UnixListener::bind(&path)?;
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
            console.set_nonblocking(true)?;
            let null =
                rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
            let ends = Ends { stdin: null.try_clone()?, stdout: null.try_clone()?, stderr: null };
            Ok(Prepared { ends, session: Session::default(), console: Some(console) })
        };
        prepare().map_err(|error| failure::other("streams", &error))
    }

    /// Runs a command of the runtime to its end; its own output goes to the error file.
    fn command(&self, args: &[&OsStr]) -> Result<(), Failure> {
        let error_file = || -> io::Result<Ends> {
            let end = || rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stderr(), 3);
            let stdin = rustix::io::fcntl_dupfd_cloexec(rustix::stdio::stdin(), 3)?;
            Ok(Ends { stdin, stdout: end()?, stderr: end()? })
        };
        let ends = error_file().map_err(|error| failure::other("streams", &error))?;
        let pid = self.spawn(args, &ends, "command")?;
        self.finish(pid, "command")
    }

    fn spawn(&self, args: &[&OsStr], ends: &Ends, log: &str) -> Result<u32, Failure> {
        let log = self.directory.join(format!("{log}.log"));
        let _ = fs::remove_file(&log);
        let root = self.directory.join("runtime");
        let before: [&OsStr; 6] = [
            "--root".as_ref(),
            root.as_ref(),
            "--log".as_ref(),
            log.as_ref(),
            "--log-format".as_ref(),
            "json".as_ref(),
        ];
        let own = self.args.iter().map(OsStr::new);
        let all = [self.program.as_os_str()].into_iter().chain(own).chain(before);
        let all = all.chain(args.iter().copied());
        let spawned = find_program(&self.program).and_then(|program| {
            let args: Vec<CString> =
                all.map(|arg| CString::new(arg.as_bytes())).collect::<Result<_, _>>()?;
            let path = std::env::var_os("PATH").unwrap_or_default();
            let env = CString::new([b"PATH=", path.as_bytes()].concat())?;
            spawn::spawn(&Spawn {
                program: &program,
                args: &args,
                env: &[env],
                descriptors: &[
                    (ends.stdin.as_fd(), 0),
                    (ends.stdout.as_fd(), 1),
                    (ends.stderr.as_fd(), 2),
                ],
                new_session: false,
            })
        });
        match spawned {
            Ok((pid, _pidfd)) => Ok(pid),
            Err(error) => Err(Failure {
                kind: FailureKind::Other,
                message: format!("executing the runtime {}: {error}", self.program.display()),
            }),
        }
    }

    /// Waits for a process of the runtime.
    fn finish(&self, pid: u32, log: &str) -> Result<(), Failure> {
        let pid = i32::try_from(pid).ok().and_then(Pid::from_raw);
        let status = loop {
            match rustix::process::waitpid(pid, WaitOptions::empty()) {
                Ok(Some((_, status))) => break status,
                Err(rustix::io::Errno::INTR) | Ok(None) => {}
                Err(error) => {
                    return Err(failure::other("waiting for the runtime", &io::Error::from(error)));
                }
            }
        };
        self.judge(status, log)
    }

    fn judge(&self, status: WaitStatus, log: &str) -> Result<(), Failure> {
        if status.exit_status() == Some(0) {
            return Ok(());
        }
        let words = last_words(&self.directory.join(format!("{log}.log")));
        Err(match words {
            Some(words) => failure::foreign(&words),
            None => Failure {
                kind: FailureKind::Other,
                message: format!("{} failed without a word", self.program.display()),
            },
        })
    }
}

impl Shim {
    /// The runtime of an exec has ended: the process runs, or it says why not.
    pub(super) fn exec_started(&mut self, index: usize, status: WaitStatus) {
        let starting = self.starting.swap_remove(index);
        let (client, seq, name) = (starting.client, starting.seq, starting.name.clone());
        let foreign = self.main.as_ref().and_then(|main| main.foreign.as_ref());
        let judged = foreign.map_or(Ok(()), |foreign| foreign.judge(status, &name));
        let file = |suffix: &str| self.directory.join(format!("{name}.{suffix}"));
        let started = judged.and_then(|()| {
            let Starting { id, stdio, session, clients, console, .. } = starting;
            let mut process = running(id, &file("pid"), session, console, &stdio)?;
            for (socket, streams) in clients {
                process.session.attach(socket, streams);
            }
            Ok(process)
        });
        for suffix in ["pid", "json", "log", "tty"] {
            let _ = fs::remove_file(file(suffix));
        }
        let answer = match started {
            Ok(process) => {
                let pid = process.pid;
                self.execs.push(process);
                Answer::Started { pid }
            }
            Err(failure) => Answer::Failed(failure),
        };
        self.answer(client, seq, answer);
    }
}

/// Takes up a process that the runtime has left to the shim.
fn running(
    id: String,
    pid_file: &Path,
    session: Session,
    console: Option<UnixListener>,
    config: &gantry_shim_proto::Stdio,
) -> Result<Running, Failure> {
    let take = || -> io::Result<Running> {
        let text = fs::read_to_string(pid_file)?;
        let number: i32 = text.trim().parse().map_err(io::Error::other)?;
        let pid = Pid::from_raw(number).ok_or(io::ErrorKind::InvalidData)?;
        // The process is a child of the shim and not waited for yet, so the number is its own.
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::empty())?;
        let session = match console {
            Some(console) => stdio::terminal(config, receive_terminal(&console)?)?,
            None => session,
        };
        let pid = number.unsigned_abs();
        Ok(Running { id, pid, pidfd, session, ended: false, linger: None })
    };
    take().map_err(|error| failure::other("taking over from the runtime", &error))
}

/// Takes the terminal's master side that the runtime has sent to the console socket.
fn receive_terminal(console: &UnixListener) -> io::Result<OwnedFd> {
    use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
    let (stream, _) = console.accept()?;
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    let mut parts = [io::IoSliceMut::new(&mut name)];
    rustix::net::recvmsg(&stream, &mut parts, &mut control, RecvFlags::CMSG_CLOEXEC)?;
    let rights = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut rights) => rights.next(),
        _ => None,
    });
    rights.ok_or_else(|| io::Error::other("the runtime sent no terminal"))
}

/// Names the network namespace by the shim's own descriptor.
fn join_network(spec: &mut Spec, netns: &OwnedFd) {
    let path = format!("/proc/{}/fd/{}", std::process::id(), netns.as_raw_fd());
    let linux = spec.linux.get_or_insert_default();
    linux.namespaces.retain(|namespace| namespace.kind != NamespaceKind::Network);
    linux.namespaces.push(Namespace { kind: NamespaceKind::Network, path: Some(path.into()) });
}

fn cgroup_of(spec: &Spec) -> Option<Cgroup> {
    let path = spec.linux.as_ref()?.cgroups_path.as_ref()?;
    // `slice:prefix:name` is systemd's, which the runtime looks after itself.
    if path.contains(':') {
        return None;
    }
    Host::detect().ok().map(|host| host.open(path))
}

fn find_program(program: &Path) -> io::Result<CString> {
    let found = if program.components().count() > 1 {
        Some(program.to_owned())
    } else {
        let path = std::env::var_os("PATH").unwrap_or_else(|| OsString::from("/usr/sbin:/usr/bin"));
        std::env::split_paths(&path).map(|folder| folder.join(program)).find(|path| path.is_file())
    };
    let found = found.ok_or(io::ErrorKind::NotFound)?;
    Ok(CString::new(found.as_os_str().as_bytes())?)
}

/// The last error in a runtime's log of JSON lines.
fn last_words(log: &Path) -> Option<String> {
    let size = fs::metadata(log).ok()?.len();
    if size > MAX_LOG_BYTES {
        return None;
    }
    let text = fs::read_to_string(log).ok()?;
    text.lines().rev().find_map(|line| {
        let value: serde_json::Value = serde_json::from_str(line).ok()?;
        Some(value.get("msg")?.as_str()?.to_owned())
    })
}
