//! Writing a file's content, with holes where it is sparse or zero.

use std::{
    io::{self, Read},
    os::fd::OwnedFd,
};

use rustix::{fs::ftruncate, io::Errno};

use crate::{ArchiveError, Entry, Reader};

/// Content is looked at in runs of this length: those of zeros alone become holes.
const HOLE: usize = 64 << 10;
/// Smaller files are written as they are.
const HOLE_FILE_MIN: u64 = 1 << 20;

/// Writes the content of the reader's present entry into a fresh file.
pub(crate) fn write_content<R: Read>(
    file: &OwnedFd,
    entry: &Entry,
    reader: &mut Reader<R>,
    name: &str,
) -> Result<(), ArchiveError> {
    let holes = entry.size >= HOLE_FILE_MIN;
    let whole = [(0, entry.size)];
    let pieces = entry.sparse.as_deref().unwrap_or(&whole);
    let mut reached = 0;
    for (offset, length) in pieces {
        let (mut offset, end) = (*offset, offset + length);
        while offset < end {
            let data = reader
                .fill()
                .map_err(|source| ArchiveError::ReadEntry { name: name.to_owned(), source })?;
            let take = data.len().min(usize::try_from(end - offset).unwrap_or(usize::MAX));
            let wrote = write_piece(file, &data[..take], offset, holes)
                .map_err(|source| ArchiveError::entry("writing", name, source))?;
            reached = wrote.unwrap_or(reached);
            reader.consume(take);
            offset += take as u64;
        }
    }
    if reached < entry.size {
        ftruncate(file, entry.size).map_err(|errno| ArchiveError::entry("writing", name, errno))?;
    }
    Ok(())
}

/// Writes all but runs of zeros; returns where the last write ended, if there was one.
fn write_piece(file: &OwnedFd, data: &[u8], offset: u64, holes: bool) -> io::Result<Option<u64>> {
    if !holes {
        write_all_at(file, data, offset)?;
        return Ok(Some(offset + data.len() as u64));
    }
    let mut end = None;
    let mut at = offset;
    for run in data.chunks(HOLE) {
        if run.iter().any(|byte| *byte != 0) {
            write_all_at(file, run, at)?;
            end = Some(at + run.len() as u64);
        }
        at += run.len() as u64;
    }
    Ok(end)
}

fn write_all_at(file: &OwnedFd, mut data: &[u8], mut offset: u64) -> io::Result<()> {
    while !data.is_empty() {
        match rustix::io::pwrite(file, data, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(written) => {
                data = &data[written..];
                offset += written as u64;
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}
