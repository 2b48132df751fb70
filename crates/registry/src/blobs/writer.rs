//! An upload that is a file: what comes is written and hashed off the reactor, in batches.

use std::{
    fs::{self, File},
    io::{self, IoSlice, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest, Hasher};

use super::{
    BlobError, Directory, Later, Upload,
    directory::{failed, missing_or, off_reactor, options, remove, sync_directory},
};

/// How much is read at once to hash what is there already, in bytes.
const REHASH_BYTES: usize = 1 << 20;
/// After how many bytes the disk is told to begin, so that a commit waits for little.
const WRITEBACK_BYTES: u64 = 8 << 20;

/// A blob on its way in.
pub(crate) struct Writer {
    directory: Directory,
    path: PathBuf,
    algorithm: Algorithm,
    /// With the thread that writes, meanwhile.
    progress: Option<Progress>,
    size_bytes: u64,
}

struct Progress {
    file: File,
    hasher: Hasher,
    size_bytes: u64,
    /// Up to where the disk has been told to begin.
    begun_bytes: u64,
}

impl Progress {
    fn new(file: File, hasher: Hasher, size_bytes: u64) -> Self {
        Self { file, hasher, size_bytes, begun_bytes: size_bytes }
    }

    fn begin_writeback(&mut self) {
        let waiting = self.size_bytes - self.begun_bytes;
        if waiting >= WRITEBACK_BYTES {
            // Only a hint: the commit brings all of it to disk.
            let _ = gantry_sys::writeback::begin(&self.file, self.begun_bytes, waiting);
            self.begun_bytes = self.size_bytes;
        }
    }
}

impl Writer {
    /// A new file.
    pub(super) fn begin(
        directory: Directory,
        path: PathBuf,
        algorithm: Algorithm,
    ) -> Result<Self, BlobError> {
        let made = options().create_new(true).open(&path);
        let file = made.map_err(|source| failed("creating", &path, source))?;
        let progress = Some(Progress::new(file, Hasher::new(algorithm), 0));
        Ok(Self { directory, path, algorithm, progress, size_bytes: 0 })
    }

    /// A file of before.
    pub(super) fn resume(
        directory: Directory,
        path: PathBuf,
        algorithm: Algorithm,
    ) -> Result<Self, BlobError> {
        let mut writer = Self { directory, path, algorithm, progress: None, size_bytes: 0 };
        let progress = writer.take()?;
        writer.size_bytes = progress.size_bytes;
        writer.progress = Some(progress);
        Ok(writer)
    }

    /// What has come, as a file to read.
    ///
    /// # Errors
    /// When it is gone.
    pub(crate) fn file(&self) -> Result<Arc<File>, BlobError> {
        let opened = File::open(&self.path).map(Arc::new);
        opened.map_err(|source| missing_or("opening", &self.path, source))
    }

    /// The same, if it hashes to what was promised; else the upload goes.
    ///
    /// # Errors
    /// When it does not, or cannot be read.
    pub(crate) async fn verified(&mut self, digest: &Digest) -> Result<Arc<File>, BlobError> {
        let (progress, path, digest) = (self.take()?, self.path.clone(), digest.clone());
        let (progress, checked) = off_reactor(move || {
            let checked = check(&progress, &path, &digest);
            if checked.is_err() {
                let _ = fs::remove_file(&path);
            }
            Ok((progress, checked))
        })
        .await?;
        self.progress = Some(progress);
        checked?;
        self.file()
    }

    /// Throws away what has come.
    ///
    /// # Errors
    /// When it cannot be removed.
    pub(crate) async fn discard(&mut self) -> Result<(), BlobError> {
        self.progress = None;
        let path = self.path.clone();
        off_reactor(move || remove(&path)).await
    }

    /// What is written so far; read again from disk if a write before this one was broken off.
    fn take(&mut self) -> Result<Progress, BlobError> {
        if let Some(progress) = self.progress.take() {
            return Ok(progress);
        }
        let path = &self.path;
        let file = options().open(path).map_err(|source| missing_or("opening", path, source))?;
        let (hasher, size_bytes) = hash(&file, self.algorithm, path)?;
        Ok(Progress::new(file, hasher, size_bytes))
    }
}

impl Upload for Writer {
    fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    fn write(&mut self, pieces: Vec<Bytes>) -> Later<'_, ()> {
        Box::pin(async move {
            let (mut progress, path) = (self.take()?, self.path.clone());
            let (progress, written) = off_reactor(move || {
                let written = write_all(&mut progress, &pieces);
                if written.is_err() {
                    // What is there and what is hashed stay the same.
                    rewind(&progress).map_err(|source| failed("truncating", &path, source))?;
                }
                Ok((progress, written.map_err(|source| failed("writing", &path, source))))
            })
            .await?;
            self.size_bytes = progress.size_bytes;
            self.progress = Some(progress);
            written
        })
    }

    fn digest(&mut self) -> Result<Digest, BlobError> {
        let progress = self.take()?;
        let digest = progress.hasher.clone().finish();
        self.progress = Some(progress);
        Ok(digest)
    }

    fn prepare<'a>(&'a mut self, _: &'a Digest) -> Later<'a, ()> {
        // The digest is known by now, and a file is there at once: all of it is the commit's.
        Box::pin(std::future::ready(Ok(())))
    }

    fn commit<'a>(&'a mut self, digest: &'a Digest) -> Later<'a, ()> {
        Box::pin(async move {
            let (progress, path) = (self.take()?, self.path.clone());
            let (directory, digest) = (self.directory.clone(), digest.clone());
            off_reactor(move || {
                let done = publish(&directory, progress, &path, &digest);
                if done.is_err() {
                    let _ = fs::remove_file(&path);
                }
                done
            })
            .await
        })
    }
}

/// Checks what has come, brings it to disk, and lets it appear.
fn publish(
    directory: &Directory,
    progress: Progress,
    path: &Path,
    expected: &Digest,
) -> Result<(), BlobError> {
    check(&progress, path, expected)?;
    progress.file.sync_all().map_err(|source| failed("syncing", path, source))?;
    let target = directory.blob(expected);
    fs::rename(path, &target).map_err(|source| failed("publishing", &target, source))?;
    sync_directory(&directory.family(expected.algorithm()))
}

/// Checks what has come against what was promised.
fn check(progress: &Progress, path: &Path, expected: &Digest) -> Result<(), BlobError> {
    let own = progress.hasher.clone().finish();
    let actual = if own.algorithm() == expected.algorithm() {
        own
    } else {
        let file = File::open(path).map_err(|source| failed("opening", path, source))?;
        hash(&file, expected.algorithm(), path)?.0.finish()
    };
    if actual == *expected {
        Ok(())
    } else {
        Err(BlobError::Mismatch { expected: expected.clone(), actual })
    }
}

fn write_all(progress: &mut Progress, pieces: &[Bytes]) -> io::Result<()> {
    let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
    let mut rest = slices.as_mut_slice();
    while !rest.is_empty() {
        match progress.file.write_vectored(rest) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => IoSlice::advance_slices(&mut rest, written),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    for piece in pieces {
        progress.hasher.update(piece);
        progress.size_bytes += piece.len() as u64;
    }
    progress.begin_writeback();
    Ok(())
}

/// Drops what a write that failed has left.
fn rewind(progress: &Progress) -> io::Result<()> {
    progress.file.set_len(progress.size_bytes)?;
    (&progress.file).seek(io::SeekFrom::Start(progress.size_bytes)).map(drop)
}

/// Hashes a whole file, whose position is at its end afterwards; with its size in bytes.
fn hash(mut file: &File, algorithm: Algorithm, path: &Path) -> Result<(Hasher, u64), BlobError> {
    let (mut hasher, mut size_bytes) = (Hasher::new(algorithm), 0);
    let mut buffer = vec![0; REHASH_BYTES];
    loop {
        let read = file.read(&mut buffer).map_err(|source| failed("reading", path, source))?;
        if read == 0 {
            return Ok((hasher, size_bytes));
        }
        hasher.update(&buffer[..read]);
        size_bytes += read as u64;
    }
}
