//! Uploads under way, each used by one request at a time.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest};
use gantry_store::StoreError;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::OwnedMutexGuard;

use crate::{
    blobs::{BlobError, Blobs, Upload},
    clock::now_s,
    index::{Index, UploadRecord},
    name::Name,
};

/// How much is taken from the network before it is written, in bytes; twice that is the memory of
/// an upload.
const BATCH_BYTES: usize = 128 << 10;
/// How long a client may be silent within a body.
const SILENCE_MAX: Duration = Duration::from_secs(120);
/// How long a request waits for another one on the same upload.
const BUSY_MAX: Duration = Duration::from_secs(10);

/// What can go wrong with an upload.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UploadError {
    #[error("upload {0} is not known")]
    Unknown(String),
    #[error("another request uses upload {0}")]
    Busy(String),
    #[error("the upload is larger than {0} bytes")]
    TooLarge(u64),
    #[error("the client's data ended early")]
    Client(#[source] hyper::Error),
    #[error("the client was silent for too long")]
    Silent,
    #[error(transparent)]
    Blob(#[from] BlobError),
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl UploadError {
    /// Whether the storage may take the upload later; it stays until then.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Blob(error) if error.is_passing())
    }
}

type Slot = Arc<tokio::sync::Mutex<Option<Box<dyn Upload>>>>;

/// All uploads.
#[derive(Debug)]
pub(crate) struct Uploads {
    slots: Mutex<HashMap<String, Entry>>,
    /// When this registry started: uploads from before were in use then.
    started_s: u64,
}

struct Entry {
    slot: Slot,
    used_s: u64,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").field("used_s", &self.used_s).finish_non_exhaustive()
    }
}

impl Default for Uploads {
    fn default() -> Self {
        Self { slots: Mutex::default(), started_s: now_s() }
    }
}

/// An upload that this request has for itself.
pub(crate) struct Session {
    pub(crate) id: String,
    slot: OwnedMutexGuard<Option<Box<dyn Upload>>>,
}

impl Uploads {
    /// Begins an upload to a repository; returns its id.
    pub(crate) async fn begin(
        &self,
        index: &Index,
        blobs: &dyn Blobs,
        name: &Name,
        algorithm: Algorithm,
    ) -> Result<String, UploadError> {
        let id = new_id();
        let record = UploadRecord {
            repository: name.as_str().to_owned(),
            algorithm: algorithm.name().to_owned(),
            started_s: now_s(),
        };
        // The record is first: a file without one belongs to nobody.
        index.begin_upload(&id, record).await?;
        let upload = blobs.begin(&id, algorithm).await?;
        *self.slot(&id).lock().await = Some(upload);
        Ok(id)
    }

    /// Takes an upload of a repository for the time of a request.
    pub(crate) async fn take(
        &self,
        index: &Index,
        blobs: &dyn Blobs,
        name: &Name,
        id: &str,
    ) -> Result<Session, UploadError> {
        let unknown = || UploadError::Unknown(id.to_owned());
        let record = index.upload(id).ok_or_else(unknown)?;
        if record.repository != name.as_str() {
            return Err(unknown());
        }
        let locked = tokio::time::timeout(BUSY_MAX, self.slot(id).lock_owned()).await;
        let mut slot = locked.map_err(|_| UploadError::Busy(id.to_owned()))?;
        // Whoever had it meanwhile may have ended it.
        if index.upload(id).is_none() {
            self.slots().remove(id);
            return Err(unknown());
        }
        if slot.is_none() {
            let algorithm =
                if record.algorithm == "sha512" { Algorithm::Sha512 } else { Algorithm::Sha256 };
            *slot = Some(blobs.resume(id, algorithm).await?);
        }
        Ok(Session { id: id.to_owned(), slot })
    }

    /// Forgets an upload that has ended.
    pub(crate) fn forget(&self, id: &str) {
        self.slots().remove(id);
    }

    /// When an upload was used last, s since 1970.
    pub(crate) fn used_s(&self, id: &str) -> u64 {
        self.slots().get(id).map_or(self.started_s, |entry| entry.used_s)
    }

    /// Keeps requests from an upload; none if one has it.
    pub(crate) fn hold_if_free(
        &self,
        id: &str,
    ) -> Option<OwnedMutexGuard<Option<Box<dyn Upload>>>> {
        let slot = Arc::clone(&self.entry(&mut self.slots(), id).slot);
        slot.try_lock_owned().ok()
    }

    fn slot(&self, id: &str) -> Slot {
        let mut slots = self.slots();
        let entry = self.entry(&mut slots, id);
        entry.used_s = now_s();
        Arc::clone(&entry.slot)
    }

    fn entry<'a>(&self, slots: &'a mut HashMap<String, Entry>, id: &str) -> &'a mut Entry {
        let new = || Entry { slot: Slot::default(), used_s: self.started_s };
        slots.entry(id.to_owned()).or_insert_with(new)
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<String, Entry>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Session {
    /// How many bytes have come.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.slot.as_ref().map_or(0, |upload| upload.size_bytes())
    }

    /// Takes in a request's body; what came of it before an error is kept.
    ///
    /// While one batch is hashed and written, the next one comes.
    pub(crate) async fn receive(
        &mut self,
        body: &mut Incoming,
        limit_bytes: u64,
    ) -> Result<(), UploadError> {
        let upload = self.upload()?;
        let mut batch = Batch::next(body).await;
        loop {
            let end = batch.end.take();
            let pieces = std::mem::take(&mut batch.pieces);
            let more = pieces.iter().map(|piece| piece.len() as u64).sum::<u64>();
            if upload.size_bytes() + more > limit_bytes {
                return Err(UploadError::TooLarge(limit_bytes));
            }
            match end {
                Some(end) => {
                    if !pieces.is_empty() {
                        upload.write(pieces).await?;
                    }
                    return end;
                }
                None => {
                    let (written, next) = tokio::join!(upload.write(pieces), Batch::next(body));
                    written?;
                    batch = next;
                }
            }
        }
    }

    /// Takes in the next bytes.
    pub(crate) async fn write(&mut self, pieces: Vec<Bytes>) -> Result<(), UploadError> {
        Ok(self.upload()?.write(pieces).await?)
    }

    /// The digest of what has come.
    pub(crate) fn digest(&mut self) -> Result<Digest, UploadError> {
        Ok(self.upload()?.digest()?)
    }

    /// Does of a commit what takes long and needs no lock.
    pub(crate) async fn prepare(&mut self, digest: &Digest) -> Result<(), UploadError> {
        Ok(self.upload()?.prepare(digest).await?)
    }

    /// Makes the blob permanent.
    pub(crate) async fn commit(&mut self, digest: &Digest) -> Result<(), UploadError> {
        Ok(self.upload()?.commit(digest).await?)
    }

    fn upload(&mut self) -> Result<&mut Box<dyn Upload>, UploadError> {
        self.slot.as_mut().ok_or_else(|| UploadError::Unknown(self.id.clone()))
    }
}

/// What is written at once.
struct Batch {
    pieces: Vec<Bytes>,
    /// How the body ended, if it has.
    end: Option<Result<(), UploadError>>,
}

impl Batch {
    async fn next(body: &mut Incoming) -> Self {
        let (mut pieces, mut size) = (Vec::new(), 0);
        while size < BATCH_BYTES {
            let end = match tokio::time::timeout(SILENCE_MAX, body.frame()).await {
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        size += data.len();
                        pieces.push(data);
                    }
                    continue;
                }
                Ok(None) => Ok(()),
                Ok(Some(Err(error))) => Err(UploadError::Client(error)),
                Err(_) => Err(UploadError::Silent),
            };
            return Self { pieces, end: Some(end) };
        }
        Self { pieces, end: None }
    }
}

/// A random id in the form of a UUID.
pub(crate) fn new_id() -> String {
    let mut bytes = [0_u8; 16];
    // It fails before the machine has any randomness, long before there is a network.
    getrandom::fill(&mut bytes).expect("the kernel has randomness");
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}
