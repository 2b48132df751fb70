//! Answering what the daemon asks for: a few threads, and a bounded queue of answers.

use std::io::{self, Read as _, Write};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc as queue};

use gantry_build_proto::{Ask, FromClient, MAX_FRAME_BYTES};
use tokio::sync::mpsc;

use super::{BuildHost, frames};
use crate::ClientError;

/// Threads that answer: enough that some wait for the disk while others send.
const THREADS: usize = 8;
/// Asks that may be open; a daemon that has more has lost its way.
const OPEN_MAX: usize = 4096;
/// Bytes of a stream in one frame.
pub(crate) const CHUNK_BYTES: usize = 256 << 10;
/// Longest listing that is one message: what a frame takes, less its head.
const LISTING_BYTES_MAX: usize = MAX_FRAME_BYTES - 64;

/// Answers asks on threads of its own, which end with it.
pub(crate) struct Answerers {
    jobs: queue::Sender<(u32, Ask)>,
    open: Arc<AtomicUsize>,
}

/// What each thread has.
struct Answerer {
    host: Arc<dyn BuildHost>,
    jobs: Arc<Mutex<queue::Receiver<(u32, Ask)>>>,
    open: Arc<AtomicUsize>,
    answers: mpsc::Sender<Vec<u8>>,
}

impl Answerers {
    /// Starts the threads; answers go to `answers` as frames.
    pub(crate) fn start(
        host: &Arc<dyn BuildHost>,
        answers: &mpsc::Sender<Vec<u8>>,
    ) -> io::Result<Self> {
        let (sender, receiver) = queue::channel();
        let receiver = Arc::new(Mutex::new(receiver));
        let open = Arc::new(AtomicUsize::new(0));
        for _ in 0..THREADS {
            let answerer = Answerer {
                host: Arc::clone(host),
                jobs: Arc::clone(&receiver),
                open: Arc::clone(&open),
                answers: answers.clone(),
            };
            let builder = std::thread::Builder::new().name("build-answer".into());
            builder.spawn(move || answerer.run())?;
        }
        Ok(Self { jobs: sender, open })
    }

    /// Has an ask answered. Does not wait.
    pub(crate) fn take(&self, stream: u32, ask: Ask) -> Result<(), ClientError> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= OPEN_MAX {
            return Err(ClientError::Answer(format!("the daemon asks {OPEN_MAX} things at once")));
        }
        // The threads end only when `self` does.
        let _ = self.jobs.send((stream, ask));
        Ok(())
    }
}

impl Answerer {
    fn run(self) {
        loop {
            let job = self.jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok((stream, ask)) = job else { return };
            let answered = self.answer(stream, ask);
            self.open.fetch_sub(1, Ordering::Relaxed);
            if answered.is_err() {
                return;
            }
        }
    }

    /// Fails only when the connection is gone.
    fn answer(&self, stream: u32, ask: Ask) -> io::Result<()> {
        match ask {
            Ask::List { context, directory, known, shallow } => {
                match self.host.list(&context, &directory, &known, shallow) {
                    Ok(listing) => self.listing(stream, FromClient::Listing(listing)),
                    Err(why) => self.refuse(stream, why),
                }
            }
            Ask::Read { context, path } => {
                self.stream(stream, |sink| self.host.read(&context, &path, sink))
            }
            Ask::Secret(id) => self.stream(stream, |sink| {
                let value = self.host.secret(&id)?;
                // A connection that is gone shows when the end is sent.
                let _ = sink.write_all(&value);
                Ok(())
            }),
            Ask::Tar(context) => self.stream(stream, |sink| {
                let mut reader = self.host.tar(&context)?;
                let mut chunk = vec![0; CHUNK_BYTES];
                loop {
                    let count = reader.read(&mut chunk).map_err(|error| error.to_string())?;
                    if count == 0 || sink.write_all(&chunk[..count]).is_err() {
                        return Ok(());
                    }
                }
            }),
            // These are connections, and not answered here.
            Ask::Ssh(id) => self.refuse(stream, format!("ssh agent {id} is asked for twice")),
        }
    }

    fn listing(&self, stream: u32, listing: FromClient) -> io::Result<()> {
        let frame = frames::message(stream, &listing).map_err(io::Error::other)?;
        if frame.len() <= LISTING_BYTES_MAX {
            return self.send(frame);
        }
        drop(frame);
        let FromClient::Listing(listing) = listing else { return Ok(()) };
        self.stream(stream, |sink| {
            let sink = io::BufWriter::with_capacity(CHUNK_BYTES, sink);
            serde_json::to_writer(sink, &listing).map_err(|error| error.to_string())
        })
    }

    fn refuse(&self, stream: u32, why: String) -> io::Result<()> {
        let frame = frames::message(stream, &FromClient::Refused(why)).map_err(io::Error::other)?;
        self.send(frame)
    }

    fn send(&self, frame: Vec<u8>) -> io::Result<()> {
        self.answers.blocking_send(frame).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }

    /// Answers with a stream; a refusal before its first byte is told as one.
    fn stream(
        &self,
        stream: u32,
        work: impl FnOnce(&mut dyn Write) -> Result<(), String>,
    ) -> io::Result<()> {
        let mut sink = Sink { stream, answers: &self.answers, held: None, gone: false };
        let done = work(&mut sink);
        let Sink { held, gone, .. } = sink;
        match (done, held) {
            _ if gone => Err(io::ErrorKind::BrokenPipe.into()),
            (Err(why), None) => self.refuse(stream, why),
            (done, held) => {
                // The end goes with the last bytes: most files are one chunk.
                let mut last = held.unwrap_or_default();
                last.extend(frames::end(stream, done.err().as_deref().unwrap_or_default()));
                self.send(last)
            }
        }
    }
}

/// Makes a data frame of each write, and holds the last one back.
struct Sink<'a> {
    stream: u32,
    answers: &'a mpsc::Sender<Vec<u8>>,
    held: Option<Vec<u8>>,
    /// The connection ended.
    gone: bool,
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK_BYTES);
        if count == 0 {
            return Ok(0);
        }
        let next = frames::data(self.stream, &bytes[..count]);
        if let Some(held) = self.held.replace(next)
            && self.answers.blocking_send(held).is_err()
        {
            self.gone = true;
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
