//! Reading files.

use std::fs::File;
use std::io::{self, Read as _, Write};
use std::path::Path;

use rustix::fs::{FileType, OFlags, Stat, fstat};

use super::{Tree, clean, failed, hash, missing};
use crate::build::hidden::Sight;
use crate::container::reason;

/// Bytes that are read at once; a file that is no longer is sent in one piece.
const CHUNK_BYTES: usize = 256 << 10;
/// How often a small file is read again that changes meanwhile.
const TRIES: usize = 3;

impl Tree {
    /// Writes a file's content.
    ///
    /// # Errors
    /// When it is hidden, not there or no file, and when it changes while it is read: what was
    /// written until then is of no use.
    pub(crate) fn read(&self, path: &str, sink: &mut dyn Write) -> Result<(), String> {
        let path = clean(path)?;
        if self.hidden.sight(path) != Sight::Shown {
            return Err(missing(path));
        }
        // Without O_NONBLOCK a named pipe that took the file's place would be waited for.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        let file = self.open_beneath(path, flags).map_err(|errno| failed("open", path, errno))?;
        copy(&mut File::from(file), path, sink)
    }
}

/// Reads a whole file that belongs to no context; none if it is longer than so many bytes.
pub(crate) fn whole(path: &Path, bytes_max: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
    Ok(u64::try_from(bytes.len()).is_ok_and(|length| length <= bytes_max).then_some(bytes))
}

fn copy(file: &mut File, path: &str, sink: &mut dyn Write) -> Result<(), String> {
    let state = |file: &File| fstat(file).map_err(|errno| failed("fstat", path, errno));
    let read = |error: io::Error| format!("read {path}: {}", reason(&error));
    let mut before = state(file)?;
    if FileType::from_raw_mode(before.st_mode) != FileType::RegularFile {
        return Err(format!("{path}: not a regular file"));
    }
    let mut chunk = vec![0; chunk_size(&before)];
    for _ in 0..TRIES {
        let count = fill(file, &mut chunk).map_err(read)?;
        let after = state(file)?;
        if count == chunk.len() {
            // It is longer than one piece, or has become so.
            return stream(file, path, chunk, before, sink);
        }
        if hash::of_file(&before) == hash::of_file(&after) {
            return sent(sink.write_all(&chunk[..count]));
        }
        before = after;
        chunk.resize(chunk_size(&before), 0);
        rewind(file).map_err(read)?;
    }
    Err(changed(path))
}

/// One byte more than the file has, so that its end shows.
fn chunk_size(stat: &Stat) -> usize {
    usize::try_from(stat.st_size).unwrap_or(CHUNK_BYTES).saturating_add(1).min(CHUNK_BYTES)
}

/// Sends a long file, whose first bytes have been read, piece by piece.
fn stream(
    file: &mut File,
    path: &str,
    mut chunk: Vec<u8>,
    before: Stat,
    sink: &mut dyn Write,
) -> Result<(), String> {
    let mut count = chunk.len();
    while count > 0 {
        if sink.write_all(&chunk[..count]).is_err() {
            return Ok(());
        }
        chunk.resize(CHUNK_BYTES, 0);
        count =
            fill(file, &mut chunk).map_err(|error| format!("read {path}: {}", reason(&error)))?;
    }
    let after = fstat(&*file).map_err(|errno| failed("fstat", path, errno))?;
    match hash::of_file(&before) == hash::of_file(&after) {
        true => Ok(()),
        false => Err(changed(path)),
    }
}

/// A connection that is gone shows elsewhere.
fn sent(_: io::Result<()>) -> Result<(), String> {
    Ok(())
}

fn changed(path: &str) -> String {
    format!("{path} changed while it was read; hide it with .dockerignore if it is not needed")
}

fn rewind(file: &mut File) -> io::Result<()> {
    use io::Seek as _;
    file.rewind()
}

fn fill(file: &mut File, chunk: &mut [u8]) -> io::Result<usize> {
    let mut count = 0;
    while count < chunk.len() {
        match file.read(&mut chunk[count..]) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}
