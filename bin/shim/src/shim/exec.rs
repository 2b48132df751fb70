//! Starting further processes in the container.

use std::os::fd::{AsFd, OwnedFd};

use gantry_oci::runtime::Spec;
use gantry_runtime::ExecRequest;
use gantry_shim_proto::{Answer, Exec, Failure};

use super::{Main, Running, Shim, failure, start, stdio};

impl Shim {
    /// Starts an exec; `None` if the answer comes later.
    pub(super) fn exec(
        &mut self,
        mut exec: Exec,
        descriptors: Vec<OwnedFd>,
        client: u64,
        seq: u64,
    ) -> Option<Answer> {
        let Some(main) = self.main.as_mut().filter(|_| self.exit.is_none()) else {
            return Some(failure::not_running());
        };
        let known = self.execs.iter().any(|running| running.id == exec.id)
            || self.starting.iter().any(|starting| starting.id == exec.id);
        if exec.id.is_empty() || known {
            return Some(failure::invalid(format!("exec {:?} already exists", exec.id)));
        }
        if descriptors.len() != exec.attachments.len() {
            return Some(failure::invalid("wrong number of descriptors".to_owned()));
        }
        // An exec's standard input has one use: its client's.
        exec.stdio.stdin_once = true;
        exec.process.terminal = exec.stdio.tty;
        exec.process.console_size = exec.stdio.console_size.filter(|_| exec.stdio.tty);
        let clients = descriptors.into_iter().zip(std::mem::take(&mut exec.attachments));
        if let Some(foreign) = &main.foreign {
            return match foreign.begin_exec(exec, clients.collect(), client, seq) {
                Ok(starting) => {
                    self.starting.push(starting);
                    None
                }
                Err(failure) => Some(Answer::Failed(failure)),
            };
        }
        match start_built_in((&self.id, self.has_keyring), main, &exec) {
            Ok(mut running) => {
                for (socket, streams) in clients {
                    running.session.attach(socket, streams);
                }
                let pid = running.pid;
                self.execs.push(running);
                Some(Answer::Started { pid })
            }
            Err(answer) => Some(answer),
        }
    }
}

fn start_built_in(
    (id, has_keyring): (&str, bool),
    main: &Main,
    exec: &Exec,
) -> Result<Running, Answer> {
    let refuse = |failure: Failure| Answer::Failed(failure);
    let seccomp = start::read_filter(exec.seccomp_bpf.as_deref()).map_err(refuse)?;
    let spec = Spec { process: Some(exec.process.clone()), ..Spec::default() };
    let (runtime_stdio, session) = start::streams(&spec, &exec.stdio).map_err(refuse)?;
    let running = gantry_runtime::exec(ExecRequest {
        id,
        pid: main.process.pid,
        pidfd: main.process.as_fd(),
        process: &exec.process,
        stdio: runtime_stdio,
        cgroup: main.cgroup.as_ref(),
        seccomp: seccomp.as_deref(),
        seccomp_flags: 0,
        preserve_fds: 0,
        no_new_keyring: has_keyring,
    })
    .map_err(|error| failure::exec(&error))?;
    let session = match running.terminal {
        Some(master) => stdio::terminal(&exec.stdio, master)
            .map_err(|error| refuse(failure::other("terminal", &error)))?,
        None => session,
    };
    Ok(Running {
        id: exec.id.clone(),
        pid: running.pid,
        pidfd: running.pidfd,
        session,
        ended: false,
        linger: None,
    })
}
