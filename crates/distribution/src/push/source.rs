//! What is pushed.

use std::{
    fs::File,
    io::{self, Cursor, Read, Seek, SeekFrom},
    path::PathBuf,
    sync::Arc,
};

use bytes::Bytes;
use gantry_oci::{Algorithm, Digest, Hasher};
use tokio::sync::mpsc;

/// How much is read at a time, bytes.
const PIECE: usize = 256 << 10;
/// How many pieces are read ahead.
const AHEAD: usize = 4;

/// What is pushed; read on threads that may block, and again after a connection broke.
pub trait Source: Send + Sync + 'static {
    /// A reader of what is behind `offset`; it may wait for data that is still being made.
    ///
    /// # Errors
    /// When it cannot be read.
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>>;

    /// Digest and size; asked for only if they were not told, and after a reader came to its end.
    ///
    /// # Errors
    /// When it cannot be read.
    fn identity(&self) -> io::Result<(Digest, u64)>;
}

impl Source for Bytes {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.len());
        Ok(Box::new(Cursor::new(self.slice(start..))))
    }

    fn identity(&self) -> io::Result<(Digest, u64)> {
        Ok((Digest::of(self), self.len() as u64))
    }
}

/// A file that is pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSource(pub PathBuf);

impl Source for FileSource {
    fn open(&self, offset: u64) -> io::Result<Box<dyn Read + Send>> {
        let mut file = File::open(&self.0)?;
        file.seek(SeekFrom::Start(offset))?;
        Ok(Box::new(file))
    }

    fn identity(&self) -> io::Result<(Digest, u64)> {
        let mut hasher = Hasher::new(Algorithm::Sha256);
        let size = io::copy(&mut File::open(&self.0)?, &mut hasher)?;
        Ok((hasher.finish(), size))
    }
}

/// Reads `length` bytes behind `offset`, or all, into a channel.
pub(super) fn feed(
    source: &Arc<dyn Source>,
    offset: u64,
    length: Option<u64>,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (pieces, queue) = mpsc::channel(AHEAD);
    let source = Arc::clone(source);
    tokio::task::spawn_blocking(move || {
        let sent = source.open(offset).and_then(|reader| read(reader, length, &pieces));
        if let Err(error) = sent {
            // Nobody who listens: the request is over already.
            drop(pieces.blocking_send(Err(error)));
        }
    });
    queue
}

fn read(
    mut reader: Box<dyn Read + Send>,
    length: Option<u64>,
    pieces: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    let mut left = length.unwrap_or(u64::MAX);
    while left > 0 {
        let want = usize::try_from(left).unwrap_or(usize::MAX).min(PIECE);
        let mut piece = vec![0; want];
        let got = fill(&mut reader, &mut piece)?;
        if got == 0 {
            break;
        }
        piece.truncate(got);
        left -= got as u64;
        if pieces.blocking_send(Ok(Bytes::from(piece))).is_err() {
            return Ok(());
        }
    }
    match length {
        Some(_) if left > 0 => {
            Err(io::Error::new(io::ErrorKind::UnexpectedEof, format!("{left} bytes are missing")))
        }
        _ => Ok(()),
    }
}

fn fill(reader: &mut dyn Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut got = 0;
    while got < piece.len() {
        match reader.read(&mut piece[got..]) {
            Ok(0) => break,
            Ok(more) => got += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(got)
}
