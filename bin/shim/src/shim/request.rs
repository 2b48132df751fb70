//! Requests of the daemon.

use std::os::fd::OwnedFd;

use gantry_shim_proto::{
    Answer, Attach, ExecStatus, Failure, FailureKind, Incoming, Kill, PROTOCOL, Request, Resize,
    SeqOnly, Status, ToShim,
};

use super::{Shim, failure, report};

impl Shim {
    /// Reads what a daemon sent, and sends what waits for it.
    pub(super) fn serve_client(&mut self, index: usize) {
        let Some(client) = self.clients.get_mut(index) else { return };
        let number = client.number;
        let mut open = client.channel.flush().is_ok();
        open &= matches!(client.channel.receive(), Ok(true));
        let mut messages = Vec::new();
        loop {
            match client.channel.next_message() {
                Ok(Some(message)) => messages.push(message),
                Ok(None) => break,
                Err(error) => {
                    report::say(&format!("closing a connection: {error}"));
                    open = false;
                    break;
                }
            }
        }
        client.dead |= !open;
        for message in messages {
            self.dispatch(number, message);
        }
    }

    fn dispatch(&mut self, client: u64, incoming: Incoming) {
        let message: ToShim = match incoming.parse() {
            Ok(message) => message,
            Err(error) => return self.refuse(client, &incoming, &error),
        };
        let seq = message.seq;
        let descriptors = incoming.descriptors;
        drop(incoming.text);
        let answer = match message.request {
            Request::Run(run) => {
                let answer = self.run(*run, descriptors);
                let started = matches!(answer, Answer::Started { .. });
                self.answer(client, seq, answer);
                // Off the path of the start: nobody adopts a task that was not yet answered.
                return if started { self.settle() } else { self.failed = true };
            }
            Request::Exec(exec) => match self.exec(*exec, descriptors, client, seq) {
                Some(answer) => answer,
                None => return,
            },
            Request::Attach(attach) => self.attach(&attach, descriptors),
            Request::Kill(kill) => self.kill(&kill),
            Request::Resize(resize) => self.resize(&resize),
            Request::Status => Answer::Status(self.status()),
            Request::Delete => self.delete(),
        };
        self.answer(client, seq, answer);
    }

    fn refuse(&mut self, client: u64, incoming: &Incoming, error: &serde_json::Error) {
        match incoming.parse::<SeqOnly>() {
            Ok(message) => {
                let failed = failure::invalid(format!("request not understood: {error}"));
                self.answer(client, message.seq, failed);
            }
            Err(error) => report::say(&format!("message passed over: {error}")),
        }
    }

    fn attach(&mut self, attach: &Attach, descriptors: Vec<OwnedFd>) -> Answer {
        if self.exit.is_some() {
            return failure::not_running();
        }
        let Some(socket) = descriptors.into_iter().next() else {
            return failure::invalid("attach without a socket".to_owned());
        };
        match &mut self.main {
            Some(main) => {
                main.process.session.attach(socket, attach.streams);
                Answer::Done
            }
            None => failure::not_running(),
        }
    }

    fn kill(&mut self, kill: &Kill) -> Answer {
        if kill.all {
            return self.kill_all(kill.signal);
        }
        let ended = self.exit.is_some();
        let Some(process) = self.session_mut(kill.exec.as_deref()) else {
            return failure::not_running();
        };
        if process.ended || (kill.exec.is_none() && ended) {
            return failure::not_running();
        }
        match gantry_sys::kill::send(std::os::fd::AsFd::as_fd(&process.pidfd), kill.signal) {
            Ok(()) => Answer::Done,
            // ESRCH: it has ended, and the kernel's note of that is on its way.
            Err(error) if error.raw_os_error() == Some(3) => failure::not_running(),
            Err(error) => failure::invalid(format!("signal {}: {error}", kill.signal)),
        }
    }

    fn kill_all(&mut self, signal: i32) -> Answer {
        let Some(main) = self.main.as_ref().filter(|_| self.exit.is_none()) else {
            return failure::not_running();
        };
        let killed = match &main.cgroup {
            Some(cgroup) => cgroup.kill_all(signal).map_err(|error| failure::chain(&error)),
            None => gantry_sys::kill::send(std::os::fd::AsFd::as_fd(&main.process.pidfd), signal)
                .map_err(|error| error.to_string()),
        };
        killed.map_or_else(failure::invalid, |()| Answer::Done)
    }

    fn resize(&mut self, resize: &Resize) -> Answer {
        match self.session_mut(resize.exec.as_deref()) {
            None => failure::not_running(),
            Some(process) if process.session.resize(resize.height, resize.width) => Answer::Done,
            Some(_) => failure::invalid("process has no terminal".to_owned()),
        }
    }

    fn status(&self) -> Status {
        let running = self.execs.iter().filter(|exec| !exec.ended);
        Status {
            protocol: PROTOCOL,
            pid: self.main.as_ref().map_or(0, |main| main.process.pid),
            exit: self.exit,
            execs: running.map(|exec| ExecStatus { id: exec.id.clone(), pid: exec.pid }).collect(),
        }
    }

    fn delete(&mut self) -> Answer {
        if self.main.is_some() && self.exit.is_none() {
            let message = "task is still running".to_owned();
            return Answer::Failed(Failure { kind: FailureKind::Invalid, message });
        }
        self.deleting = true;
        Answer::Done
    }
}
