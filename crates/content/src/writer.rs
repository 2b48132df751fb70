//! Writing a blob, and reading it while it is being written.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::{
        Arc, Condvar, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use gantry_oci::{Algorithm, Digest, Hasher};
use rustix::fs::{FlockOperation, flock};

use crate::{Content, ContentError};

/// How the file names of writers that nobody resumes begin.
pub(crate) const ANONYMOUS: &str = "anonymous-";

static NEXT: AtomicU64 = AtomicU64::new(0);

/// A blob being written: everything that goes in is hashed.
///
/// Dropped without [`Writer::commit`], a named one keeps its partial data for
/// [`Content::resume`], an anonymous one goes away.
#[derive(Debug)]
pub struct Writer {
    content: Content,
    path: PathBuf,
    file: Arc<File>,
    hasher: Option<Hasher>,
    offset: u64,
    keep: bool,
    progress: Arc<Progress>,
}

/// How far the writer has come, for its readers.
#[derive(Debug, Default)]
struct Progress {
    state: Mutex<State>,
    moved: Condvar,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    written: u64,
    end: Option<End>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    Broken,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn advance(&self, written: u64) {
        self.state().written = written;
        self.moved.notify_all();
    }

    fn finish(&self, end: End) {
        self.state().end.get_or_insert(end);
        self.moved.notify_all();
    }
}

impl Writer {
    pub(crate) fn anonymous(content: Content) -> Result<Self, ContentError> {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = content
            .0
            .dir
            .join("ingest")
            .join(format!("{ANONYMOUS}{}-{number}", std::process::id()));
        let file = options()
            .create_new(true)
            .open(&path)
            .map_err(|source| ContentError::io("creating", &path, source))?;
        Ok(Self::new(content, path, file, false))
    }

    pub(crate) fn resume(content: Content, name: &str) -> Result<Self, ContentError> {
        let word = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let name_ok = !name.is_empty()
            && name.len() <= 200
            && name.bytes().all(word)
            && !name.starts_with(['.'])
            && !name.starts_with(ANONYMOUS);
        if !name_ok {
            return Err(ContentError::BadName(name.to_owned()));
        }
        let path = content.0.dir.join("ingest").join(name);
        let failed = |step, source| ContentError::io(step, &path, source);
        let file =
            options().create(true).open(&path).map_err(|source| failed("opening", source))?;
        if flock(&file, FlockOperation::NonBlockingLockExclusive).is_err() {
            return Err(ContentError::Busy(name.to_owned()));
        }
        let mut hasher = Hasher::sha256();
        let offset =
            io::copy(&mut &file, &mut hasher).map_err(|source| failed("reading", source))?;
        let mut writer = Self::new(content, path.clone(), file, true);
        writer.hasher = Some(hasher);
        writer.offset = offset;
        writer.progress.advance(offset);
        Ok(writer)
    }

    fn new(content: Content, path: PathBuf, file: File, keep: bool) -> Self {
        let (file, progress) = (Arc::new(file), Arc::default());
        Self { content, path, file, hasher: Some(Hasher::sha256()), offset: 0, keep, progress }
    }

    /// How many bytes are written.
    #[must_use]
    pub fn offset(&self) -> u64 {
        self.offset
    }

    /// Throws away what is written and starts over; who followed until now fails.
    ///
    /// # Errors
    /// When the file cannot be emptied.
    pub fn restart(&mut self) -> Result<(), ContentError> {
        self.progress.finish(End::Broken);
        self.progress = Arc::default();
        self.file
            .set_len(0)
            .map_err(|source| ContentError::io("truncating", &self.path, source))?;
        self.hasher = Some(Hasher::sha256());
        self.offset = 0;
        Ok(())
    }

    /// A reader that follows this writer from the start, waiting for what is not written yet.
    ///
    /// It ends when the writer is committed or sealed, and fails when the writer is dropped before.
    #[must_use]
    pub fn tail(&self) -> Tail {
        self.follower().open(0)
    }

    /// What makes readers that follow this writer from any place, also once it is moved away.
    #[must_use]
    pub fn follower(&self) -> Follower {
        Follower { file: Arc::clone(&self.file), progress: Arc::clone(&self.progress) }
    }

    /// Tells the followers that nothing more comes, and the digest of what did.
    ///
    /// Only SHA-256 is known here; another algorithm is checked at commit.
    pub fn seal(&mut self) -> Digest {
        self.progress.finish(End::Whole);
        self.hasher.clone().unwrap_or_else(Hasher::sha256).finish()
    }

    /// Throws away what is written, for good.
    pub fn discard(mut self) {
        self.keep = false;
    }

    /// Checks digest and size and makes the blob visible; returns its digest.
    ///
    /// # Errors
    /// When data and promise differ; the partial data is removed then.
    pub fn commit(
        mut self,
        expected: Option<&Digest>,
        size: Option<u64>,
    ) -> Result<Digest, ContentError> {
        let checked =
            self.check(expected, size).and_then(|digest| self.publish(&digest).map(|()| digest));
        match checked {
            Ok(digest) => {
                self.progress.finish(End::Whole);
                self.keep = true;
                Ok(digest)
            }
            Err(error) => {
                self.keep = false;
                Err(error)
            }
        }
    }

    fn check(
        &mut self,
        expected: Option<&Digest>,
        size: Option<u64>,
    ) -> Result<Digest, ContentError> {
        let own = self.hasher.take().unwrap_or_else(Hasher::sha256).finish();
        let actual = match expected {
            Some(digest) if digest.algorithm() != own.algorithm() => {
                self.digest(digest.algorithm())?
            }
            _ => own,
        };
        if let Some(expected) = expected
            && *expected != actual
        {
            return Err(ContentError::Mismatch { expected: expected.clone(), actual });
        }
        match size {
            Some(expected) if expected != self.offset => {
                Err(ContentError::Size { digest: actual, expected, actual: self.offset })
            }
            _ => Ok(actual),
        }
    }

    /// The digest of what is written, by any algorithm; one that is not kept at hand reads all.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn digest(&self, algorithm: Algorithm) -> Result<Digest, ContentError> {
        let mut hasher = Hasher::new(algorithm);
        let mut file = File::open(&self.path)
            .map_err(|source| ContentError::io("opening", &self.path, source))?;
        io::copy(&mut file, &mut hasher)
            .map_err(|source| ContentError::io("reading", &self.path, source))?;
        Ok(hasher.finish())
    }

    fn publish(&self, digest: &Digest) -> Result<(), ContentError> {
        let _publish = self.content.publish();
        let target = self.content.path(digest);
        if target.exists() {
            return crate::remove_file(&self.path);
        }
        // The mark comes first: a blob is never visible and unmarked before it is on disk.
        let mark = self.content.unsynced_path(digest);
        write_small(&mark, &self.content.0.boot_id)?;
        fs::rename(&self.path, &target)
            .map_err(|source| ContentError::io("publishing", &target, source))
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    options
}

fn write_small(path: &Path, text: &str) -> Result<(), ContentError> {
    fs::write(path, text).map_err(|source| ContentError::io("writing", path, source))
}

impl Write for Writer {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.file.write_all_at(data, self.offset)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(data);
        }
        self.offset += data.len() as u64;
        self.progress.advance(self.offset);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.progress.finish(End::Broken);
        if !self.keep {
            drop(fs::remove_file(&self.path));
        }
    }
}

/// Makes readers that follow a [`Writer`].
#[derive(Clone, Debug)]
pub struct Follower {
    file: Arc<File>,
    progress: Arc<Progress>,
}

impl Follower {
    /// A reader that begins at `offset`, as [`Writer::tail`] does at 0.
    #[must_use]
    pub fn open(&self, offset: u64) -> Tail {
        Tail { file: Arc::clone(&self.file), offset, progress: Arc::clone(&self.progress) }
    }
}

/// Follows a [`Writer`]; see [`Writer::tail`].
#[derive(Debug)]
pub struct Tail {
    file: Arc<File>,
    offset: u64,
    progress: Arc<Progress>,
}

impl Read for Tail {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        let mut state = self.progress.state();
        while state.written <= self.offset {
            match state.end {
                Some(End::Whole) => return Ok(0),
                Some(End::Broken) => {
                    return Err(io::Error::new(
                        io::ErrorKind::UnexpectedEof,
                        "blob was not completed",
                    ));
                }
                None => {
                    state = self.progress.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
                }
            }
        }
        let available = usize::try_from(state.written - self.offset).unwrap_or(usize::MAX);
        drop(state);
        let length = buffer.len().min(available);
        let read = self.file.read_at(&mut buffer[..length], self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
