//! Blobs in a directory.
//!
//! A blob is written and hashed off the reactor, in batches; it appears by rename after its bytes
//! are on disk, and its commit answers after the rename is, too.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, IoSlice, Read, Seek, Write},
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest, Hasher};

use super::{BlobError, Blobs, FileRange, Later, Source, Upload};

/// How much is read at once to hash what is there already, in bytes.
const REHASH_BYTES: usize = 1 << 20;
/// After how many bytes the disk is told to begin, so that a commit waits for little.
const WRITEBACK_BYTES: u64 = 8 << 20;

/// Blobs below one directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory(Arc<Path>);

impl Directory {
    /// Opens or makes the directories.
    ///
    /// # Errors
    /// When they cannot be made.
    pub(crate) fn open(root: &Path) -> Result<Self, BlobError> {
        for sub in ["blobs", "blobs/sha256", "blobs/sha512", "uploads"] {
            let path = root.join(sub);
            fs::create_dir_all(&path).map_err(|source| failed("creating", &path, source))?;
        }
        for sub in ["", "blobs"] {
            sync_directory(&root.join(sub))?;
        }
        Ok(Self(root.into()))
    }

    fn blob(&self, digest: &Digest) -> PathBuf {
        self.family(digest.algorithm()).join(digest.hex())
    }

    fn family(&self, algorithm: Algorithm) -> PathBuf {
        self.0.join("blobs").join(algorithm.name())
    }

    fn upload(&self, id: &str) -> PathBuf {
        self.0.join("uploads").join(id)
    }
}

impl Blobs for Directory {
    fn begin<'a>(&'a self, id: &'a str, algorithm: Algorithm) -> Later<'a, Box<dyn Upload>> {
        let (directory, path) = (self.clone(), self.upload(id));
        off_reactor(move || {
            let file = options()
                .create_new(true)
                .open(&path)
                .map_err(|source| failed("creating", &path, source))?;
            let progress = Progress::new(file, Hasher::new(algorithm), 0);
            Ok(Writer::boxed(directory, path, algorithm, progress))
        })
    }

    fn resume<'a>(&'a self, id: &'a str, algorithm: Algorithm) -> Later<'a, Box<dyn Upload>> {
        let (directory, path) = (self.clone(), self.upload(id));
        off_reactor(move || {
            let file =
                options().open(&path).map_err(|source| missing_or("opening", &path, source))?;
            let (hasher, size_bytes) = hash(&file, algorithm, &path)?;
            let progress = Progress::new(file, hasher, size_bytes);
            Ok(Writer::boxed(directory, path, algorithm, progress))
        })
    }

    fn discard<'a>(&'a self, id: &'a str) -> Later<'a, ()> {
        let path = self.upload(id);
        off_reactor(move || remove(&path))
    }

    fn read<'a>(
        &'a self,
        digest: &'a Digest,
        offset_bytes: u64,
        length_bytes: u64,
    ) -> Later<'a, Source> {
        // Opening waits for no disk once the directory is cached, and a thread costs more than it.
        let path = self.blob(digest);
        let opened = File::open(&path).map_err(|source| missing_or("opening", &path, source));
        let source =
            opened.map(|file| Source::File(FileRange { file, offset_bytes, length_bytes }));
        Box::pin(std::future::ready(source))
    }

    fn tail(&self, id: &str) -> Option<File> {
        File::open(self.upload(id)).ok()
    }

    fn remove<'a>(&'a self, digest: &'a Digest) -> Later<'a, ()> {
        let path = self.blob(digest);
        off_reactor(move || remove(&path))
    }

    fn list(&self) -> Later<'_, Vec<(Digest, u64)>> {
        let directory = self.clone();
        off_reactor(move || {
            let mut found = Vec::new();
            for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
                for (name, entry) in entries(&directory.family(algorithm))? {
                    let Ok(digest) = format!("{}:{name}", algorithm.name()).parse() else {
                        continue;
                    };
                    // One that vanishes meanwhile was removed: no error.
                    if let Ok(meta) = entry.metadata() {
                        found.push((digest, meta.len()));
                    }
                }
            }
            Ok(found)
        })
    }

    fn uploads(&self) -> Later<'_, Vec<String>> {
        let path = self.0.join("uploads");
        off_reactor(move || Ok(entries(&path)?.into_iter().map(|(name, _)| name).collect()))
    }

    fn check(&self) -> Later<'_, ()> {
        // No id of an upload looks like this, so nobody takes it for one.
        let path = self.upload(".health");
        off_reactor(move || {
            fs::write(&path, b"ok").map_err(|source| failed("writing", &path, source))?;
            remove(&path)
        })
    }
}

/// A blob on its way in.
struct Writer {
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
    fn boxed(
        directory: Directory,
        path: PathBuf,
        algorithm: Algorithm,
        progress: Progress,
    ) -> Box<dyn Upload> {
        let size_bytes = progress.size_bytes;
        Box::new(Self { directory, path, algorithm, progress: Some(progress), size_bytes })
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
    let own = progress.hasher.finish();
    let actual = if own.algorithm() == expected.algorithm() {
        own
    } else {
        let file = File::open(path).map_err(|source| failed("opening", path, source))?;
        hash(&file, expected.algorithm(), path)?.0.finish()
    };
    if actual != *expected {
        return Err(BlobError::Mismatch { expected: expected.clone(), actual });
    }
    progress.file.sync_all().map_err(|source| failed("syncing", path, source))?;
    let target = directory.blob(expected);
    fs::rename(path, &target).map_err(|source| failed("publishing", &target, source))?;
    sync_directory(&directory.family(expected.algorithm()))
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

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

fn entries(path: &Path) -> Result<Vec<(String, fs::DirEntry)>, BlobError> {
    let broken = |source| failed("listing", path, source);
    let mut found = Vec::new();
    for entry in fs::read_dir(path).map_err(broken)? {
        let entry = entry.map_err(broken)?;
        if let Ok(name) = entry.file_name().into_string() {
            found.push((name, entry));
        }
    }
    Ok(found)
}

fn remove(path: &Path) -> Result<(), BlobError> {
    match fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(failed("removing", path, source))
        }
        _ => Ok(()),
    }
}

fn sync_directory(path: &Path) -> Result<(), BlobError> {
    let synced = File::open(path).and_then(|directory| directory.sync_all());
    synced.map_err(|source| failed("syncing", path, source))
}

fn failed(step: &'static str, path: &Path, source: io::Error) -> BlobError {
    BlobError::Io { step, what: path.display().to_string(), source }
}

fn missing_or(step: &'static str, path: &Path, source: io::Error) -> BlobError {
    match source.kind() {
        io::ErrorKind::NotFound => BlobError::Missing(path.display().to_string()),
        _ => failed(step, path, source),
    }
}

/// Runs blocking work on a thread of its own.
fn off_reactor<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BlobError> + Send + 'static,
) -> Later<'static, T> {
    Box::pin(async move {
        match tokio::task::spawn_blocking(work).await {
            Ok(done) => done,
            Err(gone) => {
                let source = io::Error::other(gone);
                Err(BlobError::Io { step: "working on", what: "blobs".to_owned(), source })
            }
        }
    })
}
