//! Lines on their way to a client, which never hold the build up.
//!
//! Of a client that does not read, what programs print is left out from some length on, and it is
//! told so.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, stream};
use gantry_api_types::image::{ErrorDetail, JsonMessage};
use gantry_build::{Failed, Instruction};
use gantry_build_proto::{Built, Failure, Log, Progress};
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::{printer::Printer, words};
use crate::error::ApiError;

/// Bytes of lines from which on prints are left out.
const FULL_BYTES: usize = 8 << 20;

/// The lines of one build.
#[derive(Debug)]
pub(super) struct Tape {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Debug)]
struct State {
    printer: Printer,
    /// Nothing is shown but the image's id, or why there is none.
    quiet: bool,
    lines: VecDeque<Bytes>,
    bytes: usize,
    left_out: usize,
    end: Option<End>,
}

/// How the build ended.
#[derive(Debug)]
enum End {
    /// All is said.
    Told,
    /// It failed before anything was said: a real status says so.
    Early(ApiError),
}

impl Tape {
    /// A tape with nothing on it.
    pub(super) fn new(printer: Printer, quiet: bool) -> Self {
        let state =
            State { printer, quiet, lines: VecDeque::new(), bytes: 0, left_out: 0, end: None };
        Self { state: Mutex::new(state), changed: Notify::new() }
    }

    /// It is known what will be done.
    pub(super) fn planned(&self, instructions: &[Instruction]) {
        self.change(|state| state.printer.planned(instructions));
    }

    /// Something happened.
    pub(super) fn progress(&self, progress: Progress) {
        self.change(|state| {
            if let Progress::Log(log) = &progress {
                if state.bytes >= FULL_BYTES {
                    state.left_out += log.text.len();
                    return;
                }
                if state.left_out > 0 {
                    let text = format!("[output clipped: {} bytes]\n", state.left_out);
                    state.left_out = 0;
                    state.printer.progress(Progress::Log(Log { text, ..log.clone() }));
                }
            }
            state.printer.progress(progress);
        });
    }

    /// It is built.
    pub(super) fn built(&self, built: &Built) {
        self.change(|state| {
            if state.quiet {
                state.lines.clear();
                let stream = format!("{}\n", built.image);
                state.line(&JsonMessage { stream, ..JsonMessage::default() });
            } else {
                state.printer.built(built);
            }
            state.end = Some(End::Told);
        });
    }

    /// It failed.
    pub(super) fn failed(&self, failure: &Failure) {
        self.change(|state| {
            if !state.printer.understood {
                state.end = Some(End::Early(words::early(failure)));
                return;
            }
            state.printer.failed(failure);
            state.end = Some(End::Told);
        });
    }

    /// It is over, whether an end was told or not. The printer is not asked: it may be what broke.
    fn break_off(&self) {
        let mut state = self.lock();
        if state.end.is_none() {
            let error = "the build broke off: the daemon's log says why".to_owned();
            let detail = ErrorDetail { code: 0, message: error.clone() };
            let error_detail = Some(detail);
            state.line(&JsonMessage { error_detail, error, ..JsonMessage::default() });
            state.end = Some(End::Told);
        }
        drop(state);
        self.changed.notify_one();
    }

    /// The next line; `None` when there are no more.
    async fn next(&self) -> Option<Bytes> {
        loop {
            let changed = self.changed.notified();
            {
                let mut state = self.lock();
                // A quiet build may yet turn out to have nothing to show.
                if (!state.quiet || state.end.is_some())
                    && let Some(line) = state.lines.pop_front()
                {
                    state.bytes -= line.len();
                    return Some(line);
                }
                if state.end.is_some() {
                    return None;
                }
            }
            changed.await;
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        let mut state = self.lock();
        change(&mut state);
        for message in state.printer.take() {
            state.line(&message);
        }
        drop(state);
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn line(&mut self, message: &JsonMessage) {
        match serde_json::to_vec(message) {
            Ok(mut line) => {
                line.extend_from_slice(b"\r\n");
                self.bytes += line.len();
                self.lines.push_back(line.into());
            }
            Err(error) => tracing::error!(%error, "a line of a build could not be written"),
        }
    }
}

/// A build that ends with whoever holds it.
#[derive(Debug)]
pub(super) struct Worker(JoinHandle<()>);

impl Worker {
    /// Begins a build that tells its end on a tape. Should it break off, that is told: whoever reads
    /// would wait for ever.
    pub(super) fn start(
        tape: &Arc<Tape>,
        build: impl Future<Output = Result<Built, Box<Failed>>> + Send + 'static,
    ) -> Self {
        let ending = Ending(Arc::clone(tape));
        Self(tokio::spawn(async move {
            match build.await {
                Ok(built) => ending.0.built(&built),
                Err(failed) => ending.0.failed(&failed.failure),
            }
        }))
    }
}

/// Sees to it that a tape ends.
struct Ending(Arc<Tape>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.break_off();
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// The lines as they come. Returns with the first, or with the failure if there is none.
pub(super) async fn lines(
    tape: Arc<Tape>,
    worker: Worker,
) -> Result<impl Stream<Item = io::Result<Bytes>> + Send + 'static, ApiError> {
    let first = tape.next().await;
    if first.is_none()
        && let Some(End::Early(error)) = tape.lock().end.take()
    {
        return Err(error);
    }
    Ok(stream::unfold((first, tape, worker), |(first, tape, worker)| async move {
        let line = match first {
            Some(line) => Some(line),
            None => tape.next().await,
        };
        line.map(|line| (Ok(line), (None, tape, worker)))
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::classic::printer::{Seen, Style};
    use futures_util::StreamExt as _;
    use gantry_build_proto::Stream as Output;

    fn tape(quiet: bool) -> Arc<Tape> {
        let printer = Printer::new(Style::default(), Seen::default());
        Arc::new(Tape::new(printer, quiet))
    }

    fn plan() -> [Instruction; 1] {
        [Instruction { text: "FROM box".into(), vertex: Some(0), trigger: false }]
    }

    async fn all(tape: Arc<Tape>) -> Result<String, ApiError> {
        let worker = Worker(tokio::spawn(async {}));
        let lines: Vec<_> = lines(tape, worker).await?.collect().await;
        let lines =
            lines.into_iter().map(|line| String::from_utf8(line.unwrap().to_vec()).unwrap());
        Ok(lines.collect())
    }

    #[tokio::test]
    async fn early_failures_are_a_status_and_late_ones_a_line() {
        let failure = |message: &str| Failure { message: message.into(), ..Failure::default() };
        let early = tape(false);
        early.failed(&failure("dockerfile parse error"));
        let error = all(early).await.unwrap_err();
        assert_eq!((error.status.as_u16(), &*error.message), (400, "dockerfile parse error"));
        for quiet in [false, true] {
            let late = tape(quiet);
            late.planned(&plan());
            late.failed(&failure("no"));
            let got = all(late).await.unwrap();
            assert_eq!(
                got,
                "{\"stream\":\"Step 1/1 : FROM box\"}\r\n{\"stream\":\"\\n\"}\r\n\
                 {\"errorDetail\":{\"message\":\"no\"},\"error\":\"no\"}\r\n"
            );
        }
    }

    #[tokio::test]
    async fn a_build_that_breaks_off_ends() {
        for quiet in [false, true] {
            let tape = tape(quiet);
            let worker = Worker::start(&tape, async { panic!("on purpose") });
            let lines: Vec<_> = lines(tape, worker).await.unwrap().collect().await;
            let text = String::from_utf8(lines[0].as_ref().unwrap().to_vec()).unwrap();
            assert!(lines.len() == 1 && text.contains("the build broke off"), "{text}");
        }
    }

    #[tokio::test]
    async fn a_quiet_build_tells_the_image_alone() {
        let tape = tape(true);
        tape.planned(&plan());
        tape.built(&Built { image: "sha256:ab".into(), ..Built::default() });
        assert_eq!(all(tape).await.unwrap(), "{\"stream\":\"sha256:ab\\n\"}\r\n");
    }

    #[tokio::test]
    async fn whoever_does_not_read_loses_prints_alone() {
        let tape = tape(false);
        tape.planned(&[Instruction { text: "RUN yes".into(), vertex: Some(1), trigger: false }]);
        let log =
            |text: String| Progress::Log(Log { vertex: 1, stream: Output::Out, at_ns: 0, text });
        for _ in 0..(FULL_BYTES >> 20) + 4 {
            tape.progress(log("y".repeat(1 << 20)));
        }
        assert!(tape.lock().bytes < FULL_BYTES + (2 << 20));
        while tape.lock().bytes > 0 {
            tape.next().await.unwrap();
        }
        tape.progress(log("last\n".into()));
        let notice = String::from_utf8(tape.next().await.unwrap().to_vec()).unwrap();
        assert!(notice.contains("[output clipped: "), "{notice}");
    }
}
