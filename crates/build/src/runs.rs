//! Work that several builds may wait for: each piece is done once.
//!
//! A run goes on as long as anybody waits for it, whoever asked first. When nobody does any more it
//! is cancelled.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError, Weak,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use futures_util::future::BoxFuture;
use gantry_build_proto::Stream;
use gantry_oci::Digest;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::{
    cache::record::Layer,
    ops::{OpError, Shared},
};

/// Output that is kept for those who come later.
const BACKLOG_BYTES_MAX: usize = 1 << 20;

/// What a run led to.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    /// Its record in the cache.
    pub record: String,
    /// The layer that it made.
    pub layer: Option<Layer>,
}

type Outcome = Result<Ran, Shared>;
/// Is told of output.
pub(crate) type Listener = Arc<dyn Fn(Stream, &str) + Send + Sync>;

/// The runs that are under way; clones share them.
#[derive(Clone, Default)]
pub(crate) struct Runs(Arc<Mutex<HashMap<Digest, Weak<Run>>>>);

struct Run {
    key: Digest,
    runs: Runs,
    parts: RunParts,
    done: watch::Receiver<Option<Outcome>>,
}

/// What the work of a run gets.
#[derive(Clone)]
pub(crate) struct RunParts {
    /// Fires when nobody waits any more.
    pub stop: CancellationToken,
    /// Where its output goes.
    pub sink: Sink,
    /// Somebody wants the file system of a failure.
    pub keep_failed: Arc<AtomicBool>,
}

/// Somebody who waits for a run.
pub(crate) struct Waiter {
    run: Arc<Run>,
    listener: u64,
}

impl Runs {
    /// Waits for the run with this key, which `start` begins if it is not under way.
    pub(crate) fn join(
        &self,
        key: &Digest,
        listener: Listener,
        keep_failed: bool,
        start: impl FnOnce(RunParts) -> BoxFuture<'static, Result<Ran, OpError>>,
    ) -> Waiter {
        let mut runs = self.lock();
        if let Some(run) = runs.get(key).and_then(Weak::upgrade) {
            drop(runs);
            run.parts.keep_failed.fetch_or(keep_failed, Ordering::Relaxed);
            let listener = run.parts.sink.listen(listener);
            return Waiter { run, listener };
        }
        let parts = RunParts {
            stop: CancellationToken::new(),
            sink: Sink::default(),
            keep_failed: Arc::new(AtomicBool::new(keep_failed)),
        };
        let listener = parts.sink.listen(listener);
        let (sender, done) = watch::channel(None);
        let run =
            Arc::new(Run { key: key.clone(), runs: self.clone(), parts: parts.clone(), done });
        runs.insert(key.clone(), Arc::downgrade(&run));
        drop(runs);
        let work = start(parts);
        tokio::spawn(async move {
            let outcome = work.await.map_err(Arc::new);
            // Nobody may be left to hear it.
            drop(sender.send(Some(outcome)));
        });
        Waiter { run, listener }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Digest, Weak<Run>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        self.parts.stop.cancel();
        let mut runs = self.runs.lock();
        // Another may have begun under the same key since.
        if runs.get(&self.key).is_some_and(|run| run.strong_count() == 0) {
            runs.remove(&self.key);
        }
    }
}

impl Waiter {
    /// The run's outcome.
    pub(crate) async fn outcome(&self) -> Outcome {
        let mut done = self.run.done.clone();
        match done.wait_for(Option::is_some).await {
            Ok(outcome) => outcome.clone().unwrap_or_else(|| Err(Arc::new(OpError::Cancelled))),
            // Its task ended without a word.
            Err(_) => Err(Arc::new(OpError::BrokeOff)),
        }
    }
}

impl Drop for Waiter {
    fn drop(&mut self) {
        self.run.parts.sink.forget(self.listener);
    }
}

/// Where a run's output goes: to all who listen, and to those who come later too.
#[derive(Clone, Default)]
pub(crate) struct Sink(Arc<SinkInner>);

#[derive(Default)]
struct SinkInner {
    state: Mutex<SinkState>,
    next: AtomicU64,
}

#[derive(Default)]
struct SinkState {
    listeners: Vec<(u64, Listener)>,
    backlog: Vec<(Stream, String)>,
    backlog_bytes: usize,
    /// Beginnings of characters whose ends are still to come, by stream.
    carried: [Vec<u8>; 2],
}

impl Sink {
    /// Tells all listeners; what is not UTF-8 is replaced.
    pub(crate) fn write(&self, stream: Stream, bytes: &[u8]) {
        let mut state = self.state();
        let carried = &mut state.carried[usize::from(stream == Stream::Err)];
        carried.extend_from_slice(bytes);
        let text = take_text(carried);
        if text.is_empty() {
            return;
        }
        for (_, listener) in &state.listeners {
            listener(stream, &text);
        }
        if state.backlog_bytes < BACKLOG_BYTES_MAX {
            state.backlog_bytes += text.len();
            state.backlog.push((stream, text));
        }
    }

    fn listen(&self, listener: Listener) -> u64 {
        let id = self.0.next.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state();
        for (stream, text) in &state.backlog {
            listener(*stream, text);
        }
        state.listeners.push((id, listener));
        id
    }

    fn forget(&self, listener: u64) {
        self.state().listeners.retain(|(id, _)| *id != listener);
    }

    fn state(&self) -> MutexGuard<'_, SinkState> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes all of some bytes but for a character that is not whole yet.
fn take_text(bytes: &mut Vec<u8>) -> String {
    let whole = match std::str::from_utf8(bytes) {
        Err(error) if error.error_len().is_none() => error.valid_up_to(),
        // What is broken in its middle is replaced below; only its end may be to come.
        Err(_) => {
            let tail = bytes.utf8_chunks().last().map_or(0, |chunk| {
                let invalid = chunk.invalid();
                let open = std::str::from_utf8(invalid).is_err_and(|e| e.error_len().is_none());
                if open { invalid.len() } else { 0 }
            });
            bytes.len() - tail
        }
        Ok(_) => bytes.len(),
    };
    let rest = bytes.split_off(whole);
    let text = String::from_utf8_lossy(bytes).into_owned();
    *bytes = rest;
    text
}

#[cfg(test)]
mod tests {
    use std::{sync::atomic::AtomicUsize, time::Duration};

    use super::*;

    fn ran(text: &str) -> Ran {
        Ran { record: text.to_owned(), layer: None }
    }

    #[tokio::test]
    async fn one_run_serves_all_and_ends_with_the_last() {
        let runs = Runs::default();
        let key = Digest::of(b"key");
        let started = Arc::new(AtomicUsize::new(0));
        let heard = Arc::new(Mutex::new(String::new()));
        let join = || {
            let (started, heard) = (Arc::clone(&started), Arc::clone(&heard));
            let listener: Listener = Arc::new(move |_, text| heard.lock().unwrap().push_str(text));
            runs.join(&key, listener, false, move |parts| {
                started.fetch_add(1, Ordering::SeqCst);
                Box::pin(async move {
                    parts.sink.write(Stream::Out, b"a");
                    parts.stop.cancelled().await;
                    Err(OpError::Cancelled)
                })
            })
        };
        let first = join();
        tokio::time::sleep(Duration::from_millis(20)).await;
        let second = join();
        assert_eq!(started.load(Ordering::SeqCst), 1);
        assert_eq!(*heard.lock().unwrap(), "aa", "who comes later hears what was said before");
        let stop = second.run.parts.stop.clone();
        drop(first);
        assert!(!stop.is_cancelled(), "one still waits");
        drop(second);
        assert!(stop.is_cancelled());
        drop(join());
        assert_eq!(started.load(Ordering::SeqCst), 2, "what was cancelled begins anew");
    }

    #[tokio::test]
    async fn outcomes_are_shared() {
        let runs = Runs::default();
        let silent: Listener = Arc::new(|_, _| ());
        let join = |result: Result<Ran, OpError>| {
            runs.join(&Digest::of(b"k"), Arc::clone(&silent), false, |_| {
                Box::pin(async {
                    tokio::task::yield_now().await;
                    result
                })
            })
        };
        let (a, b) = (join(Ok(ran("x"))), join(Err(OpError::Cancelled)));
        let (a, b) = tokio::join!(a.outcome(), b.outcome());
        assert_eq!((a.unwrap().record, b.unwrap().record), ("x".into(), "x".into()));
    }

    #[test]
    fn characters_stay_whole() {
        for (pieces, want) in [
            (&[&b"a\xc3"[..], b"\xa9b"][..], &["a", "éb"][..]),
            (&[b"\xff\xc3", b"\xa9"], &["\u{fffd}", "é"]),
            (&[b"\xff\xff"], &["\u{fffd}\u{fffd}"]),
            (&[b"\xf0\x9f", b"\x98", b"\x80!"], &["", "", "😀!"]),
        ] {
            let mut carried = Vec::new();
            let texts: Vec<String> = pieces
                .iter()
                .map(|piece| {
                    carried.extend_from_slice(piece);
                    take_text(&mut carried)
                })
                .collect();
            assert_eq!(texts, want);
        }
    }
}
