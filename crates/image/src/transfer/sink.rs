//! A download into `content`, unpacked as it comes.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use gantry_content::Writer;
use gantry_distribution::Sink;
use gantry_oci::{Algorithm, Digest};
use gantry_snapshot::Snapshots;
use tokio::{runtime::Handle, task::JoinHandle};

use crate::{
    ImageError,
    ingest::{Unpacked, unpack},
};

/// Tar bytes that a layer may have beyond [`TAR_RATIO`] times its size.
const TAR_FLOOR_BYTES: u64 = 4 << 30;
/// How many times its size a layer may become; deflate reaches 1032.
const TAR_RATIO: u64 = 1100;

/// How far a layer is, in bytes of its blob.
#[derive(Debug, Default)]
pub(super) struct Progress {
    pub(super) written: AtomicU64,
    pub(super) unpacked: AtomicU64,
}

/// Unpacks blobs of one layer on threads for blocking work.
#[derive(Clone)]
pub(super) struct Unpacker {
    pub(super) snapshots: Snapshots,
    pub(super) runtime: Handle,
    pub(super) progress: Arc<Progress>,
    /// The size of the blob.
    pub(super) size_bytes: u64,
    /// Tells that something is written.
    pub(super) writing: Arc<()>,
}

impl Unpacker {
    pub(super) fn start(
        &self,
        blob: impl Read + Send + 'static,
    ) -> JoinHandle<Result<Unpacked, ImageError>> {
        let limit_bytes = TAR_FLOOR_BYTES.saturating_add(self.size_bytes.saturating_mul(TAR_RATIO));
        let this = self.clone();
        self.progress.unpacked.store(0, Ordering::Relaxed);
        self.runtime.spawn_blocking(move || {
            let _writing = this.writing;
            let blob = Counted { inner: blob, progress: this.progress };
            unpack(Box::new(blob), &this.snapshots, limit_bytes)
        })
    }
}

struct Counted<R> {
    inner: R,
    progress: Arc<Progress>,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.progress.unpacked.fetch_add(read as u64, Ordering::Relaxed);
        Ok(read)
    }
}

/// A layer that comes.
pub(super) struct LayerSink {
    writer: Writer,
    unpacker: Unpacker,
    unpacking: JoinHandle<Result<Unpacked, ImageError>>,
}

impl LayerSink {
    /// Goes on with a partial blob.
    pub(super) fn new(writer: Writer, unpacker: Unpacker) -> Self {
        unpacker.progress.written.store(writer.offset(), Ordering::Relaxed);
        let unpacking = unpacker.start(writer.tail());
        Self { writer, unpacker, unpacking }
    }

    /// The whole blob, and what unpacks it.
    pub(super) fn into_parts(self) -> (Writer, JoinHandle<Result<Unpacked, ImageError>>) {
        (self.writer, self.unpacking)
    }
}

impl Sink for LayerSink {
    fn offset(&self) -> u64 {
        self.writer.offset()
    }

    fn write(&mut self, data: &[u8]) -> io::Result<()> {
        self.writer.write_all(data)?;
        self.unpacker.progress.written.store(self.writer.offset(), Ordering::Relaxed);
        Ok(())
    }

    fn restart(&mut self) -> io::Result<()> {
        self.writer.restart().map_err(io::Error::other)?;
        self.unpacker.progress.written.store(0, Ordering::Relaxed);
        // What was unpacked until now fails with the blob that it followed.
        self.unpacking = self.unpacker.start(self.writer.tail());
        Ok(())
    }

    fn digest(&mut self, algorithm: Algorithm) -> io::Result<Digest> {
        let sealed = self.writer.seal();
        if sealed.algorithm() == algorithm {
            return Ok(sealed);
        }
        self.writer.digest(algorithm).map_err(io::Error::other)
    }
}
