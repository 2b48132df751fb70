//! Taking in layers: the blob is written and hashed on the caller's thread, while workers follow it
//! through the page cache, decompress and unpack.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, Sender, channel},
    },
    thread::JoinHandle,
};

use gantry_archive::{Compression, ExtractOptions};
use gantry_oci::{Digest, Hasher, image::media};
use gantry_snapshot::{LayerWriter, Snapshots};

use crate::{ImageError, Images, LayerRecord};

/// Layers unpacked at the same time, at most.
const WORKERS_MAX: usize = 4;
/// Size of the pieces that a stream is copied in.
const PIECE: usize = 256 << 10;

struct Job {
    tail: Box<dyn Read + Send>,
    answer: Sender<Result<Unpacked, ImageError>>,
}

/// A layer that is unpacked but not visible.
pub(crate) struct Unpacked {
    pub(crate) writer: LayerWriter,
    pub(crate) compression: Compression,
    /// Digest of the uncompressed tar; none if the blob is that.
    pub(crate) diff_id: Option<Digest>,
    pub(crate) size_bytes: u64,
}

/// Threads that unpack; they end when this is dropped.
pub(crate) struct Unpackers {
    jobs: Option<Sender<Job>>,
    threads: Vec<JoinHandle<()>>,
}

/// A layer whose blob is in, while its unpacking may still be under way.
pub(crate) struct Pending {
    pub(crate) digest: Digest,
    size_bytes: u64,
    unpacked: Receiver<Result<Unpacked, ImageError>>,
}

/// A layer that is in, but visible only after [`Ingested::commit`].
pub(crate) struct Ingested {
    pub(crate) record: LayerRecord,
    /// None if the layer was unpacked before.
    writer: Option<LayerWriter>,
}

impl Unpackers {
    pub(crate) fn start(snapshots: &Snapshots) -> Result<Self, ImageError> {
        let (jobs, inbox) = channel();
        let inbox = Arc::new(Mutex::new(inbox));
        let count =
            std::thread::available_parallelism().map_or(2, usize::from).clamp(2, WORKERS_MAX);
        let mut unpackers = Self { jobs: Some(jobs), threads: Vec::new() };
        for _ in 0..count {
            let (inbox, snapshots) = (Arc::clone(&inbox), snapshots.clone());
            let thread = std::thread::Builder::new()
                .name("unpack".into())
                .spawn(move || work(&inbox, &snapshots))
                .map_err(ImageError::io("starting a thread"))?;
            unpackers.threads.push(thread);
        }
        Ok(unpackers)
    }
}

impl Drop for Unpackers {
    fn drop(&mut self) {
        drop(self.jobs.take());
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

fn work(inbox: &Mutex<Receiver<Job>>, snapshots: &Snapshots) {
    loop {
        let job = inbox.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { return };
        // The asker may have given up: then the layer goes away with the answer.
        drop(job.answer.send(unpack(job.tail, snapshots, u64::MAX)));
    }
}

/// Unpacks a blob of any compression, up to `limit_bytes` of tar.
pub(crate) fn unpack(
    blob: Box<dyn Read + Send>,
    snapshots: &Snapshots,
    limit_bytes: u64,
) -> Result<Unpacked, ImageError> {
    let writer = snapshots.begin_layer()?;
    let (mut tar, compression) = gantry_archive::decompress(blob)?;
    let options = ExtractOptions::layer();
    if compression == Compression::None {
        let done = gantry_archive::extract(&mut tar, writer.dir(), &options)?;
        return Ok(Unpacked { writer, compression, diff_id: None, size_bytes: done.size_bytes });
    }
    let mut tar = HashingReader { inner: tar, hasher: Hasher::sha256(), left: limit_bytes };
    let done = gantry_archive::extract(&mut tar, writer.dir(), &options)?;
    let diff_id = Some(tar.hasher.finish());
    Ok(Unpacked { writer, compression, diff_id, size_bytes: done.size_bytes })
}

struct HashingReader<R> {
    inner: R,
    hasher: Hasher,
    /// Bytes that may still come.
    left: u64,
}

impl<R: Read> Read for HashingReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        self.hasher.update(&buffer[..read]);
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| {
            io::Error::new(io::ErrorKind::InvalidData, "it unpacks to far more than its size")
        })?;
        Ok(read)
    }
}

impl Images {
    /// Takes in a layer that `write` writes.
    pub(crate) fn ingest_layer(
        &self,
        unpackers: &Unpackers,
        write: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
    ) -> Result<Pending, ImageError> {
        let mut writer = self.0.content.ingest()?;
        let (answer, unpacked) = channel();
        if let Some(jobs) = &unpackers.jobs {
            drop(jobs.send(Job { tail: Box::new(writer.tail()), answer }));
        }
        write(&mut writer)?;
        let size_bytes = writer.offset();
        let digest = writer.commit(None, None)?;
        Ok(Pending { digest, size_bytes, unpacked })
    }

    /// Waits for a layer's unpacking.
    pub(crate) fn finish_layer(&self, pending: Pending) -> Result<Ingested, ImageError> {
        let unpacked = pending.unpacked.recv().map_err(|_| ImageError::Interrupted)??;
        let diff_id = unpacked.diff_id.unwrap_or_else(|| pending.digest.clone());
        let record = LayerRecord {
            diff_id,
            digest: pending.digest,
            media_type: media_type(unpacked.compression),
            size_bytes: pending.size_bytes,
            unpacked_size_bytes: unpacked.size_bytes,
        };
        Ok(Ingested { record, writer: Some(unpacked.writer) })
    }

    /// A layer that is known: its blob is here and it is unpacked.
    pub(crate) fn known_layer(&self, digest: &Digest) -> Option<Ingested> {
        let known = self.list().into_iter().flat_map(|image| image.layers.clone());
        let record = known.into_iter().find(|layer| layer.digest == *digest)?;
        self.is_here(&record).then_some(Ingested { record, writer: None })
    }

    /// Whether a layer is unpacked, and its blob here or to be had from that.
    pub(crate) fn is_here(&self, layer: &LayerRecord) -> bool {
        let blob = layer.digest == layer.diff_id || self.0.content.contains(&layer.digest);
        blob && self.0.snapshots.has_layer(&layer.diff_id)
    }
}

impl Ingested {
    /// Makes the layer visible.
    pub(crate) fn commit(&mut self) -> Result<(), ImageError> {
        if let Some(writer) = self.writer.take() {
            writer.commit(&self.record.diff_id, self.record.unpacked_size_bytes)?;
        }
        Ok(())
    }
}

/// Copies a stream in large pieces; `progress` hears of every one.
pub(crate) fn copy(
    from: &mut dyn Read,
    to: &mut dyn Write,
    progress: &mut dyn FnMut(u64),
) -> Result<u64, ImageError> {
    let mut buffer = vec![0; PIECE];
    let mut copied = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(copied),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(ImageError::io("reading archive")(error)),
        };
        to.write_all(&buffer[..read]).map_err(ImageError::io("writing blob"))?;
        copied += read as u64;
        progress(copied);
    }
}

pub(crate) fn media_type(compression: Compression) -> String {
    match compression {
        Compression::None => media::LAYER.to_owned(),
        Compression::Gzip => media::LAYER_GZIP.to_owned(),
        Compression::Zstd => media::LAYER_ZSTD.to_owned(),
        Compression::Xz => format!("{}+xz", media::LAYER),
        Compression::Bzip2 => format!("{}+bzip2", media::LAYER),
    }
}
