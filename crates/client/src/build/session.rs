//! The session itself: its reader, and the handle of whoever builds.

use std::sync::Arc;

use gantry_build_proto::{Ask, BuildRequest, Failure, Frame, FromClient, FromDaemon, Kind};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::agents::Agents;
use super::asks::Answerers;
use super::frames::{self, Frames};
use super::outputs::Outputs;
use super::{BuildEvent, BuildHost, Destination};
use crate::ClientError;

/// Events that wait for whoever shows them.
const EVENTS: usize = 1024;
/// Frames that wait for the connection, each at most a chunk of a file: 8 MiB.
const ANSWERS: usize = 32;

type Event = Result<BuildEvent, ClientError>;

/// A build under way. Dropping it closes the connection, which ends the build.
#[derive(Debug)]
pub struct BuildSession {
    events: mpsc::Receiver<Event>,
    answers: mpsc::Sender<Vec<u8>>,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for BuildSession {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

impl BuildSession {
    /// What happens next. May be dropped while it waits.
    ///
    /// # Errors
    /// When the connection breaks before the build is done.
    pub async fn next(&mut self) -> Result<BuildEvent, ClientError> {
        match self.events.recv().await {
            Some(event) => event,
            None => Err(broken_off()),
        }
    }

    /// Tells the daemon to stop. The end of the build still comes from [`BuildSession::next`].
    pub fn cancel(&self) {
        let answers = self.answers.clone();
        // A task, since the queue may be full of a file that nobody wants any more.
        tokio::spawn(async move {
            if let Ok(frame) = frames::message(0, &FromClient::Cancel) {
                let _ = answers.send(frame).await;
            }
        });
    }
}

fn broken_off() -> ClientError {
    ClientError::Transport("the daemon ended the connection of the build".into())
}

/// Begins a session on a connection.
pub(crate) fn start(
    reader: impl AsyncRead + Send + Unpin + 'static,
    writer: impl AsyncWrite + Send + Unpin + 'static,
    request: BuildRequest,
    host: Arc<dyn BuildHost>,
) -> Result<BuildSession, ClientError> {
    let (answers, queue) = mpsc::channel(ANSWERS);
    let (sender, events) = mpsc::channel(EVENTS);
    let (failed, failures) = mpsc::channel(1);
    let first = frames::message(0, &FromClient::Build(Box::new(request)))?;
    answers.try_send(first).map_err(|_| broken_off())?;
    let receiver = Receiver {
        frames: Frames::new(reader),
        answerers: Answerers::start(&host, &answers)?,
        outputs: Outputs::new(Arc::clone(&host), failed),
        failures,
        agents: Agents::new(host, answers.clone()),
        events: sender,
        answers: answers.clone(),
    };
    let writing = tokio::spawn(async move {
        // Whoever reads sees the connection break, too, and says so.
        let _ = frames::write(writer, queue).await;
    });
    let reading = tokio::spawn(receiver.run());
    Ok(BuildSession { events, answers, tasks: [writing, reading] })
}

/// Takes what the daemon sends to where it belongs.
struct Receiver<R> {
    frames: Frames<R>,
    answerers: Answerers,
    outputs: Outputs,
    failures: mpsc::Receiver<String>,
    agents: Agents,
    events: mpsc::Sender<Event>,
    answers: mpsc::Sender<Vec<u8>>,
}

impl<R: AsyncRead + Unpin> Receiver<R> {
    async fn run(mut self) {
        let last = loop {
            let frame = tokio::select! {
                frame = self.frames.next() => frame,
                Some(why) = self.failures.recv() => break Ok(self.give_up(why)),
            };
            let ended = match frame {
                Ok(Some(frame)) => self.take(frame).await,
                Ok(None) => Err(broken_off()),
                Err(error) => Err(error),
            };
            match ended {
                Ok(None) => {}
                Ok(Some(event)) => break Ok(event),
                Err(error) => break Err(error),
            }
        };
        let last = match last {
            Ok(BuildEvent::Done(built)) => match self.outputs.finish().await {
                Ok(()) => Ok(BuildEvent::Done(built)),
                Err(why) => Ok(self.give_up(why)),
            },
            other => other,
        };
        // Nobody may listen any more.
        let _ = self.events.send(last).await;
    }

    /// An output cannot be written, so the build is for nothing.
    fn give_up(&self, why: String) -> BuildEvent {
        if let Ok(frame) = frames::message(0, &FromClient::Cancel) {
            // With a full queue the daemon learns it when the connection closes.
            let _ = self.answers.try_send(frame);
        }
        BuildEvent::Failed(Box::new(Failure { message: why, ..Failure::default() }))
    }

    /// Takes a frame; gives the last event if it is that.
    async fn take(&mut self, frame: Frame) -> Result<Option<BuildEvent>, ClientError> {
        let stream = frame.stream;
        match frame.kind {
            Kind::Data if self.outputs.has(stream) => {
                // An empty piece would be the end.
                if !frame.body.is_empty() {
                    self.outputs.data(stream, frame.body).await;
                }
            }
            Kind::Data => self.agents.data(stream, frame.body),
            Kind::End if self.outputs.has(stream) => self.outputs.end(stream, &frame.body).await,
            Kind::End => self.agents.end(stream),
            Kind::Message => return self.message(stream, frames::parse(&frame)?).await,
        }
        Ok(None)
    }

    async fn message(
        &mut self,
        stream: u32,
        message: FromDaemon,
    ) -> Result<Option<BuildEvent>, ClientError> {
        match message {
            FromDaemon::Ask(Ask::Ssh(id)) => self.agents.begin(stream, id)?,
            FromDaemon::Ask(ask) => self.answerers.take(stream, ask)?,
            FromDaemon::Progress(progress) => {
                let _ = self.events.send(Ok(BuildEvent::Progress(progress))).await;
            }
            FromDaemon::Output(index) => self.outputs.begin(stream, Destination::Output(index))?,
            FromDaemon::CacheOutput(index) => {
                self.outputs.begin(stream, Destination::Cache(index))?;
            }
            FromDaemon::Done(built) => return Ok(Some(BuildEvent::Done(built))),
            FromDaemon::Failed(failure) => return Ok(Some(BuildEvent::Failed(failure))),
        }
        Ok(None)
    }
}
