//! One layer under way, whoever waits for it.
//!
//! The first who asks for a blob starts it, others join; it ends early when the last has gone.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::Ordering},
    time::Duration,
};

use gantry_content::{Content, ContentError, Lease, Writer};
use gantry_distribution::Repository;
use gantry_oci::{Descriptor, Digest};
use tokio::{
    runtime::Handle,
    sync::watch,
    task::{AbortHandle, JoinHandle},
};

use super::{
    Events, Inner, Step, TransferError, blocking,
    sink::{LayerSink, Progress, Unpacker},
};
use crate::{
    ImageError, LayerLease, LayerRecord,
    ingest::{Unpacked, media_type},
};

/// How often progress is told.
const TICK: Duration = Duration::from_millis(100);
/// How often it is tried to take up a partial blob whose last writer is just leaving.
const BUSY_TRIES: u32 = 100;
/// The wait between.
const BUSY_WAIT: Duration = Duration::from_millis(50);

/// The layers under way.
#[derive(Default)]
pub(super) struct Flights {
    all: Mutex<HashMap<Digest, Weak<Flight>>>,
    /// Held by whatever still writes, also behind a flight that has ended.
    writing: Arc<()>,
}

/// A layer under way; dropping the last one ends it.
pub(super) struct Flight {
    state: watch::Receiver<State>,
    task: AbortHandle,
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A layer that is here, and what keeps it until a record does.
#[derive(Debug)]
pub(super) struct Held {
    /// The blob as the registry has it, which another one of the same layer may stand for here.
    pub(super) blob: Digest,
    pub(super) record: LayerRecord,
    pub(super) _layer: LayerLease,
    pub(super) _lease: Lease,
}

#[derive(Clone)]
enum State {
    New,
    Waiting,
    Downloading { current: u64, total: u64 },
    Extracting { current: u64, total: u64 },
    Done(Arc<Held>),
    Failed(Arc<TransferError>),
}

impl Flights {
    /// Joins the flight of a blob, or starts one; tells whether it was started.
    pub(super) fn join(
        &self,
        inner: &Arc<Inner>,
        repository: &Repository,
        blob: &Descriptor,
    ) -> (Arc<Flight>, bool) {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, flight| flight.strong_count() > 0);
        if let Some(flight) = all.get(&blob.digest).and_then(Weak::upgrade)
            && !matches!(*flight.state.borrow(), State::Failed(_))
        {
            return (flight, false);
        }
        let (sender, state) = watch::channel(State::New);
        let work = fetch(Arc::clone(inner), repository.clone(), blob.clone(), sender);
        let flight = Arc::new(Flight { state, task: tokio::spawn(work).abort_handle() });
        all.insert(blob.digest.clone(), Arc::downgrade(&flight));
        (flight, true)
    }

    /// Whether nothing is under way, nor writes still.
    pub(super) fn are_none(&self) -> bool {
        let all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        all.values().all(|flight| flight.strong_count() == 0)
            && Arc::strong_count(&self.writing) == 1
    }
}

impl Flight {
    /// Tells of the flight until it ends.
    pub(super) async fn follow(
        &self,
        id: &str,
        events: &Events,
    ) -> Result<Arc<Held>, TransferError> {
        let mut state = self.state.clone();
        let mut told = Told { id, events, at: 0 };
        loop {
            let now = state.borrow_and_update().clone();
            match now {
                State::New => {}
                State::Waiting => told.once(1, Step::Waiting).await,
                State::Downloading { current, total } => {
                    told.at = 2;
                    events.step(id, Step::Downloading { current, total }).await;
                }
                State::Extracting { current, total } => {
                    told.downloaded().await;
                    told.at = 5;
                    events.step(id, Step::Extracting { current, total }).await;
                }
                State::Done(held) => {
                    told.downloaded().await;
                    let total = held.record.size_bytes;
                    told.once(5, Step::Extracting { current: total, total }).await;
                    events.step(id, Step::Pulled).await;
                    return Ok(held);
                }
                State::Failed(error) => return Err(TransferError::Shared(error)),
            }
            if state.changed().await.is_err() {
                return Err(TransferError::Interrupted);
            }
        }
    }
}

/// What was told of a flight; a state that was missed is told of too.
struct Told<'a> {
    id: &'a str,
    events: &'a Events,
    at: u8,
}

impl Told<'_> {
    async fn once(&mut self, at: u8, step: Step) {
        if self.at < at {
            self.at = at;
            self.events.step(self.id, step).await;
        }
    }

    async fn downloaded(&mut self) {
        self.once(3, Step::Verifying).await;
        self.once(4, Step::Downloaded).await;
    }
}

async fn fetch(
    inner: Arc<Inner>,
    repository: Repository,
    blob: Descriptor,
    state: watch::Sender<State>,
) {
    let end = match land(&inner, &repository, &blob, &state).await {
        Ok(held) => State::Done(Arc::new(held)),
        Err(error) => State::Failed(Arc::new(error)),
    };
    state.send_replace(end);
}

async fn land(
    inner: &Inner,
    repository: &Repository,
    blob: &Descriptor,
    state: &watch::Sender<State>,
) -> Result<Held, TransferError> {
    if inner.downloads.available_permits() == 0 {
        state.send_replace(State::Waiting);
    }
    let permit = inner.downloads.acquire().await.map_err(|_| TransferError::Interrupted)?;
    let content = inner.images.0.content.clone();
    let mut lease = content.lease();
    lease.add(&blob.digest);
    let progress = Arc::new(Progress::default());
    // What blocks goes on when this is dropped, and is waited for by whoever prunes.
    let writing = Arc::clone(&inner.flights.writing);
    let unpacker = Unpacker {
        snapshots: inner.images.0.snapshots.clone(),
        runtime: Handle::current(),
        progress: Arc::clone(&progress),
        size_bytes: blob.size,
        writing: Arc::clone(&writing),
    };
    let (came, unpacking) = match content.get(&blob.digest) {
        Ok((file, _)) => (None, unpacker.start(file)),
        Err(_) => {
            let (writer, unpacking) = download(&content, repository, blob, unpacker, state).await?;
            (Some(writer), unpacking)
        }
    };
    drop(permit);
    let unpacked = match extracted(unpacking, blob, &progress, state).await {
        Ok(unpacked) => unpacked,
        Err(error) => {
            // It would be the same the next time.
            came.into_iter().for_each(Writer::discard);
            return Err(error);
        }
    };
    let (images, digest, size_bytes) = (inner.images.clone(), blob.digest.clone(), blob.size);
    let (record, layer) = blocking(move || {
        let _writing = writing;
        let diff_id = unpacked.diff_id.unwrap_or_else(|| digest.clone());
        let unpacked_size_bytes = unpacked.size_bytes;
        let mut lease = images.layer_lease();
        lease.commit(unpacked.writer, &diff_id, unpacked_size_bytes)?;
        // Until here it is a partial blob, which a daemon that was killed goes on with; a whole one
        // that no record names is garbage to the next.
        if let Some(writer) = came {
            writer.commit(Some(&digest), Some(size_bytes))?;
        }
        let media_type = media_type(unpacked.compression);
        let record = LayerRecord { diff_id, digest, media_type, size_bytes, unpacked_size_bytes };
        images.note_fetched(&record)?;
        Ok::<_, ImageError>((record, lease))
    })
    .await??;
    Ok(Held { blob: blob.digest.clone(), record, _layer: layer, _lease: lease })
}

type Unpacking = JoinHandle<Result<Unpacked, ImageError>>;

/// Brings a blob here, whole and checked but not committed; it is unpacked meanwhile.
async fn download(
    content: &Content,
    repository: &Repository,
    blob: &Descriptor,
    unpacker: Unpacker,
    state: &watch::Sender<State>,
) -> Result<(Writer, Unpacking), TransferError> {
    let writing = Arc::clone(&unpacker.writing);
    let writer = partial(content, &blob.digest, &writing).await?;
    let progress = Arc::clone(&unpacker.progress);
    let total = blob.size;
    let tell = || {
        let current = progress.written.load(Ordering::Relaxed);
        state.send_replace(State::Downloading { current, total });
    };
    let sink = LayerSink::new(writer, unpacker);
    let whole = {
        let mut download = std::pin::pin!(repository.blob(blob, sink));
        let mut tick = tokio::time::interval(TICK);
        loop {
            tokio::select! {
                done = &mut download => break done?,
                _ = tick.tick() => tell(),
            }
        }
    };
    tell();
    Ok(whole.into_parts())
}

/// The blob as far as it came before.
async fn partial(
    content: &Content,
    digest: &Digest,
    writing: &Arc<()>,
) -> Result<Writer, TransferError> {
    let name = format!("layer-{}-{}", digest.algorithm().name(), digest.hex());
    let mut tries = 0;
    loop {
        let (content, name, writing) = (content.clone(), name.clone(), Arc::clone(writing));
        let resume = move || {
            let _writing = writing;
            content.resume(&name)
        };
        match blocking(resume).await? {
            Err(ContentError::Busy(_)) if tries < BUSY_TRIES => tries += 1,
            writer => return Ok(writer?),
        }
        tokio::time::sleep(BUSY_WAIT).await;
    }
}

/// Waits for a blob's unpacking.
async fn extracted(
    mut unpacking: Unpacking,
    blob: &Descriptor,
    progress: &Progress,
    state: &watch::Sender<State>,
) -> Result<Unpacked, TransferError> {
    let mut tick = tokio::time::interval(TICK);
    loop {
        tokio::select! {
            done = &mut unpacking => {
                return Ok(done.map_err(|_| TransferError::Interrupted)??);
            }
            _ = tick.tick() => {
                let current = progress.unpacked.load(Ordering::Relaxed);
                state.send_replace(State::Extracting { current, total: blob.size });
            }
        }
    }
}
