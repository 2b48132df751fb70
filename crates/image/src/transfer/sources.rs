//! The blob of a layer for a push: as it came, or compressed while it is sent.

use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom, Write},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
};

use gantry_archive::{ArchiveError, Compression};
use gantry_content::Follower;
use gantry_distribution::Source;
use gantry_oci::Digest;

use crate::{ImageError, Images, LayerRecord};

/// A blob in `content`.
pub(super) struct Stored {
    pub(super) images: Images,
    pub(super) digest: Digest,
    pub(super) sent: Arc<AtomicU64>,
}

impl Source for Stored {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let (mut file, _) = self.images.0.content.get(&self.digest).map_err(io::Error::other)?;
        file.seek(SeekFrom::Start(offset))?;
        self.sent.store(offset, Ordering::Relaxed);
        Ok(Box::new(Counted::<File> { inner: file, count: Arc::clone(&self.sent) }))
    }

    fn identity(&self) -> io::Result<(Digest, u64)> {
        let (_, size) = self.images.0.content.get(&self.digest).map_err(io::Error::other)?;
        Ok((self.digest.clone(), size))
    }
}

/// A layer that is compressed when somebody wants to read it, once.
#[derive(Clone)]
pub(super) struct Compressed(Arc<Work>);

struct Work {
    images: Images,
    layer: LayerRecord,
    compression: Compression,
    /// Bytes of the tar that are compressed.
    done: Arc<AtomicU64>,
    follower: Mutex<Option<Follower>>,
    identity: OnceLock<Result<(Digest, u64), String>>,
    ended: Mutex<Option<mpsc::Receiver<()>>>,
}

impl Compressed {
    pub(super) fn new(
        images: Images,
        layer: LayerRecord,
        compression: Compression,
        done: Arc<AtomicU64>,
    ) -> Self {
        Self(Arc::new(Work {
            images,
            layer,
            compression,
            done,
            follower: Mutex::default(),
            identity: OnceLock::new(),
            ended: Mutex::default(),
        }))
    }

    /// What the blob was, if it was made.
    pub(super) fn made(&self) -> Option<(Digest, u64)> {
        self.0.identity.get()?.clone().ok()
    }

    /// What follows the blob; the first who asks begins it.
    fn follower(&self) -> io::Result<Follower> {
        let mut slot = self.0.follower.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(follower) = &*slot {
            return Ok(follower.clone());
        }
        let writer = self.0.images.0.content.ingest().map_err(io::Error::other)?;
        let follower = writer.follower();
        let (ending, ended) = mpsc::channel();
        let work = Arc::clone(&self.0);
        std::thread::Builder::new().name("compress".into()).spawn(move || {
            let mut writer = writer;
            let made = work.compress(&mut writer).map(|()| (writer.seal(), writer.offset()));
            let _ = work.identity.set(made.map_err(|error| gantry_fault::chain(&error)));
            drop(ending);
        })?;
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(ended);
        Ok(slot.insert(follower).clone())
    }
}

impl Work {
    fn compress(&self, out: &mut dyn Write) -> Result<(), ImageError> {
        let mut pack = |tar: &mut dyn Write| {
            let mut tar = Counted { inner: tar, count: Arc::clone(&self.done) };
            self.images
                .write_blob_of(&self.layer, &mut tar)
                .map_err(|error| ArchiveError::Write(io::Error::other(gantry_fault::chain(&error))))
        };
        Ok(gantry_archive::compress(self.compression, out, &mut pack)?)
    }
}

impl Source for Compressed {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        Ok(Box::new(self.follower()?.open(offset)))
    }

    fn identity(&self) -> io::Result<(Digest, u64)> {
        self.follower()?;
        let ended = self.0.ended.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(ended) = &*ended {
            // It never sends: the end of the thread ends it.
            let _ = ended.recv();
        }
        match self.0.identity.get() {
            Some(Ok(identity)) => Ok(identity.clone()),
            Some(Err(why)) => Err(io::Error::other(why.clone())),
            None => Err(io::Error::other("compressing a layer was interrupted")),
        }
    }
}

struct Counted<T> {
    inner: T,
    count: Arc<AtomicU64>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.count.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

impl Write for Counted<&mut dyn Write> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.count.fetch_add(written as u64, Ordering::Relaxed);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
