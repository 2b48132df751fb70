//! Starting the container's first process.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use gantry_oci::runtime::Spec;
use gantry_runtime::{CreateRequest, Rootfs};
use gantry_shim_proto::{Answer, Failure, FailureKind, PROTOCOL, Run, STATE_FILE, SavedState};

use super::foreign::ForeignRuntime;
use super::session::Session;
use super::{Main, Running, Shim, failure, report, stdio};

impl Shim {
    /// Creates the container, wires its streams and starts it.
    pub(super) fn run(&mut self, mut run: Run, mut descriptors: Vec<OwnedFd>) -> Answer {
        if self.main.is_some() || self.exit.is_some() {
            return failure::invalid("the task was already started".to_owned());
        }
        let namespaces = usize::from(run.netns) + usize::from(run.mntns);
        if descriptors.len() != run.attachments.len() + namespaces {
            return failure::invalid("wrong number of descriptors".to_owned());
        }
        let sockets = descriptors.split_off(namespaces);
        let mntns = if run.mntns { descriptors.pop() } else { None };
        let netns = descriptors.pop();
        match gantry_logs::Writer::open(&run.log) {
            Ok(log) => self.log = log,
            Err(error) => {
                return Answer::Failed(failure::other(
                    "failed to initialize logging driver",
                    &error,
                ));
            }
        }
        let started = match run.runtime.take() {
            None => self.start_built_in(&mut run, netns, mntns),
            Some(foreign) => {
                let runtime = ForeignRuntime::new(foreign, &self.id, &self.directory);
                runtime.run(&mut run, netns)
            }
        };
        match started {
            Ok(mut main) => {
                for (socket, streams) in sockets.into_iter().zip(run.attachments) {
                    main.process.session.attach(socket, streams);
                }
                let pid = main.process.pid;
                self.main = Some(main);
                Answer::Started { pid }
            }
            Err(failure) => Answer::Failed(failure),
        }
    }

    /// After the answer: what only a later daemon needs.
    pub(super) fn settle(&mut self) {
        self.used_memory();
        let saved = self.listen().and_then(|()| {
            let Some(main) = &self.main else { return Ok(()) };
            let pid = main.process.pid;
            let cgroup = main.cgroup.as_ref().map(|group| group.path().to_owned());
            let state = SavedState {
                protocol: PROTOCOL,
                pid,
                start_ticks: start_ticks(pid).unwrap_or(0),
                cgroup: cgroup.unwrap_or_default(),
                runtime: main.foreign.as_ref().map(ForeignRuntime::program),
            };
            report::save(&self.directory.join(STATE_FILE), &state)
        });
        if let Err(error) = saved {
            report::say(&format!("a later daemon may not find this task: {error}"));
        }
    }

    fn start_built_in(
        &self,
        run: &mut Run,
        netns: Option<OwnedFd>,
        mntns: Option<OwnedFd>,
    ) -> Result<Main, Failure> {
        let seccomp = read_filter(run.seccomp_bpf.as_deref())?;
        prepare_spec(&mut run.spec, &run.stdio)?;
        let (runtime_stdio, session) = streams(&run.spec, &run.stdio)?;
        let mut request = CreateRequest::new(&run.id, &self.directory, &run.spec);
        request.stdio = runtime_stdio;
        request.network = netns.as_ref().map(AsFd::as_fd);
        request.empty_mounts = mntns.as_ref().map(AsFd::as_fd);
        request.seccomp = seccomp.as_deref();
        request.hold_namespaces = true;
        request.dies_with_parent = true;
        request.no_new_keyring = self.has_keyring;
        if !run.upper.as_os_str().is_empty() {
            request.rootfs = Rootfs::Overlay {
                lower: std::mem::take(&mut run.lower),
                upper: std::mem::take(&mut run.upper),
                work: std::mem::take(&mut run.work),
                volatile: run.volatile,
            };
        }
        let mut created =
            gantry_runtime::create(request).map_err(|error| failure::create(&error))?;
        let terminal = created.terminal.take();
        let running = created.start().map_err(|error| failure::start(&error))?;
        let session = match terminal.or(running.terminal) {
            Some(master) => stdio::terminal(&run.stdio, master)
                .map_err(|error| failure::other("terminal", &error))?,
            None => session,
        };
        let process = Running {
            id: String::new(),
            pid: running.pid,
            pidfd: running.pidfd,
            session,
            ended: false,
            linger: None,
        };
        let (cgroup, namespaces) = (running.cgroup, running.namespaces);
        Ok(Main { process, cgroup, namespaces, foreign: None })
    }
}

/// What the runtime gets as the process's streams, and the shim's side of pipes.
pub(super) fn streams(
    spec: &Spec,
    config: &gantry_shim_proto::Stdio,
) -> Result<(gantry_runtime::Stdio, Session), Failure> {
    if config.tty {
        return Ok((gantry_runtime::Stdio::Terminal, Session::default()));
    }
    let user = spec.process.as_ref().map(|process| (process.user.uid, process.user.gid));
    let (uid, gid) = user.unwrap_or_default();
    let (ends, session) = stdio::pipes(config, stdio::host_owner(spec, uid, gid))
        .map_err(|error| failure::other("pipes", &error))?;
    let stdio::Ends { stdin, stdout, stderr } = ends;
    Ok((gantry_runtime::Stdio::Fds { stdin, stdout, stderr }, session))
}

/// Reads a compiled system call filter.
pub(super) fn read_filter(path: Option<&std::path::Path>) -> Result<Option<Vec<u8>>, Failure> {
    let read = path.map(fs::read).transpose();
    read.map_err(|error| {
        let message = format!("reading the seccomp filter: {error}");
        Failure { kind: FailureKind::Seccomp, message }
    })
}

/// Puts into the configuration what the request says about the streams.
pub(super) fn prepare_spec(
    spec: &mut Spec,
    stdio: &gantry_shim_proto::Stdio,
) -> Result<(), Failure> {
    let Some(process) = &mut spec.process else {
        let message = "the configuration has no process".to_owned();
        return Err(Failure { kind: FailureKind::Other, message });
    };
    process.terminal = stdio.tty;
    process.console_size = stdio.console_size.filter(|_| stdio.tty);
    Ok(())
}

/// When a process started: field 22 of `/proc/<pid>/stat`, see `proc(5)`.
fn start_ticks(pid: u32) -> io::Result<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let field = stat.rsplit_once(')').and_then(|(_, rest)| rest.split_ascii_whitespace().nth(19));
    field.and_then(|text| text.parse().ok()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}
