//! The connection to one shim: requests out, answers and exits in.
//!
//! One actor owns the socket. Handles send it questions; exits are published in `watch`
//! channels. The connection's end means that the shim is gone, since it keeps the socket open for
//! as long as it lives.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::Arc;

use gantry_shim_proto::{
    Answer, Channel, ChannelError, ExitStatus, Failure, FailureKind, FromShim, Request, Status,
    ToShim,
};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};

use crate::{Exit, TaskExec, directory, leftover};

/// Questions that may wait for the actor.
const MAX_WAITING: usize = 64;

/// A watched exit.
pub(crate) type ExitSender = watch::Sender<Option<Exit>>;
/// The other side of it.
pub(crate) type ExitReceiver = watch::Receiver<Option<Exit>>;

/// A question to the shim.
pub(crate) struct Ask {
    pub(crate) request: Request,
    pub(crate) descriptors: Vec<OwnedFd>,
    /// Where the exit of the exec that this starts is published.
    pub(crate) exec: Option<(String, ExitSender)>,
    reply: oneshot::Sender<Result<Answer, Failure>>,
}

/// A handle of the connection.
#[derive(Debug, Clone)]
pub(crate) struct Link {
    inbox: mpsc::Sender<Ask>,
    /// How the first process ended.
    pub(crate) exit: ExitReceiver,
    /// True once the shim is gone.
    pub(crate) gone: watch::Receiver<bool>,
    /// The execs that the answer to `Status` named.
    pub(crate) adopted: watch::Receiver<BTreeMap<String, TaskExec>>,
}

impl Link {
    /// Starts the actor. `child` is the shim's pidfd if this process is its parent.
    pub(crate) fn start(stream: UnixStream, directory: PathBuf, child: Option<OwnedFd>) -> Link {
        let (inbox, asks) = mpsc::channel(MAX_WAITING);
        let (exit_sender, exit) = watch::channel(None);
        let (gone_sender, gone) = watch::channel(false);
        let (adopted_sender, adopted) = watch::channel(BTreeMap::new());
        let stream = Arc::new(stream);
        let actor = Actor {
            channel: Channel::new(Arc::clone(&stream)),
            stream,
            waiting: HashMap::new(),
            execs: HashMap::new(),
            adopted: adopted_sender,
            exit: exit_sender,
            next_seq: 1,
            directory,
        };
        tokio::spawn(actor.run(asks, child, gone_sender));
        Link { inbox, exit, gone, adopted }
    }

    /// Asks and waits for the answer. `None` if the shim is gone.
    pub(crate) async fn ask(
        &self,
        request: Request,
        descriptors: Vec<OwnedFd>,
    ) -> Option<Result<Answer, Failure>> {
        self.ask_with(request, descriptors, None).await
    }

    /// As [`Link::ask`], registering the exec that the request starts.
    pub(crate) async fn ask_with(
        &self,
        request: Request,
        descriptors: Vec<OwnedFd>,
        exec: Option<(String, ExitSender)>,
    ) -> Option<Result<Answer, Failure>> {
        let (reply, answer) = oneshot::channel();
        self.inbox.send(Ask { request, descriptors, exec, reply }).await.ok()?;
        answer.await.ok()
    }
}

struct Actor {
    channel: Channel<Arc<UnixStream>>,
    stream: Arc<UnixStream>,
    waiting: HashMap<u64, Waiting>,
    execs: HashMap<String, ExitSender>,
    adopted: watch::Sender<BTreeMap<String, TaskExec>>,
    exit: ExitSender,
    next_seq: u64,
    directory: PathBuf,
}

struct Waiting {
    reply: oneshot::Sender<Result<Answer, Failure>>,
    exec: Option<String>,
}

impl Actor {
    async fn run(
        mut self,
        mut asks: mpsc::Receiver<Ask>,
        child: Option<OwnedFd>,
        gone: watch::Sender<bool>,
    ) {
        let ended = loop {
            let interest = if self.channel.has_output() {
                Interest::READABLE | Interest::WRITABLE
            } else {
                Interest::READABLE
            };
            let stream = Arc::clone(&self.stream);
            let step = tokio::select! {
                ask = asks.recv() => match ask {
                    Some(ask) => self.send(ask),
                    // Every handle was dropped: the shim goes on alone.
                    None => return,
                },
                ready = stream.ready(interest) => match ready {
                    Ok(ready) => self.transfer(ready.is_writable()),
                    Err(error) => Err(error.into()),
                },
            };
            match step {
                Ok(true) => {}
                Ok(false) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = ended {
            let id = self.directory.file_name().unwrap_or_default();
            let error = gantry_fault::chain(&error);
            tracing::warn!(task = ?id, error, "connection to shim");
        }
        self.end(child).await;
        let _ = gone.send(true);
    }

    fn send(&mut self, ask: Ask) -> Result<bool, ChannelError> {
        let seq = self.next_seq;
        self.next_seq += 1;
        let message = ToShim { seq, request: ask.request };
        if let Err(error) = self.channel.queue(&message, ask.descriptors) {
            let message = error.to_string();
            let _ = ask.reply.send(Err(Failure { kind: FailureKind::Invalid, message }));
            return Ok(true);
        }
        let exec = ask.exec.map(|(id, sender)| {
            self.execs.insert(id.clone(), sender);
            id
        });
        self.waiting.insert(seq, Waiting { reply: ask.reply, exec });
        match self.channel.flush() {
            Ok(_) => Ok(true),
            Err(ChannelError::Socket(error)) if is_hangup(&error) => self.last_words(),
            Err(error) => Err(error),
        }
    }

    fn transfer(&mut self, writable: bool) -> Result<bool, ChannelError> {
        if writable && self.channel.has_output() {
            let stream = Arc::clone(&self.stream);
            let mut result = Ok(true);
            let _ = stream.try_io(Interest::WRITABLE, || {
                result = self.channel.flush();
                if matches!(result, Ok(false)) {
                    Err(io::ErrorKind::WouldBlock.into())
                } else {
                    Ok(())
                }
            });
            match result {
                // A shim that ended while a question was on its way: not an error of the connection.
                Err(ChannelError::Socket(error)) if is_hangup(&error) => return self.last_words(),
                result => drop(result?),
            }
        }
        self.receive()
    }

    /// Reads what a shim sent before it closed its end. Readiness is not asked for: the write told
    /// that the peer is gone, and a question that can never be sent would wake us for ever.
    fn last_words(&mut self) -> Result<bool, ChannelError> {
        let received = self.channel.receive();
        self.take_all()?;
        match received {
            Err(ChannelError::Socket(error)) if is_hangup(&error) => Ok(false),
            Err(error) => Err(error),
            Ok(_) => Ok(false),
        }
    }

    fn receive(&mut self) -> Result<bool, ChannelError> {
        let stream = Arc::clone(&self.stream);
        let mut result = Ok(true);
        // The channel reads until nothing is left, so the readiness is used up in any case.
        let _ = stream.try_io(Interest::READABLE, || {
            result = self.channel.receive();
            Err::<(), _>(io::ErrorKind::WouldBlock.into())
        });
        self.take_all()?;
        result
    }

    fn take_all(&mut self) -> Result<(), ChannelError> {
        while let Some(message) = self.channel.next_message()? {
            match message.parse() {
                Ok(message) => self.take(message),
                Err(error) => tracing::debug!(%error, "message from shim passed over"),
            }
        }
        Ok(())
    }

    fn take(&mut self, message: FromShim) {
        match message {
            FromShim::Answer { seq, answer } => {
                let Some(waiting) = self.waiting.remove(&seq) else { return };
                if let Answer::Status(status) = &answer {
                    self.adopt(status);
                }
                let answer = match answer {
                    Answer::Failed(failure) => {
                        waiting.exec.and_then(|id| self.execs.remove(&id));
                        Err(failure)
                    }
                    answer => Ok(answer),
                };
                let _ = waiting.reply.send(answer);
            }
            FromShim::Exited(status) => self.exited(status),
            FromShim::ExecExited { id, exit } => {
                if let Some(sender) = self.execs.remove(&id) {
                    sender.send_replace(Some(exit.into()));
                }
            }
        }
    }

    /// Watches the execs that run, before a later message can tell their end.
    fn adopt(&mut self, status: &Status) {
        let mut adopted = BTreeMap::new();
        for exec in &status.execs {
            let (sender, exit) = watch::channel(None);
            self.execs.insert(exec.id.clone(), sender);
            adopted.insert(exec.id.clone(), TaskExec { pid: exec.pid, exit });
        }
        self.adopted.send_replace(adopted);
    }

    fn exited(&mut self, status: ExitStatus) {
        self.exit.send_replace(Some(status.into()));
    }

    /// The shim is gone: whatever it did not tell is looked up.
    async fn end(self, child: Option<OwnedFd>) {
        let told = self.exit.borrow().is_some();
        if let Some(child) = child {
            // A shim that has told all may still be giving slow clients their output.
            if told { drop(tokio::spawn(reap(child))) } else { reap(child).await }
        }
        if !told {
            self.exit.send_replace(Some(self.look_up_exit().await));
        }
        let exit = *self.exit.borrow();
        for sender in self.execs.into_values() {
            sender.send_replace(exit.map(|exit| Exit { code: 137, signal: Some(9), ..exit }));
        }
    }

    /// The exit that the shim wrote down; if it was killed before, what it left is ended first.
    async fn look_up_exit(&self) -> Exit {
        if let Some(exit) = directory::saved_exit(&self.directory) {
            return exit;
        }
        let directory = self.directory.clone();
        let _ = tokio::task::spawn_blocking(move || leftover::clear(&directory)).await;
        directory::killed()
    }
}

/// Waits for the end of a child.
#[expect(deprecated, reason = "the other constructor is unsafe; the pidfd owns its descriptor")]
async fn reap(child: OwnedFd) {
    let waited = async {
        let child = AsyncFd::with_interest(child, Interest::READABLE)?;
        let _ended = child.readable().await?;
        Ok::<_, io::Error>(waitid(WaitId::PidFd(child.as_fd()), WaitIdOptions::EXITED)?)
    };
    if let Err(error) = waited.await {
        tracing::warn!(%error, "a shim that ended stays a zombie");
    }
}

/// Whether the peer has closed its end; with unread input of its own that is a reset.
fn is_hangup(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}
